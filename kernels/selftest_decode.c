/* selftest_decode.c: the ops of packed weights and of inference, one case each. */
#include "selftest_trial.h"

#include <string.h>

enum { ROWS = 5, OUTS = 37, COLS = 96, BLOCKS = COLS / OWM_BLOCK_WEIGHTS };

/* Weights as a file has them: bytes at random, the float16 scale of a block 2^-9 to 2^-7. */
static void make_source(struct trial *t, enum owm_format format, uint8_t *source)
{
    size_t block = format == OWM_FORMAT_Q8_0 ? OWM_BLOCK_BYTES_Q8_0 : OWM_BLOCK_BYTES_Q4_0;
    if (format == OWM_FORMAT_BF16) {
        for (size_t i = 0; i < OUTS * COLS; i++) {
            float w = 2 * owm_rng_f32(&t->rng) - 1;
            uint32_t bits;
            memcpy(&bits, &w, sizeof bits);
            uint16_t upper = (uint16_t)(bits >> 16);
            memcpy(source + 2 * i, &upper, sizeof upper);
        }
        return;
    }
    for (size_t b = 0; b < OUTS * BLOCKS; b++) {
        uint8_t *at = source + b * block;
        for (size_t i = 0; i < block; i++) at[i] = (uint8_t)owm_rng_u64(&t->rng);
        uint16_t scale = (uint16_t)(0x1800 + (at[0] % 3) * 0x400 + at[1]);
        memcpy(at, &scale, sizeof scale);
    }
}

/* The two sides pack in their own layouts, of their own sizes. */
static owm_status make_packed(struct trial *t, enum owm_format format, struct tensor *packed)
{
    uint8_t source[OUTS * COLS * 2];
    make_source(t, format, source);
    *packed = (struct tensor){.bytes = 0};
    for (int s = 0; s < SIDES; s++) {
        struct owm_device *on = t->device[s];
        size_t bytes = on->backend->packed_bytes(on, format, OUTS, COLS);
        if (bytes == 0) return trial_refused(t, s, OWM_E_ARG);
        TRIAL_ALL(on->backend->mem_alloc(on, &packed->at[s], bytes));
        t->made[t->made_count] = *packed;
        TRIAL_CALL(t, s, pack,
                   &(struct owm_pack){.packed = packed->at[s],
                                      .source = source,
                                      .format = format,
                                      .rows = OUTS,
                                      .cols = COLS});
    }
    t->made_count++;
    return OWM_OK;
}

static owm_status forward(struct trial *t, enum owm_format format)
{
    struct tensor packed = {.bytes = 0}, x = trial_numbers(t, ROWS * COLS);
    struct tensor y = trial_numbers(t, ROWS * OUTS), one = trial_poison(t, OUTS * 4);
    TRIAL_READY(t);
    TRIAL_ALL(make_packed(t, format, &packed));
    for (int s = 0; s < SIDES; s++) {
        struct owm_linear a = {.y = y.at[s],
                               .x = x.at[s],
                               .weights = packed.at[s],
                               .format = format,
                               .m = ROWS,
                               .n = OUTS,
                               .k = COLS,
                               .ldy = OUTS,
                               .ldx = COLS,
                               .accumulate = true};
        TRIAL_CALL(t, s, linear, &a);
        a.y = one.at[s], a.m = 1, a.accumulate = false; /* One row takes a path of its own. */
        TRIAL_CALL(t, s, linear, &a);
    }
    TRIAL_ALL(trial_close(t, y, 2e-3));
    return trial_close(t, one, 2e-3);
}

static owm_status try_linear(struct trial *t)
{
    for (int f = 0; f < OWM_FORMATS; f++) TRIAL_ALL(forward(t, (enum owm_format)f));
    return OWM_OK;
}

static owm_status backward(struct trial *t, enum owm_format format)
{
    struct tensor packed = {.bytes = 0}, dy = trial_numbers(t, ROWS * OUTS);
    struct tensor dx = trial_numbers(t, ROWS * COLS);
    TRIAL_READY(t);
    TRIAL_ALL(make_packed(t, format, &packed));
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, linear_bwd,
                   &(struct owm_linear_bwd){.dx = dx.at[s],
                                            .dy = dy.at[s],
                                            .weights = packed.at[s],
                                            .format = format,
                                            .m = ROWS,
                                            .n = OUTS,
                                            .k = COLS,
                                            .lddx = COLS,
                                            .lddy = OUTS,
                                            .accumulate = true});
    return trial_close(t, dx, 0.03);
}

static owm_status try_linear_bwd(struct trial *t)
{
    for (int f = 0; f < OWM_FORMATS; f++) TRIAL_ALL(backward(t, (enum owm_format)f));
    return OWM_OK;
}

/* What pack() made is the backend's own business, so it is judged by the products: when both are
 * wrong, it is pack; when one is, that one has a case of its own. */
static owm_status try_pack(struct trial *t)
{
    const struct owm_backend *b = t->device[TRIED]->backend;
    for (int f = 0; f < OWM_FORMATS; f++) {
        struct tensor packed = {.bytes = 0};
        TRIAL_ALL(make_packed(t, (enum owm_format)f, &packed));
        if (!b->linear || forward(t, (enum owm_format)f) == OWM_OK) continue;
        if (!b->linear_bwd || backward(t, (enum owm_format)f) == OWM_OK) continue;
        return OWM_E_DEVICE;
    }
    return OWM_OK;
}

static owm_status try_packed_bytes(struct trial *t)
{
    struct owm_device *on = t->device[TRIED];
    static const size_t file_bytes[OWM_FORMATS] = {OUTS * COLS * 2,
                                                   OUTS * BLOCKS * OWM_BLOCK_BYTES_Q8_0,
                                                   OUTS * BLOCKS * OWM_BLOCK_BYTES_Q4_0};
    bool good = on->backend->packed_bytes(on, OWM_FORMATS, OUTS, COLS) == 0
                && on->backend->packed_bytes(on, OWM_FORMAT_Q8_0, OUTS, COLS + 1) == 0
                && on->backend->packed_bytes(on, OWM_FORMAT_Q4_0, 0, COLS) == 0;
    for (int f = 0; f < OWM_FORMATS; f++)
        good &= on->backend->packed_bytes(on, (enum owm_format)f, OUTS, COLS) >= file_bytes[f];
    return good ? OWM_OK : trial_refused(t, TRIED, OWM_E_ARG);
}

/* A cache of six pages for two sequences of up to three. */
enum { PAGES = 6, SEQUENCES = 2, EACH = 3, HEADS = 4, KV_HEADS = 2, DIM = 16, TOKENS = 7 };
#define CACHE_VALUES (PAGES * OWM_PAGE_TOKENS * KV_HEADS * DIM)

static owm_status put(struct trial *t, bool bf16)
{
    enum { STRIDE = KV_HEADS * DIM + 8 };
    static const uint32_t slot[TOKENS] = {0, 95, 17, 16, 33, 50, 94};
    size_t bytes = CACHE_VALUES * (bf16 ? 2 : 4);
    struct tensor k = trial_numbers(t, TOKENS * STRIDE), v = trial_numbers(t, TOKENS * STRIDE);
    struct tensor k_cache = trial_poison(t, bytes), v_cache = trial_poison(t, bytes);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, kv_put,
                   &(struct owm_kv_put){.cache = {.k = k_cache.at[s],
                                                  .v = v_cache.at[s],
                                                  .pages = PAGES,
                                                  .kv_heads = KV_HEADS,
                                                  .head_dim = DIM,
                                                  .bf16 = bf16},
                                        .k = k.at[s],
                                        .v = v.at[s],
                                        .slot = slot,
                                        .rows = TOKENS,
                                        .stride = STRIDE});
    TRIAL_ALL(trial_same(t, k_cache));
    return trial_same(t, v_cache);
}

static owm_status try_kv_put(struct trial *t)
{
    TRIAL_ALL(put(t, false));
    return put(t, true);
}

static owm_status try_attention_paged(struct trial *t)
{
    static const uint32_t page[SEQUENCES * EACH] = {4, 0, 2, 5, 1, 3};
    static const uint32_t sequence[TOKENS] = {0, 0, 1, 0, 1, 1, 0};
    static const uint32_t position[TOKENS] = {0, 47, 15, 16, 31, 3, 20};
    struct tensor q = trial_numbers(t, TOKENS * HEADS * DIM);
    struct tensor k = trial_numbers(t, CACHE_VALUES), v = trial_numbers(t, CACHE_VALUES);
    struct tensor out = trial_poison(t, q.bytes);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, attention_paged,
                   &(struct owm_attention_paged){.out = out.at[s],
                                                 .q = q.at[s],
                                                 .cache = {.k = k.at[s],
                                                           .v = v.at[s],
                                                           .pages = PAGES,
                                                           .kv_heads = KV_HEADS,
                                                           .head_dim = DIM},
                                                 .page = page,
                                                 .sequence = sequence,
                                                 .position = position,
                                                 .rows = TOKENS,
                                                 .stride = HEADS * DIM,
                                                 .heads = HEADS,
                                                 .sequences = SEQUENCES,
                                                 .pages_each = EACH});
    return trial_close(t, out, 2e-4);
}

enum { VOCAB = 301 };

static owm_status try_softmax(struct trial *t)
{
    struct tensor x = trial_numbers(t, ROWS * VOCAB), out = trial_poison(t, ROWS * VOCAB * 4);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, softmax,
                   &(struct owm_softmax){
                       .out = out.at[s], .x = x.at[s], .rows = ROWS, .cols = VOCAB, .scale = 3});
    return trial_close(t, out, 1e-5);
}

/* Greedy, free, and cut by top_k and top_p; the numbers lie far from any border. */
static owm_status try_sample(struct trial *t)
{
    static const float uniform[ROWS] = {0, 0.25f, 0.5f, 0.75f, 0.96875f};
    static const struct {
        uint32_t top_k;
        float temperature, top_p;
    } way[] = {{0, 0, 1}, {0, 0.7f, 1}, {9, 0.5f, 1}, {40, 0.9f, 0.6f}};
    struct tensor logits = trial_numbers(t, ROWS * VOCAB);
    TRIAL_READY(t);
    for (size_t w = 0; w < sizeof way / sizeof *way; w++) {
        uint32_t token[SIDES][ROWS];
        memset(token, 0xff, sizeof token);
        for (int s = 0; s < SIDES; s++)
            TRIAL_CALL(t, s, sample,
                       &(struct owm_sample){.token = token[s],
                                            .logits = logits.at[s],
                                            .uniform = uniform,
                                            .rows = ROWS,
                                            .vocab = VOCAB,
                                            .top_k = way[w].top_k,
                                            .temperature = way[w].temperature,
                                            .top_p = way[w].top_p});
        TRIAL_ALL(trial_host(t, token[TRIED], token[JUDGE], sizeof token[0]));
    }
    return OWM_OK;
}

const struct trial_case trial_decode[] = {
    TRIAL_CASE(packed_bytes), TRIAL_CASE(pack),   TRIAL_CASE(linear),
    TRIAL_CASE(linear_bwd),   TRIAL_CASE(kv_put), TRIAL_CASE(attention_paged),
    TRIAL_CASE(softmax),      TRIAL_CASE(sample), {0}};
