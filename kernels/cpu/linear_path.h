/* linear_path.h: the cpu's layout of packed weights, and the ways in which this processor
 * multiplies by it.
 *
 * Weight rows go in panels of 16, the last one filled up with zeros; columns in blocks of 32 (in
 * BF16 too: the last one is filled up). A panel, with KB blocks:
 *   BF16  [KB][16 pairs][16 rows][2] bf16
 *   Q8_0  [KB][16 rows] f16 scales, then [KB][8 fours][16 rows][4] u8 = q + 128
 *   Q4_0  [KB][16 rows] f16 scales, then [KB][4 fours][16 rows][4] bytes of two nibbles as in GGUF
 * which are exactly the bytes of the source. A 64-byte register then holds a few columns of all 16
 * rows, an accumulator one output of each, and nothing is ever summed across lanes. The same
 * squares are what a tile of AMX takes as its second operand.
 *
 * Activations are prepared in blocks of up to 16 rows. For each 32 columns of a block of R rows:
 *   LINEAR_X_Q     [R][32] i8, [R] f32 scale, [R] i32 start: minus the weights' zero point times
 *                  the sum of the 32, so that unsigned weights come out right
 *   LINEAR_X_BF16  [R][32] bf16
 *   LINEAR_X_F32   [R][32] f32, rounded to bf16
 */
#ifndef OWM_KERNELS_CPU_LINEAR_PATH_H
#define OWM_KERNELS_CPU_LINEAR_PATH_H

#include <string.h>

#include "kernels/backend.h"

#define LINEAR_PANEL 16 /* Weight rows in a panel, activation rows in a block. */
#define LINEAR_COLS  32 /* Columns that share a scale; columns of a tile of BF16. */

/* Bytes of one row's 32 prepared activations. */
enum linear_x { LINEAR_X_Q = 40, LINEAR_X_BF16 = 64, LINEAR_X_F32 = 128 };

/* Work space for prepared activations: a block of the widest matrix in the largest form. */
#define LINEAR_X_BYTES ((size_t)LINEAR_PANEL * OWM_LINEAR_COLS_MAX * 4)

/** linear_job: some rows of activations, prepared, times all panels. */
struct linear_job {
    const uint8_t *weights, *x;
    size_t panel_bytes;
    float *y;
    size_t ldy;
    uint32_t m, n, blocks; /* blocks: KB */
    bool accumulate;
};

/** linear_form: how one format is multiplied: its activations, and panels [begin, end) of a job.
 *  zero_point: of the packed weights. */
struct linear_form {
    enum linear_x x;
    void (*prepare)(void *block, const float *x, size_t ldx, uint32_t rows, uint32_t cols,
                    int32_t zero_point);
    void (*run)(const struct linear_job *job, size_t begin, size_t end);
    unsigned panels; /* At once, for speed: a chunk of a thread is a multiple. */
};

/** linear_turn: `panels` BF16 panels of 16 columns from `column` on, as if these were rows, over
 *  `blocks` times 32 of the rows from `row` (a multiple of 32) on, of weights packed in `format`.
 */
struct linear_turn {
    const uint8_t *weights;
    enum owm_format format;
    uint32_t rows, cols; /* of the whole matrix */
    uint32_t row, blocks, column, panels;
};

/** linear_path: name for benchmarks; isa: of the table it belongs to (backend_cpu.c). */
struct linear_path {
    const char *name, *isa;
    bool (*here)(void);
    void (*turn)(void *out, const struct linear_turn *turn);
    struct linear_form form[OWM_FORMATS];
};

/** linear_path_at: best first; NULL past the end. linear_path_best: the first that is here and
 *  belongs to `isa` (NULL: to any). */
const struct linear_path *linear_path_at(size_t index);
const struct linear_path *linear_path_best(const char *isa);

static inline uint32_t linear_blocks(uint32_t cols)
{
    return (cols + LINEAR_COLS - 1) / LINEAR_COLS;
}

/** Bytes of 32 columns of a panel. */
static inline size_t linear_square_bytes(enum owm_format format)
{
    return format == OWM_FORMAT_BF16   ? LINEAR_PANEL * LINEAR_COLS * 2
           : format == OWM_FORMAT_Q8_0 ? LINEAR_PANEL * OWM_BLOCK_BYTES_Q8_0
                                       : LINEAR_PANEL * OWM_BLOCK_BYTES_Q4_0;
}

static inline size_t linear_panel_bytes(enum owm_format format, uint32_t cols)
{
    return linear_blocks(cols) * linear_square_bytes(format);
}

/** linear_half: IEEE binary16 to f32, exactly. */
static inline float linear_half(uint16_t h)
{
    uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
    float f;
    memcpy(&f, &magnitude, sizeof f);
    f *= 0x1p112f; /* The bias of the exponents differs by that; subnormals come out right. */
    if (magnitude >= 0x7c00u << 13) {
        magnitude |= 0x7f800000;
        memcpy(&f, &magnitude, sizeof f);
    }
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    bits |= sign;
    memcpy(&f, &bits, sizeof f);
    return f;
}

size_t ref_packed_bytes(struct owm_device *, enum owm_format, uint32_t rows, uint32_t cols);
owm_status ref_pack(struct owm_device *, const struct owm_pack *);
owm_status ref_linear(struct owm_device *, const struct owm_linear *);
owm_status ref_linear_bwd(struct owm_device *, const struct owm_linear_bwd *);

size_t cpu_packed_bytes(struct owm_device *, enum owm_format, uint32_t rows, uint32_t cols);
owm_status cpu_pack(struct owm_device *, const struct owm_pack *);
owm_status cpu_linear(struct owm_device *, const struct owm_linear *);
owm_status cpu_linear_bwd(struct owm_device *, const struct owm_linear_bwd *);

#endif
