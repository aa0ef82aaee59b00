/* attempt.c: see attempt.h. */
#include "attempt.h"

#include <stdio.h>
#include <string.h>

#define DOUBLINGS_MAX 30

/* Between half of `ms` and all of it. */
static int64_t spread(int64_t ms, uint32_t chance)
{
    return ms / 2 + (int64_t)(((uint64_t)(ms - ms / 2) * chance) >> 32);
}

static int64_t doubled(int64_t min_ms, int64_t max_ms, unsigned times)
{
    int64_t ms = min_ms;
    for (unsigned i = 0; i < times && i < DOUBLINGS_MAX && ms < max_ms; i++) ms *= 2;
    return ms < max_ms ? ms : max_ms;
}

int64_t owm_retry_pause_ms(const struct owm_moment *moment)
{
    const struct owm_retry *retry = moment->retry;
    unsigned times = moment->failures ? moment->failures - 1 : 0;
    return spread(doubled(retry->min_ms, retry->max_ms, times), moment->chance);
}

/* A reason may be a foreign node's words: what is not plain text becomes '?'. */
static struct owm_step step_of(enum owm_step_kind kind, int64_t at_ms, const char *reason)
{
    struct owm_step step = {.kind = kind, .at_ms = at_ms};
    snprintf(step.reason, sizeof(step.reason), "%s", reason);
    for (char *c = step.reason; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?';
    return step;
}

struct owm_step owm_attempt_none(const char *why, const struct owm_moment *moment)
{
    struct owm_moment after = *moment;
    after.failures++;
    if (after.retry->failures_max && after.failures >= after.retry->failures_max)
        return step_of(OWM_STEP_FAIL, after.now_ms, why);
    return step_of(OWM_STEP_OWE, after.now_ms + owm_retry_pause_ms(&after), why);
}

static struct owm_step look_again(struct owm_attempt *attempt, const char *why,
                                  const struct owm_moment *moment)
{
    int64_t pause_ms = doubled(OWM_ATTEMPT_LOOK_MIN_MS, OWM_ATTEMPT_LOOK_MAX_MS, attempt->looks++);
    return step_of(OWM_STEP_TRACK, moment->now_ms + spread(pause_ms, moment->chance), why);
}

/* The call was refused and nothing was started by it. */
static bool refused(owm_status status)
{
    return status == OWM_E_STATE || status == OWM_E_ARG || status == OWM_E_UNSUPPORTED;
}

/* A call that got no answer may still reach the node, and start what just failed. */
static bool in_transit(const struct owm_attempt *attempt, const struct owm_moment *moment)
{
    return attempt->unsure_ms && moment->now_ms < attempt->unsure_ms + moment->retry->transit_ms;
}

/* The node knows no such payment. A call that is still on its way to it can only start what another
 * call starts, too: the same hash. Past its expiry an invoice starts nothing. */
static struct owm_step never_heard_of(struct owm_attempt *attempt, const struct owm_moment *moment)
{
    bool invoice = attempt->kind == OWM_ATTEMPT_INVOICE;
    int64_t now_ms = moment->now_ms;
    if (attempt->refused[0] && !in_transit(attempt, moment))
        return owm_attempt_none(attempt->refused, moment);
    if (invoice && now_ms >= attempt->expires_ms + OWM_ATTEMPT_SKEW_MS)
        return owm_attempt_none("its invoice expired before the node took it", moment);
    if (attempt->refused[0]) return look_again(attempt, attempt->refused, moment);
    if (invoice && now_ms >= attempt->expires_ms)
        return look_again(attempt, "its invoice has expired; soon nobody can pay it", moment);
    return step_of(OWM_STEP_PAY, now_ms, "the node has not heard of it: sent again");
}

static struct owm_step found(struct owm_attempt *attempt,
                             const struct owm_lightning_outcome *outcome,
                             const struct owm_moment *moment)
{
    if (outcome->state == OWM_LIGHTNING_SUCCEEDED)
        return step_of(OWM_STEP_SETTLE, moment->now_ms, "");
    attempt->refused[0] = 0;
    if (outcome->state == OWM_LIGHTNING_FAILED && in_transit(attempt, moment))
        return look_again(attempt, outcome->reason, moment);
    if (outcome->state == OWM_LIGHTNING_FAILED) return owm_attempt_none(outcome->reason, moment);
    return look_again(attempt, "under way", moment);
}

struct owm_step owm_attempt_step(struct owm_attempt *attempt, const struct owm_heard *heard,
                                 const struct owm_moment *moment)
{
    if (attempt->unsure_ms > moment->now_ms)
        attempt->unsure_ms = moment->now_ms; /* clock set back */
    if (heard->of == OWM_HEARD_NOTHING) {
        attempt->unsure_ms = moment->now_ms;
        return step_of(OWM_STEP_TRACK, moment->now_ms, "asked about after a start");
    }
    if (heard->status == OWM_OK) return found(attempt, heard->found, moment);
    if (heard->of == OWM_HEARD_TRACK && heard->status == OWM_E_NOTFOUND)
        return never_heard_of(attempt, moment);
    if (heard->of == OWM_HEARD_PAY && refused(heard->status)) {
        if (!attempt->unsure_ms) return owm_attempt_none(heard->why, moment);
        snprintf(attempt->refused, sizeof(attempt->refused), "%s", heard->why);
    } else if (heard->of == OWM_HEARD_PAY) {
        attempt->unsure_ms = moment->now_ms;
        attempt->refused[0] = 0;
    }
    return look_again(attempt, heard->why, moment);
}

const char *owm_attempt_kind_name(enum owm_attempt_kind kind)
{
    static const char *const names[] = {
        [OWM_ATTEMPT_KEYSEND] = "keysend",
        [OWM_ATTEMPT_INVOICE] = "invoice",
        [OWM_ATTEMPT_BOOK] = "book",
    };
    return names[kind];
}
