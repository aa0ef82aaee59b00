/* gemm.c: matrix product: b packed into panels, a read in place, tiles of c held in registers.
 *
 * Mapping: depth is cut into equal pieces of at most CPU_PACK_DEPTH, so a panel of b (depth x NR)
 * stays in L1 while MR rows of a pass over it; the workers first pack the panels of a piece, then
 * share out blocks of BLOCK_ROWS x BLOCK_PANELS of c. a is not packed: its elements are broadcast
 * one by one, which is as good from MR streams as from one. Each element of c is summed in the
 * order of k within a piece, pieces in order: the same bits for any number of threads.
 */
#include "simd.h"

#if SIMD_avx2
#define MR 6                     /* 12 sums, 2 of b and 1 of a in 16 registers. */
#elif SIMD_avx512 || __aarch64__ /* 32 registers. */
#define MR 8
#else
#define MR 4
#endif
#define NR           SIMD_NR
#define BLOCK_ROWS   48 /* A multiple of every MR. */
#define BLOCK_PANELS 4
#define GEMV_ROWS    2 /* Up to here packing b would cost more than the product. */

/** store_edge: a tile that c cuts off on the right or below. */
static void store_edge(const struct simd_block *s, float *c, vf sum[MR][2], size_t m, size_t n)
{
    for (size_t i = 0; i < m; i++) {
        float *row = c + i * s->ldc, edge[NR];
        memcpy(edge, sum[i], sizeof edge);
        for (size_t j = 0; j < n; j++) row[j] = s->accumulate ? row[j] + edge[j] : edge[j];
    }
}

/** tile: sum[MR][2] = a * panel, then stored or added to c; rows beyond m repeat the last one. With
 *  `narrow` (a constant) c has no columns in the second half of the panel, as the thin products of
 *  LoRA: nothing is multiplied there. */
static inline __attribute__((always_inline)) void tile(const struct simd_block *s, size_t i0,
                                                       const float *panel, float *c, size_t m,
                                                       size_t n, bool narrow)
{
    const float *a[MR];
    vf sum[MR][2] = {{{0}}};
    for (size_t i = 0; i < MR; i++) a[i] = s->a.at + (i0 + (i < m ? i : m - 1)) * s->a.row;
    size_t step = s->a.col;
    for (size_t k = 0; k < s->k; k++, panel += NR) {
        vf b0 = v_load(panel), b1 = narrow ? b0 : v_load(panel + W);
#pragma GCC unroll 16
        for (int i = 0; i < MR; i++) {
            vf x = v_set(a[i][k * step]);
            sum[i][0] += x * b0;
            if (!narrow) sum[i][1] += x * b1;
        }
    }
    if (m < MR || n < NR) {
        vf spill[MR][2]; /* A copy, so that `sum` itself can stay in registers. */
        memcpy(spill, sum, sizeof spill);
        store_edge(s, c, spill, m, n);
        return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
        float *row = c + (size_t)i * s->ldc;
        v_store(row, s->accumulate ? v_load(row) + sum[i][0] : sum[i][0]);
        v_store(row + W, s->accumulate ? v_load(row + W) + sum[i][1] : sum[i][1]);
    }
}

void SIMD(block_gemm)(const struct simd_block *s)
{
    for (size_t p = 0, j = 0; j < s->n; p++, j += NR) {
        size_t n = s->n - j < NR ? s->n - j : NR;
        const float *panel = s->packed + p * s->panel;
        for (size_t i = 0; i < s->m; i += MR) {
            size_t m = s->m - i < MR ? s->m - i : MR;
            if (n <= W)
                tile(s, i, panel, s->c + i * s->ldc + j, m, n, true);
            else
                tile(s, i, panel, s->c + i * s->ldc + j, m, n, false);
        }
    }
}

/** pack_turned: a panel from b stored as [n][depth], in squares of W x W through registers. */
static void pack_turned(float *panel, const float *from, size_t stride, size_t depth, size_t n)
{
    size_t j = 0;
    for (; j + W <= n; j += W) {
        size_t k = 0;
        for (; k + W <= depth; k += W) {
            vf square[W];
#pragma GCC unroll 16
            for (int i = 0; i < W; i++) square[i] = v_load(from + (j + i) * stride + k);
            v_transpose(square);
#pragma GCC unroll 16
            for (int i = 0; i < W; i++) v_store(panel + (k + i) * NR + j, square[i]);
        }
        for (; k < depth; k++)
            for (size_t i = j; i < j + W; i++) panel[k * NR + i] = from[i * stride + k];
    }
    for (; j < n; j++)
        for (size_t k = 0; k < depth; k++) panel[k * NR + j] = from[j * stride + k];
}

/** pack_panels: panels [first, first + panels) of b, whose columns end at `cols`. */
void SIMD(pack_panels)(float *packed, struct simd_view b, size_t depth, size_t first_panel,
                       size_t panels, size_t cols)
{
    OWM_ASSERT(b.col == 1 || b.row == 1);
    for (size_t p = first_panel; p < first_panel + panels; p++) {
        size_t j0 = p * NR, n = cols - j0 < NR ? cols - j0 : NR;
        float *panel = packed + p * depth * NR;
        const float *from = b.at + j0 * b.col;
        if (n < NR) memset(panel, 0, depth * NR * sizeof(float));
        if (b.col == 1) {
            for (size_t k = 0; k < depth; k++)
                memcpy(panel + k * NR, from + k * b.row, n * sizeof(float));
            continue;
        }
        pack_turned(panel, from, b.col, depth, n);
    }
}

struct job {
    struct simd_block block; /* All of c's columns of this piece. */
    struct simd_view b;
    float *pack;
    size_t row_blocks;
};

static void pack_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct job *j = ctx;
    (void)worker;
    SIMD(pack_panels)(j->pack, j->b, j->block.k, begin, end - begin, j->block.n);
}

static void block_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct job *j = ctx;
    (void)worker;
    for (size_t item = begin; item < end; item++) {
        size_t i0 = item % j->row_blocks * BLOCK_ROWS;
        size_t p0 = item / j->row_blocks * BLOCK_PANELS, j0 = p0 * NR;
        struct simd_block block = j->block;
        size_t n = BLOCK_PANELS * NR;
        block.m = block.m - i0 < BLOCK_ROWS ? block.m - i0 : BLOCK_ROWS;
        block.n = block.n - j0 < n ? block.n - j0 : n;
        block.c += i0 * block.ldc + j0;
        block.a.at += i0 * block.a.row;
        block.packed += p0 * block.panel;
        SIMD(block_gemm)(&block);
    }
}

static float dot(const float *a, const float *b, size_t count)
{
    vf s0 = {0}, s1 = {0};
    size_t i = 0;
    for (; i + 2 * W <= count; i += 2 * W) {
        s0 += v_load(a + i) * v_load(b + i);
        s1 += v_load(a + i + W) * v_load(b + i + W);
    }
    float sum = v_sum(s0 + s1);
    for (; i < count; i++) sum += a[i] * b[i];
    return sum;
}

/** gemv_job: columns [begin, end) of a few rows times b stored as [n][k]. */
static void gemv_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_gemm *g = ctx;
    (void)worker;
    for (size_t j = begin; j < end; j++)
        for (size_t i = 0; i < g->m; i++) {
            float sum = dot(g->a + i * g->lda, g->b + j * g->ldb, g->k);
            float *c = &g->c[i * g->ldc + j];
            *c = g->accumulate ? *c + sum : sum;
        }
}

owm_status SIMD(gemm)(struct owm_device *device, const struct owm_gemm *g)
{
    owm_status status = owm_check_gemm(g);
    if (status != OWM_OK) return status;
    if (g->m <= GEMV_ROWS && g->trans_b && !g->trans_a) {
        owm_pool_for(device->pool, g->n, 1 + 65536 / g->k, gemv_job, (void *)g);
        return OWM_OK;
    }
    struct simd_view a = {g->a, g->trans_a ? 1 : g->lda, g->trans_a ? g->lda : 1};
    struct simd_view b = {g->b, g->trans_b ? 1 : g->ldb, g->trans_b ? g->ldb : 1};
    size_t pieces = (g->k + CPU_PACK_DEPTH - 1) / CPU_PACK_DEPTH;
    size_t depth = (g->k + pieces - 1) / pieces, row_blocks = (g->m + BLOCK_ROWS - 1) / BLOCK_ROWS;
    for (size_t j0 = 0; j0 < g->n; j0 += CPU_PACK_COLS)
        for (size_t k0 = 0; k0 < g->k; k0 += depth) {
            size_t n = g->n - j0 < CPU_PACK_COLS ? g->n - j0 : CPU_PACK_COLS;
            size_t k = g->k - k0 < depth ? g->k - k0 : depth, panels = simd_panels(n);
            struct job job = {
                .block = {.c = g->c + j0,
                          .ldc = g->ldc,
                          .a = {a.at + k0 * a.col, a.row, a.col},
                          .packed = cpu_of(device)->pack,
                          .panel = k * NR,
                          .m = g->m,
                          .n = n,
                          .k = k,
                          .accumulate = g->accumulate || k0 > 0},
                .b = {b.at + k0 * b.row + j0 * b.col, b.row, b.col},
                .pack = cpu_of(device)->pack,
                .row_blocks = row_blocks,
            };
            owm_pool_for(device->pool, panels, 1 + 16384 / (k * NR), pack_job, &job);
            size_t items = row_blocks * ((panels + BLOCK_PANELS - 1) / BLOCK_PANELS);
            owm_pool_for(device->pool, items, 1, block_job, &job);
        }
    return OWM_OK;
}
