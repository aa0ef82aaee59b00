/* sha256d.c: the SHA-256d ops cut into pieces that one thread does by way of a path. */
#include <string.h>

#include "cpu.h"
#include "kernels/check.h"
#include "sha256d_path.h"

/* Nonces in a piece: a third of a millisecond with one midstate, so that threads end together. */
#define NONCES_PER_PIECE UINT32_C(16384)
#define ROWS_PER_PIECE   256

#if OWM_CPU_X86
extern const struct sha256d_path sha256d_path_avx512, sha256d_path_avx2, sha256d_path_sha_ni;
#endif
#if OWM_CPU_ARM64
extern const struct sha256d_path sha256d_path_sha2;
#endif
extern const struct sha256d_path sha256d_path_generic;

static const struct sha256d_path *const paths[] = {
#if OWM_CPU_X86
    &sha256d_path_avx512,  &sha256d_path_sha_ni, &sha256d_path_avx2,
#endif
#if OWM_CPU_ARM64
    &sha256d_path_sha2,
#endif
    &sha256d_path_generic,
};

const struct sha256d_path *sha256d_path_at(size_t index)
{
    return index < sizeof paths / sizeof *paths ? paths[index] : NULL;
}

/* A path is named like the isa it is of; the SHA extensions go with avx2, or with no isa named. */
static bool allowed(const char *path, const char *isa)
{
    if (!isa || strcmp(isa, "avx512") == 0) return true;
    if (strcmp(isa, "avx2") == 0) return strcmp(path, "avx512") != 0;
    return strcmp(path, isa) == 0;
}

const struct sha256d_path *sha256d_path_best(const char *isa)
{
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (allowed(paths[i]->name, isa) && paths[i]->here()) return paths[i];
    return &sha256d_path_generic;
}

const struct sha256d_path *sha256_path_best(const char *isa)
{
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (paths[i]->blocks && allowed(paths[i]->name, isa) && paths[i]->here()) return paths[i];
    return &sha256d_path_generic;
}

struct scan_pieces {
    const struct sha256d_path *path;
    struct sha256d_search search;
    size_t nonce_pieces;
};

static void scan_midstates(struct scan_pieces *all, uint32_t midstate, uint32_t end, uint32_t first,
                           uint32_t count)
{
    const struct sha256d_path *path = all->path;
    if (path->scan_rolled) {
        uint32_t rolled = (end - midstate) / path->lanes * path->lanes;
        if (rolled) path->scan_rolled(&all->search, midstate, rolled, first, count);
        midstate += rolled;
    }
    for (; midstate < end; midstate++) path->scan(&all->search, midstate, first, count);
}

/* Piece = midstate group * nonce_pieces + nonce piece. */
static void scan_piece(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)worker;
    struct scan_pieces *all = ctx;
    const struct owm_sha256d_scan *op = all->search.op;
    for (size_t piece = begin; piece < end; piece++) {
        uint32_t midstate = (uint32_t)(piece / all->nonce_pieces) * SHA256D_ROLLED_MAX;
        uint32_t midstates = op->midstates - midstate;
        if (midstates > SHA256D_ROLLED_MAX) midstates = SHA256D_ROLLED_MAX;
        uint64_t skip = (uint64_t)(piece % all->nonce_pieces) * NONCES_PER_PIECE;
        uint64_t count = op->count - skip;
        if (count > NONCES_PER_PIECE) count = NONCES_PER_PIECE;
        scan_midstates(all, midstate, midstate + midstates, op->first + (uint32_t)skip,
                       (uint32_t)count);
    }
}

owm_status sha256d_scan_by(const struct sha256d_path *path, struct owm_pool *pool,
                           const struct owm_sha256d_scan *op)
{
    owm_status status = owm_check_sha256d_scan(op);
    if (status) return status;
    struct scan_pieces all = {.path = path, .search = {.op = op}};
    for (int i = 0; i < 3; i++) all.search.word[i] = sha256_load_be(op->tail + 4 * i);
    memcpy(&all.search.top, op->target + 28, 4);
    atomic_init(&all.search.found, 0);
    all.nonce_pieces = (size_t)((op->count + NONCES_PER_PIECE - 1) / NONCES_PER_PIECE);
    size_t groups = (op->midstates + SHA256D_ROLLED_MAX - 1) / SHA256D_ROLLED_MAX;
    owm_pool_for(pool, groups * all.nonce_pieces, 1, scan_piece, &all);
    uint64_t found = atomic_load(&all.search.found);
    *op->found = found > UINT32_MAX ? UINT32_MAX : (uint32_t)found;
    return found > op->hit_max ? OWM_E_LIMIT : OWM_OK;
}

struct batch_pieces {
    const struct sha256d_path *path;
    const struct owm_sha256d_batch *op;
};

static void batch_piece(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)worker;
    const struct batch_pieces *all = ctx;
    struct owm_sha256d_batch part = *all->op;
    part.hash += 32 * begin;
    part.message += part.stride * begin;
    part.count = (uint32_t)(end - begin);
    all->path->batch(&part);
}

owm_status sha256d_batch_by(const struct sha256d_path *path, struct owm_pool *pool,
                            const struct owm_sha256d_batch *op)
{
    owm_status status = owm_check_sha256d_batch(op);
    if (status) return status;
    struct batch_pieces all = {path, op};
    owm_pool_for(pool, op->count, ROWS_PER_PIECE, batch_piece, &all);
    return OWM_OK;
}

struct merkle_pieces {
    const struct sha256d_path *path;
    const struct owm_sha256d_merkle *op;
};

static void merkle_piece(void *ctx, size_t begin, size_t end, unsigned worker)
{
    (void)worker;
    const struct merkle_pieces *all = ctx;
    const struct owm_sha256d_merkle *op = all->op;
    uint8_t *root = op->root + 32 * begin, pair[SHA256D_MERKLE_ROWS][64];
    uint32_t rows = (uint32_t)(end - begin);
    all->path->batch(&(struct owm_sha256d_batch){.hash = root,
                                                 .message = op->coinbase + op->stride * begin,
                                                 .stride = op->stride,
                                                 .count = rows,
                                                 .bytes = op->bytes});
    for (uint32_t b = 0; b < op->branches; b++) {
        for (uint32_t i = 0; i < rows; i++) {
            memcpy(pair[i], root + (size_t)32 * i, 32);
            memcpy(pair[i] + 32, op->branch + (size_t)32 * b, 32);
        }
        all->path->batch(&(struct owm_sha256d_batch){
            .hash = root, .message = pair[0], .stride = 64, .count = rows, .bytes = 64});
    }
}

owm_status sha256d_merkle_by(const struct sha256d_path *path, struct owm_pool *pool,
                             const struct owm_sha256d_merkle *op)
{
    owm_status status = owm_check_sha256d_merkle(op);
    if (status) return status;
    struct merkle_pieces all = {path, op};
    owm_pool_for(pool, op->count, SHA256D_MERKLE_ROWS, merkle_piece, &all);
    return OWM_OK;
}

owm_status cpu_sha256d_scan(struct owm_device *device, const struct owm_sha256d_scan *op)
{
    return sha256d_scan_by(cpu_of(device)->sha256d, device->pool, op);
}

owm_status cpu_sha256d_batch(struct owm_device *device, const struct owm_sha256d_batch *op)
{
    return sha256d_batch_by(cpu_of(device)->sha256d, device->pool, op);
}

owm_status cpu_sha256d_merkle(struct owm_device *device, const struct owm_sha256d_merkle *op)
{
    return sha256d_merkle_by(cpu_of(device)->sha256d, device->pool, op);
}
