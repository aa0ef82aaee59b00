/* aggregate.c: batches in a ring: one is gathered, one may be in the thread's hands, the others
 * wait to be fetched.
 *
 *   gathered --second ends--> working --durable--> promised --AGGREGATE_KEPT_MS--> forgotten
 *
 * The thread reads the digests of the batch in its hands without the lock, because nobody writes
 * them any more; states and answers are written under it.
 */
#include "aggregate.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "base/sha256.h"
#include "dataplane/ots/merkle.h"
#include "dataplane/ots/proof.h"

#define BATCHES    12 /* One a second; ten seconds' answers are kept. */
#define HEADS      4096
#define SECOND_MS  1000
#define AGAIN_MS   20 /* What the disk needs, about. */
#define TIME_BYTES 4

static_assert((BATCHES - 2) * SECOND_MS >= AGGREGATE_KEPT_MS, "answers are kept as long as said");

struct entry {
    uint8_t digest[AGGREGATE_DIGEST_BYTES_MAX];
    uint32_t bytes;
    uint32_t next; /* Of the same head, plus one; 0: the last. */
    uint8_t nonce[OWM_OTS_NONCE_BYTES];
    uint8_t *answer;
    size_t answer_bytes;
};

struct batch {
    enum aggregate_state state; /* UNKNOWN: empty. */
    uint64_t done_ms;
    uint32_t count;
    uint32_t heads[HEADS];
    struct entry entries[AGGREGATE_DIGESTS_MAX];
};

struct aggregate {
    struct aggregate_options options;
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* Under lock. */
    bool stopping, closing;
    unsigned gathering; /* Of batches. */
    uint8_t recovered[AGGREGATE_RECOVERED_MAX][JOURNAL_COMMITMENT_BYTES];
    uint32_t recovered_count;
    struct aggregate_figures figures;
    struct batch batches[BATCHES];
};

/* ---------------------------------------------------------------------------- a batch */

static void forget(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) free(batch->entries[i].answer);
    memset(batch, 0, sizeof *batch);
}

static uint32_t head_of(const struct aggregate *aggregate, const struct aggregate_digest *digest)
{
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, digest->data, digest->bytes, aggregate->hash_key);
    return (uint32_t)(hash[0] | hash[1] << 8) % HEADS;
}

static struct entry *find(struct batch *batch, const struct aggregate_digest *digest, uint32_t head)
{
    for (uint32_t at = batch->heads[head]; at > 0; at = batch->entries[at - 1].next) {
        struct entry *entry = &batch->entries[at - 1];
        if (entry->bytes == digest->bytes && memcmp(entry->digest, digest->data, entry->bytes) == 0)
            return entry;
    }
    return NULL;
}

/* ---------------------------------------------------------------------------- the thread */

struct work {
    struct batch *batch;
    struct owm_ots_tree *trees;
    struct owm_ots_leaf *leaves;
    uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
};

static owm_status plant(struct work *work, struct owm_error *error)
{
    for (uint32_t i = 0; i < work->batch->count; i++) {
        struct entry *entry = &work->batch->entries[i];
        const struct owm_ots_bytes digest = {entry->digest, entry->bytes};
        owm_status status = owm_ots_tree_init(&work->trees[i], digest, error);
        if (status != OWM_OK) return status;
        work->leaves[i] = (struct owm_ots_leaf){&work->trees[i], OWM_OTS_ROOT};
        status = owm_ots_blind(&work->leaves[i], entry->nonce, error);
        if (status != OWM_OK) return status;
    }
    return owm_ots_merkle(work->leaves, work->batch->count, error);
}

/* From the root that all share to the promise. */
static owm_status answer(const struct aggregate *aggregate, const struct work *work, uint32_t i,
                         struct owm_error *error)
{
    struct owm_ots_tree *tree = &work->trees[i];
    struct entry *entry = &work->batch->entries[i];
    uint32_t node = work->leaves[i].node;
    const struct owm_ots_op time = {OWM_OTS_PREPEND, {work->commitment, TIME_BYTES}};
    const struct owm_ots_op seal = {
        OWM_OTS_APPEND,
        {work->commitment + JOURNAL_COMMITMENT_BYTES - KEY_MAC_BYTES, KEY_MAC_BYTES}};
    struct owm_ots_attestation promise;
    owm_status status = owm_ots_add_op(tree, node, time, &node, error);
    if (status == OWM_OK) status = owm_ots_add_op(tree, node, seal, &node, error);
    if (status == OWM_OK) status = owm_ots_pending(aggregate->options.uri, &promise, error);
    if (status == OWM_OK) status = owm_ots_add_attestation(tree, node, &promise, NULL, error);
    if (status == OWM_OK)
        status = owm_ots_serialise(tree, &entry->answer, &entry->answer_bytes, error);
    if (status == OWM_OK && entry->answer_bytes > AGGREGATE_ANSWER_BYTES_MAX)
        status = owm_fail(error, OWM_E_LIMIT, "an answer of %zu bytes", entry->answer_bytes);
    return status;
}

static void commit_to(const struct aggregate *aggregate, struct work *work)
{
    const struct owm_ots_leaf *leaf = &work->leaves[0];
    struct owm_writer writer;
    owm_writer_init(&writer, work->commitment, sizeof work->commitment);
    owm_write_u32_be(&writer, (uint32_t)(owm_clock_wall_ms() / 1000));
    owm_write_bytes(&writer, leaf->tree->nodes[leaf->node].message.data, OWM_SHA256_BYTES);
    key_seal(aggregate->options.key, work->commitment);
}

static owm_status promise(struct aggregate *aggregate, struct batch *batch, struct owm_error *error)
{
    struct work work = {.batch = batch};
    work.trees = calloc(batch->count, sizeof *work.trees);
    work.leaves = calloc(batch->count, sizeof *work.leaves);
    owm_status status = OWM_OK;
    if (!work.trees || !work.leaves)
        status = owm_fail(error, OWM_E_NOMEM, "no memory for %u digests", batch->count);
    if (status == OWM_OK) status = plant(&work, error);
    if (status == OWM_OK) commit_to(aggregate, &work);
    for (uint32_t i = 0; i < batch->count && status == OWM_OK; i++)
        status = answer(aggregate, &work, i, error);
    if (status == OWM_OK)
        status = journal_append(aggregate->options.journal, work.commitment, error);
    for (uint32_t i = 0; i < batch->count && work.trees; i++) owm_ots_tree_deinit(&work.trees[i]);
    free(work.leaves);
    free(work.trees);
    return status;
}

static void report(struct aggregate *aggregate, owm_status status, const struct owm_error *error)
{
    if (status == OWM_OK) return;
    owm_log(OWM_LOG_ERROR, "not_promised reason=\"%s\"", error->text);
    if (status == OWM_E_IO || status == OWM_E_LIMIT)
        snprintf(aggregate->figures.failed, sizeof aggregate->figures.failed, "%s", error->text);
}

static void finish(struct aggregate *aggregate, struct batch *batch)
{
    struct owm_error error = {.text = ""};
    batch->state = AGGREGATE_WORKING;
    pthread_mutex_unlock(&aggregate->lock);
    owm_status status = promise(aggregate, batch, &error);
    pthread_mutex_lock(&aggregate->lock);
    batch->state = status == OWM_OK ? AGGREGATE_PROMISED : AGGREGATE_FAILED;
    batch->done_ms = owm_clock_mono_ms();
    report(aggregate, status, &error);
    if (status != OWM_OK) return;
    aggregate->figures.digests += batch->count;
    aggregate->figures.commitments++;
}

static void take_back(struct aggregate *aggregate)
{
    while (aggregate->recovered_count > 0) {
        struct owm_error error = {.text = ""};
        uint8_t commitment[JOURNAL_COMMITMENT_BYTES];
        uint32_t index;
        aggregate->recovered_count--;
        memcpy(commitment, aggregate->recovered[aggregate->recovered_count], sizeof commitment);
        pthread_mutex_unlock(&aggregate->lock);
        bool there = journal_find(aggregate->options.journal, commitment, &index);
        owm_status status =
            there ? OWM_OK : journal_append(aggregate->options.journal, commitment, &error);
        pthread_mutex_lock(&aggregate->lock);
        report(aggregate, status, &error);
        if (!there && status == OWM_OK) aggregate->figures.recovered++;
    }
}

static unsigned second_left_ms(void)
{
    return (unsigned)(SECOND_MS - owm_clock_wall_ms() % SECOND_MS);
}

static void wait_for(struct aggregate *aggregate, unsigned ms)
{
    const uint64_t until_ms = owm_clock_mono_ms() + ms;
    while (!aggregate->stopping && owm_cond_wait(&aggregate->wake, &aggregate->lock, until_ms))
        continue;
}

static void *run(void *ctx)
{
    struct aggregate *aggregate = ctx;
    pthread_mutex_lock(&aggregate->lock);
    for (;;) {
        struct batch *batch = &aggregate->batches[aggregate->gathering];
        bool idle = batch->count == 0 && aggregate->recovered_count == 0;
        if (idle && aggregate->closing) break;
        if (idle) {
            pthread_cond_wait(&aggregate->wake, &aggregate->lock);
            continue;
        }
        wait_for(aggregate, second_left_ms());
        if (batch->count > 0) {
            aggregate->gathering = (aggregate->gathering + 1) % BATCHES;
            forget(&aggregate->batches[aggregate->gathering]);
            finish(aggregate, batch);
        }
        take_back(aggregate);
    }
    pthread_mutex_unlock(&aggregate->lock);
    return NULL;
}

/* ---------------------------------------------------------------------------- from outside */

owm_status aggregate_open(const struct aggregate_options *options, struct aggregate **aggregate_out,
                          struct owm_error *error)
{
    *aggregate_out = NULL;
    struct aggregate *aggregate = sodium_init() < 0 ? NULL : calloc(1, sizeof *aggregate);
    if (!aggregate) return owm_fail(error, OWM_E_NOMEM, "no memory to gather digests");
    aggregate->options = *options;
    randombytes_buf(aggregate->hash_key, sizeof aggregate->hash_key);
    pthread_mutex_init(&aggregate->lock, NULL);
    owm_cond_init(&aggregate->wake);
    if (pthread_create(&aggregate->thread, NULL, run, aggregate) != 0) {
        free(aggregate);
        return owm_fail(error, OWM_E_NOMEM, "cannot start a thread to gather digests");
    }
    *aggregate_out = aggregate;
    return OWM_OK;
}

void aggregate_stop(struct aggregate *aggregate)
{
    pthread_mutex_lock(&aggregate->lock);
    aggregate->stopping = true;
    pthread_cond_signal(&aggregate->wake);
    pthread_mutex_unlock(&aggregate->lock);
}

void aggregate_close(struct aggregate *aggregate)
{
    if (!aggregate) return;
    pthread_mutex_lock(&aggregate->lock);
    aggregate->stopping = aggregate->closing = true;
    pthread_cond_signal(&aggregate->wake);
    pthread_mutex_unlock(&aggregate->lock);
    pthread_join(aggregate->thread, NULL);
    for (size_t i = 0; i < BATCHES; i++) forget(&aggregate->batches[i]);
    pthread_cond_destroy(&aggregate->wake);
    pthread_mutex_destroy(&aggregate->lock);
    free(aggregate);
}

/* Newest first, so that a digest that failed and came again is found where it waits. */
enum aggregate_state aggregate_look(struct aggregate *aggregate,
                                    const struct aggregate_digest *digest, uint8_t *answer_out,
                                    size_t *bytes)
{
    enum aggregate_state state = AGGREGATE_UNKNOWN;
    uint32_t head = head_of(aggregate, digest);
    uint64_t now_ms = owm_clock_mono_ms();
    pthread_mutex_lock(&aggregate->lock);
    for (unsigned i = 0; i < BATCHES && state == AGGREGATE_UNKNOWN; i++) {
        struct batch *batch = &aggregate->batches[(aggregate->gathering + BATCHES - i) % BATCHES];
        bool old = batch->done_ms > 0 && now_ms - batch->done_ms > AGGREGATE_KEPT_MS;
        const struct entry *entry = old ? NULL : find(batch, digest, head);
        if (!entry) continue;
        state = batch->state;
        if (state != AGGREGATE_PROMISED) continue;
        memcpy(answer_out, entry->answer, entry->answer_bytes);
        *bytes = entry->answer_bytes;
    }
    pthread_mutex_unlock(&aggregate->lock);
    return state;
}

static owm_status add(struct aggregate *aggregate, const struct aggregate_digest *digest)
{
    struct batch *batch = &aggregate->batches[aggregate->gathering];
    uint32_t head = head_of(aggregate, digest);
    if (aggregate->stopping || aggregate->figures.failed[0]) return OWM_E_STATE;
    if (batch->count == AGGREGATE_DIGESTS_MAX) return OWM_E_LIMIT;
    struct entry *entry = &batch->entries[batch->count++];
    memcpy(entry->digest, digest->data, digest->bytes);
    entry->bytes = (uint32_t)digest->bytes;
    entry->next = batch->heads[head];
    randombytes_buf(entry->nonce, sizeof entry->nonce);
    batch->heads[head] = batch->count;
    batch->state = AGGREGATE_GATHERED;
    aggregate->figures.added_ms = owm_clock_mono_ms();
    pthread_cond_signal(&aggregate->wake);
    return OWM_OK;
}

owm_status aggregate_add(struct aggregate *aggregate, const struct aggregate_digest *digest)
{
    OWM_ASSERT(digest->bytes >= 1 && digest->bytes <= AGGREGATE_DIGEST_BYTES_MAX);
    pthread_mutex_lock(&aggregate->lock);
    owm_status status = add(aggregate, digest);
    pthread_mutex_unlock(&aggregate->lock);
    return status;
}

static owm_status recover(struct aggregate *aggregate, const uint8_t *commitment)
{
    if (aggregate->stopping || aggregate->figures.failed[0]) return OWM_E_STATE;
    for (uint32_t i = 0; i < aggregate->recovered_count; i++)
        if (memcmp(aggregate->recovered[i], commitment, JOURNAL_COMMITMENT_BYTES) == 0)
            return OWM_OK;
    if (aggregate->recovered_count == AGGREGATE_RECOVERED_MAX) return OWM_E_LIMIT;
    memcpy(aggregate->recovered[aggregate->recovered_count++], commitment,
           JOURNAL_COMMITMENT_BYTES);
    pthread_cond_signal(&aggregate->wake);
    return OWM_OK;
}

owm_status aggregate_recover(struct aggregate *aggregate,
                             const uint8_t commitment[static JOURNAL_COMMITMENT_BYTES])
{
    OWM_ASSERT(key_sealed(aggregate->options.key, commitment));
    pthread_mutex_lock(&aggregate->lock);
    owm_status status = recover(aggregate, commitment);
    pthread_mutex_unlock(&aggregate->lock);
    return status;
}

unsigned aggregate_wait_ms(enum aggregate_state state)
{
    return state == AGGREGATE_GATHERED ? second_left_ms() + AGAIN_MS : AGAIN_MS;
}

void aggregate_figures(struct aggregate *aggregate, struct aggregate_figures *figures)
{
    pthread_mutex_lock(&aggregate->lock);
    *figures = aggregate->figures;
    figures->gathered = aggregate->batches[aggregate->gathering].count;
    pthread_mutex_unlock(&aggregate->lock);
}
