/* selftest_learning.c: the ops of federated learning, one case each. All of them promise the
 * reference's bits, so bits are compared. */
#include "selftest_trial.h"

enum { P = 5, N = 5000, K = 500 };

static void make_vectors(struct trial *t, struct tensor x[P])
{
    for (int p = 0; p < P; p++) x[p] = trial_numbers(t, N);
}

static void take_side(const struct tensor x[P], enum side side, const float *at[P])
{
    for (int p = 0; p < P; p++) at[p] = x[p].at[side];
}

static const float alpha[P] = {0.25f, -0.5f, 0.3f, 0.1f, 0.7f};

static owm_status try_weighted_sum(struct trial *t)
{
    struct tensor x[P], out = trial_poison(t, N * 4);
    make_vectors(t, x);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) {
        const float *at[P];
        take_side(x, s, at);
        TRIAL_CALL(t, s, weighted_sum,
                   &(struct owm_weighted_sum){
                       .out = out.at[s], .x = at, .alpha = alpha, .count = P, .n = N});
    }
    return trial_same(t, out);
}

static owm_status try_trimmed_mean(struct trial *t)
{
    struct tensor x[P], trimmed = trial_poison(t, N * 4), median = trial_poison(t, N * 4);
    make_vectors(t, x);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) {
        const float *at[P];
        take_side(x, s, at);
        TRIAL_CALL(t, s, trimmed_mean,
                   &(struct owm_trimmed_mean){
                       .out = trimmed.at[s], .x = at, .count = P, .trim = 1, .n = N});
        TRIAL_CALL(t, s, trimmed_mean,
                   &(struct owm_trimmed_mean){
                       .out = median.at[s], .x = at, .count = P - 1, .trim = 1, .n = N});
    }
    TRIAL_ALL(trial_same(t, trimmed));
    return trial_same(t, median);
}

static owm_status try_gram(struct trial *t)
{
    struct tensor x[P];
    double gram[SIDES][P * P];
    make_vectors(t, x);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) {
        const float *at[P];
        take_side(x, s, at);
        TRIAL_CALL(t, s, gram, &(struct owm_gram){.gram = gram[s], .x = at, .count = P, .n = N});
    }
    return trial_host(t, gram[TRIED], gram[JUDGE], sizeof gram[0]);
}

static owm_status try_clip(struct trial *t)
{
    struct tensor x = trial_numbers(t, N);
    double norm[SIDES];
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, clip,
                   &(struct owm_clip){.x = x.at[s], .norm = &norm[s], .n = N, .max_norm = 1.5});
    TRIAL_ALL(trial_host(t, &norm[TRIED], &norm[JUDGE], sizeof norm[0]));
    return trial_same(t, x);
}

static owm_status try_topk(struct trial *t)
{
    struct tensor x = trial_numbers(t, N), index = trial_poison(t, K * 4);
    uint32_t count[SIDES] = {0};
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, topk,
                   &(struct owm_topk){
                       .x = x.at[s], .index = index.at[s], .count = &count[s], .n = N, .k = K});
    TRIAL_ALL(trial_host(t, &count[TRIED], &count[JUDGE], sizeof count[0]));
    return trial_same(t, index);
}

static owm_status try_threshold(struct trial *t)
{
    /* A poisoned buffer of N fits all; what is written at its begin must be the same. */
    struct tensor x = trial_numbers(t, N), index = trial_poison(t, N * 4);
    uint32_t count[SIDES] = {0};
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, threshold,
                   &(struct owm_threshold){.x = x.at[s],
                                           .index = index.at[s],
                                           .count = &count[s],
                                           .n = N,
                                           .index_max = N,
                                           .bound = 0.9f});
    TRIAL_ALL(trial_host(t, &count[TRIED], &count[JUDGE], sizeof count[0]));
    index.bytes = count[JUDGE] * sizeof(uint32_t);
    return trial_same(t, index);
}

enum { GROUPS = (N + OWM_QUANT_GROUP - 1) / OWM_QUANT_GROUP };

static owm_status feedback(struct trial *t, enum owm_quant quant)
{
    size_t code_bytes = K * (quant == OWM_QUANT_I8 ? 1 : 2);
    struct tensor residual = trial_numbers(t, N), gradient = trial_numbers(t, N);
    struct tensor index = trial_poison(t, K * 4), value = trial_poison(t, K * 4);
    struct tensor code = trial_poison(t, code_bytes), exponent = trial_poison(t, GROUPS);
    uint32_t count[SIDES] = {0};
    int lowest[SIDES] = {0};
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, feedback,
                   &(struct owm_feedback_step){.residual = residual.at[s],
                                               .gradient = gradient.at[s],
                                               .index = index.at[s],
                                               .value = value.at[s],
                                               .code = code.at[s],
                                               .exponent = exponent.at[s],
                                               .count = &count[s],
                                               .floor_exponent = &lowest[s],
                                               .n = N,
                                               .k = K,
                                               .decay = 0.9f,
                                               .quant = quant});
    TRIAL_ALL(trial_host(t, &count[TRIED], &count[JUDGE], sizeof count[0]));
    TRIAL_ALL(trial_host(t, &lowest[TRIED], &lowest[JUDGE], sizeof lowest[0]));
    TRIAL_ALL(trial_same(t, index));
    TRIAL_ALL(trial_same(t, value));
    TRIAL_ALL(trial_same(t, code));
    if (quant == OWM_QUANT_I8) TRIAL_ALL(trial_same(t, exponent));
    return trial_same(t, residual);
}

static owm_status try_feedback(struct trial *t)
{
    TRIAL_ALL(feedback(t, OWM_QUANT_I8));
    return feedback(t, OWM_QUANT_BF16);
}

/* Every tenth coordinate from `first`. */
static struct tensor make_indices(struct trial *t, uint32_t first)
{
    uint32_t index[K];
    for (uint32_t i = 0; i < K; i++) index[i] = first + i * (N / K);
    return trial_bytes(t, index, sizeof index);
}

static owm_status quantise(struct trial *t, enum owm_quant quant)
{
    size_t code_bytes = K * (quant == OWM_QUANT_I8 ? 1 : 2);
    struct tensor value = trial_numbers(t, K), index = make_indices(t, 3);
    struct tensor code = trial_poison(t, code_bytes), exponent = trial_poison(t, GROUPS);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++)
        TRIAL_CALL(t, s, quantise,
                   &(struct owm_quantise){.value = value.at[s],
                                          .index = index.at[s],
                                          .code = code.at[s],
                                          .exponent = exponent.at[s],
                                          .count = K,
                                          .n = N,
                                          .floor_exponent = owm_quant_floor(1),
                                          .quant = quant});
    TRIAL_ALL(trial_same(t, value));
    TRIAL_ALL(trial_same(t, code));
    return quant == OWM_QUANT_I8 ? trial_same(t, exponent) : OWM_OK;
}

static owm_status try_quantise(struct trial *t)
{
    TRIAL_ALL(quantise(t, OWM_QUANT_I8));
    return quantise(t, OWM_QUANT_BF16);
}

#define NUMBERS_EXPONENT (-23) /* trial_numbers are multiples of 2^-23. */

struct packages {
    struct tensor index[P], value[P];
};

/* The first two share their coordinates, the others do not. */
static void make_packages(struct trial *t, struct packages *all)
{
    for (uint32_t p = 0; p < P; p++) {
        all->index[p] = make_indices(t, p < 2 ? 0 : p);
        all->value[p] = trial_numbers(t, K);
    }
}

static void packages_of(const struct packages *all, enum side side, struct owm_sparse at[P])
{
    for (int p = 0; p < P; p++)
        at[p] = (struct owm_sparse){.count = K,
                                    .exponent = NUMBERS_EXPONENT,
                                    .index = all->index[p].at[side],
                                    .value = all->value[p].at[side]};
}

static owm_status try_scatter_add(struct trial *t)
{
    struct packages all;
    struct tensor x = trial_numbers(t, N);
    make_packages(t, &all);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) {
        struct owm_sparse at[P];
        packages_of(&all, s, at);
        TRIAL_CALL(
            t, s, scatter_add,
            &(struct owm_scatter_add){.x = x.at[s], .package = &at[4], .alpha = 0.3f, .n = N});
    }
    return trial_same(t, x);
}

static owm_status try_sparse_sum(struct trial *t)
{
    enum { FIRST = 7, LAST = N - 5 };
    struct packages all;
    struct tensor out = trial_poison(t, (LAST - FIRST) * 4);
    make_packages(t, &all);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) {
        struct owm_sparse at[P];
        packages_of(&all, s, at);
        TRIAL_CALL(t, s, sparse_sum,
                   &(struct owm_sparse_sum){.out = out.at[s],
                                            .package = at,
                                            .alpha = alpha,
                                            .count = P,
                                            .first = FIRST,
                                            .last = LAST});
    }
    return trial_same(t, out);
}

static owm_status try_sparse_gram(struct trial *t)
{
    struct packages all;
    double gram[SIDES][P * P];
    make_packages(t, &all);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) {
        struct owm_sparse at[P];
        packages_of(&all, s, at);
        TRIAL_CALL(t, s, sparse_gram,
                   &(struct owm_sparse_gram){.gram = gram[s], .package = at, .count = P});
    }
    return trial_host(t, gram[TRIED], gram[JUDGE], sizeof gram[0]);
}

static owm_status try_apply_update(struct trial *t)
{
    struct tensor w = trial_numbers(t, N), m = trial_numbers(t, N), u = trial_numbers(t, N);
    TRIAL_READY(t);
    for (int s = 0; s < SIDES; s++) {
        struct owm_apply_update a = {
            .w = w.at[s], .m = m.at[s], .u = u.at[s], .n = N, .lr = 0.7f, .momentum = 0.9f};
        TRIAL_CALL(t, s, apply_update, &a);
        a.m = NULL;
        TRIAL_CALL(t, s, apply_update, &a);
    }
    TRIAL_ALL(trial_same(t, w));
    return trial_same(t, m);
}

const struct trial_case trial_learning[] = {TRIAL_CASE(weighted_sum),
                                            TRIAL_CASE(trimmed_mean),
                                            TRIAL_CASE(gram),
                                            TRIAL_CASE(clip),
                                            TRIAL_CASE(topk),
                                            TRIAL_CASE(threshold),
                                            TRIAL_CASE(feedback),
                                            TRIAL_CASE(quantise),
                                            TRIAL_CASE(scatter_add),
                                            TRIAL_CASE(sparse_sum),
                                            TRIAL_CASE(sparse_gram),
                                            TRIAL_CASE(apply_update),
                                            {0}};
