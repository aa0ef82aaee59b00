/* journal.h: what our calendar has promised, in order, on disk before anybody is told (SRS-OTS-03).
 *
 *   folder/commitments   8 bytes "OWMCOMM1", then records of 48: commitment [44], CRC-32C [4]
 *
 * It only grows. At the start it is read and checked; a last record that a crash cut off (a part,
 * or zeros where its checksum would be) is removed, any other damage refuses the start, for a
 * promise would be lost.
 * Thread: one appends; find, get and count from any.
 */
#ifndef OWM_OTS_CALENDAR_JOURNAL_H
#define OWM_OTS_CALENDAR_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define JOURNAL_COMMITMENT_BYTES 44 /* Time [4, big-endian], root of that second [32], HMAC [8]. */
#define JOURNAL_RECORDS_MAX      (UINT32_C(1) << 30) /* Over thirty years of one a second. */

struct journal;

/** journal_open: locks the folder, reads, checks.
 *  Returns: OWM_OK; OWM_E_EXISTS another calendar has the folder; OWM_E_PROTO damaged, with the
 *  record and what to do; OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status journal_open(const char *folder, struct journal **journal,
                                     struct owm_error *error);
void journal_close(struct journal *journal); /**< NULL is allowed. */

/** journal_append: durable when this returns. Returns: OWM_OK; OWM_E_LIMIT; OWM_E_NOMEM; OWM_E_IO:
 *  nothing may be promised, and nothing is appended any more until the next start. */
OWM_MUST_USE owm_status journal_append(struct journal *journal,
                                       const uint8_t commitment[static JOURNAL_COMMITMENT_BYTES],
                                       struct owm_error *error);

/** journal_find: the index of a commitment, from 0. */
bool journal_find(struct journal *journal,
                  const uint8_t commitment[static JOURNAL_COMMITMENT_BYTES], uint32_t *index);

/** journal_get: index below journal_count. */
void journal_get(struct journal *journal, uint32_t index,
                 uint8_t commitment[static JOURNAL_COMMITMENT_BYTES]);
uint32_t journal_count(struct journal *journal);

#endif
