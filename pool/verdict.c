/* verdict.c: a batch of shares: roots, hashes, and then, share by share and in order of arrival,
 * first the block that it may be, then its verdict, then the journal.
 */
#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "hall_internal.h"

void verdict_make_room(struct owm_hall *hall)
{
    if (hall->pendings == hall->options.batch_max) verdict_flush(hall);
}

struct owm_pending *verdict_slot(struct owm_hall *hall)
{
    OWM_ASSERT(hall->pendings < hall->options.batch_max);
    struct owm_pending *share = &hall->pending[hall->pendings++];
    share->next = NONE;
    return share;
}

void verdict_reject(struct owm_session *session, uint32_t channel_id, uint32_t sequence,
                    enum owm_reject reject)
{
    const char *code = owm_reject_text(reject);
    if (session->state == SESSION_CLOSED) return;
    owm_count(&session->hall->stats.rejected[reject], 1);
    if (session_may_log(session))
        owm_log(OWM_LOG_INFO,
                "share_rejected peer=%s channel=%u sequence=%u reason=%s meaning=\"%s\"",
                session->peer, channel_id, sequence, code, owm_reject_help(reject));
    SESSION_SEND(session, submit_error, .channel_id = channel_id, .sequence_number = sequence,
                 .error_code = owm_sv2_view_of(code, strlen(code)));
    if (++session->rejects_in_row >= session->hall->options.rejects_in_row_max)
        owm_session_end(session, OWM_CLOSE_REJECTS);
}

/** chain: shares of one job and form, as a list through the batch. */
struct chain {
    struct owm_hall *hall;
    uint32_t at[MERKLE_ROWS];
};

static const uint8_t *chain_extranonce(void *ctx, uint32_t i)
{
    struct chain *chain = ctx;
    return chain->hall->pending[chain->at[i]].extranonce;
}

static void remember_root(struct owm_pending *share)
{
    struct owm_channel *channel = share->channel;
    if (channel->extended || channel->root[0].job == share->job->id) return;
    channel->root[1] = channel->root[0];
    channel->root[0].job = share->job->id;
    memcpy(channel->root[0].root, share->header + 36, 32);
}

/** Roots of one job and form, MERKLE_ROWS at a time. */
static void root_chain(struct owm_hall *hall, uint32_t first, enum owm_coinbase_form form)
{
    struct chain chain = {.hall = hall};
    while (first != NONE) {
        uint32_t count = 0;
        const struct owm_job *job = hall->pending[first].job;
        for (; first != NONE && count < MERKLE_ROWS; first = hall->pending[first].next)
            chain.at[count++] = first;
        bool done = job_roots(hall, job, form, count, chain_extranonce, &chain);
        for (uint32_t i = 0; i < count; i++) {
            struct owm_pending *share = &hall->pending[chain.at[i]];
            if (done)
                memcpy(share->header + 36, hall->merkle_root[i], 32);
            else
                share->preset = OWM_REJECT_BROKEN;
            if (done) remember_root(share);
        }
    }
}

static void find_roots(struct owm_hall *hall)
{
    uint32_t first[JOBS_KEPT][OWM_COINBASE_FORMS];
    memset(first, 0xff, sizeof first);
    for (uint32_t i = hall->pendings; i-- > 0;) {
        struct owm_pending *share = &hall->pending[i];
        uint32_t *head = &first[share->job->id % JOBS_KEPT][share->channel->form];
        if (share->rooted) continue;
        share->next = *head;
        *head = i;
    }
    for (int job = 0; job < JOBS_KEPT; job++)
        for (int form = 0; form < OWM_COINBASE_FORMS; form++)
            root_chain(hall, first[job][form], (enum owm_coinbase_form)form);
}

static bool find_hashes(struct owm_hall *hall)
{
    struct owm_device *device = hall->options.device;
    return device->backend->sha256d_batch(device,
                                          &(struct owm_sha256d_batch){
                                              .hash = hall->hash[0],
                                              .message = hall->pending[0].header,
                                              .stride = sizeof hall->pending[0],
                                              .count = hall->pendings,
                                              .bytes = OWM_HEADER_BYTES,
                                          })
           == OWM_OK;
}

/** Each block is handed on once, however often its share comes. */
static bool is_new_block(struct owm_hall *hall, const uint8_t *hash)
{
    uint32_t kept = sizeof hall->block / sizeof hall->block[0];
    for (uint32_t i = 0; i < kept && i < hall->blocks; i++)
        if (memcmp(hall->block[i], hash, 32) == 0) return false;
    memcpy(hall->block[hall->blocks++ % kept], hash, 32);
    return true;
}

static void hand_on_block(struct owm_hall *hall, const struct owm_pending *share,
                          const uint8_t *hash)
{
    const struct owm_worker_entry *entry = owm_workers_at(hall->workers, share->worker);
    if (!is_new_block(hall, hash)) return;
    owm_count(&hall->stats.blocks, 1);
    hall->options.on_block(hall->options.ctx, &(struct owm_found){
                                                  .work = share->job->work,
                                                  .form = share->channel->form,
                                                  .extranonce = share->extranonce,
                                                  .header = share->header,
                                                  .hash = hash,
                                                  .miner = &entry->miner,
                                                  .worker = &entry->worker,
                                              });
}

/** How many hashes such a hash takes; for people, so the upper 64 bits that count are enough. */
static uint64_t luck_of(const uint8_t *hash)
{
    uint64_t limb[4];
    memcpy(limb, hash, sizeof limb);
    double value = (double)limb[3] * 0x1p192 + (double)limb[2] * 0x1p128 + (double)limb[1] * 0x1p64
                   + (double)limb[0];
    double hashes = 0x1p256 / fmax(value, 1);
    return hashes >= 0x1p63 ? UINT64_C(1) << 63 : (uint64_t)hashes;
}

static void credit(struct owm_hall *hall, const struct owm_pending *share, const uint8_t *hash)
{
    struct owm_channel *channel = share->channel;
    struct owm_worker_entry *entry = owm_workers_at(hall->workers, share->worker);
    uint64_t sum = (uint64_t)hall->difficulty_carry + (share->hashes & UINT32_MAX);
    uint64_t luck = luck_of(hash);
    hall->difficulty_carry = (uint32_t)sum;
    owm_count(&hall->stats.difficulty, (share->hashes >> 32) + (sum >> 32));
    owm_count(&hall->stats.accepted, 1);
    owm_rate_add(&hall->stats.rate, share->hashes, hall->now_ms);
    owm_count(&entry->accepted, 1);
    owm_rate_add(&entry->rate, share->hashes, hall->now_ms);
    atomic_store_explicit(&entry->last_share_ms, hall->now_ms, memory_order_relaxed);
    if (luck > owm_counted(&entry->best))
        atomic_store_explicit(&entry->best, luck, memory_order_relaxed);
    channel->session->rejects_in_row = 0;
    channel->session->last_share_ms = hall->now_ms;
    if (owm_vardiff_share(&channel->vardiff, share->hashes, hall->now_ms)
        && channel->session->state == SESSION_OPEN)
        channel_retarget(channel);
}

/** Into the journal, or the reason why not. */
static int keep(struct owm_hall *hall, const struct owm_pending *share, const uint8_t *hash,
                bool block)
{
    const struct owm_worker_entry *entry = owm_workers_at(hall->workers, share->worker);
    struct owm_share record = {
        .time_ms = hall->now.wall_ms,
        .hashes = share->hashes,
        .basis = &share->job->work->basis,
        .block = block,
    };
    uint64_t sequence;
    memcpy(record.hash, hash, sizeof record.hash);
    memcpy(record.miner, entry->miner.id, sizeof record.miner);
    memcpy(record.worker, entry->worker.id, sizeof record.worker);
    if (hall->acks == hall->options.acks_max) return OWM_REJECT_BUSY;
    owm_status status = hall->options.log.append(hall->options.log.ctx, &record, &entry->miner,
                                                 &entry->worker, &sequence);
    if (status != OWM_OK) return status == OWM_E_LIMIT ? OWM_REJECT_BUSY : OWM_REJECT_BROKEN;
    ack_push(hall, share, sequence);
    return -1;
}

/** The reason for a rejection, or -1: accepted, in the journal and in the table of the tip. */
static int judge(struct owm_hall *hall, const struct owm_pending *share, const uint8_t *hash,
                 bool block)
{
    uint32_t place;
    if (share->preset >= 0) return share->preset;
    if (!owm_sha256d_meets(hash, share->target)) return OWM_REJECT_LOW;
    switch (owm_dedup_find(hall->dedup, hash, &place)) {
    case OWM_DEDUP_KNOWN:
        return OWM_REJECT_DUPLICATE;
    case OWM_DEDUP_FULL:
        return OWM_REJECT_LIMIT;
    case OWM_DEDUP_NEW:
        break;
    }
    int reject = keep(hall, share, hash, block);
    if (reject < 0) owm_dedup_put(hall->dedup, hash, place);
    return reject;
}

static bool settle(struct owm_hall *hall, const struct owm_pending *share, const uint8_t *hash)
{
    bool hashed = share->preset != OWM_REJECT_BROKEN;
    bool block = hashed && owm_sha256d_meets(hash, share->job->work->block->target);
    if (block) hand_on_block(hall, share, hash);
    int reject = judge(hall, share, hash, block);
    if (reject < 0)
        credit(hall, share, hash);
    else {
        owm_count(&owm_workers_at(hall->workers, share->worker)->rejected, 1);
        verdict_reject(share->channel->session, share->channel->id, share->sequence,
                       (enum owm_reject)reject);
    }
    owm_workers_drop(hall->workers, share->worker);
    return reject < 0;
}

static void break_all(struct owm_hall *hall)
{
    owm_log(OWM_LOG_ERROR, "shares_not_judged count=%u reason=\"the hashing device failed\"",
            hall->pendings);
    for (uint32_t i = 0; i < hall->pendings; i++) hall->pending[i].preset = OWM_REJECT_BROKEN;
}

void verdict_flush(struct owm_hall *hall)
{
    bool kept = false;
    if (!hall->pendings) return;
    owm_hall_acks(hall); /* What is owed goes out before any Error. */
    find_roots(hall);
    if (!find_hashes(hall)) break_all(hall);
    for (uint32_t i = 0; i < hall->pendings; i++) owm_dedup_prefetch(hall->dedup, hall->hash[i]);
    for (uint32_t i = 0; i < hall->pendings; i++)
        kept |= settle(hall, &hall->pending[i], hall->hash[i]);
    if (kept) hall->options.log.commit(hall->options.log.ctx);
    uint64_t now_ns = hall->options.clock_ns ? hall->options.clock_ns() : hall->now.mono_ns;
    for (uint32_t i = 0; i < hall->pendings; i++)
        owm_latency_add(&hall->stats.verdict, now_ns - hall->pending[i].received_ns, 1);
    hall->pendings = 0;
}
