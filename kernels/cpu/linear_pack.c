/* linear_pack.c: weights as files have them into panels of 16 rows (linear_path.h). */
#include "base/pool.h"
#include "kernels/check.h"
#include "linear_path.h"

size_t cpu_packed_bytes(struct owm_device *device, enum owm_format format, uint32_t rows,
                        uint32_t cols)
{
    (void)device;
    if (!rows || !owm_source_row_bytes(format, cols)) return 0;
    size_t panels = ((size_t)rows + LINEAR_PANEL - 1) / LINEAR_PANEL;
    return panels * linear_panel_bytes(format, cols);
}

static void pack_bf16(uint8_t *panel, const uint8_t *source, size_t r, uint32_t cols)
{
    for (size_t k = 0; k < cols; k++) {
        size_t at = (k / 2 * LINEAR_PANEL + r) * 2 + k % 2;
        memcpy(panel + at * 2, source + k * 2, 2);
    }
}

/** Quantised rows: `fours` groups of four bytes a block; `flip` turns i8 into u8 with zero point
 *  128. */
static void pack_quants(uint8_t *panel, const uint8_t *source, size_t r, size_t blocks,
                        size_t fours, uint8_t flip)
{
    uint8_t *quants = panel + blocks * LINEAR_PANEL * 2;
    for (size_t b = 0; b < blocks; b++, source += 2 + 4 * fours) {
        memcpy(panel + (b * LINEAR_PANEL + r) * 2, source, 2);
        for (size_t i = 0; i < 4 * fours; i++)
            quants[((b * fours + i / 4) * LINEAR_PANEL + r) * 4 + i % 4] = source[2 + i] ^ flip;
    }
}

static void pack_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct owm_pack *p = ctx;
    (void)worker;
    size_t panel_bytes = linear_panel_bytes(p->format, p->cols);
    size_t row_bytes = owm_source_row_bytes(p->format, p->cols);
    for (size_t i = begin; i < end; i++) {
        uint8_t *panel = (uint8_t *)p->packed + i * panel_bytes;
        memset(panel, 0, panel_bytes);
        for (size_t r = 0; r < LINEAR_PANEL && i * LINEAR_PANEL + r < p->rows; r++) {
            const uint8_t *source = (const uint8_t *)p->source + (i * LINEAR_PANEL + r) * row_bytes;
            if (p->format == OWM_FORMAT_BF16)
                pack_bf16(panel, source, r, p->cols);
            else if (p->format == OWM_FORMAT_Q8_0)
                pack_quants(panel, source, r, p->cols / LINEAR_COLS, 8, 0x80);
            else
                pack_quants(panel, source, r, p->cols / LINEAR_COLS, 4, 0);
        }
    }
}

owm_status cpu_pack(struct owm_device *device, const struct owm_pack *p)
{
    owm_status status = owm_check_pack(p);
    if (status != OWM_OK) return status;
    size_t panels = ((size_t)p->rows + LINEAR_PANEL - 1) / LINEAR_PANEL;
    owm_pool_for(device->pool, panels, 1 + 65536 / p->cols, pack_job, (void *)p);
    return OWM_OK;
}
