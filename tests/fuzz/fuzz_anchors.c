/* fuzz_anchors.c: any bytes as the records of a calendar's anchors, as they are and with checksums
 * that are right. What is accepted holds what the header promises: batches without a gap, roots in
 * their transactions, ends that lead to a block. */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "ots/calendar/anchor_path.h"

static void check_batch(const struct anchor_batch *batch)
{
    uint8_t root[32];
    if (batch->transaction_count == 0) abort();
    for (uint32_t i = 0; i < batch->transaction_count; i++) {
        const struct anchor_transaction *transaction = &batch->transactions[i];
        if (memcmp(anchors_stripped(transaction) + transaction->root_at, batch->root, 32) != 0)
            abort();
        for (uint32_t k = 0; k < transaction->read.inputs; k++)
            (void)owm_transaction_outpoint(anchors_stripped(transaction),
                                           transaction->read.stripped_bytes, k);
    }
    if (!batch->end) return;
    anchor_fold(batch->transactions[batch->end->transaction].read.txid, batch->end, root);
    if (memcmp(root, batch->end->header + 36, 32) != 0) abort();
}

static void check(const uint8_t *bytes, size_t count)
{
    struct anchors anchors = {0};
    struct owm_error error = {.text = ""};
    size_t whole = 0;
    owm_status status = anchors_read(&anchors, bytes, count, &whole, &error);
    if (whole > count || (status != OWM_OK && error.text[0] == 0)) abort();
    uint32_t first = 0, open = 0;
    for (uint32_t i = 0; i < anchors.batch_count; i++) {
        const struct anchor_batch *batch = &anchors.batches[i];
        if (batch->first != first || anchors_find(&anchors, first) != i) abort();
        first += batch->count;
        open += !batch->end;
        check_batch(batch);
    }
    if (first != anchors_covered(&anchors) || open != anchors.open_count) abort();
    anchors_deinit(&anchors);
}

static void put_crc(const uint8_t *of, size_t bytes, uint8_t *at)
{
    uint32_t crc = owm_crc32c(0, of, bytes);
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(crc >> (8 * i));
}

static void repair(uint8_t *bytes, size_t count)
{
    for (size_t at = 0; count - at >= 12;) {
        uint8_t *record = bytes + at;
        size_t payload = record[1] | (size_t)record[2] << 8 | (size_t)record[3] << 16;
        put_crc(record, 4, record + 4);
        if (payload > count - at - 12) return;
        put_crc(record + 8, payload, record + 8 + payload);
        at += 12 + payload;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    uint8_t *copy = malloc(count ? count : 1);
    if (!copy) abort();
    if (count > 0) memcpy(copy, bytes, count);
    check(bytes, count);
    repair(copy, count);
    check(copy, count);
    free(copy);
    return 0;
}
