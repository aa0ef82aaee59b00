/* linear_back.c: dx = dy W on the host. A part of W at a time is turned round into BF16 panels of a
 * thread's own scratch, and multiplied as linear does. Pieces of rows and of W's rows come in a
 * fixed order, and a thread has whole columns of dx: the same bits for any number of them. */
#include "base/pool.h"
#include "cpu.h"
#include "kernels/check.h"
#include "linear_path.h"

/* W's rows in a piece, columns in a turn: 512 KiB turned round, which stay in a second-level cache
 * while the rows of dy pass by; few turns' worth of reading and writing dx. */
#define PIECE_ROWS  2048
#define TURN_PANELS 8
_Static_assert((size_t)PIECE_ROWS *TURN_PANELS *LINEAR_PANEL * 2
                   <= CPU_SCRATCH_FLOATS * sizeof(float),
               "a turn fits the scratch of a worker");

/* Rows of dy that are prepared at once; what is turned round serves all of them. */
#define CHUNK_ROWS 512
_Static_assert((size_t)CHUNK_ROWS *PIECE_ROWS * 4 <= LINEAR_X_BYTES,
               "prepared rows fit the work space");

struct back {
    const struct owm_linear_bwd *a;
    struct cpu_device *cpu;
    const struct linear_form *form; /* Of BF16. */
    uint32_t row, rows;             /* Of dy. */
    uint32_t piece, pieces;         /* W's first row and how many. */
};

static uint32_t low(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void prepare_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct back *r = ctx;
    size_t row_bytes = (size_t)linear_blocks(r->pieces) * r->form->x;
    (void)worker;
    for (size_t i = begin * LINEAR_PANEL; i < end * LINEAR_PANEL; i += LINEAR_PANEL)
        r->form->prepare(r->cpu->linear_x + i * row_bytes,
                         r->a->dy + (r->row + i) * r->a->lddy + r->piece, r->a->lddy,
                         low(LINEAR_PANEL, r->rows - (uint32_t)i), r->pieces, 0);
}

static void turn_job(void *ctx, size_t begin, size_t end, unsigned worker)
{
    const struct back *r = ctx;
    float *scratch = cpu_scratch(r->cpu, worker);
    for (size_t i = begin; i < end; i++) {
        uint32_t column = (uint32_t)(i * TURN_PANELS * LINEAR_PANEL);
        uint32_t columns = low(TURN_PANELS * LINEAR_PANEL, r->a->k - column);
        struct linear_turn turn = {.weights = r->a->weights,
                                   .format = r->a->format,
                                   .rows = r->a->n,
                                   .cols = r->a->k,
                                   .row = r->piece,
                                   .blocks = linear_blocks(r->pieces),
                                   .column = column,
                                   .panels = (columns + LINEAR_PANEL - 1) / LINEAR_PANEL};
        struct linear_job job = {.weights = (const uint8_t *)scratch,
                                 .x = r->cpu->linear_x,
                                 .panel_bytes = linear_panel_bytes(OWM_FORMAT_BF16, r->pieces),
                                 .y = r->a->dx + (size_t)r->row * r->a->lddx + column,
                                 .ldy = r->a->lddx,
                                 .m = r->rows,
                                 .n = columns,
                                 .blocks = turn.blocks,
                                 .accumulate = r->a->accumulate || r->piece > 0};
        r->cpu->linear->turn(scratch, &turn);
        r->form->run(&job, 0, turn.panels);
    }
}

owm_status cpu_linear_bwd(struct owm_device *device, const struct owm_linear_bwd *a)
{
    owm_status status = owm_check_linear_bwd(a);
    if (status != OWM_OK) return status;
    struct cpu_device *cpu = cpu_of(device);
    struct back back = {.a = a, .cpu = cpu, .form = &cpu->linear->form[OWM_FORMAT_BF16]};
    size_t turns = ((size_t)a->k + TURN_PANELS * LINEAR_PANEL - 1) / (TURN_PANELS * LINEAR_PANEL);
    for (uint64_t row = 0; row < a->m; row += CHUNK_ROWS)
        for (uint64_t piece = 0; piece < a->n; piece += PIECE_ROWS) {
            back.row = (uint32_t)row;
            back.rows = low(CHUNK_ROWS, a->m - back.row);
            back.piece = (uint32_t)piece;
            back.pieces = low(PIECE_ROWS, a->n - back.piece);
            size_t blocks = (back.rows + LINEAR_PANEL - 1) / LINEAR_PANEL;
            owm_pool_for(device->pool, blocks, 1, prepare_job, &back);
            owm_pool_for(device->pool, turns, 1, turn_job, &back);
        }
    return OWM_OK;
}
