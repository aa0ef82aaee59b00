/* journal_read.c: record by record; only the last one may be less than whole. */
#include "journal_read.h"

#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"

#define SECTOR_BYTES 512 /* What a disk writes whole; pages are of so many of them. */

uint32_t journal_record(const uint8_t commitment[static JOURNAL_COMMITMENT_BYTES],
                        uint8_t record[static JOURNAL_RECORD_BYTES])
{
    struct owm_writer writer;
    uint32_t crc = owm_crc32c(0, commitment, JOURNAL_COMMITMENT_BYTES);
    owm_writer_init(&writer, record, JOURNAL_RECORD_BYTES);
    owm_write_bytes(&writer, commitment, JOURNAL_COMMITMENT_BYTES);
    owm_write_u32_le(&writer, crc);
    return crc;
}

static uint32_t stored_crc(const uint8_t *record)
{
    struct owm_reader reader;
    owm_reader_init(&reader, record + JOURNAL_COMMITMENT_BYTES, 4);
    return owm_read_u32_le(&reader);
}

/* The last record as a crash leaves it: nothing of it was written, or its first sector alone, which
 * never holds the checksum, or its second alone. */
static bool is_torn(const uint8_t *record, uint64_t index)
{
    static const uint8_t zeros[JOURNAL_RECORD_BYTES];
    uint64_t at = JOURNAL_MAGIC_BYTES + index * JOURNAL_RECORD_BYTES;
    size_t head = SECTOR_BYTES - at % SECTOR_BYTES;
    if (stored_crc(record) == 0) return true;
    return head < JOURNAL_RECORD_BYTES && memcmp(record, zeros, head) == 0;
}

owm_status journal_check(const struct journal_piece *piece, uint32_t *crcs, uint32_t *whole,
                         struct owm_error *error)
{
    size_t count = piece->bytes / JOURNAL_RECORD_BYTES;
    *whole = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *record = piece->data + i * JOURNAL_RECORD_BYTES;
        uint32_t stored = stored_crc(record);
        crcs[i] = owm_crc32c(0, record, JOURNAL_COMMITMENT_BYTES);
        if (crcs[i] != stored) {
            bool ends_here = piece->last && (i + 1) * JOURNAL_RECORD_BYTES == piece->bytes;
            if (ends_here && is_torn(record, (uint64_t)piece->first + i)) return OWM_OK;
            return owm_fail(error, OWM_E_PROTO,
                            "promise %" PRIu64 " in the file commitments has another checksum; "
                            "promises would be lost, so restore the file from a backup",
                            (uint64_t)piece->first + i);
        }
        *whole = (uint32_t)(i + 1);
    }
    return OWM_OK;
}
