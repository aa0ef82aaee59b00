/* plan.c: see plan.h. All nodes are looked through for each order: a few bytes each. */
#include "plan.h"

#include <stdlib.h>

#define IDLE_MS 60000

struct node {
    bool want, look, follow;     /* due */
    bool taken_want, taken_look; /* in the order that is being read */
    int64_t follow_at_ms;
};

struct owm_stake_plan {
    struct owm_stake_plan_config config;
    uint32_t count;
    struct node *node;
    struct owm_stake_order order; /* the one that is being read */
    int64_t sweep_began_ms;
    uint32_t sweep_slice; /* the next; OWM_STAKE_SLICES: this sweep is through */
    int64_t list_after_ms, retry_after_ms, retry_ms;
};

owm_status owm_stake_plan_open(const struct owm_stake_plan_config *config, int64_t now_ms,
                               struct owm_stake_plan **out)
{
    struct owm_stake_plan *plan = calloc(1, sizeof(*plan));
    if (!plan) return OWM_E_NOMEM;
    plan->config = *config;
    plan->sweep_began_ms = now_ms;
    plan->node = calloc(config->nodes_max, sizeof(*plan->node));
    if (!plan->node) {
        free(plan);
        return OWM_E_NOMEM;
    }
    *out = plan;
    return OWM_OK;
}

void owm_stake_plan_close(struct owm_stake_plan *plan)
{
    if (!plan) return;
    free(plan->node);
    free(plan);
}

void owm_stake_plan_add(struct owm_stake_plan *plan)
{
    OWM_ASSERT(plan->count < plan->config.nodes_max);
    plan->node[plan->count++] = (struct node){.look = true};
}

void owm_stake_plan_want(struct owm_stake_plan *plan, uint32_t node)
{
    plan->node[node].want = true;
}

void owm_stake_plan_look(struct owm_stake_plan *plan, uint32_t node)
{
    plan->node[node].look = true;
}

void owm_stake_plan_look_all(struct owm_stake_plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) plan->node[i].look = true;
}

void owm_stake_plan_follow(struct owm_stake_plan *plan, uint32_t node, bool follow)
{
    plan->node[node].follow = follow;
}

/* --- the next order --------------------------------------------------------------------------- */

static int64_t slice_ms(const struct owm_stake_plan *plan)
{
    if (plan->sweep_slice == OWM_STAKE_SLICES)
        return plan->sweep_began_ms + plan->config.recheck_ms;
    return plan->sweep_began_ms + plan->config.sweep_ms * plan->sweep_slice / OWM_STAKE_SLICES;
}

static void sweep(struct owm_stake_plan *plan, int64_t now_ms)
{
    if (plan->sweep_slice == OWM_STAKE_SLICES && now_ms >= slice_ms(plan)) {
        plan->sweep_began_ms = now_ms;
        plan->sweep_slice = 0;
    }
    while (plan->sweep_slice < OWM_STAKE_SLICES && now_ms >= slice_ms(plan)) {
        for (uint32_t i = plan->sweep_slice; i < plan->count; i += OWM_STAKE_SLICES)
            plan->node[i].want = true;
        plan->sweep_slice++;
    }
}

static bool is_due(const struct node *node, int64_t now_ms)
{
    return node->want || node->look || (node->follow && now_ms >= node->follow_at_ms);
}

/* How many are due, up to the number that makes a list; *first of them. */
static uint32_t count_due(const struct owm_stake_plan *plan, int64_t now_ms, uint32_t *first)
{
    uint32_t due = 0;
    for (uint32_t i = plan->count; i-- > 0;)
        if (is_due(&plan->node[i], now_ms)) {
            due++;
            *first = i;
        }
    return due;
}

static void take(struct node *node, int64_t now_ms)
{
    node->taken_want = node->want || (node->follow && now_ms >= node->follow_at_ms);
    node->taken_look = true;
    node->want = node->look = false;
}

static int64_t idle_ms(const struct owm_stake_plan *plan, int64_t now_ms)
{
    int64_t at_ms = slice_ms(plan);
    if (at_ms > now_ms + IDLE_MS) at_ms = now_ms + IDLE_MS;
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->node[i].follow && plan->node[i].follow_at_ms < at_ms)
            at_ms = plan->node[i].follow_at_ms;
    return at_ms - now_ms;
}

void owm_stake_plan_next(struct owm_stake_plan *plan, int64_t now_ms, struct owm_stake_order *order)
{
    uint32_t first = 0;
    sweep(plan, now_ms);
    *order = (struct owm_stake_order){.batch = OWM_STAKE_WAIT};
    if (now_ms < plan->retry_after_ms) {
        order->wait_ms = plan->retry_after_ms - now_ms;
        return;
    }
    uint32_t due = count_due(plan, now_ms, &first);
    if (due == 0) {
        order->wait_ms = idle_ms(plan, now_ms);
    } else if (due < OWM_STAKE_LIST_FROM) {
        *order = (struct owm_stake_order){.batch = OWM_STAKE_ONE, .node = first};
        take(&plan->node[first], now_ms);
    } else if (now_ms < plan->list_after_ms) {
        order->wait_ms = plan->list_after_ms - now_ms;
    } else {
        order->batch = OWM_STAKE_ALL;
        for (uint32_t i = 0; i < plan->count; i++) take(&plan->node[i], now_ms);
    }
    plan->order = *order;
}

bool owm_stake_plan_wanted(const struct owm_stake_plan *plan, uint32_t node)
{
    return plan->node[node].taken_want;
}

/* --- what came of it -------------------------------------------------------------------------- */

static void settle(const struct owm_stake_plan *plan, struct node *node, int64_t now_ms, bool ok)
{
    if (ok) {
        node->follow_at_ms = now_ms + plan->config.follow_ms;
    } else {
        node->want = node->want || node->taken_want;
        node->look = true;
    }
    node->taken_want = node->taken_look = false;
}

void owm_stake_plan_done(struct owm_stake_plan *plan, int64_t now_ms, bool ok)
{
    OWM_ASSERT(plan->order.batch != OWM_STAKE_WAIT);
    for (uint32_t i = 0; i < plan->count; i++)
        if (plan->node[i].taken_look) settle(plan, &plan->node[i], now_ms, ok);
    if (ok && plan->order.batch == OWM_STAKE_ALL)
        plan->list_after_ms = now_ms + plan->config.list_pause_ms;
    if (ok) {
        plan->retry_ms = 0;
    } else {
        plan->retry_ms = plan->retry_ms ? 2 * plan->retry_ms : OWM_STAKE_RETRY_MIN_MS;
        if (plan->retry_ms > OWM_STAKE_RETRY_MAX_MS) plan->retry_ms = OWM_STAKE_RETRY_MAX_MS;
        plan->retry_after_ms = now_ms + plan->retry_ms;
    }
    plan->order.batch = OWM_STAKE_WAIT;
}
