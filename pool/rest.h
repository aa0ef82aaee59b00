/* rest.h: the pool's numbers for programs (SRS-POOL-09, table 4.8.2), as JSON. Nothing is written.
 *
 * Units stand in names: _ms (milliseconds, or since 1970 for *_at_ms), _sats (a number with
 * decimals), _msat (a whole number). `age_ms` says how old a part is. Names of miners and workers
 * are what they said themselves: escape them before showing them. A hash is shown as block
 * explorers do.
 * An error is {"error": {"status": 404, "reason": "a sentence"}} with the same HTTP status:
 * 400 a wrong parameter, 404 unknown, 426 no WebSocket, 503 busy or the database does not answer.
 *
 * GET /v1/mining/stats
 *   {"network", "time_ms",
 *    "live":   {"age_ms", "uptime_ms", "hashes_per_s": {"1m", "10m"}, "miners", "workers",
 *               "connections", "channels", "best_share_difficulty",
 *               "shares": {"accepted", "rejected", "waiting", "rejected_by_reason": {reason: n}},
 *               "verdict_ms", "ack_ms", "fanout_ms": {"count", "p50", "p99", "max"}},
 *    "ledger": null, as long as the database has not answered, or
 *              {"age_ms", "hashes_per_s": {"1h", "24h"}, "shares_1h", "shares_24h", "blocks_30d",
 *               "orphans_30d", "earned_sats", "owed_sats", "treasury_sats"},
 *    "price":  null, or {"height", "difficulty", "subsidy_sats", "fees_sats", "pay_basis_points",
 *               "sats_per_difficulty", "sats_per_th_day"},
 *    "blocks": [{"hash", "height", "found_at_ms", "miner", "worker", "reward_sats", "fate",
 *                "confirmations", "accepted_by", "refused_by", "reason"}], newest first,
 *    "health": {"ok", "reasons": [sentence]}}
 *
 * GET /v1/mining/nodes/{node_id}[?kind=node|name]
 *   node_id  a node's key (64 hex digits), or the name that a miner gives (user_identity up to its
 *            first dot); kind tells which where a name looks like a key.
 *   {"miner", "kind", "connected",
 *    "live":   null, or {"hashes_per_s": {"1m", "10m"}, "workers", "accepted", "rejected",
 *               "best_share_difficulty", "last_share_age_ms": null or a number,
 *               "estimated_sats_per_day"},
 *    "ledger": null, or {"age_ms", "hashes_per_s": {"10m", "1h", "24h"}, "shares", "balance_sats",
 *               "paid_sats", "last_share_at_ms"}; paid: what has become payments, see their state,
 *    "workers": [{"worker", "connected", "hashes_per_s": {"10m", "1h", "24h"}, "accepted",
 *                 "rejected", "shares", "difficulty", "best_share_difficulty",
 *                 "last_share_age_ms"}], "workers_left_out",
 *    "payouts": as below, the newest 50; "blocks": as above, the newest 20}
 *
 * GET /v1/mining/payouts[?limit=1…100][&before=payment_id]
 *   Newest first, of the newest 1000. {"age_ms", "payouts": [{"payment_id", "miner", "amount_msat",
 *   "state": "owed"|"in_flight"|"settled"|"failed", "created_at_ms"}], "next": null, or what
 *   `before` is on the next page}
 *
 * GET /v1/mining/dashboard: a WebSocket; each second one text
 *   {"time_ms", "pool": {"hashes_per_s": {"1m", "10m", "1h", "24h"}, "miners", "workers",
 *    "estimated_sats_per_day"}, "shares": {"accepted", "rejected"},
 *    "miners": [{"miner", "kind", "hashes_per_s": {"1m", "10m"}, "accepted", "rejected", "workers",
 *                "estimated_sats_per_day"}], the 20 strongest, "rest": {"miners", "hashes_per_s"},
 *    "shown": {key: text}}, what the pool's own page puts into its places.
 */
#ifndef OWM_POOL_REST_H
#define OWM_POOL_REST_H

#include "base/http_server.h"
#include "report.h"

/** Handlers; ctx is the struct owm_report. */
void owm_rest_stats(void *ctx, const struct owm_http_request *request, owm_http_response *response);
void owm_rest_node(void *ctx, const struct owm_http_request *request, owm_http_response *response);
void owm_rest_payouts(void *ctx, const struct owm_http_request *request,
                      owm_http_response *response);
void owm_rest_dashboard(void *ctx, const struct owm_http_request *request,
                        owm_http_response *response);
void owm_rest_unknown(void *ctx, const struct owm_http_request *request,
                      owm_http_response *response);

/** owm_rest_feed: the newest text of the dashboard. malloc'ed; NULL without memory. */
char *owm_rest_feed(struct owm_report *report);

#endif
