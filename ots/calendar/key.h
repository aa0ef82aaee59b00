/* key.h: the secret by which our calendar knows its own promises again.
 *
 * Each commitment ends in the first 8 bytes of HMAC-SHA256(key, what is before them). So one that
 * is not in the journal, because the disk was lost and the backup is old, is still known to be ours
 * when somebody asks for it, and is put into a block after all.
 *
 *   folder/hmac-key   "owm-calendar-key-1 <64 hex digits>", mode 0600, made once
 *
 * In memory it is locked and absent from core dumps, and nothing prints it. Thread: any.
 */
#ifndef OWM_OTS_CALENDAR_KEY_H
#define OWM_OTS_CALENDAR_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "journal.h"

#define KEY_MAC_BYTES 8

struct key;

/** key_open: read, or make and write.
 *  made  whether it is a new one.
 *  Returns: OWM_OK; OWM_E_PERM another user's file, one that others can read, or a link, with the
 *  command that mends it; OWM_E_PROTO no key in it; OWM_E_IO; OWM_E_NOMEM. */
OWM_MUST_USE owm_status key_open(const char *folder, struct key **key, bool *made,
                                 struct owm_error *error);
void key_close(struct key *key); /**< Wiped. NULL is allowed. */

/** key_seal: writes the last KEY_MAC_BYTES of a commitment. */
void key_seal(const struct key *key, uint8_t commitment[static JOURNAL_COMMITMENT_BYTES]);

/** key_sealed: whether this calendar has made the commitment. */
bool key_sealed(const struct key *key, const uint8_t commitment[static JOURNAL_COMMITMENT_BYTES]);

#endif
