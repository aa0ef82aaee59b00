/* source.h: where the pool's blocks come from: a regtest chain on this machine.
 *
 * A bitcoind on the PATH is taken, else a btcd, else owm-devnet-blocks, which is no Bitcoin node
 * and says so. The real nodes have regtest's difficulty, on which every share is a block; our own
 * source has one at which the miner of this network finds a block every ten seconds or so, while
 * nodes learn: what the miner hashes here is measured once.
 */
#ifndef OWM_DEVNET_SOURCE_H
#define OWM_DEVNET_SOURCE_H

#include <stdbool.h>

#include "base/uuid.h"
#include "process.h"

#define SOURCE_BLOCK_S      4    /* On a machine that does nothing else; learning makes it more. */
#define SOURCE_HALVINGS     "18" /* 19,073 sats a block; 5.7 million all that follow, together. */
#define SOURCE_PATH_MAX     640
#define SOURCE_PASSWORD_MAX OWM_UUID_TEXT_BYTES

enum source_kind { SOURCE_OURS, SOURCE_BITCOIND, SOURCE_BTCD };

/** source: what the pool needs to know, and the process. */
struct source {
    enum source_kind kind;
    struct process process;
    char program[SOURCE_PATH_MAX], folder[SOURCE_PATH_MAX], log[SOURCE_PATH_MAX];
    char cookie[SOURCE_PATH_MAX + 32];  /* "": user and password. */
    char password[SOURCE_PASSWORD_MAX]; /* Of user "owm"; made at each start of the network. */
    char zmq[64];                       /* Endpoint, or "". */
    unsigned port;
    char bits[16], halvings[4]; /* Of our own source. */
};

/** source_choose: which program, with its folder made below run_folder, and its difficulty measured
 *  with the owm-mine beside us (`programs`) if it is our own and new.
 *
 *  payable  A new chain of our own begins behind SOURCE_HALVINGS halvings.
 *  Returns: OWM_E_IO; as process_run. */
owm_status source_choose(struct source *source, const char *run_folder, const char *programs,
                         bool payable, struct owm_error *error) OWM_MUST_USE;

/** source_payable: whether all that will be mined on this chain fits through a channel. */
bool source_payable(const struct source *source);

/** source_start: on source->port, and source->zmq where it can; returns at once. */
owm_status source_start(struct source *source, struct owm_error *error) OWM_MUST_USE;

/** source_text: one line for people: which program it is. */
const char *source_text(const struct source *source);

#endif
