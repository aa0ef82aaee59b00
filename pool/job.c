/* job.c: works under the ids by which miners know them, and the messages that are made of one.
 *
 * An id is a count of the loop's works: it only grows, and is the same for all channels, so that
 * one encoding serves them all and devices that keep jobs by id modulo 8 find neighbours side by
 * side.
 */
#include <string.h>

#include "dataplane/chain/target.h"
#include "hall_internal.h"

static void encode_extended(struct owm_hall *hall, const struct owm_job *job, int form, bool future)
{
    const struct owm_template *block = job->work->block;
    const struct owm_coinbase *coinbase = &job->work->coinbase[form];
    struct owm_encoded *out = future ? &hall->future[form] : &hall->present[form];
    struct owm_sv2_new_extended_job message = {
        .job_id = job->id,
        .min_ntime = {.present = !future, .value = job->min_ntime},
        .version = block->version,
        .version_rolling_allowed = true,
        .merkle_path = {block->branch[0], block->branches},
        .coinbase_prefix = {coinbase->prefix, coinbase->prefix_bytes},
        .coinbase_suffix = {coinbase->suffix, coinbase->suffix_bytes},
    };
    out->bytes =
        (uint32_t)owm_sv2_write_new_extended_job(out->payload, sizeof out->payload, &message);
    OWM_ASSERT(out->bytes > 0);
}

static void encode_prev_hash(struct owm_hall *hall, const struct owm_job *job)
{
    struct owm_encoded *out = &hall->prev_hash;
    struct owm_sv2_set_prev_hash message = {
        .job_id = job->id,
        .min_ntime = job->min_ntime,
        .nbits = job->work->block->bits,
    };
    memcpy(message.prev_hash.byte, job->work->block->previous, sizeof message.prev_hash.byte);
    out->bytes = (uint32_t)owm_sv2_write_set_prev_hash(out->payload, sizeof out->payload, &message);
    OWM_ASSERT(out->bytes > 0);
}

/** Clocks of nodes differ, and step back: but no job of a tip may allow earlier times than one
 *  before it, since clients refuse a job that is below what SetNewPrevHash has said. */
static uint32_t min_ntime_of(struct owm_hall *hall, const struct owm_work *work)
{
    const struct owm_job *last = job_newest(hall);
    uint32_t time_s = work->block->current_time_s;
    return last && last->work->tip == work->tip && last->min_ntime > time_s ? last->min_ntime
                                                                            : time_s;
}

void job_begin(struct owm_hall *hall, struct owm_work *work)
{
    uint32_t id = hall->newest + 1, min_ntime = min_ntime_of(hall, work);
    struct owm_job *job = &hall->job[id % JOBS_KEPT];
    owm_work_release(job->work);
    *job = (struct owm_job){.id = id, .min_ntime = min_ntime, .work = work};
    hall->newest = id;
    hall->network_hashes = owm_target_hashes_u64(work->block->target);
    hall->row_job = 0;
    for (int form = 0; form < OWM_COINBASE_FORMS; form++) {
        encode_extended(hall, job, form, true);
        encode_extended(hall, job, form, false);
    }
    encode_prev_hash(hall, job);
    owm_count(&hall->stats.jobs, 1);
    if (work->tip == hall->tip) return;
    hall->tip = work->tip;
    owm_dedup_tip(hall->dedup, work->block->previous);
}

void job_end_all(struct owm_hall *hall)
{
    for (int i = 0; i < JOBS_KEPT; i++) {
        owm_work_release(hall->job[i].work);
        hall->job[i] = (struct owm_job){0};
    }
}

struct owm_job *job_newest(struct owm_hall *hall)
{
    return hall->newest ? &hall->job[hall->newest % JOBS_KEPT] : NULL;
}

enum owm_job_find job_find(struct owm_hall *hall, const struct owm_channel *channel, uint32_t id,
                           struct owm_job **job)
{
    if (id == 0 || id > hall->newest || id < channel->first_job) return JOB_UNKNOWN;
    *job = &hall->job[id % JOBS_KEPT];
    if ((*job)->id != id) return JOB_GONE;
    bool good = (*job)->work->tip == hall->tip && hall->newest - id < OWM_HALL_JOBS;
    return good ? JOB_GOOD : JOB_STALE;
}

/** Rows keep what surrounds the extranonce from one call to the next. */
static void prepare_rows(struct owm_hall *hall, const struct owm_job *job,
                         enum owm_coinbase_form form)
{
    const struct owm_coinbase *coinbase = &job->work->coinbase[form];
    if (hall->row_job == job->id && hall->row_form == form) return;
    size_t bytes = coinbase->prefix_bytes + coinbase->extranonce_bytes + coinbase->suffix_bytes;
    hall->row_job = job->id;
    hall->row_form = form;
    hall->row_stride = (bytes + 63) / 64 * 64;
    for (uint32_t i = 0; i < MERKLE_ROWS; i++) {
        uint8_t *row = hall->merkle_row + i * hall->row_stride;
        memcpy(row, coinbase->prefix, coinbase->prefix_bytes);
        memcpy(row + coinbase->prefix_bytes + coinbase->extranonce_bytes, coinbase->suffix,
               coinbase->suffix_bytes);
    }
}

bool job_roots(struct owm_hall *hall, const struct owm_job *job, enum owm_coinbase_form form,
               uint32_t count, owm_extranonce_at extranonce, void *ctx)
{
    struct owm_device *device = hall->options.device;
    const struct owm_coinbase *coinbase = &job->work->coinbase[form];
    OWM_ASSERT(count <= MERKLE_ROWS);
    prepare_rows(hall, job, form);
    for (uint32_t i = 0; i < count; i++)
        memcpy(hall->merkle_row + i * hall->row_stride + coinbase->prefix_bytes, extranonce(ctx, i),
               coinbase->extranonce_bytes);
    return device->backend->sha256d_merkle(
               device,
               &(struct owm_sha256d_merkle){
                   .root = hall->merkle_root[0],
                   .coinbase = hall->merkle_row,
                   .branch = job->work->block->branches ? job->work->block->branch[0] : NULL,
                   .stride = hall->row_stride,
                   .count = count,
                   .bytes =
                       coinbase->prefix_bytes + coinbase->extranonce_bytes + coinbase->suffix_bytes,
                   .branches = job->work->block->branches,
               })
           == OWM_OK;
}
