/* gemm.cu: matrix product in f32: tiles (gemm_tile.cuh), and for a few rows against the rows of b a
 * warp per column, since reading b once is then all the work there is. */
#include "gemm_tile.cuh"
#include "ops_cuda.h"

#define FEW_THREADS  128
#define FEW_ROWS_MAX 8

/* c[r][column] = a[r] . b[column], a warp per column, ROWS rows at once. */
template <int ROWS>
static __global__ void __launch_bounds__(FEW_THREADS)
    gemm_few(gemm_out out, view_deep a, view_deep b)
{
    uint32_t column = (blockIdx.x * FEW_THREADS + threadIdx.x) / warpSize;
    if (column >= out.n) return;
    float sum[ROWS] = {};
#pragma unroll 4
    for (uint32_t k = gpu_lane() * 4; k < out.k; k += warpSize * 4) {
        gpu_quad w = b.quad(column, k, out.k);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            gpu_quad x = a.quad(r, k, out.k);
            for (int i = 0; i < 4; i++) sum[r] = fmaf(x.v[i], w.v[i], sum[r]);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float total = gpu_warp_sum(sum[r]);
        float *to = out.c + (size_t)r * out.stride + column;
        if (gpu_lane() == 0 && r < (int)out.m) *to = out.accumulate ? *to + total : total;
    }
}

template <int ROWS>
static void launch_few(struct owm_device *device, const gemm_out &out, const view_deep &a,
                       const view_deep &b)
{
    unsigned columns = FEW_THREADS / (unsigned)gpu_of(device)->warp;
    OWM_LAUNCH(gemm_few<ROWS>, gpu_blocks(out.n, columns), FEW_THREADS, 0, gpu_stream(device), out,
               a, b);
}

static owm_status few_rows(struct owm_device *device, const gemm_out &out, const view_deep &a,
                           const view_deep &b)
{
    if (out.m == 1)
        launch_few<1>(device, out, a, b);
    else if (out.m == 2)
        launch_few<2>(device, out, a, b);
    else if (out.m <= 4)
        launch_few<4>(device, out, a, b);
    else
        launch_few<FEW_ROWS_MAX>(device, out, a, b);
    return gpu_launched();
}

extern "C" owm_status gpu_gemm(struct owm_device *device, const struct owm_gemm *g)
{
    owm_status status = owm_check_gemm(g);
    if (status != OWM_OK) return status;
    gemm_out out = {g->c, g->ldc, g->m, g->n, g->k, g->k, g->accumulate, gpu_wide(g->c, g->ldc)};
    view_deep a_deep = {g->a, g->lda, g->m, gpu_wide(g->a, g->lda)};
    view_deep b_deep = {g->b, g->ldb, g->n, gpu_wide(g->b, g->ldb)};
    view_flat a_flat = {g->a, g->lda, g->m, a_deep.wide};
    view_flat b_flat = {g->b, g->ldb, g->n, b_deep.wide};
    if (!g->trans_a && g->trans_b && g->m <= FEW_ROWS_MAX)
        return few_rows(device, out, a_deep, b_deep);
    status = gpu_blas_gemm(device, g);
    if (status != OWM_E_UNSUPPORTED) return status;
    if (!g->trans_a)
        return g->trans_b ? gemm_pick(device, out, a_deep, b_deep)
                          : gemm_pick(device, out, a_deep, b_flat);
    return g->trans_b ? gemm_pick(device, out, a_flat, b_deep)
                      : gemm_pick(device, out, a_flat, b_flat);
}
