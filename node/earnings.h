/* earnings.h: `owm-node earnings`: every sat this node earned, its state, and why it is there
 * (SRS-LN-10). */
#ifndef OWM_NODE_EARNINGS_H
#define OWM_NODE_EARNINGS_H

#include <stdio.h>

#include "node/config.h"
#include "node/task_log.h"

enum earnings_form { EARNINGS_TABLE, EARNINGS_JSON, EARNINGS_CSV };

/** node_earnings: from the task log, also beside a running daemon. The table shows the newest
 *  payments, JSON and CSV all of them. Amounts are msat where a program reads them.
 *  Returns: OWM_OK; as owm_task_log_peek; OWM_E_IO. */
OWM_MUST_USE owm_status node_earnings(const struct owm_node_config *config, enum earnings_form form,
                                      FILE *out, struct owm_error *error);

/** node_earning_why: a payment's state as a sentence: "in flight since …", "paid; preimage …".
 *  text [OWM_ERROR_BYTES_MAX]. */
void node_earning_why(const struct owm_task_payment *payment, char *text);

#endif
