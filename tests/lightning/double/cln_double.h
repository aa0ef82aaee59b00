/* cln_double.h: a test double of Core Lightning's lightningd on a unix socket, in process.
 *
 * It answers the JSON-RPC methods that base/lightning uses as the manual says, on regtest, keeps
 * payments and invoices over a restart, and does what tests tell it to: cut, delay, garble.
 * Its invoices look like BOLT11 from outside and are not: hex digits that only doubles read, with
 * the preimage in them, so that any double can pay any other's.
 * Thread: any. Functions abort on what a test did wrong.
 */
#ifndef TESTS_LIGHTNING_CLN_DOUBLE_H
#define TESTS_LIGHTNING_CLN_DOUBLE_H

#include <stdbool.h>
#include <stdint.h>

#define CLN_DOUBLE_INVOICE_BYTES 512

struct cln_double;

/** cln_double_open: `folder` is there; the socket is its lightning-rpc. */
struct cln_double *cln_double_open(const char *folder);
void cln_double_close(struct cln_double *node);

const char *cln_double_path(const struct cln_double *node); /* of the socket */
const char *cln_double_key(const struct cln_double *node);  /* hex */

/** cln_double_restart: every connection is cut; what was pending stays pending. */
void cln_double_restart(struct cln_double *node);

/** cln_double_put: what a method shows: "getinfo" merges an object into it ("key": null removes),
 *  "channels", "closedchannels", "outputs", "fundchannels" (of listfunds) replace an array,
 *  "close" the answer of close. */
void cln_double_put(struct cln_double *node, const char *what, const char *json);

/** cln_double_rune: a rune, and its restrictions as createrune takes them; NULL: blacklisted. */
void cln_double_rune(struct cln_double *node, const char *rune, const char *restrictions);

enum cln_fault {
    CLN_REFUSE,     /* an error with `code` */
    CLN_CUT_BEFORE, /* hang up and do nothing */
    CLN_CUT_AFTER,  /* do it and hang up */
    CLN_CUT_HALF,   /* do it and send half of the reply */
    CLN_GARBAGE,    /* what is no JSON */
    CLN_NONSENSE,   /* a result that is an empty object */
    CLN_HUGE,       /* a reply without an end */
    CLN_SLOW,       /* do it, and send the reply `code` ms later, in small pieces */
};

/** cln_double_fault: for the next `times` calls of a method. */
void cln_double_fault(struct cln_double *node, const char *method, enum cln_fault fault, int code,
                      unsigned times);

/** cln_double_calls: how often a method was called, faults included. */
unsigned cln_double_calls(struct cln_double *node, const char *method);

/** cln_double_params: of the last call of a method, as JSON; lives until the next. */
const char *cln_double_params(struct cln_double *node, const char *method);

enum cln_pay_script {
    CLN_PAY_SUCCEED,
    CLN_PAY_FAIL,     /* a part is sent, and fails with `code` */
    CLN_PAY_NO_ROUTE, /* nothing is sent: `code` */
    CLN_PAY_STUCK,    /* a part is sent, and stays */
    CLN_PAY_RETRY,    /* a part fails at once, another succeeds `after_ms` later */
};

/** cln_double_pays: what becomes of payments from now on, `after_ms` after their part was sent. */
void cln_double_pays(struct cln_double *node, enum cln_pay_script script, int code,
                     unsigned after_ms);

/** cln_double_end: what is stuck of a hash succeeds or fails. */
void cln_double_end(struct cln_double *node, const uint8_t hash[32], bool success);

/** cln_double_age: rows of a hash are `s` seconds older. */
void cln_double_age(struct cln_double *node, const uint8_t hash[32], int s);

/** cln_double_paid: how often money has left, or is leaving, for a hash. */
unsigned cln_double_paid(struct cln_double *node, const uint8_t hash[32]);

/** cln_double_sell: an invoice of the double's key with a preimage of the caller's; 0: any amount.
 *  bolt12: one as fetchinvoice gives. */
void cln_double_sell(struct cln_double *node, const uint8_t preimage[32], int64_t msat, bool bolt12,
                     char text[CLN_DOUBLE_INVOICE_BYTES]);

/** cln_double_receive: somebody pays an invoice that `invoice` made. */
void cln_double_receive(struct cln_double *node, const uint8_t hash[32], int64_t msat);

#endif
