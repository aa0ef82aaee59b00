/* provenance.h: every checkpoint stamped by calendars and followed into a Bitcoin block
 * (SRS-OTS-01, 02, 04, 07; design promise 3).
 *
 *   none --calendars_needed promises--> pending --block, 6 confirmations, seen by us--> confirmed
 *
 * 1. The proof is the file <blob>.ots beside the checkpoint; the row of model_versions follows it
 *    and can be made again from it. So whatever a crash interrupts is done again: stamping is
 *    harmless twice (promises merge), a file is replaced whole, a row in one transaction.
 * 2. A promise counts when the calendar that it names is one of ours or known to the reference
 *    client, each calendar once. A calendar's word is no proof: an answer is taken into the file
 *    only if our own block headers show it to be true, and nothing else confirms.
 * 3. Versions without promises come before others, the newest first. They are tried again after
 *    30 s, or retry_min_s if that is shorter, those without a block after retry_min_s; the pause
 *    doubles up to retry_max_s, a quarter more or less by chance, for as long as it takes. The
 *    calendars that did not promise are asked again at the same times. After alarm_hours the note
 *    and a metric say so.
 * 4. A file that is damaged is set aside as <blob>.ots.bad and made again; the same goes at the
 *    start for a confirmed version whose checkpoint is there and whose proof is not.
 * 5. Whoever opens this has taken the engine's lock (controlplane/db/persist.h). When another
 *    coordinator takes it, nothing is written any more.
 * Thread: one of its own, with its own connection to the database. One call to calendars takes ten
 * seconds at most, so that a new version is acknowledged in time (SRS-PERF-10).
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
    bool serving;  /* a block, or as training where serve_pending; and the checkpoint is there */
};

/** owm_provenance_options: borrowed until close. */
struct owm_provenance_options {
    const char *database_url;
    const owm_identity *identity;
    struct owm_blob_store *store;
    /* URLs with commas; "public" among them: the reference client's four. At least three of them
     * (SRS-OTS-02), but on regtest. A URL is the name that its calendar promises under. */
    const char *calendars;
    unsigned calendars_needed;
    const char *bitcoin_rpc, *bitcoin_cookie; /* "": none */
    const char *headers_file;                 /* "": none. Without both nothing is confirmed. */
    enum owm_network bitcoin_network;
    bool serve_pending; /* development networks alone */
    unsigned retry_min_s, retry_max_s;
    unsigned alarm_hours;
    struct owm_metrics *metrics;
    /* Called from owm_provenance_open for what is known already (the newest that may serve, and
     * the current version), later from the thread for each change. */
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
