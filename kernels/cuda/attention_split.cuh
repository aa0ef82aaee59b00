/* attention_split.cuh: query rows against a cache, the context cut into parts that blocks share.
 *
 * A team of 8 neighbouring threads takes one position after another: each thread has 8 elements (or
 * 16) of a head, the team adds up the score, and each goes on with its own elements of the value.
 * HEADS query heads of one key/value head travel together, so that the cache is read once for them.
 * Teams meet in shared memory, parts of the context in scratch; both in a fixed order. */
#ifndef OWM_KERNELS_CUDA_ATTENTION_SPLIT_CUH
#define OWM_KERNELS_CUDA_ATTENTION_SPLIT_CUH

#include "bf16.cuh"
#include "quad.cuh"
#include "softmax_row.cuh"

#define SPLIT_THREADS 128
#define SPLIT_TEAM    8
#define SPLIT_TEAMS   (SPLIT_THREADS / SPLIT_TEAM)
#define SPLIT_CONTEXT 128 /* Positions of a part, at least. */
#define SPLIT_DIM_MAX OWM_ATTENTION_DIM_MAX
#define SPLIT_LOG2E   1.4426950408889634f
#define SPLIT_HEADS   4 /* Query heads that travel together, at most. */

/** split_args: the op, and where the parts go. page NULL: position t lies in slot t. */
struct split_args {
    float *out;
    const float *q;
    const void *k, *v;
    const uint32_t *page, *sequence, *position;
    float *part; /* [rows][heads][splits][2 + head_dim]: maximum, sum, values; NULL if one part. */
    uint32_t length; /* Where position is NULL. */
    uint32_t stride, heads, kv_heads, head_dim, pages_each, part_context;
    bool wide;
};

/** split_row: the cache's row of a position, in elements. */
static __device__ __forceinline__ size_t split_row(const split_args &a, const uint32_t *page,
                                                   uint32_t t, uint32_t kv_head)
{
    size_t slot =
        page ? (size_t)page[t / OWM_PAGE_TOKENS] * OWM_PAGE_TOKENS + t % OWM_PAGE_TOKENS : t;
    return (slot * a.kv_heads + kv_head) * a.head_dim;
}

/** split_load: eight elements e .. e + 7 of a head, as f32; 0 past its end. */
template <bool BF16>
static __device__ __forceinline__ void split_load(float *x, const void *plane, size_t row,
                                                  uint32_t e, uint32_t dim, bool wide)
{
    if (!BF16) {
        gpu_quad low = gpu_load4((const float *)plane + row, e, dim, wide);
        gpu_quad high = gpu_load4((const float *)plane + row, e + 4, dim, wide);
#pragma unroll
        for (int i = 0; i < 4; i++) x[i] = low.v[i], x[4 + i] = high.v[i];
        return;
    }
    const uint16_t *half = (const uint16_t *)plane + row + e;
    if (wide && e + 8 <= dim) {
        uint4 eight = *reinterpret_cast<const uint4 *>(half);
        const uint32_t pair[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            x[2 * i] = __uint_as_float(pair[i] << 16);
            x[2 * i + 1] = __uint_as_float(pair[i] & 0xffff0000u);
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++) x[i] = e + i < dim ? gpu_bf16_widen(half[i]) : 0.0f;
}

/** What a thread keeps of its team's positions. */
template <int HEADS, int WIDE> struct split_state {
    float q[HEADS][8 * WIDE], sum[HEADS][8 * WIDE];
    float max[HEADS], mass[HEADS];
};

template <int HEADS, int WIDE>
static __device__ __forceinline__ void split_begin(split_state<HEADS, WIDE> &s, const split_args &a,
                                                   uint32_t row, uint32_t head, uint32_t last)
{
    float scale = SPLIT_LOG2E / sqrtf((float)a.head_dim);
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        s.max[h] = GPU_LOWEST, s.mass[h] = 0;
        uint32_t of = head + h < last ? head + h : head;
        const float *q = a.q + (size_t)row * a.stride + (size_t)of * a.head_dim;
#pragma unroll
        for (int i = 0; i < 8 * WIDE; i++) {
            uint32_t e = i / 8 * 64 + threadIdx.x % SPLIT_TEAM * 8 + i % 8;
            s.q[h][i] = e < a.head_dim ? q[e] * scale : 0.0f;
            s.sum[h][i] = 0;
        }
    }
}

/** split_step: one position into the sums; all threads of a warp call, `seen` or not. */
template <int HEADS, int WIDE>
static __device__ __forceinline__ void split_step(split_state<HEADS, WIDE> &s,
                                                  const float (&key)[8 * WIDE],
                                                  const float (&value)[8 * WIDE], bool seen)
{
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        float score = 0;
#pragma unroll
        for (int i = 0; i < 8 * WIDE; i++) score = fmaf(s.q[h][i], key[i], score);
#pragma unroll
        for (int step = SPLIT_TEAM / 2; step > 0; step /= 2)
            score += __shfl_xor_sync(GPU_FULL, score, step, SPLIT_TEAM);
        float top = seen ? fmaxf(s.max[h], score) : s.max[h], shrink = exp2f(s.max[h] - top);
        float weight = seen ? exp2f(score - top) : 0.0f;
        s.max[h] = top;
        s.mass[h] = s.mass[h] * shrink + weight;
#pragma unroll
        for (int i = 0; i < 8 * WIDE; i++)
            s.sum[h][i] = fmaf(weight, value[i], s.sum[h][i] * shrink);
    }
}

/** split_meet: the teams of a block for one head: the result or a part of it. */
template <int WIDE, typename Teams, typename Values>
static __device__ __forceinline__ void
split_meet(const split_args &a, float max, float mass, const float (&sum)[8 * WIDE],
           Teams &team_max, Teams &team_mass, Values &values, float *out, float *part)
{
    unsigned team = threadIdx.x / SPLIT_TEAM, lane = threadIdx.x % SPLIT_TEAM;
    __syncthreads();
    if (lane == 0) team_max[team] = max, team_mass[team] = mass;
#pragma unroll
    for (int i = 0; i < 8 * WIDE; i++)
        values[team * SPLIT_DIM_MAX + i / 8 * 64 + lane * 8 + i % 8] = sum[i];
    __syncthreads();
    float top = GPU_LOWEST, total = 0;
    for (unsigned t = 0; t < SPLIT_TEAMS; t++) top = fmaxf(top, team_max[t]);
    for (unsigned t = 0; t < SPLIT_TEAMS; t++) total += team_mass[t] * exp2f(team_max[t] - top);
    uint32_t e = threadIdx.x;
    if (part && e == 0) part[0] = top, part[1] = total;
    if (e >= a.head_dim) return;
    float result = 0;
    for (unsigned t = 0; t < SPLIT_TEAMS; t++)
        result += values[t * SPLIT_DIM_MAX + e] * exp2f(team_max[t] - top);
    if (part)
        part[2 + e] = result;
    else
        out[e] = result / total;
}

/* Block (row, key/value head and slice of its query heads, part of the context). */
template <int HEADS, int WIDE, bool BF16>
static __global__ void __launch_bounds__(SPLIT_THREADS) split_kernel(split_args a)
{
    OWM_SHARED(float, team_max, SPLIT_TEAMS);
    OWM_SHARED(float, team_mass, SPLIT_TEAMS);
    OWM_SHARED(float, values, SPLIT_TEAMS *SPLIT_DIM_MAX);
    uint32_t each = a.heads / a.kv_heads, slices = (each + HEADS - 1) / HEADS;
    uint32_t row = blockIdx.x, kv_head = blockIdx.y / slices;
    uint32_t head = kv_head * each + blockIdx.y % slices * HEADS, last = (kv_head + 1) * each;
    const uint32_t *page = a.page ? a.page + (size_t)a.sequence[row] * a.pages_each : nullptr;
    uint32_t length = a.position ? a.position[row] + 1 : a.length;
    uint32_t begin = blockIdx.z * a.part_context;
    uint32_t end = length < begin + a.part_context ? length : begin + a.part_context;
    split_state<HEADS, WIDE> s;
    split_begin(s, a, row, head, last);
    for (uint32_t base = begin; base < end; base += SPLIT_TEAMS) {
        uint32_t t = base + threadIdx.x / SPLIT_TEAM;
        bool seen = t < end;
        size_t at = split_row(a, page, seen ? t : base, kv_head);
        float key[8 * WIDE], value[8 * WIDE];
#pragma unroll
        for (int w = 0; w < WIDE; w++) {
            uint32_t e = w * 64 + threadIdx.x % SPLIT_TEAM * 8;
            split_load<BF16>(key + w * 8, a.k, at, e, a.head_dim, a.wide);
            split_load<BF16>(value + w * 8, a.v, at, e, a.head_dim, a.wide);
        }
        split_step(s, key, value, seen);
    }
#pragma unroll
    for (int h = 0; h < HEADS; h++) {
        if (head + h >= last) continue;
        size_t at = (size_t)row * a.heads + head + h;
        float *part = a.part ? a.part + (at * gridDim.z + blockIdx.z) * (2 + a.head_dim) : nullptr;
        split_meet<WIDE>(a, s.max[h], s.mass[h], s.sum[h], team_max, team_mass, values,
                         a.out + at * a.head_dim, part);
    }
}

/* Block (row, head): its parts in order; a thread per element. */
static __global__ void __launch_bounds__(SPLIT_DIM_MAX) split_join(split_args a, uint32_t splits)
{
    size_t at = (size_t)blockIdx.x * a.heads + blockIdx.y;
    const float *part = a.part + at * splits * (2 + a.head_dim);
    float top = GPU_LOWEST, total = 0, result = 0;
    for (uint32_t s = 0; s < splits; s++) top = fmaxf(top, part[s * (2 + a.head_dim)]);
    if (threadIdx.x >= a.head_dim) return;
    for (uint32_t s = 0; s < splits; s++) {
        const float *one = part + s * (2 + a.head_dim);
        float factor = exp2f(one[0] - top);
        total += one[1] * factor;
        result += one[2 + threadIdx.x] * factor;
    }
    a.out[at * a.head_dim + threadIdx.x] = result / total;
}

template <int HEADS, int WIDE, bool BF16>
static void split_start(struct owm_device *device, const split_args &a, uint32_t rows,
                        uint32_t splits)
{
    uint32_t slices = (a.heads / a.kv_heads + HEADS - 1) / HEADS;
    dim3 grid(rows, a.kv_heads * slices, splits);
    OWM_LAUNCH((split_kernel<HEADS, WIDE, BF16>), grid, SPLIT_THREADS, 0, gpu_stream(device), a);
}

template <int WIDE, bool BF16>
static void split_by_heads(struct owm_device *device, const split_args &a, uint32_t rows,
                           uint32_t splits)
{
    uint32_t each = a.heads / a.kv_heads;
    if (each == 1)
        split_start<1, WIDE, BF16>(device, a, rows, splits);
    else if (each == 2)
        split_start<2, WIDE, BF16>(device, a, rows, splits);
    else
        split_start<SPLIT_HEADS, WIDE, BF16>(device, a, rows, splits);
}

/** split_count: parts of a context of `length`, so that the device is busy, and their size. */
static inline uint32_t split_count(struct owm_device *device, split_args *a, uint32_t rows,
                                   uint32_t length)
{
    uint64_t blocks = (uint64_t)rows * a->kv_heads;
    uint64_t splits = ((uint64_t)gpu_of(device)->processors * 4 + blocks - 1) / blocks;
    uint64_t most = (length + SPLIT_CONTEXT - 1) / SPLIT_CONTEXT;
    if (splits > most) splits = most;
    a->part_context = (uint32_t)((length + splits - 1) / splits);
    return gpu_blocks(length, a->part_context);
}

/** split_attention: all rows, none of whose contexts is above `length`.
 *  Returns: OWM_OK; OWM_E_LIMIT; OWM_E_DEVICE. */
template <bool BF16>
static owm_status split_attention(struct owm_device *device, split_args a, uint32_t rows,
                                  uint32_t length)
{
    uint32_t splits = split_count(device, &a, rows, length);
    size_t floats = (size_t)rows * a.heads * splits * (2 + a.head_dim);
    a.part = splits > 1 ? (float *)gpu_scratch(device, floats * sizeof(float)) : nullptr;
    if (splits > 1 && !a.part) return OWM_E_LIMIT;
    if (a.head_dim <= 64)
        split_by_heads<1, BF16>(device, a, rows, splits);
    else
        split_by_heads<2, BF16>(device, a, rows, splits);
    dim3 grid(rows, a.heads);
    if (splits > 1) OWM_LAUNCH(split_join, grid, SPLIT_DIM_MAX, 0, gpu_stream(device), a, splits);
    return gpu_launched();
}

#endif
