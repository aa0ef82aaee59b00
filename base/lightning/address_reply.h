/* address_reply.h: the two answers of LNURL-pay, from bytes to what matters. Private to the folder.
 *
 *   GET https://host/.well-known/lnurlp/name  -> what it takes, and where to ask for an invoice
 *   GET callback?amount=MSAT                  -> {"pr": "lnbc…"}
 *
 * Source: LUD-01, LUD-06 and LUD-16. Both answers come from a stranger.
 */
#ifndef OWM_BASE_LIGHTNING_ADDRESS_REPLY_H
#define OWM_BASE_LIGHTNING_ADDRESS_REPLY_H

#include <stddef.h>

#include "lightning.h"

#define OWM_LNURL_REPLY_BYTES_MAX (64 * 1024)
#define OWM_LNURL_URL_BYTES       1024

/** owm_lnurl_first_url: of an address. OWM_E_ARG: it has not the form of one. */
OWM_MUST_USE owm_status owm_lnurl_first_url(const char *address, char url[OWM_LNURL_URL_BYTES],
                                            struct owm_error *error);

/** owm_lnurl_read_offer: url out: the callback with the amount in it. Returns: OWM_OK; OWM_E_LIMIT
 *  amount_msat is not between what it takes; OWM_E_STATE an error in its own words; OWM_E_PROTO. */
OWM_MUST_USE owm_status owm_lnurl_read_offer(const char *text, size_t bytes, int64_t amount_msat,
                                             char url[OWM_LNURL_URL_BYTES],
                                             struct owm_error *error);

/** owm_lnurl_read_invoice: Returns: OWM_OK; OWM_E_STATE; OWM_E_PROTO no BOLT11 string. */
OWM_MUST_USE owm_status owm_lnurl_read_invoice(const char *text, size_t bytes,
                                               char invoice[OWM_LIGHTNING_INVOICE_BYTES],
                                               struct owm_error *error);

#endif
