/* linear.cu: y = x W^T over packed weights. Activations are rounded first (linear_round), once for
 * all rows of weights. Up to 8 of them go against the weights as they stream by (linear_few.cuh);
 * more by tiles and the matrix instructions (linear_tile.cuh). */
#include "linear_few.cuh"
#include "linear_tile.cuh"
#include "ops_cuda.h"

#define ROUND_THREADS 256
#define INPUT_BYTES   ((size_t)64 << 20) /* Rounded activations at a time. */

/* A thread per quad of a row (grid.y); 8 neighbours share a group of 32. */
template <enum owm_format FORMAT>
static __global__ void __launch_bounds__(ROUND_THREADS)
    linear_round(linear_input to, const float *x, uint32_t stride, uint32_t k, bool wide)
{
    uint32_t row = blockIdx.x, quad = blockIdx.y * ROUND_THREADS + threadIdx.x, at = quad * 4;
    uint32_t *words = (uint32_t *)(to.chunk + (size_t)row * to.chunks);
    gpu_quad q = gpu_load4(x + (size_t)row * stride, at, k, wide);
    if (FORMAT == OWM_FORMAT_BF16) {
        if (at >= to.chunks * 8) return;
        words[quad * 2] = gpu_bf16(q.v[0]) | (uint32_t)gpu_bf16(q.v[1]) << 16;
        words[quad * 2 + 1] = gpu_bf16(q.v[2]) | (uint32_t)gpu_bf16(q.v[3]) << 16;
        return;
    }
    float top = 0;
    for (int i = 0; i < 4; i++) top = fmaxf(top, fabsf(q.v[i]));
    for (int step = 4; step > 0; step /= 2)
        top = fmaxf(top, __shfl_xor_sync(GPU_FULL, top, step, 8));
    if (quad % 8 == 0 && quad / 8 < to.scales) /* 0 in the place that pads the row. */
        to.scale[(size_t)row * to.scales + quad / 8] = top / 127.0f;
    if (at >= k) return;
    float inverse = 127.0f / top;
    uint32_t word = 0;
    for (int i = 0; i < 4 && inverse <= 3.402823466e38f; i++)
        word |= (uint32_t)((int)rintf(q.v[i] * inverse) & 0xff) << (8 * i);
    words[quad] = word;
}

template <enum owm_format FORMAT>
static owm_status linear_rows(struct owm_device *device, const struct owm_linear *a,
                              const linear_input &input, uint32_t first, uint32_t rows)
{
    uint32_t quads = FORMAT == OWM_FORMAT_BF16 ? input.chunks * 2 : input.scales * 8;
    dim3 grid(rows, gpu_blocks(quads, ROUND_THREADS));
    OWM_LAUNCH(linear_round<FORMAT>, grid, ROUND_THREADS, 0, gpu_stream(device), input,
               a->x + (size_t)first * a->ldx, a->ldx, a->k, gpu_wide(a->x, a->ldx));
    packed_view weights = packed_of(a->weights, FORMAT, a->n, a->k);
    linear_output out = {a->y + (size_t)first * a->ldy, rows, a->n, a->ldy, a->accumulate};
    if (rows <= LINEAR_FEW_MAX)
        linear_few<FORMAT>(device, out, input, weights);
    else
        linear_tiles<FORMAT>(device, out, input, weights);
    return gpu_launched();
}

/** linear_all: rows of activations in pieces that fit the scratch memory. */
template <enum owm_format FORMAT>
static owm_status linear_all(struct owm_device *device, const struct owm_linear *a)
{
    linear_input input;
    input.chunks = packed_input_chunks(FORMAT, a->k), input.scales = packed_scales(FORMAT, a->k);
    size_t row_bytes = (size_t)input.chunks * 16 + (size_t)input.scales * sizeof(float);
    size_t rows_each = INPUT_BYTES / row_bytes;
    if (rows_each > a->m) rows_each = a->m;
    uint8_t *scratch = (uint8_t *)gpu_scratch(device, rows_each * row_bytes);
    if (!scratch) return OWM_E_LIMIT;
    input.chunk = (uint4 *)scratch;
    input.scale = (float *)(scratch + rows_each * input.chunks * 16);
    owm_status status = OWM_OK;
    for (size_t row = 0; status == OWM_OK && row < a->m; row += rows_each) {
        size_t rows = a->m - row < rows_each ? a->m - row : rows_each;
        status = linear_rows<FORMAT>(device, a, input, (uint32_t)row, (uint32_t)rows);
    }
    return status;
}

extern "C" owm_status gpu_linear(struct owm_device *device, const struct owm_linear *a)
{
    owm_status status = owm_check_linear(a);
    if (status != OWM_OK) return status;
    if (a->format == OWM_FORMAT_BF16) return linear_all<OWM_FORMAT_BF16>(device, a);
    if (a->format == OWM_FORMAT_Q8_0) return linear_all<OWM_FORMAT_Q8_0>(device, a);
    return linear_all<OWM_FORMAT_Q4_0>(device, a);
}
