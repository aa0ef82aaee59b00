/* linear.h: contracts of the ops over packed weights (a part of ops.h): what inference and LoRA
 * read. Weights come in as files have them and are packed once, at load, into the layout that the
 * backend reads fastest.
 *
 * Letters: M rows of activations, N rows of weights (outputs), K columns of both. Q8_0 and Q4_0 are
 * the block formats of GGUF: 32 weights of one row share a float16 scale d.
 *   Q8_0  34 bytes: d, 32 x i8;             w = d * q
 *   Q4_0  18 bytes: d, 16 bytes of nibbles; w = d * (q - 8); low nibble of byte j is weight j, high
 *         nibble weight j + 16
 */
#ifndef OWM_KERNELS_LINEAR_H
#define OWM_KERNELS_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum owm_format { OWM_FORMAT_BF16, OWM_FORMAT_Q8_0, OWM_FORMAT_Q4_0, OWM_FORMATS };

#define OWM_BLOCK_WEIGHTS    32 /* Weights per block of Q8_0 and Q4_0. */
#define OWM_BLOCK_BYTES_Q8_0 34
#define OWM_BLOCK_BYTES_Q4_0 18

/** Most columns of a packed matrix: what bounds the work space for activations. */
#define OWM_LINEAR_COLS_MAX 65536

/** packed_bytes (no struct): bytes of device memory that pack() fills for N rows of K; 0 for an
 *  unknown format, a zero size, K above OWM_LINEAR_COLS_MAX, or K that is no multiple of 32 in Q8_0
 *  and Q4_0. */

/** pack: bring a weight matrix into the backend's own layout. Synchronous; not for the hot path.
 *
 *  packed  packed_bytes() of device memory; written.
 *  source  [N] rows as the file has them, host: bf16 [K], or [K / 32] blocks.
 *  Returns: OWM_OK; OWM_E_ARG also where packed_bytes is 0; OWM_E_NOMEM; OWM_E_DEVICE. */
struct owm_pack {
    void *packed;
    const void *source;
    enum owm_format format;
    uint32_t rows, cols; /* N, K */
};

/** linear: y = x W^T, plus what y held when `accumulate`.
 *
 *  y  [M][N] f32, stride ldy; written (read too when accumulate).
 *  x  [M][K] f32, stride ldx, finite; does not overlap y.
 *  weights  as pack() left them, with the same format, N and K.
 *  BF16: x is rounded to bfloat16 (nearest even) first; products and sums are f32. Subnormal values
 *     may count as 0 (processors' dot products do that).
 *  Q8_0, Q4_0: each group of 32 of x is rounded to q = rint(x * (127 / max|x|)) with the scale
 *     max|x| / 127 first (both f32; q = 0 where the group is 0, or so small that 127 / max|x| is
 *     infinite); sums inside a group are exact integers, across groups f32.
 *  Returns: OWM_OK; OWM_E_ARG also where packed_bytes is 0; OWM_E_DEVICE.
 *  Exact: the same bits on every run of one backend; within 1e-5 of the reference, which rounds x
 *     alike, relative to the sum of magnitudes. */
struct owm_linear {
    float *y;
    const float *x;
    const void *weights;
    enum owm_format format;
    uint32_t m, n, k, ldy, ldx;
    bool accumulate;
};

/** linear_bwd: the gradient of the input: dx = dy W, plus what dx held when `accumulate`. The
 *  weights stay as they are (LoRA on a quantised base): there is no gradient for them.
 *
 *  dx  [M][K] f32, stride lddx; written.   dy  [M][N] f32, stride lddy; does not overlap dx.
 *  weights  as in linear. Both dy and the widened weights may be rounded to bfloat16.
 *  Returns: as linear.
 *  Exact: as linear, within 1e-2 of the reference, which rounds neither. */
struct owm_linear_bwd {
    float *dx;
    const float *dy;
    const void *weights;
    enum owm_format format;
    uint32_t m, n, k, lddx, lddy;
    bool accumulate;
};

#endif
