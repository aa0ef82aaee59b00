/* rmsnorm.cu: root-mean-square norm and its gradient.
 *
 * One block per row; a row is read twice, the second time from the cache. The gradient of the
 * weight is a sum over rows: blocks of PART_COLS columns sum PARTS_MAX parts of the rows apart, and
 * the parts are added in order, so that the bits do not depend on who was first. */
#include "ops_cuda.h"
#include "quad.cuh"

#define PARTS_MAX 64
#define PART_ROWS 16 /* Rows of a part, at least. */
#define PART_COLS 64

static __device__ __forceinline__ float inverse_rms(float squares, uint32_t cols, float eps)
{
    return 1.0f / sqrtf(squares / (float)cols + eps);
}

static __global__ void __launch_bounds__(1024)
    rmsnorm_kernel(float *out, const float *x, const float *weight, uint32_t cols, float eps,
                   bool wide)
{
    size_t row = (size_t)blockIdx.x * cols;
    float squares = 0;
    for (uint32_t c = threadIdx.x * 4; c < cols; c += blockDim.x * 4) {
        gpu_quad a = gpu_load4(x + row, c, cols, wide);
        for (int i = 0; i < 4; i++) squares += a.v[i] * a.v[i];
    }
    float s = inverse_rms(gpu_block_sum(squares), cols, eps);
    for (uint32_t c = threadIdx.x * 4; c < cols; c += blockDim.x * 4) {
        gpu_quad a = gpu_load4(x + row, c, cols, wide), w = gpu_load4(weight, c, cols, wide);
        for (int i = 0; i < 4; i++) a.v[i] *= s * w.v[i];
        gpu_store4(out + row, c, cols, wide, a);
    }
}

extern "C" owm_status gpu_rmsnorm(struct owm_device *device, const struct owm_rmsnorm *a)
{
    owm_status status = owm_check_rmsnorm(a);
    if (status != OWM_OK) return status;
    bool wide = gpu_wide(a->out, a->cols) && gpu_wide(a->x, a->cols) && gpu_wide(a->weight, 0);
    OWM_LAUNCH(rmsnorm_kernel, a->rows, gpu_row_threads(a->cols), 0, gpu_stream(device), a->out,
               a->x, a->weight, a->cols, a->eps, wide);
    return gpu_launched();
}

/* With g = dout * weight:  dx = s * g - x * s^3 * dot(g, x) / cols. */
static __global__ void __launch_bounds__(1024)
    rmsnorm_dx(float *dx, float *inverse, const float *dout, const float *x, const float *weight,
               uint32_t cols, float eps, bool wide)
{
    size_t row = (size_t)blockIdx.x * cols;
    float squares = 0, dot = 0;
    for (uint32_t c = threadIdx.x * 4; c < cols; c += blockDim.x * 4) {
        gpu_quad a = gpu_load4(x + row, c, cols, wide), d = gpu_load4(dout + row, c, cols, wide);
        gpu_quad w = gpu_load4(weight, c, cols, wide);
        for (int i = 0; i < 4; i++) {
            squares += a.v[i] * a.v[i];
            dot += d.v[i] * w.v[i] * a.v[i];
        }
    }
    float s = inverse_rms(gpu_block_sum(squares), cols, eps);
    float pull = gpu_block_sum(dot) * s * s * s / (float)cols;
    if (threadIdx.x == 0) inverse[blockIdx.x] = s;
    for (uint32_t c = threadIdx.x * 4; c < cols; c += blockDim.x * 4) {
        gpu_quad a = gpu_load4(x + row, c, cols, wide), d = gpu_load4(dout + row, c, cols, wide);
        gpu_quad w = gpu_load4(weight, c, cols, wide), sum = gpu_load4(dx + row, c, cols, wide);
        for (int i = 0; i < 4; i++) sum.v[i] += s * d.v[i] * w.v[i] - a.v[i] * pull;
        gpu_store4(dx + row, c, cols, wide, sum);
    }
}

/* Block (b, p): columns b * PART_COLS .. of the rows p * part_rows .. */
static __global__ void __launch_bounds__(PART_COLS)
    rmsnorm_dweight(float *part, const float *inverse, const float *dout, const float *x,
                    uint32_t rows, uint32_t cols, uint32_t part_rows)
{
    uint32_t c = blockIdx.x * PART_COLS + threadIdx.x;
    if (c >= cols) return;
    uint32_t begin = blockIdx.y * part_rows;
    uint32_t end = rows - begin < part_rows ? rows : begin + part_rows;
    float sum = 0;
#pragma unroll 4
    for (uint32_t r = begin; r < end; r++)
        sum += dout[(size_t)r * cols + c] * x[(size_t)r * cols + c] * inverse[r];
    part[(size_t)blockIdx.y * cols + c] = sum;
}

static __global__ void __launch_bounds__(PART_COLS)
    rmsnorm_dweight_sum(float *dweight, const float *part, uint32_t parts, uint32_t cols)
{
    uint32_t c = blockIdx.x * PART_COLS + threadIdx.x;
    if (c >= cols) return;
    float sum = 0;
    for (uint32_t p = 0; p < parts; p++) sum += part[(size_t)p * cols + c];
    dweight[c] += sum;
}

extern "C" owm_status gpu_rmsnorm_bwd(struct owm_device *device, const struct owm_rmsnorm_bwd *a)
{
    owm_status status = owm_check_rmsnorm_bwd(a);
    if (status != OWM_OK) return status;
    uint32_t part_rows = (a->rows + PARTS_MAX - 1) / PARTS_MAX;
    if (part_rows < PART_ROWS) part_rows = PART_ROWS;
    uint32_t parts = (a->rows + part_rows - 1) / part_rows;
    size_t floats = a->rows + (size_t)parts * a->cols;
    float *inverse = (float *)gpu_scratch(device, floats * sizeof(float));
    if (!inverse) return OWM_E_LIMIT;
    float *part = inverse + a->rows;
    bool wide = gpu_wide(a->dx, a->cols) && gpu_wide(a->x, a->cols) && gpu_wide(a->dout, a->cols)
                && gpu_wide(a->weight, 0);
    cudaStream_t stream = gpu_stream(device);
    dim3 grid(gpu_blocks(a->cols, PART_COLS), parts);
    OWM_LAUNCH(rmsnorm_dx, a->rows, gpu_row_threads(a->cols), 0, stream, a->dx, inverse, a->dout,
               a->x, a->weight, a->cols, a->eps, wide);
    OWM_LAUNCH(rmsnorm_dweight, grid, PART_COLS, 0, stream, part, inverse, a->dout, a->x, a->rows,
               a->cols, part_rows);
    OWM_LAUNCH(rmsnorm_dweight_sum, grid.x, PART_COLS, 0, stream, a->dweight, part, parts, a->cols);
    return gpu_launched();
}
