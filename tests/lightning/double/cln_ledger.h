/* cln_ledger.h: payments and invoices of the double of lightningd. Private to the double. */
#ifndef TESTS_LIGHTNING_CLN_LEDGER_H
#define TESTS_LIGHTNING_CLN_LEDGER_H

#include "cln_state.h"

json_t *cln_result(json_t *result);
json_t *cln_xpay(struct cln_double *node, const json_t *params);
json_t *cln_listpays(struct cln_double *node, const json_t *params);
json_t *cln_invoice(struct cln_double *node, const json_t *params);
json_t *cln_listinvoices(struct cln_double *node, const json_t *params);
json_t *cln_waitanyinvoice(struct cln_double *node, const json_t *params);

#endif
