/* anchors.c: records to memory and back. */
#include "anchors.h"

#include <stdlib.h>
#include <string.h>

#include "anchor_path.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "dataplane/chain/hash.h"
#include "journal.h"

#define HEAD_BYTES  8
#define CHECK_BYTES 4
#define OP_RETURN   0x6a
#define PUSH_32     0x20

static void transaction_deinit(struct anchor_transaction *transaction)
{
    free(transaction->data);
}

void anchors_deinit(struct anchors *anchors)
{
    for (uint32_t i = 0; i < anchors->batch_count; i++) {
        struct anchor_batch *batch = &anchors->batches[i];
        for (uint32_t k = 0; k < batch->transaction_count; k++)
            transaction_deinit(&batch->transactions[k]);
        free(batch->transactions);
        free(batch->end);
    }
    free(anchors->batches);
    *anchors = (struct anchors){0};
}

uint32_t anchors_covered(const struct anchors *anchors)
{
    if (anchors->batch_count == 0) return 0;
    const struct anchor_batch *last = &anchors->batches[anchors->batch_count - 1];
    return last->first + last->count;
}

uint32_t anchors_find(const struct anchors *anchors, uint32_t index)
{
    uint32_t low = 0, high = anchors->batch_count;
    if (index >= anchors_covered(anchors)) return anchors->batch_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (anchors->batches[middle].first <= index)
            low = middle;
        else
            high = middle;
    }
    return low;
}

const uint8_t *anchors_stripped(const struct anchor_transaction *transaction)
{
    return transaction->data + transaction->bytes;
}

bool anchors_root_at(const uint8_t *stripped, size_t bytes, const uint8_t root[static 32],
                     uint32_t *at)
{
    uint8_t script[34] = {OP_RETURN, PUSH_32};
    memcpy(script + 2, root, 32);
    const uint8_t *found = memmem(stripped, bytes, script, sizeof script);
    if (found) *at = (uint32_t)(found + 2 - stripped);
    return found != NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The signed bytes, taken apart and kept. */
static owm_status read_transaction(const uint8_t root[32], const uint8_t *data, size_t bytes,
                                   struct anchor_transaction *out, struct owm_error *error)
{
    owm_status status = owm_transaction_read(data, bytes, &out->read, error);
    if (status != OWM_OK) return status;
    if (out->read.stripped_bytes > ANCHOR_STRIPPED_BYTES_MAX)
        return owm_fail(error, OWM_E_PROTO, "its transaction is too large for a proof");
    out->data = malloc(bytes + out->read.stripped_bytes);
    if (!out->data) return owm_fail(error, OWM_E_NOMEM, "no memory for a transaction");
    out->bytes = (uint32_t)bytes;
    memcpy(out->data, data, bytes);
    owm_transaction_strip(data, &out->read, out->data + bytes);
    if (anchors_root_at(anchors_stripped(out), out->read.stripped_bytes, root, &out->root_at))
        return OWM_OK;
    transaction_deinit(out);
    return owm_fail(error, OWM_E_PROTO, "its transaction does not hold its root");
}

static owm_status add_transaction(struct anchor_batch *batch,
                                  struct anchor_transaction *transaction, struct owm_error *error)
{
    for (uint32_t i = 0; i < batch->transaction_count; i++)
        if (memcmp(batch->transactions[i].read.txid, transaction->read.txid, 32) == 0)
            return owm_fail(error, OWM_E_PROTO, "its transaction was sent before");
    if (batch->transaction_count == ANCHOR_TRANSACTIONS_MAX)
        return owm_fail(error, OWM_E_PROTO, "a batch has too many transactions");
    struct anchor_transaction *grown =
        reallocarray(batch->transactions, batch->transaction_count + 1, sizeof *grown);
    if (!grown) return owm_fail(error, OWM_E_NOMEM, "no memory for a transaction");
    batch->transactions = grown;
    grown[batch->transaction_count++] = *transaction;
    batch->offered = batch->rejected = false;
    batch->missing_since = 0;
    return OWM_OK;
}

static owm_status add_batch(struct anchors *anchors, const struct anchors_sent *sent,
                            struct owm_error *error)
{
    if (sent->batch != anchors->batch_count || sent->first != anchors_covered(anchors)
        || sent->count == 0 || sent->count > OWM_OTS_LEAVES_MAX
        || sent->first > JOURNAL_RECORDS_MAX - sent->count)
        return owm_fail(error, OWM_E_PROTO, "its batch does not follow the one before");
    if (anchors->batch_count == ANCHOR_BATCHES_MAX)
        return owm_fail(error, OWM_E_LIMIT, "there are too many batches");
    if (anchors->batch_count == anchors->batch_room) {
        uint32_t room = anchors->batch_room ? 2 * anchors->batch_room : 16;
        struct anchor_batch *grown = reallocarray(anchors->batches, room, sizeof *grown);
        if (!grown) return owm_fail(error, OWM_E_NOMEM, "no memory for a batch");
        anchors->batches = grown;
        anchors->batch_room = room;
    }
    struct anchor_batch *batch = &anchors->batches[anchors->batch_count++];
    *batch = (struct anchor_batch){.first = sent->first, .count = sent->count};
    memcpy(batch->root, sent->root, 32);
    anchors->open_count++;
    return OWM_OK;
}

/* A batch has a transaction. */
static void drop_empty(struct anchors *anchors)
{
    if (anchors->batches[anchors->batch_count - 1].transaction_count > 0) return;
    anchors->batch_count--;
    anchors->open_count--;
}

static owm_status check_batch(const struct anchor_batch *batch, const struct anchors_sent *sent,
                              struct owm_error *error)
{
    if (batch->first == sent->first && batch->count == sent->count && !batch->end
        && memcmp(batch->root, sent->root, 32) == 0)
        return OWM_OK;
    return owm_fail(error, OWM_E_PROTO, "it is for a batch that is another or done");
}

static owm_status read_sent(struct anchors *anchors, struct owm_reader *r, struct owm_error *error)
{
    struct anchors_sent sent;
    sent.batch = owm_read_u32_le(r);
    sent.first = owm_read_u32_le(r);
    sent.count = owm_read_u32_le(r);
    sent.root = owm_read_view(r, 32);
    sent.time_ms = (int64_t)owm_read_u64_le(r);
    sent.fee_sat = owm_read_u64_le(r);
    sent.bytes = (uint32_t)owm_reader_left(r);
    sent.data = owm_read_view(r, sent.bytes);
    if (!owm_reader_ok(r)) return owm_fail(error, OWM_E_PROTO, "it is too short");
    struct anchor_transaction transaction = {.fee_sat = sent.fee_sat, .time_ms = sent.time_ms};
    owm_status status = read_transaction(sent.root, sent.data, sent.bytes, &transaction, error);
    if (status != OWM_OK) return status;
    status = sent.batch < anchors->batch_count
                 ? check_batch(&anchors->batches[sent.batch], &sent, error)
                 : add_batch(anchors, &sent, error);
    if (status == OWM_OK) {
        status = add_transaction(&anchors->batches[sent.batch], &transaction, error);
        if (status != OWM_OK) drop_empty(anchors);
    }
    if (status != OWM_OK) transaction_deinit(&transaction);
    return status;
}

/* The branches lead from the transaction to the root in the header. */
static bool leads(const struct anchor_batch *batch, const struct anchor_end *end)
{
    uint8_t root[32];
    if (end->transaction >= batch->transaction_count) return false;
    if (end->position >> end->branches != 0) return false;
    if (end->height > OWM_OTS_HEIGHT_MAX) return false;
    anchor_fold(batch->transactions[end->transaction].read.txid, end, root);
    return memcmp(root, end->header + 36, 32) == 0;
}

static owm_status read_done(struct anchors *anchors, struct owm_reader *r, struct owm_error *error)
{
    uint32_t number = owm_read_u32_le(r);
    struct anchor_end end = {.branches = 0};
    end.transaction = owm_read_u32_le(r);
    end.height = owm_read_u32_le(r);
    end.position = owm_read_u32_le(r);
    end.time_ms = (int64_t)owm_read_u64_le(r);
    owm_read_bytes(r, end.header, sizeof end.header);
    end.branches = (uint32_t)(owm_reader_left(r) / 32);
    if (end.branches > ANCHOR_BRANCHES_MAX)
        return owm_fail(error, OWM_E_PROTO, "it has too many branches");
    owm_read_bytes(r, end.branch, 32 * (size_t)end.branches);
    if (!owm_reader_done(r)) return owm_fail(error, OWM_E_PROTO, "its length is wrong");
    if (number >= anchors->batch_count || anchors->batches[number].end)
        return owm_fail(error, OWM_E_PROTO, "it ends a batch that is unknown or done");
    struct anchor_batch *batch = &anchors->batches[number];
    if (!leads(batch, &end))
        return owm_fail(error, OWM_E_PROTO, "its branches do not lead to its block");
    batch->end = malloc(sizeof end);
    if (!batch->end) return owm_fail(error, OWM_E_NOMEM, "no memory for a block");
    *batch->end = end;
    anchors->open_count--;
    return OWM_OK;
}

static owm_status read_lost(struct anchors *anchors, struct owm_reader *r, struct owm_error *error)
{
    uint32_t number = owm_read_u32_le(r);
    if (!owm_reader_done(r)) return owm_fail(error, OWM_E_PROTO, "its length is wrong");
    if (number >= anchors->batch_count || !anchors->batches[number].end)
        return owm_fail(error, OWM_E_PROTO, "it loses a batch that is not done");
    struct anchor_batch *batch = &anchors->batches[number];
    free(batch->end);
    batch->end = NULL;
    batch->confirmations = 0;
    batch->offered = false;
    anchors->open_count++;
    return OWM_OK;
}

static owm_status read_payload(struct anchors *anchors, uint8_t type, struct owm_reader *payload,
                               struct owm_error *error)
{
    switch (type) {
    case ANCHORS_SENT:
        return read_sent(anchors, payload, error);
    case ANCHORS_DONE:
        return read_done(anchors, payload, error);
    case ANCHORS_LOST:
        return read_lost(anchors, payload, error);
    default:
        return owm_fail(error, OWM_E_PROTO, "its type %u is unknown", type);
    }
}

/* One record. *used is 0 for one that a crash cut off. */
static owm_status read_record(struct anchors *anchors, const uint8_t *data, size_t bytes,
                              size_t *used, struct owm_error *error)
{
    struct owm_reader r, payload;
    *used = 0;
    if (bytes < HEAD_BYTES) return OWM_OK;
    owm_reader_init(&r, data, bytes);
    uint32_t head = owm_read_u32_le(&r);
    if (owm_read_u32_le(&r) != owm_crc32c(0, data, 4))
        return owm_fail(error, OWM_E_PROTO, "its head is damaged");
    uint32_t payload_bytes = head >> 8;
    if (payload_bytes + CHECK_BYTES > owm_reader_left(&r)) return OWM_OK;
    const uint8_t *view = owm_read_view(&r, payload_bytes);
    if (owm_read_u32_le(&r) != owm_crc32c(0, view, payload_bytes)) {
        if (owm_reader_left(&r) == 0) return OWM_OK;
        return owm_fail(error, OWM_E_PROTO, "its checksum is wrong");
    }
    owm_reader_init(&payload, view, payload_bytes);
    *used = HEAD_BYTES + payload_bytes + CHECK_BYTES;
    return read_payload(anchors, (uint8_t)head, &payload, error);
}

/* What a file system may leave behind the end after a power cut. */
static bool all_zero(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i] != 0) return false;
    return true;
}

owm_status anchors_read(struct anchors *anchors, const uint8_t *data, size_t bytes, size_t *whole,
                        struct owm_error *error)
{
    size_t used = 1;
    *whole = 0;
    while (*whole < bytes && used > 0 && !all_zero(data + *whole, bytes - *whole)) {
        struct owm_error why = {.text = ""};
        owm_status status = read_record(anchors, data + *whole, bytes - *whole, &used, &why);
        if (status != OWM_OK)
            return owm_fail(error, status, "the record at byte %zu: %.300s",
                            *whole + ANCHORS_MAGIC_BYTES, why.text);
        *whole += used;
    }
    return OWM_OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void begin(struct owm_writer *w, uint8_t *record)
{
    owm_writer_init(w, record, ANCHORS_RECORD_BYTES_MAX);
    owm_write_u64_le(w, 0); /* The head, when the length is known. */
}

static size_t end_record(struct owm_writer *w, enum anchors_type type)
{
    uint32_t payload_bytes = (uint32_t)(w->at - HEAD_BYTES);
    owm_write_u32_le(w, owm_crc32c(0, w->data + HEAD_BYTES, payload_bytes));
    struct owm_writer head;
    owm_writer_init(&head, w->data, HEAD_BYTES);
    owm_write_u32_le(&head, payload_bytes << 8 | (uint32_t)type);
    owm_write_u32_le(&head, owm_crc32c(0, w->data, 4));
    return owm_writer_ok(w) ? w->at : 0;
}

size_t anchors_sent_record(const struct anchors_sent *sent, uint8_t *record)
{
    struct owm_writer w;
    begin(&w, record);
    owm_write_u32_le(&w, sent->batch);
    owm_write_u32_le(&w, sent->first);
    owm_write_u32_le(&w, sent->count);
    owm_write_bytes(&w, sent->root, 32);
    owm_write_u64_le(&w, (uint64_t)sent->time_ms);
    owm_write_u64_le(&w, sent->fee_sat);
    owm_write_bytes(&w, sent->data, sent->bytes);
    return end_record(&w, ANCHORS_SENT);
}

size_t anchors_done_record(uint32_t batch, const struct anchor_end *end, uint8_t *record)
{
    struct owm_writer w;
    begin(&w, record);
    owm_write_u32_le(&w, batch);
    owm_write_u32_le(&w, end->transaction);
    owm_write_u32_le(&w, end->height);
    owm_write_u32_le(&w, end->position);
    owm_write_u64_le(&w, (uint64_t)end->time_ms);
    owm_write_bytes(&w, end->header, sizeof end->header);
    owm_write_bytes(&w, end->branch, 32 * (size_t)end->branches);
    return end_record(&w, ANCHORS_DONE);
}

size_t anchors_lost_record(uint32_t batch, uint8_t *record)
{
    struct owm_writer w;
    begin(&w, record);
    owm_write_u32_le(&w, batch);
    return end_record(&w, ANCHORS_LOST);
}
