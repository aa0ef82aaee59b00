/* digest.c: one file a core, and one line of progress for all of them. */
#include "digest.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/pool.h"

#define LARGE_BYTES (256u << 20)
#define STEP_BYTES  (64u << 20)

struct work {
    struct digest *digests;
    uint64_t total_bytes;
    _Atomic uint64_t done_bytes;
    bool shown;
};

struct file {
    struct work *work;
    uint64_t done_bytes; /* What the work knows of. */
};

static bool step(void *ctx, uint64_t done, uint64_t total)
{
    struct file *file = ctx;
    struct work *work = file->work;
    (void)total;
    uint64_t more = done - file->done_bytes;
    uint64_t before = atomic_fetch_add(&work->done_bytes, more);
    file->done_bytes = done;
    if (work->shown && before / STEP_BYTES != (before + more) / STEP_BYTES)
        fprintf(stderr, "read: %.1f of %.1f GB\r", (double)(before + more) / 1e9,
                (double)work->total_bytes / 1e9);
    return true;
}

static void hash_some(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct work *work = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        struct digest *digest = &work->digests[i];
        struct file file = {.work = work};
        const struct owm_ots_progress progress = {&file, step};
        digest->status =
            owm_ots_file_hash(digest->path, digest->tag, &progress, digest->value, &digest->error);
    }
}

static uint64_t bytes_of(const struct digest *digests, size_t count)
{
    uint64_t bytes = 0;
    struct stat about;
    for (size_t i = 0; i < count; i++)
        if (stat(digests[i].path, &about) == 0 && S_ISREG(about.st_mode))
            bytes += (uint64_t)about.st_size;
    return bytes;
}

void digest_all(struct digest *digests, size_t count)
{
    struct work work = {.digests = digests, .total_bytes = bytes_of(digests, count)};
    owm_pool *pool = NULL;
    work.shown = work.total_bytes >= LARGE_BYTES && isatty(2) == 1;
    if (count > 1 && owm_pool_open(0, &pool) != OWM_OK) pool = NULL; /* Then one after another. */
    owm_pool_for(pool, count, 1, hash_some, &work);
    owm_pool_close(pool);
    if (work.shown)
        fprintf(stderr, "read: %.1f GB           \n", (double)atomic_load(&work.done_bytes) / 1e9);
}
