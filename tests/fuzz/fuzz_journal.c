/* fuzz_journal.c: the journal reader on hostile bytes, with and without right checksums.
 *
 * Fuzzers do not guess checksums, so the input is read twice: as a segment behind a good header,
 * and as the records of one batch (type, length, payload) that gets its checksums and its commit.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "pool/journal_format.h"
#include "pool/journal_reader.h"

#define BATCH_BYTES 65536

static void check_share(void *ctx, const struct owm_journal_entry *entry)
{
    struct owm_miner miner;
    struct owm_price price;
    (void)ctx;
    if (!owm_miner_of(entry->miner->kind, entry->miner->text, &miner)) abort();
    if (memcmp(miner.id, entry->share.miner, sizeof(miner.id)) != 0) abort();
    owm_share_price(entry->share.basis, entry->share.hashes, &price);
    if (price.miner > price.whole) abort();
}

static void make_header(uint8_t header[JOURNAL_HEADER_BYTES])
{
    struct owm_writer writer;
    memset(header, 0, JOURNAL_HEADER_BYTES);
    memcpy(header, JOURNAL_MAGIC, 8);
    owm_writer_init(&writer, header + JOURNAL_HEADER_BYTES - 4, 4);
    owm_write_u32_le(&writer, owm_crc32c(0, header, JOURNAL_HEADER_BYTES - 4));
}

static void read_all(const uint8_t *header, const uint8_t *data, size_t bytes)
{
    struct owm_journal_reader *reader;
    struct owm_journal_sink sink = {check_share, NULL};
    size_t used;
    if (owm_journal_reader_open(header, &reader) != OWM_OK) abort();
    while (owm_journal_reader_batch(reader, data, bytes, &used, &sink) == OWM_OK) {
        if (used == 0 || used > bytes) abort();
        data += used;
        bytes -= used;
    }
    owm_journal_reader_close(reader);
}

static void put_record(struct owm_writer *writer, uint8_t type, const uint8_t *payload,
                       size_t bytes)
{
    uint8_t head[4] = {type, 0, (uint8_t)bytes, (uint8_t)(bytes >> 8)};
    owm_write_bytes(writer, head, 4);
    owm_write_u32_le(writer, owm_crc32c(owm_crc32c(0, head, 4), payload, bytes));
    owm_write_bytes(writer, payload, bytes);
}

static void read_sealed(const uint8_t *header, const uint8_t *data, size_t size)
{
    static uint8_t batch[BATCH_BYTES];
    uint8_t payload[JOURNAL_COMMIT_BYTES];
    uint32_t shares = 0;
    struct owm_writer writer, commit;
    owm_writer_init(&writer, batch, sizeof(batch) - 64);
    for (size_t at = 0; at + 2 <= size && owm_writer_ok(&writer);) {
        uint8_t type = data[at] & 3;
        size_t bytes = data[at + 1];
        at += 2;
        if (bytes > size - at) bytes = size - at;
        put_record(&writer, type + 1, data + at, bytes);
        shares += type + 1 == JOURNAL_SHARE;
        at += bytes;
    }
    if (!owm_writer_ok(&writer)) return;
    size_t records = writer.at;
    owm_writer_init(&commit, payload, sizeof(payload));
    owm_write_u64_le(&commit, shares);
    owm_write_u32_le(&commit, shares);
    owm_write_u32_le(&commit, (uint32_t)records);
    owm_write_u32_le(&commit,
                     owm_crc32c(owm_crc32c(0, header, JOURNAL_HEADER_BYTES - 4), batch, records));
    owm_writer_init(&writer, batch + records, 64);
    put_record(&writer, JOURNAL_COMMIT, payload, sizeof(payload));
    read_all(header, batch, records + writer.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t header[JOURNAL_HEADER_BYTES];
    struct owm_journal_header read;
    make_header(header);
    read_all(header, data, size);
    read_sealed(header, data, size);
    (void)owm_journal_has_commit(data, size);
    if (size >= JOURNAL_HEADER_BYTES && owm_journal_header_read(data, &read) == OWM_OK)
        read_all(data, data + JOURNAL_HEADER_BYTES, size - JOURNAL_HEADER_BYTES);
    return 0;
}
