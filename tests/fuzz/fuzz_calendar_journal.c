/* fuzz_calendar_journal.c: the file of a calendar's promises, with bytes of anybody's, and with
 * right checksums that the fuzzer could not guess. */
#include <stdlib.h>
#include <string.h>

#include "ots/calendar/journal_read.h"

#define RECORDS_MAX 64

static void check(const uint8_t *data, size_t bytes, bool last)
{
    uint32_t crcs[RECORDS_MAX], whole = UINT32_MAX;
    uint8_t record[JOURNAL_RECORD_BYTES];
    const struct journal_piece piece = {data, bytes, 7, last};
    owm_status status = journal_check(&piece, crcs, &whole, NULL);
    if (whole > bytes / JOURNAL_RECORD_BYTES) abort();
    size_t left = bytes - whole * JOURNAL_RECORD_BYTES;
    if (status == OWM_OK && left >= 2 * JOURNAL_RECORD_BYTES) abort();
    if (status == OWM_OK && !last && left >= JOURNAL_RECORD_BYTES) abort();
    for (uint32_t i = 0; i < whole; i++) { /* What is read is what is written. */
        const uint8_t *at = data + i * JOURNAL_RECORD_BYTES;
        if (journal_record(at, record) != crcs[i] || memcmp(record, at, sizeof record) != 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t sealed[RECORDS_MAX * JOURNAL_RECORD_BYTES];
    size_t bytes = size < sizeof sealed ? size : sizeof sealed;
    check(data, bytes, true);
    check(data, bytes, false);
    if (bytes > 0) memcpy(sealed, data, bytes);
    for (size_t at = 0; at + JOURNAL_RECORD_BYTES <= bytes; at += JOURNAL_RECORD_BYTES) {
        uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
        memcpy(commitment, sealed + at, sizeof commitment);
        if (at / JOURNAL_RECORD_BYTES % 8 != 7) journal_record(commitment, sealed + at);
    }
    check(sealed, bytes, true);
    check(sealed, bytes, false);
    return 0;
}
