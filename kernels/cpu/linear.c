/* linear.c: reference of the ops over packed weights. "Packed" here is a copy of the source, and
 * one weight at a time is read from it. */
#include <math.h>

#include "bf16.h"
#include "kernels/check.h"
#include "linear_path.h"

size_t ref_packed_bytes(struct owm_device *device, enum owm_format format, uint32_t rows,
                        uint32_t cols)
{
    (void)device;
    return rows * owm_source_row_bytes(format, cols);
}

owm_status ref_pack(struct owm_device *device, const struct owm_pack *p)
{
    owm_status status = owm_check_pack(p);
    if (status == OWM_OK)
        memcpy(p->packed, p->source, ref_packed_bytes(device, p->format, p->rows, p->cols));
    return status;
}

static float scale_at(const uint8_t *block)
{
    uint16_t half;
    memcpy(&half, block, sizeof half);
    return linear_half(half);
}

/** The integer of column k, without its scale. */
static int quant_at(enum owm_format format, const uint8_t *row, size_t k)
{
    size_t b = k / OWM_BLOCK_WEIGHTS, i = k % OWM_BLOCK_WEIGHTS;
    if (format == OWM_FORMAT_Q8_0) return (int8_t)row[b * OWM_BLOCK_BYTES_Q8_0 + 2 + i];
    uint8_t pair = row[b * OWM_BLOCK_BYTES_Q4_0 + 2 + i % 16];
    return (i < 16 ? pair & 15 : pair >> 4) - 8;
}

static double weight_at(enum owm_format format, const uint8_t *row, size_t k)
{
    if (format == OWM_FORMAT_BF16) {
        uint16_t bf16;
        memcpy(&bf16, row + 2 * k, sizeof bf16);
        return (double)bf16_widen(bf16);
    }
    size_t bytes = format == OWM_FORMAT_Q8_0 ? OWM_BLOCK_BYTES_Q8_0 : OWM_BLOCK_BYTES_Q4_0;
    return (double)scale_at(row + k / OWM_BLOCK_WEIGHTS * bytes) * quant_at(format, row, k);
}

static double dot_bf16(const uint8_t *row, const float *x, uint32_t k)
{
    double sum = 0;
    for (uint32_t i = 0; i < k; i++)
        sum += (double)bf16_widen(bf16_of(x[i])) * weight_at(OWM_FORMAT_BF16, row, i);
    return sum;
}

/** One group: x rounded to integers, an integer sum, then both scales. */
static double dot_group(enum owm_format format, const uint8_t *row, const float *x, size_t k0)
{
    float top = 0;
    for (size_t i = 0; i < OWM_BLOCK_WEIGHTS; i++) top = fmaxf(top, fabsf(x[k0 + i]));
    float inverse = 127.0f / top;
    if (!isfinite(inverse)) return 0;
    long sum = 0;
    for (size_t i = 0; i < OWM_BLOCK_WEIGHTS; i++)
        sum += lrintf(x[k0 + i] * inverse) * quant_at(format, row, k0 + i);
    size_t bytes = format == OWM_FORMAT_Q8_0 ? OWM_BLOCK_BYTES_Q8_0 : OWM_BLOCK_BYTES_Q4_0;
    float scale = top / 127.0f;
    return (double)sum * (double)scale * (double)scale_at(row + k0 / OWM_BLOCK_WEIGHTS * bytes);
}

static double dot_row(enum owm_format format, const uint8_t *row, const float *x, uint32_t k)
{
    if (format == OWM_FORMAT_BF16) return dot_bf16(row, x, k);
    double sum = 0;
    for (uint32_t k0 = 0; k0 < k; k0 += OWM_BLOCK_WEIGHTS) sum += dot_group(format, row, x, k0);
    return sum;
}

owm_status ref_linear(struct owm_device *device, const struct owm_linear *a)
{
    (void)device;
    owm_status status = owm_check_linear(a);
    if (status != OWM_OK) return status;
    size_t row_bytes = owm_source_row_bytes(a->format, a->k);
    for (size_t i = 0; i < a->m; i++)
        for (size_t j = 0; j < a->n; j++) {
            const uint8_t *row = (const uint8_t *)a->weights + j * row_bytes;
            float *y = &a->y[i * a->ldy + j];
            double before = a->accumulate ? (double)*y : 0;
            *y = (float)(before + dot_row(a->format, row, a->x + i * a->ldx, a->k));
        }
    return OWM_OK;
}

owm_status ref_linear_bwd(struct owm_device *device, const struct owm_linear_bwd *a)
{
    (void)device;
    owm_status status = owm_check_linear_bwd(a);
    if (status != OWM_OK) return status;
    size_t row_bytes = owm_source_row_bytes(a->format, a->k);
    for (size_t i = 0; i < a->m; i++)
        for (size_t c = 0; c < a->k; c++) {
            float *dx = &a->dx[i * a->lddx + c];
            double sum = a->accumulate ? (double)*dx : 0;
            for (size_t j = 0; j < a->n; j++)
                sum += (double)a->dy[i * a->lddy + j]
                       * weight_at(a->format, (const uint8_t *)a->weights + j * row_bytes, c);
            *dx = (float)sum;
        }
    return OWM_OK;
}
