/* provenance.h: every checkpoint stamped by calendars and followed into a Bitcoin block
 * (SRS-OTS-01, 02, 04, 07; design promise 3).
 *
 *   none --calendars_needed promises--> pending --block, 6 confirmations, checked by us--> confirmed
 *
 * The proof is the file <blob>.ots beside the checkpoint; the row of model_versions follows it and
 * can be made again from it. Whatever a crash interrupts is done again: stamping is harmless twice
 * (promises merge), a file is replaced whole. Versions that lack promises, or a block, are tried
 * again with a pause that grows from retry_min_s to retry_max_s, for as long as it takes; after
 * alarm_hours the page and a metric say so.
 * Thread: one of its own, with its own connection to the database.
 */
#ifndef OWM_PROVENANCE_PROVENANCE_H
#define OWM_PROVENANCE_PROVENANCE_H

#include <stdbool.h>

#include "base/identity.h"
#include "base/metrics.h"
#include "dataplane/chain/template.h"
#include "dataplane/store/blob_store.h"

struct owm_provenance;

/** owm_proven: what a version may be used for now. */
struct owm_proven {
    uint8_t model_hash[32];
    uint64_t model_bytes;
    uint32_t round;
    bool training; /* promises of enough calendars, or a block */
    bool serving;  /* a block; or as training, where serve_pending */
};

/** owm_provenance_options: borrowed until close. */
struct owm_provenance_options {
    const char *database_url;
    const owm_identity *identity;
    struct owm_blob_store *store;
    const char *calendars; /* URLs with commas, or "public": the reference client's four */
    unsigned calendars_needed;
    const char *bitcoin_rpc, *bitcoin_cookie; /* "": none */
    const char *headers_file;                 /* "": none. Without both nothing is confirmed. */
    enum owm_network bitcoin_network;
    bool serve_pending; /* development networks alone */
    unsigned retry_min_s, retry_max_s;
    unsigned alarm_hours;
    struct owm_metrics *metrics;
    /* Called from owm_provenance_open for what is known already (the current version, and the newest
     * that may serve), later from the thread for each change. */
    void (*proven)(void *ctx, const struct owm_proven *proven);
    void (*note)(void *ctx, const char *text); /* for the page and /health; "": all is well */
    void *ctx;
};

/** owm_provenance_open: Returns: OWM_OK; OWM_E_CONFIG with the key and the fix; OWM_E_NET and what
 *  else the database says; OWM_E_NOMEM. A calendar or Bitcoin node that is away is no failure. */
OWM_MUST_USE owm_status owm_provenance_open(const struct owm_provenance_options *options,
                                            struct owm_provenance **provenance,
                                            struct owm_error *error);

/** owm_provenance_wake: a new version is in the database. Thread: any. NULL is allowed. */
void owm_provenance_wake(struct owm_provenance *provenance);

void owm_provenance_close(struct owm_provenance *provenance); /**< NULL is allowed. */

/** owm_provenance_path: where the proof of a checkpoint stands: <blob>.ots.
 *  Returns: OWM_OK; OWM_E_LIMIT it does not fit. */
OWM_MUST_USE owm_status owm_provenance_path(const struct owm_blob_store *store,
                                            const uint8_t sha256[static 32], char *path,
                                            size_t capacity);

#endif
