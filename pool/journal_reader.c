/* journal_reader.c: checks a batch as a whole, then reads its records; see journal_reader.h. */
#include "journal_reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "dataplane/chain/target.h"
#include "journal_format.h"

static_assert(JOURNAL_HEADER_BYTES == OWM_JOURNAL_HEADER_BYTES, "one header");
static_assert(JOURNAL_BATCH_BYTES_MAX + JOURNAL_RECORD_BYTES + JOURNAL_COMMIT_BYTES
                  <= OWM_JOURNAL_WINDOW_BYTES,
              "a batch fits the window");

struct owm_journal_reader {
    struct owm_basis *bases;
    struct owm_miner *miners;
    struct owm_worker *workers;
    uint32_t base_count, miner_count, worker_count;
    uint32_t base_room, miner_room, worker_room;
    uint32_t chain;
    uint64_t sequence;
};

struct commit {
    uint64_t sequence;
    uint32_t shares, bytes, chain;
};

/* ---------------------------------------------------------------------------- header */

owm_status owm_journal_header_read(const uint8_t bytes[OWM_JOURNAL_HEADER_BYTES],
                                   struct owm_journal_header *header)
{
    struct owm_reader reader;
    owm_reader_init(&reader, bytes, JOURNAL_HEADER_BYTES);
    bool magic = memcmp(owm_read_view(&reader, 8), JOURNAL_MAGIC, 8) == 0;
    header->loop = owm_read_u32_le(&reader);
    (void)owm_read_u32_le(&reader);
    header->number = owm_read_u64_le(&reader);
    header->created_ms = (int64_t)owm_read_u64_le(&reader);
    owm_read_bytes(&reader, header->id, sizeof(header->id));
    (void)owm_read_view(&reader, 12);
    uint32_t crc = owm_read_u32_le(&reader);
    return magic && crc == owm_crc32c(0, bytes, JOURNAL_HEADER_BYTES - 4) ? OWM_OK : OWM_E_PROTO;
}

owm_status owm_journal_reader_open(const uint8_t header[OWM_JOURNAL_HEADER_BYTES],
                                   struct owm_journal_reader **out)
{
    struct owm_journal_header read;
    if (owm_journal_header_read(header, &read) != OWM_OK) return OWM_E_PROTO;
    struct owm_journal_reader *reader = calloc(1, sizeof(*reader));
    if (!reader) return OWM_E_NOMEM;
    reader->chain = owm_crc32c(0, header, JOURNAL_HEADER_BYTES - 4);
    *out = reader;
    return OWM_OK;
}

void owm_journal_reader_close(struct owm_journal_reader *reader)
{
    if (!reader) return;
    free(reader->bases);
    free(reader->miners);
    free(reader->workers);
    free(reader);
}

/* ---------------------------------------------------------------------------- a batch as bytes */

/* The record at `data`, if it is whole and its checksum right: its bytes; otherwise 0. */
static size_t record_bytes(const uint8_t *data, size_t bytes)
{
    if (bytes < JOURNAL_RECORD_BYTES || data[0] == JOURNAL_NONE) return 0;
    struct owm_reader reader;
    owm_reader_init(&reader, data + 2, 6);
    size_t payload = owm_read_u16_le(&reader);
    uint32_t crc = owm_read_u32_le(&reader);
    if (payload > JOURNAL_PAYLOAD_MAX || payload > bytes - JOURNAL_RECORD_BYTES) return 0;
    uint32_t actual = owm_crc32c(owm_crc32c(0, data, 4), data + JOURNAL_RECORD_BYTES, payload);
    return actual == crc ? JOURNAL_RECORD_BYTES + payload : 0;
}

static bool read_commit(const uint8_t *record, size_t bytes, struct commit *commit)
{
    if (bytes != JOURNAL_RECORD_BYTES + JOURNAL_COMMIT_BYTES) return false;
    struct owm_reader reader;
    owm_reader_init(&reader, record + JOURNAL_RECORD_BYTES, JOURNAL_COMMIT_BYTES);
    commit->sequence = owm_read_u64_le(&reader);
    commit->shares = owm_read_u32_le(&reader);
    commit->bytes = owm_read_u32_le(&reader);
    commit->chain = owm_read_u32_le(&reader);
    return owm_reader_done(&reader);
}

/* Bytes of the records before the commit that ends this batch, and that commit. */
static owm_status find_commit(const uint8_t *data, size_t bytes, size_t *batch,
                              struct commit *commit)
{
    size_t at = 0;
    while (at <= JOURNAL_BATCH_BYTES_MAX) {
        size_t record = record_bytes(data + at, bytes - at);
        if (record == 0) return OWM_E_NOTFOUND;
        if (data[at] == JOURNAL_END) return at == 0 ? OWM_E_CANCELLED : OWM_E_PROTO;
        if (data[at] == JOURNAL_COMMIT) {
            *batch = at;
            return read_commit(data + at, record, commit) ? OWM_OK : OWM_E_PROTO;
        }
        at += record;
    }
    return OWM_E_PROTO;
}

bool owm_journal_has_commit(const uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at + JOURNAL_RECORD_BYTES + JOURNAL_COMMIT_BYTES <= bytes; at++)
        if (data[at] == JOURNAL_COMMIT && data[at + 1] == 0 && data[at + 2] == JOURNAL_COMMIT_BYTES
            && record_bytes(data + at, bytes - at) != 0)
            return true;
    return false;
}

/* ---------------------------------------------------------------------------- records */

/* Room for one more, up to `max`. */
static owm_status grow(void **items, uint32_t count, uint32_t *room, size_t item_bytes,
                       uint32_t max)
{
    if (count < *room) return OWM_OK;
    if (count >= max) return OWM_E_PROTO;
    uint32_t wanted = *room ? *room * 2 : 64;
    if (wanted > max) wanted = max;
    void *more = realloc(*items, wanted * item_bytes);
    if (!more) return OWM_E_NOMEM;
    *items = more;
    *room = wanted;
    return OWM_OK;
}

static owm_status read_basis(struct owm_journal_reader *reader, struct owm_reader *payload)
{
    owm_status status = grow((void **)&reader->bases, reader->base_count, &reader->base_room,
                             sizeof(*reader->bases), JOURNAL_BASES_MAX);
    if (status != OWM_OK) return status;
    struct owm_basis *basis = &reader->bases[reader->base_count];
    uint8_t target[32];
    memset(basis, 0, sizeof(*basis));
    owm_read_bytes(payload, basis->previous, 32);
    basis->height = owm_read_u32_le(payload);
    basis->bits = owm_read_u32_le(payload);
    basis->subsidy_sats = owm_read_u64_le(payload);
    basis->fees_sats = owm_read_u64_le(payload);
    basis->pay_basis_points = owm_read_u16_le(payload);
    if (!owm_reader_done(payload) || basis->pay_basis_points > OWM_BASIS_POINTS
        || basis->subsidy_sats > INT64_MAX || basis->fees_sats > INT64_MAX
        || basis->height > INT32_MAX || !owm_target_from_compact(basis->bits, target))
        return OWM_E_PROTO;
    reader->base_count++;
    return OWM_OK;
}

/* The rest of a payload as terminated text; one with a zero in it is none. */
static bool read_text(struct owm_reader *payload, char *text, size_t room)
{
    size_t bytes = owm_reader_left(payload);
    if (!owm_reader_ok(payload) || bytes >= room) return false;
    owm_read_bytes(payload, text, bytes);
    text[bytes] = 0;
    return strlen(text) == bytes;
}

static owm_status read_miner(struct owm_journal_reader *reader, struct owm_reader *payload)
{
    owm_status status = grow((void **)&reader->miners, reader->miner_count, &reader->miner_room,
                             sizeof(*reader->miners), JOURNAL_MINERS_MAX);
    if (status != OWM_OK) return status;
    char text[OWM_MINER_TEXT_BYTES];
    enum owm_miner_kind kind = (enum owm_miner_kind)owm_read_u8(payload);
    if (!read_text(payload, text, sizeof(text))
        || !owm_miner_of(kind, text, &reader->miners[reader->miner_count]))
        return OWM_E_PROTO;
    reader->miner_count++;
    return OWM_OK;
}

static owm_status read_worker(struct owm_journal_reader *reader, struct owm_reader *payload)
{
    owm_status status = grow((void **)&reader->workers, reader->worker_count, &reader->worker_room,
                             sizeof(*reader->workers), JOURNAL_WORKERS_MAX);
    if (status != OWM_OK) return status;
    char text[OWM_WORKER_TEXT_BYTES];
    if (!read_text(payload, text, sizeof(text))
        || !owm_worker_of(text, &reader->workers[reader->worker_count]))
        return OWM_E_PROTO;
    reader->worker_count++;
    return OWM_OK;
}

static owm_status read_share(const struct owm_journal_reader *reader, struct owm_reader *payload,
                             const struct owm_journal_sink *sink)
{
    struct owm_journal_entry entry = {0};
    owm_read_bytes(payload, entry.share.hash, 32);
    entry.share.time_ms = (int64_t)owm_read_u64_le(payload);
    entry.share.hashes = owm_read_u64_le(payload);
    entry.miner_number = owm_read_u32_le(payload);
    entry.worker_number = owm_read_u32_le(payload);
    entry.basis_number = owm_read_u32_le(payload);
    entry.share.block = (owm_read_u8(payload) & JOURNAL_SHARE_FLAG_BLOCK) != 0;
    if (!owm_reader_done(payload) || entry.share.time_ms < 0
        || entry.share.time_ms > JOURNAL_TIME_MS_MAX || entry.miner_number >= reader->miner_count
        || entry.worker_number >= reader->worker_count || entry.basis_number >= reader->base_count)
        return OWM_E_PROTO;
    if (!sink) return OWM_OK;
    entry.miner = &reader->miners[entry.miner_number];
    entry.worker = &reader->workers[entry.worker_number];
    entry.share.basis = &reader->bases[entry.basis_number];
    memcpy(entry.share.miner, entry.miner->id, sizeof(entry.share.miner));
    memcpy(entry.share.worker, entry.worker->id, sizeof(entry.share.worker));
    sink->share(sink->ctx, &entry);
    return OWM_OK;
}

static owm_status read_record(struct owm_journal_reader *reader, const uint8_t *record,
                              size_t bytes, const struct owm_journal_sink *sink)
{
    struct owm_reader payload;
    owm_reader_init(&payload, record + JOURNAL_RECORD_BYTES, bytes - JOURNAL_RECORD_BYTES);
    bool defines = sink == NULL; /* The first pass takes definitions, the second gives shares. */
    switch (record[0]) {
    case JOURNAL_BASIS:
        return defines ? read_basis(reader, &payload) : OWM_OK;
    case JOURNAL_MINER:
        return defines ? read_miner(reader, &payload) : OWM_OK;
    case JOURNAL_WORKER:
        return defines ? read_worker(reader, &payload) : OWM_OK;
    case JOURNAL_SHARE:
        return read_share(reader, &payload, sink);
    default:
        return OWM_E_PROTO;
    }
}

static owm_status read_records(struct owm_journal_reader *reader, const uint8_t *data, size_t bytes,
                               const struct owm_journal_sink *sink)
{
    owm_status status = OWM_OK;
    for (size_t at = 0; status == OWM_OK && at < bytes;) {
        size_t record = JOURNAL_RECORD_BYTES + (size_t)(data[at + 2] | data[at + 3] << 8);
        status = read_record(reader, data + at, record, sink);
        at += record;
    }
    return status;
}

static uint32_t count_shares(const uint8_t *data, size_t bytes)
{
    uint32_t count = 0;
    for (size_t at = 0; at < bytes;
         at += JOURNAL_RECORD_BYTES + (size_t)(data[at + 2] | data[at + 3] << 8))
        count += data[at] == JOURNAL_SHARE;
    return count;
}

owm_status owm_journal_reader_batch(struct owm_journal_reader *reader, const uint8_t *data,
                                    size_t bytes, size_t *used, const struct owm_journal_sink *sink)
{
    struct commit commit;
    size_t batch = 0;
    owm_status status = find_commit(data, bytes, &batch, &commit);
    if (status == OWM_E_CANCELLED) *used = JOURNAL_RECORD_BYTES;
    if (status != OWM_OK) return status;
    uint32_t chain = owm_crc32c(reader->chain, data, batch), shares = count_shares(data, batch);
    if (commit.bytes != batch || commit.chain != chain) return OWM_E_NOTFOUND;
    if (commit.shares != shares || commit.sequence < shares
        || (reader->sequence > 0 && commit.sequence != reader->sequence + shares))
        return OWM_E_PROTO;
    status = read_records(reader, data, batch, NULL);
    if (status == OWM_OK && sink) status = read_records(reader, data, batch, sink);
    if (status != OWM_OK) return status;
    reader->chain = chain;
    reader->sequence = commit.sequence;
    *used = batch + JOURNAL_RECORD_BYTES + JOURNAL_COMMIT_BYTES;
    return OWM_OK;
}
