/* wallet_double_tx.h: transactions as the double's wallet makes and reads them. */
#ifndef OWM_TEST_WALLET_DOUBLE_TX_H
#define OWM_TEST_WALLET_DOUBLE_TX_H

#include "base/rng.h"
#include "dataplane/chain/transaction.h"
#include "wallet_double.h"

#define WALLET_TX_BYTES_MAX 65536

/** wallet_plan: what a transaction is made of: coins in, a root, change. */
struct wallet_plan {
    struct wallet_outpoint input[WALLET_PLACES_MAX];
    uint32_t inputs;
    bool has_root;
    uint8_t root[32];
    uint64_t change; /* 0: none. */
    const uint8_t *change_script;
    uint32_t change_script_bytes;
};

bool wallet_plan_has(const struct wallet_plan *plan, const uint8_t txid[32], uint32_t index);

/** wallet_plan_read: a transaction of ours, in hex; its change script is not read. */
bool wallet_plan_read(const char *hex, struct wallet_plan *plan);

/** wallet_plan_vbytes: when it is signed. */
uint64_t wallet_plan_vbytes(const struct wallet_plan *plan);

/** wallet_tx_write: tx [WALLET_TX_BYTES_MAX] written. signed_: with a witness that looks like one.
 *  Returns: how many. */
uint32_t wallet_tx_write(const struct wallet_plan *plan, bool signed_, uint8_t *tx);

/** wallet_tx_read: all but data, fee and height; mine: outputs with that script. */
bool wallet_tx_read(const uint8_t *data, uint32_t bytes, const uint8_t *script,
                    uint32_t script_bytes, struct wallet_tx *tx);

/** wallet_tx_random: one of somebody else, with a witness or without. data [256] written. */
uint32_t wallet_tx_random(struct owm_rng *rng, uint8_t *data);

#endif
