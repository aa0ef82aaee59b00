/* linear_dot.c: Q8_0 and Q4_0 with the dot product of bytes of 64-bit ARM (sdot): a quarter of a
 * panel at a time. Both operands are signed there, so the zero point of Q8_0 goes by one xor. */
#include <arm_neon.h>

#include "linear_kernels.h"

#define LANES 4
#define ROWS  4
#define PARTS 1

typedef int32x4_t int_v;
typedef float32x4_t float_v;

static inline int32x4_t load(const uint8_t *p)
{
    return vreinterpretq_s32_u8(vld1q_u8(p));
}

static inline float32x4_t halves(const uint8_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

static inline int32x4_t start_q8(int32_t start)
{
    (void)start;
    return vdupq_n_s32(0);
}

static inline int32x4_t start_q4(int32_t start)
{
    return vdupq_n_s32(start);
}

static inline int32x4_t four(const int8_t *x)
{
    int32_t bytes;
    memcpy(&bytes, x, sizeof bytes);
    return vdupq_n_s32(bytes);
}

static inline int32x4_t dot_q4(int32x4_t sum, int32x4_t weights, int32x4_t x)
{
    return vdotq_s32(sum, vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(x));
}

static inline int32x4_t dot_q8(int32x4_t sum, int32x4_t weights, int32x4_t x)
{
    return dot_q4(sum, weights ^ vdupq_n_s32((int32_t)0x80808080), x);
}

static inline int32x4_t low_nibbles(int32x4_t w)
{
    return w & vdupq_n_s32(0x0f0f0f0f);
}

static inline int32x4_t high_nibbles(int32x4_t w)
{
    return vreinterpretq_s32_u8(vshrq_n_u8(vreinterpretq_u8_s32(w), 4));
}

static inline float32x4_t to_float(int32x4_t x)
{
    return vcvtq_f32_s32(x);
}

static inline float32x4_t splat(float x)
{
    return vdupq_n_f32(x);
}

static inline void put(float *y, float32x4_t x, size_t lanes, bool accumulate)
{
    float lane[LANES];
    if (lanes == LANES) {
        vst1q_f32(y, accumulate ? vaddq_f32(vld1q_f32(y), x) : x);
        return;
    }
    vst1q_f32(lane, x);
    for (size_t i = 0; i < lanes; i++) y[i] = accumulate ? y[i] + lane[i] : lane[i];
}

#include "linear_int.h"

void linear_q8_dot(const struct linear_job *job, size_t begin, size_t end)
{
    panels(job, begin, end, true);
}

void linear_q4_dot(const struct linear_job *job, size_t begin, size_t end)
{
    panels(job, begin, end, false);
}
