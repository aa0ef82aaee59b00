/* journal_read.h: the bytes of folder/commitments, without IO. Private to ots/calendar. */
#ifndef OWM_OTS_CALENDAR_JOURNAL_READ_H
#define OWM_OTS_CALENDAR_JOURNAL_READ_H

#include <stddef.h>

#include "journal.h"

#define JOURNAL_MAGIC        "OWMCOMM1"
#define JOURNAL_MAGIC_BYTES  8
#define JOURNAL_RECORD_BYTES 48

/** journal_record: record [JOURNAL_RECORD_BYTES] written; its checksum is returned. */
uint32_t journal_record(const uint8_t commitment[static JOURNAL_COMMITMENT_BYTES],
                        uint8_t record[static JOURNAL_RECORD_BYTES]);

/** journal_check: how many records are whole and right.
 *
 *  data   records, from the one with the number `first` on.
 *  last   the file ends behind them, so the last one may have been cut off by a crash: then it is
 *         shorter than a record, or zeros stand where its checksum would, or in its first
 *         sector while the second was written. It is not counted.
 *  crcs   [bytes / JOURNAL_RECORD_BYTES] written: of each its checksum.
 *  Returns: OWM_OK; OWM_E_PROTO names the record and what to do.
 */
struct journal_piece {
    const uint8_t *data;
    size_t bytes;
    uint32_t first;
    bool last;
};
OWM_MUST_USE owm_status journal_check(const struct journal_piece *piece, uint32_t *crcs,
                                      uint32_t *whole, struct owm_error *error);

#endif
