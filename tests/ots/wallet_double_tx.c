/* wallet_double_tx.c: BIP 144 in the few forms that tests need. */
#include "wallet_double_tx.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define SIGNATURE_BYTES 71
#define KEY_BYTES       33
#define SEQUENCE        0xfffffffd /* Replaceable. */

bool wallet_plan_has(const struct wallet_plan *plan, const uint8_t txid[32], uint32_t index)
{
    for (uint32_t i = 0; i < plan->inputs; i++)
        if (plan->input[i].index == index && memcmp(plan->input[i].txid, txid, 32) == 0)
            return true;
    return false;
}

static void write_outputs(const struct wallet_plan *plan, struct owm_writer *w)
{
    owm_write_u8(w, (uint8_t)(plan->has_root + (plan->change > 0)));
    if (plan->has_root) {
        owm_write_u64_le(w, 0);
        owm_write_u8(w, 34);
        owm_write_u16_le(w, 0x206a);
        owm_write_bytes(w, plan->root, 32);
    }
    if (plan->change == 0) return;
    owm_write_u64_le(w, plan->change);
    owm_write_u8(w, (uint8_t)plan->change_script_bytes);
    owm_write_bytes(w, plan->change_script, plan->change_script_bytes);
}

uint32_t wallet_tx_write(const struct wallet_plan *plan, bool signed_, uint8_t *tx)
{
    static const uint8_t witness[1 + SIGNATURE_BYTES + 1 + KEY_BYTES] = {
        [0] = SIGNATURE_BYTES, [1 + SIGNATURE_BYTES] = KEY_BYTES};
    struct owm_writer w;
    owm_writer_init(&w, tx, WALLET_TX_BYTES_MAX);
    owm_write_u32_le(&w, 2);
    if (signed_) owm_write_u16_le(&w, 0x0100);
    owm_write_u8(&w, (uint8_t)plan->inputs);
    for (uint32_t i = 0; i < plan->inputs; i++) {
        owm_write_bytes(&w, plan->input[i].txid, 32);
        owm_write_u32_le(&w, plan->input[i].index);
        owm_write_u8(&w, 0);
        owm_write_u32_le(&w, SEQUENCE);
    }
    write_outputs(plan, &w);
    for (uint32_t i = 0; signed_ && i < plan->inputs; i++) {
        owm_write_u8(&w, 2);
        owm_write_bytes(&w, witness, sizeof witness);
    }
    owm_write_u32_le(&w, 0);
    OWM_ASSERT(owm_writer_ok(&w));
    return (uint32_t)w.at;
}

uint64_t wallet_plan_vbytes(const struct wallet_plan *plan)
{
    uint8_t *tx = malloc(WALLET_TX_BYTES_MAX);
    OWM_ASSERT(tx);
    uint64_t bytes = wallet_tx_write(plan, true, tx), bare = wallet_tx_write(plan, false, tx);
    free(tx);
    return (3 * bare + bytes + 3) / 4;
}

/* The double's transactions have few of everything, so every count is one byte. */
static bool read_parts(struct owm_reader *r, struct wallet_tx *tx, const uint8_t *script,
                       uint32_t script_bytes)
{
    tx->inputs = owm_read_u8(r);
    for (uint32_t i = 0; i < tx->inputs && i < WALLET_PLACES_MAX; i++) {
        owm_read_bytes(r, tx->input[i].txid, 32);
        tx->input[i].index = owm_read_u32_le(r);
        owm_read_view(r, owm_read_u8(r));
        owm_read_u32_le(r);
    }
    tx->outputs = owm_read_u8(r);
    for (uint32_t i = 0; i < tx->outputs && i < WALLET_PLACES_MAX; i++) {
        tx->value[i] = owm_read_u64_le(r);
        uint32_t bytes = owm_read_u8(r);
        const uint8_t *view = owm_read_view(r, bytes);
        tx->mine[i] = view && bytes == script_bytes && memcmp(view, script, bytes) == 0;
    }
    return owm_reader_ok(r);
}

bool wallet_tx_read(const uint8_t *data, uint32_t bytes, const uint8_t *script,
                    uint32_t script_bytes, struct wallet_tx *tx)
{
    struct owm_transaction read;
    struct owm_reader r;
    *tx = (struct wallet_tx){0};
    if (owm_transaction_read(data, bytes, &read, NULL) != OWM_OK) return false;
    memcpy(tx->txid, read.txid, 32);
    tx->vbytes = (read.weight + 3) / 4;
    owm_reader_init(&r, data, bytes);
    owm_read_view(&r, read.has_witness ? 6 : 4);
    return read_parts(&r, tx, script, script_bytes);
}

bool wallet_plan_read(const char *hex, struct wallet_plan *plan)
{
    static uint8_t data[WALLET_TX_BYTES_MAX]; /* Under the double's lock. */
    struct owm_reader r;
    size_t bytes = strlen(hex) / 2;
    if (bytes > sizeof data || owm_hex_decode(hex, data, bytes) != OWM_OK) return false;
    owm_reader_init(&r, data, bytes);
    owm_read_u32_le(&r);
    /* Without inputs it could be taken for one with a witness: a root alone is told by its flag. */
    if (bytes > 6 && data[4] == 0 && data[5] == 1 && data[6] != 0) owm_read_u16_le(&r);
    plan->inputs = owm_read_u8(&r);
    for (uint32_t i = 0; i < plan->inputs && i < WALLET_PLACES_MAX; i++) {
        owm_read_bytes(&r, plan->input[i].txid, 32);
        plan->input[i].index = owm_read_u32_le(&r);
        owm_read_view(&r, 5);
    }
    for (uint32_t left = owm_read_u8(&r); left > 0; left--) {
        uint64_t value = owm_read_u64_le(&r);
        uint32_t script_bytes = owm_read_u8(&r);
        const uint8_t *script = owm_read_view(&r, script_bytes);
        if (!script) return false;
        plan->has_root |= value == 0;
        if (value == 0) memcpy(plan->root, script + 2, 32);
        if (value > 0) plan->change = value;
    }
    return owm_reader_ok(&r);
}

uint32_t wallet_tx_random(struct owm_rng *rng, uint8_t *data)
{
    uint8_t script[80];
    for (size_t i = 0; i < sizeof script; i++) script[i] = (uint8_t)owm_rng_u64(rng);
    struct wallet_plan plan = {.inputs = 1,
                               .change = 1 + owm_rng_below(rng, 1000000),
                               .change_script = script,
                               .change_script_bytes = 1 + (uint32_t)owm_rng_below(rng, 79)};
    for (int i = 0; i < 32; i++) plan.input[0].txid[i] = (uint8_t)owm_rng_u64(rng);
    uint8_t *tx = malloc(WALLET_TX_BYTES_MAX);
    OWM_ASSERT(tx);
    uint32_t bytes = wallet_tx_write(&plan, owm_rng_below(rng, 2), tx);
    OWM_ASSERT(bytes <= 256);
    memcpy(data, tx, bytes);
    free(tx);
    return bytes;
}
