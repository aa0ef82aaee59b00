/* provenance_internal.h: what the files of the stamping share. */
#ifndef OWM_PROVENANCE_INTERNAL_H
#define OWM_PROVENANCE_INTERNAL_H

#include <limits.h>
#include <pthread.h>

#include "base/pg/pg.h"
#include "base/rng.h"
#include "dataplane/ots/calendar.h"
#include "dataplane/ots/header_source.h"
#include "dataplane/ots/verify.h"
#include "provenance.h"

#define PROV_VERSION_BYTES  64
#define PROV_ANSWERED_MAX   1024  /* versions of which it is known which calendars answered */
#define PROV_RECHECKED_MAX  4096  /* versions whose proofs are read at the start */
#define PROV_BLOCKS_MAX     100   /* headers fetched between two looks for new versions: seconds */
#define PROV_STAMP_PAUSE_MS 30000 /* rounds wait for promises: tried again sooner than for blocks */
#define PROV_RESERVE_MS     10000 /* of one upgrade, whatever calendars do (SRS-PERF-10) */

/** prov_version: a row of model_versions. */
struct prov_version {
    char id[PROV_VERSION_BYTES];
    uint8_t hash[32];
    uint64_t bytes;
    uint32_t round;
    int64_t created_ms, stamped_ms; /* stamped_ms 0: fewer promises than needed */
    unsigned calendars, attempts;
    bool confirmed;
};

/** prov_standing: what the file says of a version, and when to look again. */
struct prov_standing {
    unsigned calendars, attempts;
    bool stamped;
    int64_t pause_ms;
    char note[OWM_ERROR_BYTES_MAX];
    bool changed; /* the file did, or has something that the row has not */
};

/** prov_block: what was verified. */
struct prov_block {
    uint64_t height;
    uint32_t time_s;
};

struct prov_summary {
    uint64_t none, pending, confirmed, overdue;
    char waiting[PROV_VERSION_BYTES]; /* the newest that was tried and lacks promises; "": none */
    char waiting_note[OWM_ERROR_BYTES_MAX];
    unsigned waiting_calendars;
    char oldest[PROV_VERSION_BYTES]; /* of those that are overdue */
    char oldest_note[OWM_ERROR_BYTES_MAX];
};

struct prov_meters {
    owm_gauge *none, *pending, *confirmed, *overdue;
    owm_histogram *promise_s, *confirm_s;
    owm_counter *damaged;
};

/** prov_answered: which of urls[] promised a version: bit i is urls[i]. */
struct prov_answered {
    uint8_t hash[32];
    uint32_t mask;
};

struct owm_provenance {
    struct owm_provenance_options options;
    char *list; /* the text that urls point into */
    const char *urls[OWM_OTS_CALENDARS_MAX], *own[OWM_OTS_CALENDARS_MAX];
    size_t url_count;
    struct owm_ots_calendars calendars;
    owm_ots_header_source *source; /* NULL: nothing can be verified */
    struct owm_pg *pg;
    int64_t epoch; /* of the coordinator that opened us; another one's: we write nothing */
    struct prov_meters meters;
    struct owm_rng rng;

    /* the thread's own */
    struct prov_answered answered[PROV_ANSWERED_MAX];
    size_t answered_next;
    bool rechecked, deposed, away;
    char note[OWM_ERROR_BYTES_MAX];

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool awake, stop; /* under lock */
};

/* --- the file (provenance_proof.c) ------------------------------------------------------------ */

/** prov_proof_open: the proof of a hash: from its file, or one with nothing in it. A file that is
 *  damaged or proves something else is renamed to .bad, and that is logged.
 *  found  whether there was one.   Returns: OWM_OK; OWM_E_PERM, OWM_E_IO, OWM_E_LIMIT,
 *  OWM_E_NOMEM: the disk's fault, nothing was changed. */
OWM_MUST_USE owm_status prov_proof_open(struct owm_provenance *p, const uint8_t hash[static 32],
                                        struct owm_ots_proof *proof, bool *found,
                                        struct owm_error *error);

/** prov_proof_save: the file replaced as a whole. Returns: OWM_OK; OWM_E_STATE another coordinator
 *  decides now; as owm_fs_write_atomic. */
OWM_MUST_USE owm_status prov_proof_save(struct owm_provenance *p, const uint8_t hash[static 32],
                                        const struct owm_ots_proof *proof, struct owm_error *error);

/* --- calendars (provenance_ask.c) ------------------------------------------------------------- */

/** prov_calendars_parse: options.calendars into urls and own.
 *  Returns: OWM_OK; OWM_E_CONFIG; OWM_E_NOMEM. */
OWM_MUST_USE owm_status prov_calendars_parse(struct owm_provenance *p, struct owm_error *error);

/** prov_promises: of how many calendars that count the tree holds a promise. */
unsigned prov_promises(const struct owm_provenance *p, const struct owm_ots_tree *tree);

/** prov_stamp: ask those calendars that have not promised yet.
 *  asked  how many.  changed  whether the tree did.
 *  Returns: OWM_OK; OWM_E_NET the reason of one that did not; OWM_E_NOMEM, OWM_E_IO. */
OWM_MUST_USE owm_status prov_stamp(struct owm_provenance *p, struct owm_ots_tree *tree,
                                   size_t *asked, bool *changed, struct owm_error *error);

/** prov_unanswered: what calendars answered was not kept, so all that it lacks are asked again. */
void prov_unanswered(struct owm_provenance *p, const uint8_t hash[static 32]);

/** prov_upgrade: ask for the block. Only what `headers` show to be true is merged.
 *  Returns: OWM_OK something was; OWM_E_AGAIN nothing was, with the reason; OWM_E_NOMEM. */
OWM_MUST_USE owm_status prov_upgrade(struct owm_provenance *p, struct owm_ots_tree *tree,
                                     struct owm_ots_headers *headers, struct owm_error *error);

/* --- one version (provenance_follow.c) -------------------------------------------------------- */

/** prov_follow: the next step of a version, from its file to its row.
 *  Returns: OWM_OK, whatever calendars, nodes and the disk said; as owm_pg_exec. */
OWM_MUST_USE owm_status prov_follow(struct owm_provenance *p, struct prov_version *version,
                                    struct owm_error *error);

/** prov_recheck: rows against files, once at the start: what a crash or a person has changed in
 *  between is due now.   Returns: as owm_pg_exec. */
OWM_MUST_USE owm_status prov_recheck(struct owm_provenance *p, struct owm_error *error);

/** prov_tell: options.proven about a version. */
void prov_tell(struct owm_provenance *p, const struct prov_version *version);

/** prov_tell_newest: the same about the newest that may serve and is on disk, where there is one.
 *  Returns: as owm_pg_query; OWM_E_NOMEM. */
OWM_MUST_USE owm_status prov_tell_newest(struct owm_provenance *p, struct owm_error *error);

/** prov_pause_ms: after `attempts` fruitless ones: doubled from min to max, a quarter less or more
 *  by chance. */
int64_t prov_pause_ms(struct owm_rng *rng, unsigned attempts, int64_t min_ms, int64_t max_ms);

/** prov_going: false once close wants the thread. Thread: any. */
bool prov_going(struct owm_provenance *p);

/* --- rows (provenance_rows.c): all return as owm_pg_exec -------------------------------------- */

/** prov_rows_epoch: of the coordinator that decides now. */
OWM_MUST_USE owm_status prov_rows_epoch(struct owm_pg *pg, int64_t *epoch, struct owm_error *error);

/** prov_rows_due: the version to look at now; found false: none, and *wait_ms until the next. */
OWM_MUST_USE owm_status prov_rows_due(struct owm_provenance *p, struct prov_version *version,
                                      bool *found, int64_t *wait_ms, struct owm_error *error);

/** prov_rows_list: up to `max` versions: those that may be used now, the newest first, or all. */
enum prov_which { PROV_CURRENT, PROV_MAY_SERVE, PROV_ALL };
OWM_MUST_USE owm_status prov_rows_list(struct owm_provenance *p, enum prov_which which, size_t max,
                                       struct prov_version **versions, size_t *count,
                                       struct owm_error *error);

/** The writes. Each is one transaction, and nothing but *written = false if another coordinator has
 *  taken over or the row has changed meanwhile.
 *  _stand: what the file says.  _confirm: the block, with the manifest signed again.  _reset: a
 *  confirmed one whose proof is gone.  _hurry: due now. */
OWM_MUST_USE owm_status prov_rows_stand(struct owm_provenance *p,
                                        const struct prov_version *version,
                                        const struct prov_standing *standing, bool *written,
                                        struct owm_error *error);
OWM_MUST_USE owm_status prov_rows_confirm(struct owm_provenance *p,
                                          const struct prov_version *version,
                                          const struct prov_block *block, bool *written,
                                          struct owm_error *error);
OWM_MUST_USE owm_status prov_rows_reset(struct owm_provenance *p,
                                        const struct prov_version *version, bool *written,
                                        struct owm_error *error);
OWM_MUST_USE owm_status prov_rows_hurry(struct owm_provenance *p,
                                        const struct prov_version *version,
                                        struct owm_error *error);

OWM_MUST_USE owm_status prov_rows_summary(struct owm_provenance *p, struct prov_summary *summary,
                                          struct owm_error *error);

/* --- metrics (provenance_meters.c) ------------------------------------------------------------ */

void prov_meters_open(struct owm_provenance *p);
void prov_meters_show(struct owm_provenance *p, const struct prov_summary *summary);

/** prov_meters_asked: one exchange. what: "stamps" or "upgrades". */
void prov_meters_asked(struct owm_provenance *p, const char *what, const struct owm_ots_told *told);

#endif
