/* wallet_read.h: a wallet's answers, JSON to structs, without IO. Private to ots/calendar.
 *
 * Returns of all: OWM_OK; OWM_E_PROTO with a sentence; OWM_E_NOMEM.
 */
#ifndef OWM_OTS_CALENDAR_WALLET_READ_H
#define OWM_OTS_CALENDAR_WALLET_READ_H

#include <jansson.h>

#include "wallet.h"

/** wallet_read_sat: an amount in BTC, or a rate in BTC per 1000 vB, in sat. */
OWM_MUST_USE owm_status wallet_read_sat(const json_t *amount, int64_t *sat,
                                        struct owm_error *error);

/** getblockchaininfo. */
struct wallet_chain {
    uint64_t height, headers;
    uint8_t tip[32];
    bool downloading;
};
OWM_MUST_USE owm_status wallet_read_chain(const json_t *answer, struct wallet_chain *chain,
                                          struct owm_error *error);

/** estimatesmartfee, getmempoolinfo. rate  sat/vB, rounded up; 0: it cannot tell. */
OWM_MUST_USE owm_status wallet_read_rate(const json_t *answer, const char *key, uint64_t *rate,
                                         struct owm_error *error);

/** fundrawtransaction. */
OWM_MUST_USE owm_status wallet_read_draft(const json_t *answer, struct wallet_draft *draft,
                                          struct owm_error *error);

/** signrawtransactionwithwallet. */
OWM_MUST_USE owm_status wallet_read_signed(const json_t *answer, uint8_t *data, uint32_t *bytes,
                                           struct owm_error *error);

/** gettransaction. */
OWM_MUST_USE owm_status wallet_read_found(const json_t *answer, struct wallet_found *found,
                                          struct owm_error *error);

/** getblock with verbosity 1; the header is not in it. */
OWM_MUST_USE owm_status wallet_read_block(const json_t *answer, struct wallet_block *block,
                                          struct owm_error *error);

#endif
