/* plan.h: whose stake is read next. Knows no clock, no thread and no Lightning node; now_ms is that
 * of a clock that never goes back.
 *
 * A node is due when the engine wants it (a task waits), when something may have changed (the watch
 * says so, or it is new), when it is followed (not active, or not for long: only a reading moves it
 * on), or when the sweep comes by: every recheck_ms each node once, within sweep_ms (SRS-STAKE-02,
 * SRS-PERF-14).
 *
 * The treasury's node answers for one peer or for all, and for all costs it little more. So a few
 * nodes that are due are read one by one, and many with one list, which is asked for at most every
 * list_pause_ms; the sweep makes its nodes due in OWM_STAKE_SLICES parts, so that neither the
 * treasury nor the engine gets them all at once.
 */
#ifndef OWM_STAKE_PLAN_H
#define OWM_STAKE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_STAKE_LIST_FROM    4  /* so many due nodes are read with one list */
#define OWM_STAKE_SLICES       20 /* of a sweep; the last begins a twentieth before its end */
#define OWM_STAKE_RETRY_MIN_MS 500
#define OWM_STAKE_RETRY_MAX_MS 10000

struct owm_stake_plan_config {
    uint32_t nodes_max;
    int64_t recheck_ms, sweep_ms, follow_ms, list_pause_ms;
};

struct owm_stake_plan;

/** owm_stake_plan_open: the first sweep begins at now_ms. OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_stake_plan_open(const struct owm_stake_plan_config *config,
                                            int64_t now_ms, struct owm_stake_plan **plan);
void owm_stake_plan_close(struct owm_stake_plan *plan); /* NULL is allowed */

/** owm_stake_plan_add: one more node, which is due for a look; they are numbered from 0. The caller
 *  keeps to nodes_max. */
void owm_stake_plan_add(struct owm_stake_plan *plan);

/** owm_stake_plan_want: read it, and tell the engine in any case. _look, _look_all: read, and tell
 *  the engine if it is news. _follow: as want every follow_ms, until told otherwise. */
void owm_stake_plan_want(struct owm_stake_plan *plan, uint32_t node);
void owm_stake_plan_look(struct owm_stake_plan *plan, uint32_t node);
void owm_stake_plan_look_all(struct owm_stake_plan *plan);
void owm_stake_plan_follow(struct owm_stake_plan *plan, uint32_t node, bool follow);

enum owm_stake_batch { OWM_STAKE_WAIT, OWM_STAKE_ONE, OWM_STAKE_ALL };

struct owm_stake_order {
    enum owm_stake_batch batch;
    uint32_t node;   /* ONE */
    int64_t wait_ms; /* WAIT: ask again after this, or when something was wanted */
};

/** owm_stake_plan_next: what to read now. ONE and ALL are to be followed by owm_stake_plan_done. */
void owm_stake_plan_next(struct owm_stake_plan *plan, int64_t now_ms,
                         struct owm_stake_order *order);

/** owm_stake_plan_wanted: between the two: whether the engine is to be told of this node's reading
 *  in any case. */
bool owm_stake_plan_wanted(const struct owm_stake_plan *plan, uint32_t node);

/** owm_stake_plan_done: not ok: the treasury did not answer; all that was due stays due, and the
 *  pause before another try doubles. */
void owm_stake_plan_done(struct owm_stake_plan *plan, int64_t now_ms, bool ok);

#endif
