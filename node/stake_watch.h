/* stake_watch.h: whether the stake is there, and will be (SRS-NODE-12).
 *
 * Two witnesses: what the coordinator answers to heartbeats is what counts, and the operator's own
 * Lightning node, where lightning.backend names one, shows a change before the treasury reads it.
 */
#ifndef OWM_NODE_STAKE_WATCH_H
#define OWM_NODE_STAKE_WATCH_H

#include "node/node.h"

#define NODE_STAKE_ALERTS_MAX     6
#define NODE_STAKE_MARGIN_PERCENT 5 /* this near to the minimum, a payment away from it, is news */

/** node_stake_alert: `grave`: tasks are lost by it, now or soon; otherwise only worth knowing. */
struct node_stake_alert {
    bool grave;
    char text[OWM_ERROR_BYTES_MAX];
};

/** node_stake_alerts: judge. Nothing is alarming where no stake is asked for, or before the first
 *  registration. Returns how many; the graver ones come first. */
size_t node_stake_alerts(const struct node_view *view, int64_t now_ms,
                         struct node_stake_alert alerts[static NODE_STAKE_ALERTS_MAX]);

/** node_stake_hello, _registered, _beat: take what an answer says of the stake. tier: this node's.
 */
void node_stake_hello(struct node_stake *stake, const PB(HelloResponse) * answer, const char *tier);
void node_stake_registered(struct node_stake *stake, const PB(RegisterNodeResponse) * answer);
void node_stake_beat(struct node_stake *stake, const PB(HeartbeatResponse) * answer);

/** node_stake_look: ask the Lightning node for its channels to the treasury: fills the second half
 *  of *stake, whose treasury_uri must be set. Returns: as owm_lightning_channels; OWM_E_PROTO a
 *  treasury_uri that is none. */
OWM_MUST_USE owm_status node_stake_look(owm_lightning *lightning, struct node_stake *stake,
                                        struct owm_error *error);

/** node_stake_watch_main: the thread: looks, keeps the gauges, logs each alert once. */
void *node_stake_watch_main(void *node);

#endif
