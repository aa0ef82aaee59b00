/* history.h: payments for whoever earned them, over HTTP (SRS-LN-10):
 *
 *   GET /v1/payments/history?node=ID&state=S&before=PAYMENT&limit=N   newest first; "next" is
 *                                                                     `before` of the next page,
 *                                                                     or null
 *   GET /v1/payments/summary                                          count and amount by state
 *   GET /v1/nodes/ID/earnings                                         by state, and by day
 *
 * Amounts are whole millisats (`_msat`), and the same as text in sats (`_sats`); times are
 * milliseconds since 1970. A settled payment has its preimage: the proof that it was paid. The
 * database is asked on a thread of this part; the HTTP server's waits for nobody.
 */
#ifndef OWM_PAYMENTS_HISTORY_H
#define OWM_PAYMENTS_HISTORY_H

#include "base/http_server.h"
#include "base/status.h"

#define OWM_HISTORY_LIMIT_MAX 500

struct owm_history;

/** owm_history_open: owed_note  the reason of what is owed and was never tried, e.g. that no
 *  Lightning node is configured; "" if there is one. Strings are borrowed until close.
 *  Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_history_open(const char *database_url, const char *owed_note,
                                         struct owm_history **history);
void owm_history_close(struct owm_history *history); /* NULL is allowed; after the HTTP server */

/** owm_history_serve: the handler of all three paths; ctx: the history. */
void owm_history_serve(void *ctx, const struct owm_http_request *request,
                       owm_http_response *response);

#endif
