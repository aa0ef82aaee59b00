/* linear_run.c: y = x W^T on the host: rows in chunks whose prepared activations fit a cache,
 * panels of weights shared out to the threads. Each output is computed by one thread in a fixed
 * order: the same bits for any number of them. */
#include "base/pool.h"
#include "cpu.h"
#include "kernels/check.h"
#include "linear_path.h"

/* Prepared activations of a chunk: they should stay in a second-level cache beside a few panels. */
#define CHUNK_BYTES ((size_t)1 << 20)

/* Least work of a thread's turn: weights are read from memory when there are few rows, and used
 * often when there are many. */
#define TURN_BYTES ((size_t)256 << 10)

struct run {
    struct linear_job job;
    const struct linear_form *form;
    const struct owm_linear *a;
    uint8_t *x;       /* What job.x reads. */
    size_t row_bytes; /* Of prepared activations. */
    uint32_t first, rows;
    int32_t zero_point;
};

static uint32_t low(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void prepare_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct run *r = ctx;
    (void)worker;
    for (size_t i = begin * LINEAR_PANEL; i < end * LINEAR_PANEL; i += LINEAR_PANEL)
        r->form->prepare(r->x + i * r->row_bytes, r->a->x + (r->first + i) * r->a->ldx, r->a->ldx,
                         low(LINEAR_PANEL, r->rows - (uint32_t)i), r->a->k, r->zero_point);
}

static void panel_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct run *r = ctx;
    size_t panels = ((size_t)r->job.n + LINEAR_PANEL - 1) / LINEAR_PANEL, each = r->form->panels;
    (void)worker;
    end *= each;
    r->form->run(&r->job, begin * each, end < panels ? end : panels);
}

static uint32_t rows_of_chunk(size_t row_bytes)
{
    size_t rows = CHUNK_BYTES / row_bytes / LINEAR_PANEL * LINEAR_PANEL;
    return rows < LINEAR_PANEL ? LINEAR_PANEL : (uint32_t)rows;
}

owm_status cpu_linear(struct owm_device *device, const struct owm_linear *a)
{
    owm_status status = owm_check_linear(a);
    if (status != OWM_OK) return status;
    const struct linear_form *form = &cpu_of(device)->linear->form[a->format];
    uint32_t blocks = linear_blocks(a->k);
    size_t row_bytes = (size_t)blocks * form->x, bytes = linear_panel_bytes(a->format, a->k);
    struct run run = {.job = {.weights = a->weights,
                              .x = cpu_of(device)->linear_x,
                              .panel_bytes = bytes,
                              .ldy = a->ldy,
                              .n = a->n,
                              .blocks = blocks,
                              .accumulate = a->accumulate},
                      .form = form,
                      .a = a,
                      .x = cpu_of(device)->linear_x,
                      .row_bytes = row_bytes,
                      .zero_point = a->format == OWM_FORMAT_Q8_0 ? 128 : 8};
    uint32_t chunk = rows_of_chunk(row_bytes);
    for (run.first = 0; run.first < a->m; run.first += run.rows) {
        run.rows = run.job.m = low(chunk, a->m - run.first);
        run.job.y = a->y + (size_t)run.first * a->ldy;
        size_t x_blocks = (run.rows + LINEAR_PANEL - 1) / LINEAR_PANEL;
        owm_pool_for(device->pool, x_blocks, 1, prepare_job, &run);
        size_t turns =
            ((size_t)a->n + LINEAR_PANEL * form->panels - 1) / (LINEAR_PANEL * form->panels);
        size_t grain = TURN_BYTES / (bytes * form->panels * x_blocks);
        owm_pool_for(device->pool, turns, grain, panel_job, &run);
        if (a->m - run.first == run.rows) break; /* m may be near 2^32. */
    }
    return OWM_OK;
}
