/* lab.h: the heavy part of a round: first checkpoint, checking a package, aggregating, measuring.
 *
 * Works on files of the blob store and on numbers; knows no database and no network. Aggregation is
 * a pure function of the base checkpoint, the packages and the policy: after a crash it gives the
 * same checkpoint hash again (promise 5).
 */
#ifndef OWM_COORDINATOR_LAB_H
#define OWM_COORDINATOR_LAB_H

#include <stdbool.h>

#include "base/identity.h"
#include "dataplane/fl/aggregate.h"
#include "dataplane/model/config.h"
#include "dataplane/store/blob_store.h"

#define OWM_LAB_REASON_BYTES         32
#define OWM_LAB_SCREEN_BYTES         16384 /* of the held-out text, to try single updates on */
#define OWM_LAB_CHECKPOINT_BYTES_MAX (UINT64_C(1) << 34)

struct owm_lab;

/** owm_lab_options: the store is borrowed until close. */
struct owm_lab_options {
    struct owm_blob_store *store;
    const char *momentum_dir; /* where the server's momentum of each checkpoint is kept */
    const char *heldout_file; /* "": nothing is measured */
    uint64_t heldout_bytes_max;
    struct owm_model_config model; /* of the first checkpoint */
    uint64_t seed;
    struct owm_aggregate_policy policy;
    bool loss_screen;
    unsigned threads; /* 0: the cores this process may use */
};

/** owm_lab_checkpoint: one checkpoint in the store. */
struct owm_lab_checkpoint {
    uint8_t hash[32];
    uint64_t bytes;
    uint64_t parameters;
    double bits_per_byte; /* on the held-out text; NaN if there is none */
};

/** owm_lab_open: Returns: OWM_OK; OWM_E_CONFIG the model's shape or the held-out file; OWM_E_NOMEM;
 *  OWM_E_IO. */
OWM_MUST_USE owm_status owm_lab_open(const struct owm_lab_options *options, struct owm_lab **lab,
                                     struct owm_error *error);
void owm_lab_close(struct owm_lab *lab);

/** owm_lab_genesis: make the first checkpoint from the seed and put it into the store. */
OWM_MUST_USE owm_status owm_lab_genesis(struct owm_lab *lab, struct owm_lab_checkpoint *out,
                                        struct owm_error *error);

/** owm_lab_describe: size, parameters and held-out loss of a checkpoint that is in the store.
 *  Returns: OWM_OK; OWM_E_NOTFOUND; OWM_E_PROTO. */
OWM_MUST_USE owm_status owm_lab_describe(struct owm_lab *lab, const uint8_t hash[32],
                                         struct owm_lab_checkpoint *out, struct owm_error *error);

/** owm_lab_order: what one participant was asked for. */
struct owm_lab_order {
    uint32_t round;
    uint8_t base_hash[32];
    uint8_t node_key[32];
    uint8_t nonce[16];
    uint32_t topk_permille;
    uint64_t package_bytes_max;
};

/** owm_lab_check: whether a stored package is well-formed and is the answer to this order.
 *
 *  reason  [OWM_LAB_REASON_BYTES] "" or a code: the delta's own (TRUNCATED, WRONG_BASE,
 *          WRONG_ROUND, WRONG_NODE, SIGNATURE …), REPLAYED for another nonce, NOT_UPLOADED.
 *  Returns: OWM_OK judged, look at reason; OWM_E_IO, OWM_E_NOMEM: not judged, try again. */
OWM_MUST_USE owm_status owm_lab_check(struct owm_lab *lab, const struct owm_lab_order *order,
                                      const uint8_t package_hash[32], char *reason,
                                      struct owm_error *error);

/** owm_lab_entry: one package of a round, in and out. */
struct owm_lab_entry {
    struct owm_lab_order order;
    uint8_t package_hash[32];
    double prior; /* tier x stake weight */
    uint64_t arrival_ms;
    /* out */
    bool included;
    char reason[OWM_LAB_REASON_BYTES]; /* "" when included */
    unsigned severity;                 /* enum owm_screen_severity */
    double weight;
    uint8_t evidence_hash[32]; /* of the bundle in the store, where severity is a signal */
};

/** owm_lab_result: what a round gave. */
struct owm_lab_result {
    struct owm_lab_checkpoint checkpoint;
    uint8_t certificate_hash[32];
    double bits_before;
};

/** owm_lab_aggregate: base checkpoint + packages -> new checkpoint and certificate in the store.
 *
 *  entries  [count]; any order: they are put in the order of node keys; out fields written.
 *  Returns: OWM_OK; OWM_E_STATE no package is left after screening (out fields are written, the
 *           checkpoint is the base, and the certificate says why); OWM_E_IO; OWM_E_NOMEM;
 *           OWM_E_PROTO. */
OWM_MUST_USE owm_status owm_lab_aggregate(struct owm_lab *lab, const uint8_t base_hash[32],
                                          uint32_t round, struct owm_lab_entry *entries,
                                          size_t count, struct owm_lab_result *result,
                                          struct owm_error *error);

#endif
