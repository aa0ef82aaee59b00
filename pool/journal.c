/* journal.c: the half of a journal that the loop calls: no lock and no malloc on the way. */
#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/fs.h"
#include "journal_file.h"
#include "journal_internal.h"

/* A share and all that it may need to have defined before it. */
#define APPEND_BYTES_MAX                                                                           \
    (4 * JOURNAL_RECORD_BYTES + JOURNAL_SHARE_BYTES + JOURNAL_BASIS_BYTES + 2 * JOURNAL_PAYLOAD_MAX)
#define SEGMENT_BYTES_MIN (64u << 10)
#define LOOP_MAX          99

static_assert(1 + OWM_MINER_TEXT_BYTES - 1 <= JOURNAL_PAYLOAD_MAX, "a miner fits a record");
static_assert(OWM_WORKER_TEXT_BYTES <= JOURNAL_PAYLOAD_MAX, "a worker fits a record");
static_assert(APPEND_BYTES_MAX < JOURNAL_BATCH_BYTES_MAX, "a share fits a batch");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are copied as they lie");

/* ---------------------------------------------------------------------------- records */

static void ring_put(struct owm_journal *journal, const uint8_t *data, size_t bytes)
{
    size_t at = journal->head % OWM_JOURNAL_BUFFER_BYTES;
    size_t first = OWM_JOURNAL_BUFFER_BYTES - at < bytes ? OWM_JOURNAL_BUFFER_BYTES - at : bytes;
    memcpy(journal->ring + at, data, first);
    memcpy(journal->ring, data + first, bytes - first);
    journal->head += bytes;
    journal->segment_used += bytes;
}

/* A record under construction: its payload is written behind 8 bytes that put_record fills. */
struct record {
    uint8_t bytes[JOURNAL_RECORD_BYTES + JOURNAL_PAYLOAD_MAX];
    struct owm_writer payload;
};

static void begin_record(struct record *record)
{
    owm_writer_init(&record->payload, record->bytes + JOURNAL_RECORD_BYTES, JOURNAL_PAYLOAD_MAX);
}

static void put_record(struct owm_journal *journal, enum journal_type type, struct record *record)
{
    size_t bytes = record->payload.at;
    OWM_ASSERT(owm_writer_ok(&record->payload));
    const uint8_t head[4] = {(uint8_t)type, 0, (uint8_t)bytes, (uint8_t)(bytes >> 8)};
    uint32_t crc = owm_crc32c(0, head, sizeof head);
    crc = owm_crc32c(crc, record->bytes + JOURNAL_RECORD_BYTES, bytes);
    memcpy(record->bytes, head, sizeof head);
    memcpy(record->bytes + sizeof head, &crc, sizeof crc);
    ring_put(journal, record->bytes, JOURNAL_RECORD_BYTES + bytes);
}

static bool basis_equal(const struct owm_basis *a, const struct owm_basis *b)
{
    return a->height == b->height && a->bits == b->bits && a->subsidy_sats == b->subsidy_sats
           && a->fees_sats == b->fees_sats && a->pay_basis_points == b->pay_basis_points
           && memcmp(a->previous, b->previous, sizeof(a->previous)) == 0;
}

static uint32_t define_basis(struct owm_journal *journal, const struct owm_basis *basis)
{
    struct record record;
    begin_record(&record);
    owm_write_bytes(&record.payload, basis->previous, 32);
    owm_write_u32_le(&record.payload, basis->height);
    owm_write_u32_le(&record.payload, basis->bits);
    owm_write_u64_le(&record.payload, basis->subsidy_sats);
    owm_write_u64_le(&record.payload, basis->fees_sats);
    owm_write_u16_le(&record.payload, basis->pay_basis_points);
    put_record(journal, JOURNAL_BASIS, &record);
    journal->bases[journal->base_count] = *basis;
    return journal->base_last = journal->base_count++;
}

/* Most shares have the basis of the one before, nearly all one of the newest. */
static uint32_t basis_number(struct owm_journal *journal, const struct owm_basis *basis)
{
    if (journal->base_count > 0 && basis_equal(&journal->bases[journal->base_last], basis))
        return journal->base_last;
    for (uint32_t i = journal->base_count; i-- > 0;)
        if (basis_equal(&journal->bases[i], basis)) return journal->base_last = i;
    return define_basis(journal, basis);
}

static uint32_t miner_number(struct owm_journal *journal, const struct owm_miner *miner)
{
    bool added;
    uint32_t number = journal_names_find(&journal->miners, miner->id, &added);
    if (!added) return number;
    struct record record;
    begin_record(&record);
    owm_write_u8(&record.payload, (uint8_t)miner->kind);
    owm_write_bytes(&record.payload, miner->text, strlen(miner->text));
    put_record(journal, JOURNAL_MINER, &record);
    return number;
}

static uint32_t worker_number(struct owm_journal *journal, const struct owm_worker *worker)
{
    bool added;
    uint32_t number = journal_names_find(&journal->workers, worker->id, &added);
    if (!added) return number;
    struct record record;
    begin_record(&record);
    owm_write_bytes(&record.payload, worker->text, strlen(worker->text));
    put_record(journal, JOURNAL_WORKER, &record);
    return number;
}

/* What a share's record says of others: they count in their segment. */
struct numbers {
    uint32_t miner, worker, basis;
};

/* Built where it lies, not field by field through a writer: every share pays for it. */
static void put_share(struct owm_journal *journal, const struct owm_share *share,
                      const struct numbers *at)
{
    struct record record;
    uint8_t *payload = record.bytes + JOURNAL_RECORD_BYTES;
    begin_record(&record);
    memcpy(payload, share->hash, 32);
    memcpy(payload + 32, &share->time_ms, 8);
    memcpy(payload + 40, &share->hashes, 8);
    memcpy(payload + 48, at, 12);
    payload[60] = share->block ? JOURNAL_SHARE_FLAG_BLOCK : 0;
    record.payload.at = JOURNAL_SHARE_BYTES;
    put_record(journal, JOURNAL_SHARE, &record);
}

/* ---------------------------------------------------------------------------- appending */

static bool has_room(struct owm_journal *journal)
{
    if (journal->head - journal->taken_seen <= OWM_JOURNAL_BUFFER_BYTES - APPEND_BYTES_MAX)
        return true;
    journal->taken_seen = atomic_load_explicit(&journal->taken, memory_order_acquire);
    return journal->head - journal->taken_seen <= OWM_JOURNAL_BUFFER_BYTES - APPEND_BYTES_MAX;
}

static bool tables_full(const struct owm_journal *journal)
{
    return journal_names_full(&journal->miners) || journal_names_full(&journal->workers)
           || journal->base_count == JOURNAL_BASES_MAX;
}

static bool segment_over(const struct owm_journal *journal, int64_t now_ms)
{
    if (journal->segment_since_ms == 0) return false;
    return journal->segment_used + APPEND_BYTES_MAX > journal->segment_bytes
           || now_ms - journal->segment_since_ms >= SEGMENT_MS_MAX || tables_full(journal);
}

/* From here on names are counted afresh. Only one such place can be on its way to the thread. */
static void begin_segment(struct owm_journal *journal)
{
    if (atomic_load_explicit(&journal->rotate_at, memory_order_acquire) != ROTATE_NEVER) return;
    atomic_store_explicit(&journal->rotate_at, journal->head, memory_order_release);
    journal_names_clear(&journal->miners);
    journal_names_clear(&journal->workers);
    journal->base_count = journal->base_last = 0;
    journal->segment_used = 0;
    journal->segment_since_ms = 0;
}

owm_status owm_journal_append(struct owm_journal *journal, const struct owm_share *share,
                              const struct owm_miner *miner, const struct owm_worker *worker,
                              uint64_t *sequence)
{
    if (owm_journal_failed(journal)) return OWM_E_IO;
    if (!has_room(journal)) return OWM_E_LIMIT;
    if (segment_over(journal, share->time_ms)) begin_segment(journal);
    if (tables_full(journal)) return OWM_E_LIMIT;
    struct numbers at = {miner_number(journal, miner), worker_number(journal, worker),
                         basis_number(journal, share->basis)};
    put_share(journal, share, &at);
    if (journal->segment_since_ms == 0) journal->segment_since_ms = share->time_ms;
    *sequence = ++journal->sequence;
    return OWM_OK;
}

void owm_journal_commit(struct owm_journal *journal)
{
    if (atomic_load_explicit(&journal->published, memory_order_relaxed) == journal->head) return;
    atomic_store(&journal->published, journal->head);
    if (atomic_exchange(&journal->asleep, false)) sem_post(&journal->wake);
}

uint64_t owm_journal_durable(const struct owm_journal *journal)
{
    return atomic_load_explicit(&journal->durable, memory_order_acquire);
}

const char *owm_journal_failed(const struct owm_journal *journal)
{
    return atomic_load_explicit(&journal->failed, memory_order_acquire);
}

void owm_journal_stats_get(const struct owm_journal *journal, struct owm_journal_stats *stats)
{
    *stats = (struct owm_journal_stats){
        .shares = atomic_load(&journal->stat_shares),
        .batches = atomic_load(&journal->stat_batches),
        .bytes = atomic_load(&journal->stat_bytes),
        .sync_ns_total = atomic_load(&journal->stat_sync_ns),
        .sync_ns_max = atomic_load(&journal->stat_sync_ns_max),
    };
}

/* ---------------------------------------------------------------------------- open and close */

static owm_status take_lock(struct owm_journal *journal, struct owm_error *error)
{
    char *path;
    if (asprintf(&path, "%s/%02u.lock", journal->folder, journal->loop) < 0) return OWM_E_NOMEM;
    owm_status status = OWM_OK;
    journal->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (journal->lock_fd < 0)
        status = owm_fail(error, errno == EACCES ? OWM_E_PERM : OWM_E_IO, "journal: %s: %s", path,
                          strerror(errno));
    else if (flock(journal->lock_fd, LOCK_EX | LOCK_NB) != 0)
        status = owm_fail(error, OWM_E_EXISTS,
                          "journal: another process writes %s; stop it, or give this one a "
                          "journal folder of its own",
                          journal->folder);
    free(path);
    return status;
}

/* The newest number of this loop's segments, so that ours comes behind. */
static owm_status find_newest(struct owm_journal *journal, struct owm_error *error)
{
    struct owm_journal_segment *segments = NULL;
    size_t count = 0;
    owm_status status = owm_journal_list(journal->folder, &segments, &count, error);
    for (size_t i = 0; status == OWM_OK && i < count; i++)
        if (segments[i].loop == journal->loop && segments[i].number > journal->number)
            journal->number = segments[i].number;
    free(segments);
    return status;
}

static owm_status allocate(struct owm_journal *journal)
{
    journal->ring = malloc(OWM_JOURNAL_BUFFER_BYTES);
    journal->batch = malloc(JOURNAL_BATCH_BYTES_MAX + JOURNAL_RECORD_BYTES + JOURNAL_COMMIT_BYTES);
    journal->bases = calloc(JOURNAL_BASES_MAX, sizeof(*journal->bases));
    if (!journal->folder || !journal->ring || !journal->batch || !journal->bases)
        return OWM_E_NOMEM;
    owm_status status =
        journal_names_init(&journal->miners, JOURNAL_MINERS_MAX, OWM_MINER_ID_BYTES);
    if (status == OWM_OK)
        status = journal_names_init(&journal->workers, JOURNAL_WORKERS_MAX, OWM_WORKER_ID_BYTES);
    return status;
}

static owm_status start(struct owm_journal *journal, struct owm_error *error)
{
    owm_status status = allocate(journal);
    if (status == OWM_OK) status = owm_fs_mkdirs(journal->folder, 0700, error);
    if (status == OWM_OK) status = take_lock(journal, error);
    if (status == OWM_OK) status = find_newest(journal, error);
    if (status == OWM_OK) status = journal_segment_begin(journal, error);
    if (status != OWM_OK) return status;
    if (pthread_create(&journal->thread, NULL, journal_thread, journal) != 0) return OWM_E_NOMEM;
    journal->started = true;
    return OWM_OK;
}

owm_status owm_journal_open(const struct owm_journal_options *options, struct owm_journal **out,
                            struct owm_error *error)
{
    OWM_ASSERT(options->loop <= LOOP_MAX);
    struct owm_journal *journal = aligned_alloc(CACHE_LINE, sizeof(*journal));
    if (!journal) return OWM_E_NOMEM;
    memset(journal, 0, sizeof(*journal));
    journal->fd = journal->lock_fd = -1;
    journal->loop = options->loop;
    journal->on_durable = options->on_durable;
    journal->ctx = options->ctx;
    journal->segment_bytes =
        options->segment_bytes ? options->segment_bytes : OWM_JOURNAL_SEGMENT_BYTES_DEFAULT;
    if (journal->segment_bytes < SEGMENT_BYTES_MIN) journal->segment_bytes = SEGMENT_BYTES_MIN;
    journal->folder = strdup(options->folder);
    atomic_init(&journal->rotate_at, ROTATE_NEVER);
    sem_init(&journal->wake, 0, 0);
    owm_status status = start(journal, error);
    if (status != OWM_OK) {
        owm_journal_close(journal);
        return status;
    }
    *out = journal;
    return OWM_OK;
}

void owm_journal_close(struct owm_journal *journal)
{
    if (!journal) return;
    if (journal->started) {
        owm_journal_commit(journal);
        atomic_store(&journal->stopping, true);
        sem_post(&journal->wake);
        pthread_join(journal->thread, NULL);
    }
    if (journal->fd >= 0) close(journal->fd);
    if (journal->lock_fd >= 0) close(journal->lock_fd);
    sem_destroy(&journal->wake);
    journal_names_deinit(&journal->miners);
    journal_names_deinit(&journal->workers);
    free(journal->bases);
    free(journal->batch);
    free(journal->ring);
    free(journal->path);
    free(journal->folder);
    free(journal);
}
