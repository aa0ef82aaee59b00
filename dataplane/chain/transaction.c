/* transaction.c: walks a transaction's bytes once, and hashes it with and without the witness. */
#include "transaction.h"

#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"
#include "hash.h"

#define TRANSACTION_BYTES_MAX 4000000 /* A block's weight: none is longer. */
#define INPUT_BYTES_MIN       41
#define OUTPUT_BYTES_MIN      9

/* Where the parts of a transaction lie; the body is inputs and outputs. */
struct layout {
    size_t body_at, body_end;
    uint64_t inputs;
    bool has_witness;
};

/* Bitcoin's compact size. A longer form than needed fails the reader. */
static uint64_t read_count(struct owm_reader *r)
{
    uint64_t value = owm_read_u8(r), least = 0;
    if (value == 0xfd) {
        value = owm_read_u16_le(r);
        least = 0xfd;
    } else if (value == 0xfe) {
        value = owm_read_u32_le(r);
        least = UINT64_C(0x10000);
    } else if (value == 0xff) {
        value = owm_read_u64_le(r);
        least = UINT64_C(0x100000000);
    }
    if (value < least) r->failed = true;
    return r->failed ? 0 : value;
}

/* A count of things of at least `bytes_min` each: no more than fit into what is left. */
static uint64_t read_count_of(struct owm_reader *r, size_t bytes_min)
{
    uint64_t count = read_count(r);
    if (count > owm_reader_left(r) / bytes_min) r->failed = true;
    return r->failed ? 0 : count;
}

static void skip_bytes(struct owm_reader *r, uint64_t bytes)
{
    if (bytes > owm_reader_left(r))
        r->failed = true;
    else
        owm_read_view(r, (size_t)bytes);
}

static void skip_outputs(struct owm_reader *r, uint64_t count)
{
    for (uint64_t i = 0; i < count && owm_reader_ok(r); i++) {
        skip_bytes(r, 8);
        skip_bytes(r, read_count(r));
    }
}

static void skip_inputs(struct owm_reader *r, uint64_t count)
{
    for (uint64_t i = 0; i < count && owm_reader_ok(r); i++) {
        skip_bytes(r, 36);
        skip_bytes(r, read_count(r));
        skip_bytes(r, 4);
    }
}

/* Returns how many items there were. */
static uint64_t skip_witnesses(struct owm_reader *r, uint64_t inputs)
{
    uint64_t total = 0;
    for (uint64_t i = 0; i < inputs && owm_reader_ok(r); i++) {
        uint64_t items = read_count_of(r, 1);
        total += items;
        for (uint64_t k = 0; k < items && owm_reader_ok(r); k++) skip_bytes(r, read_count(r));
    }
    return total;
}

/* NULL, or what is wrong. */
static const char *walk(const uint8_t *data, size_t bytes, struct layout *layout)
{
    struct owm_reader r;
    owm_reader_init(&r, data, bytes);
    skip_bytes(&r, 4);
    /* A marker of 0 in the place of the count of inputs, then the flag. */
    layout->has_witness = owm_reader_left(&r) > 1 && data[r.at] == 0;
    if (layout->has_witness) {
        if (data[r.at + 1] == 0) return "it has no inputs";
        if (data[r.at + 1] != 1) return "its flag is unknown";
        skip_bytes(&r, 2);
    }
    layout->body_at = r.at;
    uint64_t inputs = read_count_of(&r, INPUT_BYTES_MIN);
    if (owm_reader_ok(&r) && inputs == 0) return "it has no inputs";
    skip_inputs(&r, inputs);
    layout->inputs = inputs;
    uint64_t outputs = read_count_of(&r, OUTPUT_BYTES_MIN);
    if (owm_reader_ok(&r) && outputs == 0) return "it has no outputs";
    skip_outputs(&r, outputs);
    layout->body_end = r.at;
    if (layout->has_witness && skip_witnesses(&r, inputs) == 0 && owm_reader_ok(&r))
        return "its witness is empty";
    skip_bytes(&r, 4);
    if (!owm_reader_ok(&r)) return "a length in it is wrong or it is cut off";
    return owm_reader_done(&r) ? NULL : "there are bytes behind its end";
}

static void hash_stripped(const uint8_t *data, size_t bytes, const struct layout *layout,
                          uint8_t txid[32])
{
    struct owm_sha256_ctx ctx;
    owm_sha256_init(&ctx);
    owm_sha256_update(&ctx, data, 4);
    owm_sha256_update(&ctx, data + layout->body_at, layout->body_end - layout->body_at);
    owm_sha256_update(&ctx, data + bytes - 4, 4);
    owm_sha256_final(&ctx, txid);
    owm_sha256(txid, 32, txid);
}

owm_status owm_transaction_read(const uint8_t *data, size_t bytes,
                                struct owm_transaction *transaction, struct owm_error *error)
{
    struct layout layout;
    const char *wrong =
        bytes > TRANSACTION_BYTES_MAX ? "it is larger than a block" : walk(data, bytes, &layout);
    if (wrong) return owm_fail(error, OWM_E_PROTO, "not a transaction: %s", wrong);
    owm_sha256d(data, bytes, transaction->wtxid);
    hash_stripped(data, bytes, &layout, transaction->txid);
    size_t stripped_bytes = 8 + layout.body_end - layout.body_at;
    transaction->weight = (uint32_t)(3 * stripped_bytes + bytes);
    transaction->has_witness = layout.has_witness;
    transaction->inputs = (uint32_t)layout.inputs;
    transaction->stripped_bytes = (uint32_t)stripped_bytes;
    return OWM_OK;
}

void owm_transaction_strip(const uint8_t *data, const struct owm_transaction *transaction,
                           uint8_t *stripped)
{
    /* All bytes are weight - 3 * stripped; those behind the body are witness and lock time. */
    size_t all = transaction->weight - (size_t)3 * transaction->stripped_bytes;
    size_t body = transaction->stripped_bytes - 8;
    memcpy(stripped, data, 4);
    memcpy(stripped + 4, data + 4 + (transaction->has_witness ? 2 : 0), body);
    memcpy(stripped + 4 + body, data + all - 4, 4);
}

const uint8_t *owm_transaction_outpoint(const uint8_t *stripped, size_t bytes, uint32_t index)
{
    struct owm_reader r;
    owm_reader_init(&r, stripped, bytes);
    skip_bytes(&r, 4);
    OWM_ASSERT(index < read_count(&r));
    skip_inputs(&r, index);
    const uint8_t *outpoint = owm_read_view(&r, OWM_OUTPOINT_BYTES);
    OWM_ASSERT(outpoint);
    return outpoint;
}
