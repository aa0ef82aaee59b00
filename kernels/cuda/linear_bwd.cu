/* linear_bwd.cu: dx = dy W over packed weights: the f32 product of gemm_tile.cuh, whose right side
 * is widened on the way into shared memory. */
#include "gemm_tile.cuh"
#include "ops_cuda.h"
#include "packed.cuh"

/** view_packed: rows of weights are the depth, columns the items (view.cuh). Four columns lie in
 *  one chunk and one group. */
template <enum owm_format FORMAT> struct view_packed {
    static constexpr bool deep = false;
    packed_view w;

    __device__ __forceinline__ gpu_quad quad(uint32_t item, uint32_t depth, uint32_t end) const
    {
        if (depth >= end || item >= w.k) return view_nothing();
        const uint4 *row = w.chunk + (size_t)depth * w.chunks;
        const uint16_t *scales = w.scale + (size_t)depth * w.scales;
        gpu_quad q;
        if (FORMAT == OWM_FORMAT_BF16) { /* Past k the row is 0. */
            uint2 four = reinterpret_cast<const uint2 *>(row)[item / 4];
            q.v[0] = __uint_as_float(four.x << 16), q.v[1] = __uint_as_float(four.x & 0xffff0000u);
            q.v[2] = __uint_as_float(four.y << 16), q.v[3] = __uint_as_float(four.y & 0xffff0000u);
            return q;
        }
        const uint32_t *words = reinterpret_cast<const uint32_t *>(row);
        float scale = gpu_half_widen(scales[item / 32]) * packed_unit(FORMAT);
        uint32_t word;
        if (FORMAT == OWM_FORMAT_Q8_0) {
            word = words[item / 4];
        } else {
            uint32_t pair = words[item / 32 * 4 + item % 16 / 4];
            word = item % 32 < 16 ? packed_low(pair) : packed_high(pair);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) q.v[i] = (float)(int8_t)(word >> (8 * i)) * scale;
        return q;
    }
};

template <enum owm_format FORMAT>
static owm_status linear_bwd_of(struct owm_device *device, const struct owm_linear_bwd *a)
{
    gemm_out out = {a->dx, a->lddx, a->m,          a->k,
                    a->n,  a->n,    a->accumulate, gpu_wide(a->dx, a->lddx)};
    view_deep dy = {a->dy, a->lddy, a->m, gpu_wide(a->dy, a->lddy)};
    view_packed<FORMAT> weights = {packed_of(a->weights, FORMAT, a->n, a->k)};
    return gemm_pick(device, out, dy, weights);
}

extern "C" owm_status gpu_linear_bwd(struct owm_device *device, const struct owm_linear_bwd *a)
{
    owm_status status = owm_check_linear_bwd(a);
    if (status != OWM_OK) return status;
    if (a->format == OWM_FORMAT_BF16) return linear_bwd_of<OWM_FORMAT_BF16>(device, a);
    if (a->format == OWM_FORMAT_Q8_0) return linear_bwd_of<OWM_FORMAT_Q8_0>(device, a);
    return linear_bwd_of<OWM_FORMAT_Q4_0>(device, a);
}
