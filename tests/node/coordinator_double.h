/* coordinator_double.h: a stand-in for the coordinator in the node's tests: the real protocol over
 * real mutual TLS, with a script instead of a scheduler. It verifies what the real one verifies.
 * Test code: nothing of it is in a product program.
 */
#ifndef COORDINATOR_DOUBLE_H
#define COORDINATOR_DOUBLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/identity.h"
#include "base/rpc/rpc.h"
#include "coordinator.pb-c.h"

#define DOUBLE_RESULTS_MAX 32
#define DOUBLE_NODE_ID     "11111111-2222-4333-8444-555555555555"

struct double_result {
    char task_id[64];
    uint64_t lease_token;
    char error[256];
    uint8_t output[65536]; /* plain */
    size_t output_bytes;
    bool verified; /* signature, box and hash are right */
};

/** coordinator_double: fields under "script" are set by the test, those under "seen" are read by
 *  it; both with lock held, or while nothing runs. */
struct coordinator_double {
    owm_identity *identity;
    struct owm_cert cert;
    struct owm_rpc_server *server;
    int port;
    pthread_mutex_t lock;

    /* script */
    const char *network;         /* "devnet" */
    const char *register_error;  /* "" or INSUFFICIENT_STAKE … */
    bool wrong_key;              /* Hello shows another key */
    bool bad_manifest;           /* the model manifest's signature is broken */
    bool mute;                   /* results are never answered (UNAVAILABLE) */
    bool refuse_results;         /* answered, but refused */
    bool forget_node;            /* heartbeats: NOT_FOUND until the next registration */
    const char *lost_lease;      /* in the answer of each heartbeat with leases */
    bool swap_lease;             /* … and before that answer a new lease of that task arrives */
    const char *status, *notice; /* of heartbeats: "active", "" */
    uint32_t round;              /* of heartbeats */
    int64_t server_time_ms;      /* of Hello and heartbeats; 0: now */
    unsigned heartbeat_ms, manifest_ms;
    const uint8_t *blob; /* the checkpoint it serves */
    size_t blob_bytes;
    uint32_t model_round; /* of its manifest */
    const uint8_t *proof; /* of it, as GetModelVersion gives it; NULL: none */
    size_t proof_bytes;
    bool no_manifest;          /* GetModelVersion: NOT_FOUND */
    bool changed_manifest;     /* another round than the one that was signed */
    bool changed_blob;         /* downloads: the last byte is another one */
    size_t blob_break;         /* the download breaks off at this byte, once; 0: never */
    const char *verdict;       /* of GetReceipt: pending, unknown, included, not_included */
    const char *payment_state; /* of GetEarnings for each accepted result */
    const char *payment_reason;
    bool payment_proven;         /* with hash and preimage */
    const char *stake_policy;    /* of Hello: "none" */
    const char *treasury_uri;    /* of Hello and registrations */
    bool stake_bound;            /* of Hello */
    bool foreign_statement;      /* … names another node */
    int64_t minimum_sats;        /* of tier t1, in Hello and registrations */
    int64_t stake_sats;          /* of registrations and heartbeats */
    int64_t degraded_until_ms;   /* of heartbeats */
    const char *stake_note;      /* of registrations */
    const char *register_status; /* "active" */
    const char *bond_invoice;    /* of NodeBond; "" */

    /* seen */
    unsigned versions; /* GetModelVersion */
    unsigned hellos, registrations, heartbeats, manifests, streams, progresses, receipts, downloads,
        earnings, bonds, stake_proofs;
    unsigned bad_signatures;
    bool bond_leave;
    int64_t bond_sats;
    char bond_kind[16], payout_to[200];
    bool draining;
    uint64_t boot_id, download_offset;
    size_t leases;
    uint32_t free_slots;
    uint64_t last_sequence;
    uint8_t challenge[32], node_key[32];
    struct owm_rpc_call *stream;
    struct double_result result[DOUBLE_RESULTS_MAX];
    size_t result_count;
    unsigned submits;
    char text[65536]; /* of ReportProgress, plain */
    size_t text_bytes;
    uint8_t *upload;
    size_t upload_bytes, uploads;
};

/** SEEN, SET: one field of w->d, whose threads run meanwhile. */
#define SEEN(w, field)                                                                             \
    ({                                                                                             \
        pthread_mutex_lock(&(w)->d.lock);                                                          \
        __auto_type seen_value = (w)->d.field;                                                     \
        pthread_mutex_unlock(&(w)->d.lock);                                                        \
        seen_value;                                                                                \
    })
#define SET(w, field, value)                                                                       \
    do {                                                                                           \
        pthread_mutex_lock(&(w)->d.lock);                                                          \
        (w)->d.field = (value);                                                                    \
        pthread_mutex_unlock(&(w)->d.lock);                                                        \
    } while (0)

void double_open(struct coordinator_double *d);
void double_close(struct coordinator_double *d);

/** double_stop / double_restart: as if the process died; the same port and key come back. */
void double_stop(struct coordinator_double *d);
void double_restart(struct coordinator_double *d);

/** double_drop_stream: end the node's task stream. */
void double_drop_stream(struct coordinator_double *d);

/** double_task: one Task message: boxed, hashed, sent on the stream. */
struct double_task {
    const char *id;
    const char *type;
    uint64_t lease_token;
    int timeout_s;
    const void *payload; /* packed */
    size_t payload_bytes;
    bool wrong_hash, wrong_box;
};
void double_send(struct coordinator_double *d, const struct double_task *task);
void double_send_inference(struct coordinator_double *d, const char *id, uint64_t lease_token,
                           const char *prompt, uint32_t max_tokens);
void double_send_round(struct coordinator_double *d, const char *id, uint64_t lease_token,
                       uint32_t round, uint32_t steps);

/** double_wait: until the counter reaches count; false after timeout_ms. */
bool double_wait(struct coordinator_double *d, const unsigned *counter, unsigned count,
                 unsigned timeout_ms);
/** double_wait_results: until that many results were taken (accepted or refused). */
bool double_wait_results(struct coordinator_double *d, size_t count, unsigned timeout_ms);

/** double_write_cert: the certificate file for network.coordinator_cert. */
void double_write_cert(const struct coordinator_double *d, const char *path);

#endif
