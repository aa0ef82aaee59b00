/* view.cuh: matrices as tiles read them: items (rows of a result, or its columns) with a depth over
 * which products are summed. Outside its items and its depth a view is 0. */
#ifndef OWM_KERNELS_CUDA_VIEW_CUH
#define OWM_KERNELS_CUDA_VIEW_CUH

#include "quad.cuh"

static __device__ __forceinline__ gpu_quad view_nothing()
{
    gpu_quad q = {{0, 0, 0, 0}};
    return q;
}

/** x[item][depth], `stride` between items: quad() is four of the depth. */
struct view_deep {
    static constexpr bool deep = true;
    const float *x;
    uint32_t stride, items;
    bool wide;
    __device__ __forceinline__ gpu_quad quad(uint32_t item, uint32_t depth, uint32_t end) const
    {
        if (item >= items) return view_nothing();
        return gpu_load4(x + (size_t)item * stride, depth, end, wide);
    }
};

/** x[depth][item], `stride` between depths: quad() is four items. */
struct view_flat {
    static constexpr bool deep = false;
    const float *x;
    uint32_t stride, items;
    bool wide;
    __device__ __forceinline__ gpu_quad quad(uint32_t item, uint32_t depth, uint32_t end) const
    {
        if (depth >= end) return view_nothing();
        return gpu_load4(x + (size_t)depth * stride, item, items, wide);
    }
};

#endif
