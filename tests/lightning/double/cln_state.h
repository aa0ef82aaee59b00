/* cln_state.h: what the double of lightningd keeps. Private to the double. */
#ifndef TESTS_LIGHTNING_CLN_STATE_H
#define TESTS_LIGHTNING_CLN_STATE_H

#include <jansson.h>
#include <pthread.h>

#include "cln_double.h"

#define CLN_CONNECTIONS_MAX 256
#define CLN_FAULTS_MAX      16

struct cln_fault_row {
    char method[32];
    enum cln_fault fault;
    int code;
    unsigned times;
};

struct cln_connection {
    struct cln_double *node;
    pthread_t thread;
    int fd; /* -1: over */
};

struct cln_double {
    char path[108], key[67];
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news; /* a payment ended, an invoice was paid, or it is closing */
    bool closing;        /* under lock: it and what follows */
    unsigned generation; /* one more with each restart */
    struct cln_connection connections[CLN_CONNECTIONS_MAX];
    size_t connection_count;
    struct cln_fault_row faults[CLN_FAULTS_MAX];
    json_t *info, *shown, *runes, *calls, *params, *pays, *invoices;
    char *last_params;
    enum cln_pay_script script;
    int script_code;
    unsigned after_ms;
    int64_t pay_index;
};

/** cln_do: call a method, the lock held (it may be let go while the method waits). New reference:
 *  {"result": …} or {"error": …}. */
json_t *cln_do(struct cln_double *node, const char *method, const json_t *params);

/** cln_error: {"error": {"code", "message"}}. */
json_t *cln_error(int code, const char *message);

/** cln_wait: for news, at most ms; the lock is held. False: the time is over. */
bool cln_wait(struct cln_double *node, unsigned ms);

/** cln_allows: whether restrictions let a call through. */
bool cln_allows(const json_t *restrictions, const char *method, const json_t *params);

/** cln_decode_text: an invoice of a double: {"type", "payee", …} as decode shows it, and its
 *  "preimage"; NULL: it is none. */
json_t *cln_decode_text(const char *text);

void cln_sell(const char *key, const char *preimage_hex, int64_t msat, int64_t expiry_s,
              bool bolt12, char text[CLN_DOUBLE_INVOICE_BYTES]);

#endif
