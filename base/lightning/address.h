/* address.h: a Lightning address, name@host, to an invoice: LNURL-pay (LUD-16, LUD-06).
 *
 * The host is asked over HTTPS what it takes, and then for an invoice over that amount. Whoever
 * calls decodes the invoice and judges it: what a host answers is only checked to be an answer.
 */
#ifndef OWM_BASE_LIGHTNING_ADDRESS_H
#define OWM_BASE_LIGHTNING_ADDRESS_H

#include "base/lightning/lightning.h"

/** owm_lightning_address_valid: whether a text has the form of one. */
bool owm_lightning_address_valid(const char *text);

/** owm_lightning_address_fetch: an invoice over exactly amount_msat. Blocks for two exchanges.
 *  Thread: any.
 *  Returns: OWM_OK; OWM_E_ARG no address; OWM_E_LIMIT the host takes less or more than this amount;
 *  OWM_E_STATE it refuses in its own words; OWM_E_PROTO an answer that makes no sense; as
 *  owm_http_fetch. */
OWM_MUST_USE owm_status owm_lightning_address_fetch(const char *address, int64_t amount_msat,
                                                    char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                                    struct owm_error *error);

#endif
