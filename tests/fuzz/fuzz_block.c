/* fuzz_block.c: any bytes as a block or a transaction for the development block source: refused by
 * a rule, or valid; with either the coins are as the rule says.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "edit.h"

static uint32_t median_time_before(void *ctx, uint32_t height)
{
    (void)ctx;
    return height;
}

static size_t count_coins(const struct coins *coins)
{
    struct coin_key key;
    struct coin coin;
    size_t at = 0, count = 0;
    while (coins_next(coins, &at, &key, &coin)) count++;
    return count;
}

/* One coin for each input of a block, so that fuzzed spends find something. */
static void feed(struct coins *coins, const struct wire_block *block)
{
    for (uint32_t i = 0; i < block->ins && i < 64; i++) {
        struct coin_key key = {.index = block->in[i].index};
        const struct coin coin = {.value_sats = 5000000000, .kind = 1 + (int)(i % 2)};
        memcpy(key.txid, block->in[i].txid, 32);
        if (!coins_find(coins, &key) && !coins_add(coins, &key, &coin)) abort();
    }
}

static void judge(struct coins *coins, const struct wire_block *block)
{
    const struct check_context context = {
        .height = 201, .bits = block->bits, .now_s = UINT32_MAX, .proposal = true};
    struct check_connection to = {
        .coins = coins, .height = 201, .median_time_before = median_time_before, .dry = true};
    (void)check_alone(block, false);
    if (check_alone(block, true) || check_header(block, &context) || check_content(block, &context))
        return;
    feed(coins, block);
    const size_t before = count_coins(coins);
    const char *reason = check_connect(block, &to);
    if (count_coins(coins) != before) abort();
    to.dry = false;
    if ((check_connect(block, &to) == NULL) != (reason == NULL)) abort();
    if (reason && count_coins(coins) != before) abort();
}

/* The same bytes as a transaction from outside: refused, or written again as it was. */
static void judge_transaction(const uint8_t *bytes, size_t count, bool bare)
{
    struct wire_block read;
    struct edit *edit = malloc(sizeof *edit);
    if (!edit || wire_tx_read(&read, bytes, count, bare) != OWM_OK) {
        free(edit);
        return;
    }
    (void)check_transaction(&read, read.tx);
    (void)check_sigop_cost(&read);
    if (wire_tx_weight(read.tx) > 4 * read.bytes) abort();
    if (edit_read(edit, &read)) {
        size_t written;
        uint8_t *data = edit_write(edit, false, &written);
        size_t scripts = 0; /* Of inputs: an edit has none. */
        for (uint32_t i = 0; i < read.ins; i++) scripts += read.in[i].script.bytes;
        if (data && scripts == 0 && written != read.tx[0].stripped_bytes) abort();
        if (data && (size_t)edit_vbytes(edit) != written) abort();
        free(data);
    }
    wire_block_free(&read);
    free(edit);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct wire_block block;
    judge_transaction(bytes, count, false);
    judge_transaction(bytes, count, true);
    if (wire_block_read(&block, bytes, count) != OWM_OK) return 0;
    (void)wire_weight(&block);
    struct coins *coins = coins_open();
    if (coins) judge(coins, &block);
    coins_close(coins);
    wire_block_free(&block);
    return 0;
}
