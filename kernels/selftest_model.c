/* selftest_model.c: the ops of training, one case each. Sizes are odd on purpose; tolerances are
 * the contract's 1e-4 of the sum of magnitudes, which each case bounds for its own sizes. */
#include "selftest_trial.h"

#define EPS 1e-5f

static owm_status try_gemm(struct trial *t)
{
    enum { M = 37, N = 41, K = 69 };
    struct tensor a = trial_numbers(t, M * K), b = trial_numbers(t, K * N);
    struct tensor plain = trial_poison(t, M * N * 4), added = trial_numbers(t, M * N);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) {
        struct owm_gemm g = {.c = plain.at[s],
                             .a = a.at[s],
                             .b = b.at[s],
                             .m = M,
                             .n = N,
                             .k = K,
                             .ldc = N,
                             .lda = K,
                             .ldb = N};
        TRIAL_CALL(t, s, gemm, &g);
        g.c = added.at[s], g.accumulate = true;
        g.trans_a = g.trans_b = true, g.lda = M, g.ldb = K;
        TRIAL_CALL(t, s, gemm, &g);
    }
    TRIAL_ALL(trial_close(t, plain, 1e-4 * K / 4));
    return trial_close(t, added, 1e-4 * K / 4);
}

enum { ROWS = 19, COLS = 131 };

static owm_status try_rmsnorm(struct trial *t)
{
    struct tensor x = trial_numbers(t, ROWS * COLS), weight = trial_numbers(t, COLS);
    struct tensor out = trial_poison(t, ROWS * COLS * 4);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, rmsnorm,
                   &(struct owm_rmsnorm){.out = out.at[s],
                                         .x = x.at[s],
                                         .weight = weight.at[s],
                                         .rows = ROWS,
                                         .cols = COLS,
                                         .eps = EPS});
    return trial_close(t, out, 2e-4);
}

static owm_status try_rmsnorm_bwd(struct trial *t)
{
    struct tensor x = trial_numbers(t, ROWS * COLS), weight = trial_numbers(t, COLS);
    struct tensor dout = trial_numbers(t, ROWS * COLS), dx = trial_numbers(t, ROWS * COLS);
    struct tensor dweight = trial_numbers(t, COLS);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, rmsnorm_bwd,
                   &(struct owm_rmsnorm_bwd){.dx = dx.at[s],
                                             .dweight = dweight.at[s],
                                             .dout = dout.at[s],
                                             .x = x.at[s],
                                             .weight = weight.at[s],
                                             .rows = ROWS,
                                             .cols = COLS,
                                             .eps = EPS});
    TRIAL_ALL(trial_close(t, dx, 5e-4));
    return trial_close(t, dweight, 1e-4 * ROWS);
}

static owm_status try_rope(struct trial *t)
{
    enum { R = 21, HEADS = 3, DIM = 10, STRIDE = 37, POSITIONS = 16, PERIOD = 11 };
    float table[POSITIONS * DIM];
    owm_rope_table(table, POSITIONS, DIM, 10000);
    struct tensor x = trial_numbers(t, R * STRIDE), cos_sin = trial_bytes(t, table, sizeof table);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, rope,
                   &(struct owm_rope){.x = x.at[s],
                                      .cos_sin = cos_sin.at[s],
                                      .rows = R,
                                      .stride = STRIDE,
                                      .heads = HEADS,
                                      .head_dim = DIM,
                                      .first = 5,
                                      .period = PERIOD,
                                      .positions = POSITIONS,
                                      .inverse = true});
    return trial_close(t, x, 2e-4);
}

static owm_status try_swiglu(struct trial *t)
{
    struct tensor in = trial_numbers(t, ROWS * COLS * 2), out = trial_poison(t, ROWS * COLS * 4);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, swiglu,
                   &(struct owm_swiglu){
                       .out = out.at[s], .gate_up = in.at[s], .rows = ROWS, .cols = COLS});
    return trial_close(t, out, 1e-4);
}

static owm_status try_swiglu_bwd(struct trial *t)
{
    struct tensor in = trial_numbers(t, ROWS * COLS * 2), dout = trial_numbers(t, ROWS * COLS);
    struct tensor dgate_up = trial_poison(t, ROWS * COLS * 2 * 4);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, swiglu_bwd,
                   &(struct owm_swiglu_bwd){.dgate_up = dgate_up.at[s],
                                            .dout = dout.at[s],
                                            .gate_up = in.at[s],
                                            .rows = ROWS,
                                            .cols = COLS});
    return trial_close(t, dgate_up, 2e-4);
}

/* Attention: two sequences, four query heads on two key heads. */
enum { B = 2, T = 37, H = 4, G = 2, E = 16, WIDTH = (H + 2 * G) * E };

static owm_status try_attention(struct trial *t)
{
    struct tensor qkv = trial_numbers(t, B * T * WIDTH), out = trial_poison(t, B * T * H * E * 4);
    struct tensor lse = trial_poison(t, B * H * T * 4);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, attention,
                   &(struct owm_attention){.out = out.at[s],
                                           .lse = lse.at[s],
                                           .qkv = qkv.at[s],
                                           .batch = B,
                                           .time = T,
                                           .heads = H,
                                           .kv_heads = G,
                                           .head_dim = E});
    TRIAL_ALL(trial_close(t, out, 2e-4));
    return trial_close(t, lse, 5e-4);
}

/* out and lse must belong to qkv, so the reference computes them for both sides. */
static owm_status try_attention_bwd(struct trial *t)
{
    static float made[B * T * H * E], sums[B * H * T];
    struct tensor qkv = trial_numbers(t, B * T * WIDTH), dout = trial_numbers(t, B * T * H * E);
    struct tensor dqkv = trial_poison(t, B * T * WIDTH * 4);
    TRIAL_READY(t);
    struct owm_attention forward = {.out = made,
                                    .lse = sums,
                                    .qkv = qkv.at[JUDGE],
                                    .batch = B,
                                    .time = T,
                                    .heads = H,
                                    .kv_heads = G,
                                    .head_dim = E};
    TRIAL_CALL(t, JUDGE, attention, &forward);
    struct tensor out = trial_bytes(t, made, sizeof made), lse = trial_bytes(t, sums, sizeof sums);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, attention_bwd,
                   &(struct owm_attention_bwd){.dqkv = dqkv.at[s],
                                               .dout = dout.at[s],
                                               .out = out.at[s],
                                               .lse = lse.at[s],
                                               .qkv = qkv.at[s],
                                               .batch = B,
                                               .time = T,
                                               .heads = H,
                                               .kv_heads = G,
                                               .head_dim = E});
    return trial_close(t, dqkv, 2e-3);
}

static owm_status try_attention_decode(struct trial *t)
{
    struct tensor q = trial_numbers(t, H * E), out = trial_poison(t, H * E * 4);
    struct tensor k = trial_numbers(t, T * G * E), v = trial_numbers(t, T * G * E);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, attention_decode,
                   &(struct owm_attention_decode){.out = out.at[s],
                                                  .q = q.at[s],
                                                  .k_cache = k.at[s],
                                                  .v_cache = v.at[s],
                                                  .length = T,
                                                  .heads = H,
                                                  .kv_heads = G,
                                                  .head_dim = E});
    return trial_close(t, out, 2e-4);
}

enum { VOCAB = 67 };

/* Some tokens come twice: their gradients must add up. */
static void make_tokens(struct trial *t, uint16_t tokens[ROWS])
{
    for (int r = 0; r < ROWS; r++) tokens[r] = (uint16_t)owm_rng_below(&t->rng, VOCAB);
    tokens[1] = tokens[ROWS - 1] = tokens[0];
    tokens[2] = VOCAB - 1;
}

static owm_status try_embedding(struct trial *t)
{
    uint16_t tokens[ROWS];
    make_tokens(t, tokens);
    struct tensor table = trial_numbers(t, VOCAB * COLS), out = trial_poison(t, ROWS * COLS * 4);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, embedding,
                   &(struct owm_embedding){.out = out.at[s],
                                           .table = table.at[s],
                                           .tokens = tokens,
                                           .rows = ROWS,
                                           .cols = COLS,
                                           .vocab = VOCAB});
    return trial_same(t, out);
}

static owm_status try_embedding_bwd(struct trial *t)
{
    uint16_t tokens[ROWS];
    make_tokens(t, tokens);
    struct tensor dtable = trial_numbers(t, VOCAB * COLS), dout = trial_numbers(t, ROWS * COLS);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, embedding_bwd,
                   &(struct owm_embedding_bwd){.dtable = dtable.at[s],
                                               .dout = dout.at[s],
                                               .tokens = tokens,
                                               .rows = ROWS,
                                               .cols = COLS,
                                               .vocab = VOCAB});
    return trial_close(t, dtable, 4e-4);
}

static owm_status try_cross_entropy(struct trial *t)
{
    uint16_t targets[ROWS];
    make_tokens(t, targets);
    struct tensor logits = trial_numbers(t, ROWS * VOCAB), losses = trial_poison(t, ROWS * 4);
    struct tensor dlogits = trial_poison(t, ROWS * VOCAB * 4);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, cross_entropy,
                   &(struct owm_cross_entropy){.losses = losses.at[s],
                                               .dlogits = dlogits.at[s],
                                               .logits = logits.at[s],
                                               .targets = targets,
                                               .rows = ROWS,
                                               .vocab = VOCAB,
                                               .scale = 0.5f});
    TRIAL_ALL(trial_close(t, losses, 5e-4));
    return trial_close(t, dlogits, 1e-4);
}

enum { COUNT = 5000 };

static owm_status try_adamw(struct trial *t)
{
    struct tensor params = trial_numbers(t, COUNT), grad = trial_numbers(t, COUNT);
    struct tensor m = trial_numbers(t, COUNT), v = trial_numbers(t, COUNT);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) {
        struct owm_device *on = t->device[s];
        /* v is a mean of squares: it must not be negative. */
        TRIAL_ALL(on->backend->mem_zero(on, v.at[s], v.bytes));
        TRIAL_CALL(t, s, adamw,
                   &(struct owm_adamw){.params = params.at[s],
                                       .m = m.at[s],
                                       .v = v.at[s],
                                       .grad = grad.at[s],
                                       .count = COUNT,
                                       .step = 3,
                                       .lr = 0.01f,
                                       .beta1 = 0.9f,
                                       .beta2 = 0.99f,
                                       .eps = 1e-3f,
                                       .weight_decay = 0.1f,
                                       .grad_scale = 0.5f});
    }
    TRIAL_ALL(trial_close(t, m, 2e-4));
    TRIAL_ALL(trial_close(t, v, 1e-4));
    return trial_close(t, params, 2e-4);
}

static owm_status try_add(struct trial *t)
{
    struct tensor a = trial_numbers(t, COUNT), b = trial_numbers(t, COUNT);
    struct tensor out = trial_poison(t, COUNT * 4);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) TRIAL_CALL(t, s, add, out.at[s], a.at[s], b.at[s], COUNT);
    return trial_same(t, out);
}

static owm_status try_sum_squares(struct trial *t)
{
    struct tensor x = trial_numbers(t, COUNT);
    double sum[SIDES];
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) TRIAL_CALL(t, s, sum_squares, &sum[s], x.at[s], COUNT);
    return trial_host(t, &sum[TRIED], &sum[JUDGE], sizeof sum[0]);
}

const struct trial_case trial_model[] = {TRIAL_CASE(gemm),
                                         TRIAL_CASE(rmsnorm),
                                         TRIAL_CASE(rmsnorm_bwd),
                                         TRIAL_CASE(rope),
                                         TRIAL_CASE(swiglu),
                                         TRIAL_CASE(swiglu_bwd),
                                         TRIAL_CASE(attention),
                                         TRIAL_CASE(attention_bwd),
                                         TRIAL_CASE(attention_decode),
                                         TRIAL_CASE(embedding),
                                         TRIAL_CASE(embedding_bwd),
                                         TRIAL_CASE(cross_entropy),
                                         TRIAL_CASE(adamw),
                                         TRIAL_CASE(add),
                                         TRIAL_CASE(sum_squares),
                                         {0}};
