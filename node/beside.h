/* beside.h: what a command learns of the daemon that runs, or has run, in the same data folder. */
#ifndef OWM_NODE_BESIDE_H
#define OWM_NODE_BESIDE_H

#include "base/json.h"
#include "node/config.h"
#include "node/task_log.h"

/** node_beside_log: the task log, read only; _join: to write settings into. As owm_task_log_peek
 *  and owm_task_log_join. */
OWM_MUST_USE owm_status node_beside_log(const struct owm_node_config *config, owm_task_log **log,
                                        struct owm_error *error);
OWM_MUST_USE owm_status node_beside_join(const struct owm_node_config *config, owm_task_log **log,
                                         struct owm_error *error);

/** node_beside_health: what its /health answers; json_decref it.
 *  Returns: OWM_OK, also for an unhealthy one (*healthy says which); OWM_E_NET none runs, with the
 *  command that starts it; OWM_E_PROTO. */
OWM_MUST_USE owm_status node_beside_health(const struct owm_node_config *config, json_t **health,
                                           bool *healthy, struct owm_error *error);

#endif
