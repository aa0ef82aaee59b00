/* pack.cu: weights as files have them into the layout of packed.cuh. The source goes through the
 * scratch memory some rows at a time; a thread makes one chunk. */
#include "ops_cuda.h"
#include "packed.cuh"

#define THREADS     256
#define PIECE_BYTES ((size_t)32 << 20)

/** Two bytes of the source, which begins anywhere even. */
static __device__ __forceinline__ uint32_t pair_at(const uint16_t *row, uint32_t index,
                                                   uint32_t count)
{
    return index < count ? row[index] : 0;
}

static __device__ __forceinline__ uint32_t word_at(const uint16_t *row, uint32_t index,
                                                   uint32_t count)
{
    return pair_at(row, index, count) | pair_at(row, index + 1, count) << 16;
}

/* Chunk `i` of the rows of this piece; row_pairs: 16-bit words of a row of the source. */
static __global__ void __launch_bounds__(THREADS)
    pack_kernel(uint4 *chunk, uint16_t *scale, const uint16_t *source, enum owm_format format,
                size_t all, uint32_t chunks, uint32_t scales, uint32_t row_pairs)
{
    size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= all) return;
    size_t n = i / chunks;
    uint32_t c = (uint32_t)(i % chunks);
    const uint16_t *row = source + n * row_pairs;
    uint32_t at = c * 8, flip = 0;
    if (format != OWM_FORMAT_BF16) {
        bool wide = format == OWM_FORMAT_Q8_0;
        uint32_t block = wide ? c / 2 : c;
        uint32_t begin = block * (wide ? OWM_BLOCK_BYTES_Q8_0 : OWM_BLOCK_BYTES_Q4_0) / 2;
        at = begin + 1 + (wide ? c % 2 * 8 : 0);
        flip = wide ? 0 : 0x88888888u;
        scale[n * scales + block] = row[begin];
        if (c + 1 == chunks && block + 1 < scales) scale[n * scales + block + 1] = 0;
    }
    chunk[i] =
        make_uint4(word_at(row, at, row_pairs) ^ flip, word_at(row, at + 2, row_pairs) ^ flip,
                   word_at(row, at + 4, row_pairs) ^ flip, word_at(row, at + 6, row_pairs) ^ flip);
}

extern "C" size_t gpu_packed_bytes(struct owm_device *device, enum owm_format format, uint32_t rows,
                                   uint32_t cols)
{
    (void)device;
    if (!rows || !owm_source_row_bytes(format, cols)) return 0;
    return packed_scale_offset(format, rows, cols)
           + (size_t)rows * packed_scales(format, cols) * sizeof(uint16_t);
}

extern "C" owm_status gpu_pack(struct owm_device *device, const struct owm_pack *p)
{
    owm_status status = owm_check_pack(p);
    if (status != OWM_OK) return status;
    size_t row_bytes = owm_source_row_bytes(p->format, p->cols);
    size_t rows_each = row_bytes < PIECE_BYTES ? PIECE_BYTES / row_bytes : 1;
    if (rows_each > p->rows) rows_each = p->rows;
    uint16_t *piece = (uint16_t *)gpu_scratch(device, rows_each * row_bytes);
    if (!piece) return OWM_E_NOMEM;
    packed_view to = packed_of(p->packed, p->format, p->rows, p->cols);
    for (size_t row = 0; status == OWM_OK && row < p->rows; row += rows_each) {
        size_t rows = p->rows - row < rows_each ? p->rows - row : rows_each;
        status = device->backend->mem_put(
            device, piece, (const uint8_t *)p->source + row * row_bytes, rows * row_bytes);
        if (status != OWM_OK) break;
        OWM_LAUNCH(pack_kernel, gpu_blocks(rows * to.chunks, THREADS), THREADS, 0,
                   gpu_stream(device), (uint4 *)to.chunk + row * to.chunks,
                   (uint16_t *)to.scale + row * to.scales, piece, p->format, rows * to.chunks,
                   to.chunks, to.scales, (uint32_t)(row_bytes / 2));
        status = gpu_launched();
    }
    return status == OWM_OK ? device->backend->sync(device) : status;
}
