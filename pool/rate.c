/* rate.c: averages of a hashrate over four windows. */
#include "rate.h"

#include <math.h>

static const double window_s[OWM_RATE_WINDOWS] = {60, 600, 3600, 86400};

/* Below this much time an average says nothing yet; it is divided by this much at least. */
#define RATE_TIME_MIN_S 10.0

static double get(const _Atomic double *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void put(_Atomic double *value, double x)
{
    atomic_store_explicit(value, x, memory_order_relaxed);
}

void owm_rate_init(struct owm_rate *rate, int64_t now_ms)
{
    for (int w = 0; w < OWM_RATE_WINDOWS; w++) put(&rate->sum[w], 0);
    put(&rate->fresh, 0);
    atomic_store_explicit(&rate->started_ms, now_ms, memory_order_relaxed);
    atomic_store_explicit(&rate->folded_ms, now_ms, memory_order_relaxed);
}

static void fold(struct owm_rate *rate, int64_t since_ms, int64_t now_ms)
{
    double passed_s = (double)since_ms / 1000;
    for (int w = 0; w < OWM_RATE_WINDOWS; w++)
        put(&rate->sum[w], (get(&rate->sum[w]) + get(&rate->fresh)) * exp(-passed_s / window_s[w]));
    put(&rate->fresh, 0);
    atomic_store_explicit(&rate->folded_ms, now_ms, memory_order_relaxed);
}

void owm_rate_add(struct owm_rate *rate, uint64_t hashes, int64_t now_ms)
{
    int64_t since_ms = now_ms - atomic_load_explicit(&rate->folded_ms, memory_order_relaxed);
    if (since_ms >= OWM_RATE_FOLD_MS) fold(rate, since_ms, now_ms);
    put(&rate->fresh, get(&rate->fresh) + (double)hashes);
}

double owm_rate_get(const struct owm_rate *rate, enum owm_rate_window window, int64_t now_ms)
{
    int64_t folded_ms = atomic_load_explicit(&rate->folded_ms, memory_order_relaxed);
    int64_t started_ms = atomic_load_explicit(&rate->started_ms, memory_order_relaxed);
    double since_s = fmax(0, (double)(now_ms - folded_ms) / 1000);
    double life_s = fmax(0, (double)(now_ms - started_ms) / 1000);
    double sum = (get(&rate->sum[window]) + get(&rate->fresh)) * exp(-since_s / window_s[window]);
    double weight_s = window_s[window] * -expm1(-life_s / window_s[window]);
    return sum / fmax(weight_s, RATE_TIME_MIN_S);
}
