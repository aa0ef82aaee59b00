/* sample.c: reference sampling: the tokens of a row put in order, then walked as the contract says.
 */
#include <math.h>
#include <stdlib.h>

#include "cpu.h"
#include "kernels/check.h"
#include "reference.h"

struct entry {
    float logit;
    uint32_t token;
};
_Static_assert(OWM_SAMPLE_VOCAB_MAX * sizeof(struct entry) <= CPU_SCRATCH_FLOATS * sizeof(float),
               "a row in order fits the scratch");

/* Falling logits, the lower token first among equals. */
static int by_order(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->token < y->token ? -1 : 1;
}

/** weight: what the entry counts before the division by the sum. */
static double weight(const struct owm_sample *a, const struct entry *order, uint32_t i)
{
    return exp(((double)order[i].logit - (double)order->logit) / (double)a->temperature);
}

/** nucleus: how many of the first `count` have the share top_p of their mass; *mass: what they
 *  weigh. */
static uint32_t nucleus(const struct owm_sample *a, const struct entry *order, uint32_t count,
                        double *mass)
{
    double all = 0;
    for (uint32_t i = 0; i < count; i++) all += weight(a, order, i);
    *mass = 0;
    for (uint32_t i = 0; i < count; i++) {
        *mass += weight(a, order, i);
        if (a->top_p < 1 && *mass >= (double)a->top_p * all) return i + 1;
    }
    return count;
}

static uint32_t choose(const struct owm_sample *a, const struct entry *order, double uniform)
{
    if (a->temperature == 0) return order->token;
    uint32_t count = a->top_k && a->top_k < a->vocab ? a->top_k : a->vocab;
    double mass, sum = 0;
    count = nucleus(a, order, count, &mass);
    for (uint32_t i = 0; i < count; i++) {
        sum += weight(a, order, i);
        if (sum > uniform * mass) return order[i].token;
    }
    return order[count - 1].token;
}

owm_status ref_sample(struct owm_device *device, const struct owm_sample *a)
{
    owm_status status = owm_check_sample(a);
    if (status != OWM_OK) return status;

    struct entry *order = (struct entry *)(void *)cpu_scratch(cpu_of(device), 0);
    for (size_t r = 0; r < a->rows; r++) {
        for (uint32_t v = 0; v < a->vocab; v++)
            order[v] = (struct entry){a->logits[r * a->vocab + v], v};
        qsort(order, a->vocab, sizeof *order, by_order);
        a->token[r] = choose(a, order, (double)a->uniform[r]);
    }
    return OWM_OK;
}
