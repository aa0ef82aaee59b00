/* digest.c: one file a core. */
#include "digest.h"

#include <stdio.h>
#include <unistd.h>

#include "base/pool.h"

#define LARGE_BYTES (256u << 20)
#define STEP_BYTES  (64u << 20)

static bool show(void *ctx, uint64_t done, uint64_t total)
{
    const struct digest *digest = ctx;
    if (total < LARGE_BYTES || isatty(2) != 1 || (done % STEP_BYTES != 0 && done < total))
        return true;
    fprintf(stderr, "%s: %.1f of %.1f GB%s", digest->path, (double)done / 1e9, (double)total / 1e9,
            done < total ? "\r" : "\n");
    return true;
}

static void hash_some(void *ctx, size_t begin, size_t end, unsigned worker)
{
    struct digest *digests = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i++) {
        const struct owm_ots_progress progress = {&digests[i], show};
        digests[i].status = owm_ots_file_hash(digests[i].path, digests[i].tag, &progress,
                                              digests[i].value, &digests[i].error);
    }
}

void digest_all(struct digest *digests, size_t count)
{
    owm_pool *pool = NULL;
    if (count > 1 && owm_pool_open(0, &pool) != OWM_OK) pool = NULL; /* Then one after another. */
    owm_pool_for(pool, count, 1, hash_some, digests);
    owm_pool_close(pool);
}
