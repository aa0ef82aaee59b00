/* fake_node.h: a test double of the Lightning library: what base/lightning promises about payments,
 * in a piece of memory that outlives the process that uses it, so that tests can kill that process
 * (killed.h). It keeps the promise of LND's control tower and counts what it sends.
 */
#ifndef TESTS_PAYMENTS_FAKE_NODE_H
#define TESTS_PAYMENTS_FAKE_NODE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/lightning/lightning.h"

#define FAKE_PAYMENTS_MAX 2048
#define FAKE_CHANNELS_MAX 16
#define FAKE_INVOICES_MAX 64

struct fake_payment {
    uint8_t hash[32], preimage[32], destination[33];
    int64_t amount_msat, fee_msat, ends_ms;
    enum { FAKE_NONE, FAKE_ALIVE, FAKE_PAID, FAKE_DEAD } state;
    bool pays;
    unsigned tries;
};

struct fake_channel {
    uint8_t peer[33];
    bool opened_by_peer;
    int64_t local_msat;
};

struct fake_invoice {
    uint8_t hash[32], preimage[32];
    int64_t asked_msat, paid_msat;
    enum owm_lightning_invoice_state state;
    uint64_t settle_index;
};

struct fake_node {
    pthread_mutex_t lock;
    /* how it behaves; tests set it with the lock held or before anything runs */
    _Atomic bool down;   /* no answer at all */
    _Atomic bool locked; /* wallet locked */
    _Atomic unsigned fail_percent, lose_percent, refuse_percent, hang_percent;
    _Atomic unsigned slow_ms;  /* a payment takes up to this */
    _Atomic int address_trick; /* 1: twice the amount, 2: our own key, 3: always the same, 4: old */
    uint64_t random;
    uint64_t settle_index;
    /* tests look at these while it runs */
    _Atomic int64_t wallet_msat;
    _Atomic unsigned opens;
    _Atomic size_t payment_count, channel_count;
    size_t invoice_count;
    struct fake_payment payment[FAKE_PAYMENTS_MAX];
    struct fake_channel channel[FAKE_CHANNELS_MAX];
    struct fake_invoice invoice[FAKE_INVOICES_MAX];
};

extern struct fake_node *fake; /* of this process and those it forks */

/** fake_node_new: a fresh one, in memory shared with children. */
void fake_node_new(void);

/** fake_paid: how many payments are paid and how much they were; every one of them at most once. */
unsigned fake_paid(int64_t *msat);

/** fake_key: a node's key, from a number; fake_key_text [67]. */
void fake_key(unsigned n, uint8_t key[33]);
void fake_key_text(unsigned n, char *text);
#define FAKE_OWN 9999 /* the treasury's own */

/** fake_invoice_pay: somebody pays an invoice of ours. */
void fake_invoice_pay(const uint8_t hash[32], int64_t msat);

#endif
