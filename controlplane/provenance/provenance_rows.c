/* provenance_rows.c: model_versions. Every write asks, in its own transaction, whether the
 * coordinator that opened us still decides: a new one raises the epoch (controlplane/db/persist.h),
 * and from then on nothing of ours is written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "manifest.h"
#include "provenance_internal.h"

#define COLUMNS                                                                                    \
    "version_id, model_hash, model_bytes, coalesce(round_number, 0), " OWM_PG_MS(                  \
        "created_at") ", " OWM_PG_MS("ots_stamped_at") ", ots_calendars, ots_attempts,"            \
                                                       " btc_block IS NOT NULL"

/* $1: the epoch, $2: the version. FOR SHARE: who takes over waits for this write, and we for it. */
#define CHANGE                                                                                     \
    "WITH leader AS (SELECT 1 FROM coordinator_state WHERE epoch = $1 FOR SHARE), changed AS ("    \
    "UPDATE model_versions SET "
#define OF_VERSION " FROM leader WHERE version_id = $2 AND "

/* The round that made the version says the same. */
#define AND_ROUND                                                                                  \
    " RETURNING version_id, round_number, btc_block, ots_proof_paths), its_round AS ("             \
    "UPDATE fl_rounds r SET btc_block = c.btc_block, ots_proof_path = (SELECT min(value)"          \
    " FROM jsonb_each_text(c.ots_proof_paths)) FROM changed c"                                     \
    " WHERE r.round_number = c.round_number) SELECT version_id FROM changed"

/* $3: the path of the proof. */
#define PATHS                                                                                      \
    "ots_proof_paths = coalesce((SELECT jsonb_object_agg(key, $3::text)"                           \
    " FROM jsonb_each_text(sub_model_hashes) WHERE value = encode(model_hash, 'hex')), '{}')"

#define PATH_PARTS 3 /* "blobs/ab/abcdef….ots": below the data folder, as in the manifest. */

owm_status prov_rows_epoch(struct owm_pg *pg, int64_t *epoch, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(pg, "SELECT epoch FROM coordinator_state", NULL, &rows, error);
    if (status != OWM_OK) return status;
    *epoch = owm_pg_rows_count(rows) ? owm_pg_get_i64(rows, 0, 0) : 0;
    owm_pg_rows_free(rows);
    return OWM_OK;
}

static void read_version(const struct owm_pg_rows *rows, size_t row, struct prov_version *version)
{
    *version = (struct prov_version){
        .bytes = (uint64_t)owm_pg_get_i64(rows, row, 2),
        .round = (uint32_t)owm_pg_get_i64(rows, row, 3),
        .created_ms = owm_pg_get_i64(rows, row, 4),
        .stamped_ms = owm_pg_get_i64(rows, row, 5),
        .calendars = (unsigned)owm_pg_get_i64(rows, row, 6),
        .attempts = (unsigned)owm_pg_get_i64(rows, row, 7),
        .confirmed = owm_pg_get_bool(rows, row, 8),
    };
    snprintf(version->id, sizeof(version->id), "%s", owm_pg_get_text(rows, row, 0));
    owm_pg_get_hash(rows, row, 1, version->hash, 32);
}

/* --- reads ------------------------------------------------------------------------------------ */

/* Versions that lack promises first, the newest before others: rounds wait for it. */
static const char select_due[] =
    "SELECT " COLUMNS " FROM model_versions WHERE btc_block IS NULL AND ots_next_at <= now()"
    " ORDER BY ots_stamped_at IS NOT NULL,"
    " CASE WHEN ots_stamped_at IS NULL THEN coalesce(round_number, 0) END DESC, ots_next_at"
    " LIMIT 1";

static const char select_next[] =
    "SELECT greatest(0, extract(epoch FROM min(ots_next_at) - now()) * 1000)::bigint"
    " FROM model_versions WHERE btc_block IS NULL";

owm_status prov_rows_due(struct owm_provenance *p, struct prov_version *version, bool *found,
                         int64_t *wait_ms, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(p->pg, select_due, NULL, &rows, error);
    if (status != OWM_OK) return status;
    *found = owm_pg_rows_count(rows) > 0;
    if (*found) read_version(rows, 0, version);
    owm_pg_rows_free(rows);
    if (*found) return OWM_OK;
    rows = NULL;
    status = owm_pg_query(p->pg, select_next, NULL, &rows, error);
    if (status != OWM_OK) return status;
    *wait_ms = owm_pg_is_null(rows, 0, 0) ? INT64_MAX : owm_pg_get_i64(rows, 0, 0);
    owm_pg_rows_free(rows);
    return OWM_OK;
}

owm_status prov_rows_list(struct owm_provenance *p, enum prov_which which, size_t max,
                          struct prov_version **versions, size_t *count, struct owm_error *error)
{
    static const char *const selects[] = {
        [PROV_CURRENT] = "SELECT " COLUMNS " FROM model_versions WHERE is_current LIMIT $1",
        [PROV_MAY_SERVE] = "SELECT " COLUMNS " FROM model_versions WHERE btc_block IS NOT NULL"
                           " OR ($2::boolean AND ots_stamped_at IS NOT NULL)"
                           " ORDER BY coalesce(round_number, 0) DESC LIMIT $1",
        [PROV_ALL] = "SELECT " COLUMNS " FROM model_versions"
                     " ORDER BY coalesce(round_number, 0) DESC LIMIT $1",
    };
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, (int64_t)max);
    if (which == PROV_MAY_SERVE) owm_pg_bool(&args, p->options.serve_pending);
    owm_status status = owm_pg_query(p->pg, selects[which], &args, &rows, error);
    if (status != OWM_OK) return status;
    *count = owm_pg_rows_count(rows);
    *versions = calloc(*count + 1, sizeof(**versions));
    for (size_t i = 0; *versions && i < *count; i++) read_version(rows, i, &(*versions)[i]);
    owm_pg_rows_free(rows);
    return *versions ? OWM_OK : owm_fail(error, OWM_E_NOMEM, "no memory for a list of versions");
}

/* --- writes ----------------------------------------------------------------------------------- */

static const char change_standing[] =
    CHANGE PATHS ", ots_calendars = $4, ots_attempts = $5,"
                 " ots_next_at = now() + $6::bigint * interval '1 millisecond',"
                 " ots_stamped_at = CASE WHEN $7::boolean THEN coalesce(ots_stamped_at, now()) END,"
                 " ots_note = $8" OF_VERSION "btc_block IS NULL" AND_ROUND;

static const char change_confirmed[] =
    CHANGE PATHS ", ots_calendars = $4, ots_attempts = 0, ots_note = '',"
                 " ots_stamped_at = coalesce(ots_stamped_at, now()), ots_confirmed_at = now(),"
                 " btc_block = $5, btc_time = to_timestamp($6::bigint), manifest = $8::text,"
                 " coordinator_sig = $8::text::jsonb ->> 'coordinator_signature'" OF_VERSION
                 "btc_block IS NULL AND manifest = $7" AND_ROUND;

static const char change_lost[] =
    CHANGE "btc_block = NULL, btc_time = NULL, ots_confirmed_at = NULL, ots_stamped_at = NULL,"
           " ots_calendars = 0, ots_attempts = 0, ots_next_at = now(),"
           " ots_note = 'its proof was lost'" OF_VERSION "btc_block IS NOT NULL" AND_ROUND;

static const char change_due[] =
    CHANGE "ots_next_at = now()" OF_VERSION "btc_block IS NULL" AND_ROUND;

static void begin(struct owm_pg_args *args, const struct owm_provenance *p,
                  const struct prov_version *version)
{
    owm_pg_begin_args(args);
    owm_pg_i64(args, p->epoch);
    owm_pg_text(args, version->id);
}

/* path [PATH_MAX]: borrowed by args. */
static void put_path(struct owm_pg_args *args, const struct owm_provenance *p,
                     const struct prov_version *version, char *path)
{
    if (owm_provenance_path(p->options.store, version->hash, path, PATH_MAX) != OWM_OK) path[0] = 0;
    const char *at = path + strlen(path);
    for (int parts = 0; at > path && parts < PATH_PARTS;) parts += *--at == '/';
    owm_pg_text(args, *at == '/' ? at + 1 : at);
}

/* Statements return the version that they changed. */
static owm_status write_row(struct owm_provenance *p, const char *sql,
                            const struct owm_pg_args *args, bool *written, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(p->pg, sql, args, &rows, error);
    if (status != OWM_OK) return status;
    *written = owm_pg_rows_count(rows) > 0;
    owm_pg_rows_free(rows);
    return OWM_OK;
}

owm_status prov_rows_stand(struct owm_provenance *p, const struct prov_version *version,
                           const struct prov_standing *standing, bool *written,
                           struct owm_error *error)
{
    struct owm_pg_args args;
    char path[PATH_MAX];
    begin(&args, p, version);
    put_path(&args, p, version, path);
    owm_pg_i64(&args, standing->calendars);
    owm_pg_i64(&args, standing->attempts);
    owm_pg_i64(&args, standing->pause_ms);
    owm_pg_bool(&args, standing->stamped);
    owm_pg_text(&args, standing->note);
    return write_row(p, change_standing, &args, written, error);
}

/* The row's manifest, which is signed again only if nobody changed it. */
static owm_status read_manifest(struct owm_provenance *p, const struct prov_version *version,
                                char **manifest, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_text(&args, version->id);
    owm_status status = owm_pg_query(
        p->pg, "SELECT manifest FROM model_versions WHERE version_id = $1", &args, &rows, error);
    if (status != OWM_OK) return status;
    *manifest = strdup(owm_pg_rows_count(rows) ? owm_pg_get_text(rows, 0, 0) : "");
    owm_pg_rows_free(rows);
    return *manifest ? OWM_OK : owm_fail(error, OWM_E_NOMEM, "no memory for a manifest");
}

owm_status prov_rows_confirm(struct owm_provenance *p, const struct prov_version *version,
                             const struct prov_block *block, bool *written, struct owm_error *error)
{
    struct owm_pg_args args;
    char path[PATH_MAX], *old = NULL, *fresh = NULL;
    *written = false;
    owm_status status = read_manifest(p, version, &old, error);
    if (status != OWM_OK) return status;
    status =
        owm_manifest_confirm(p->options.identity, old, version->hash, block->height, &fresh, error);
    if (status != OWM_OK) goto out;
    begin(&args, p, version);
    put_path(&args, p, version, path);
    owm_pg_i64(&args, version->calendars);
    owm_pg_i64(&args, (int64_t)block->height);
    owm_pg_i64(&args, block->time_s);
    owm_pg_text(&args, old);
    owm_pg_text(&args, fresh);
    status = write_row(p, change_confirmed, &args, written, error);
out:
    free(fresh);
    free(old);
    return status;
}

owm_status prov_rows_reset(struct owm_provenance *p, const struct prov_version *version,
                           bool *written, struct owm_error *error)
{
    struct owm_pg_args args;
    begin(&args, p, version);
    return write_row(p, change_lost, &args, written, error);
}

owm_status prov_rows_hurry(struct owm_provenance *p, const struct prov_version *version,
                           struct owm_error *error)
{
    struct owm_pg_args args;
    bool written;
    begin(&args, p, version);
    return write_row(p, change_due, &args, &written, error);
}

/* --- the whole -------------------------------------------------------------------------------- */

static const char select_summary[] =
    "SELECT count(*) FILTER (WHERE btc_block IS NULL AND ots_stamped_at IS NULL),"
    " count(*) FILTER (WHERE btc_block IS NULL AND ots_stamped_at IS NOT NULL),"
    " count(*) FILTER (WHERE btc_block IS NOT NULL),"
    " count(*) FILTER (WHERE btc_block IS NULL AND created_at < now() - $1 * interval '1 hour')"
    " FROM model_versions";

static const char select_waiting[] =
    "SELECT version_id, ots_note, ots_calendars FROM model_versions WHERE btc_block IS NULL"
    " AND ots_stamped_at IS NULL AND ots_attempts > 0"
    " ORDER BY coalesce(round_number, 0) DESC LIMIT 1";

static const char select_oldest[] =
    "SELECT version_id, ots_note FROM model_versions WHERE btc_block IS NULL"
    " ORDER BY created_at LIMIT 1";

static owm_status read_notes(struct owm_provenance *p, struct prov_summary *summary,
                             struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(p->pg, select_waiting, NULL, &rows, error);
    if (status != OWM_OK) return status;
    if (owm_pg_rows_count(rows)) {
        snprintf(summary->waiting, sizeof(summary->waiting), "%s", owm_pg_get_text(rows, 0, 0));
        snprintf(summary->waiting_note, sizeof(summary->waiting_note), "%s",
                 owm_pg_get_text(rows, 0, 1));
        summary->waiting_calendars = (unsigned)owm_pg_get_i64(rows, 0, 2);
    }
    owm_pg_rows_free(rows);
    if (summary->overdue == 0) return OWM_OK;
    rows = NULL;
    status = owm_pg_query(p->pg, select_oldest, NULL, &rows, error);
    if (status != OWM_OK) return status;
    if (owm_pg_rows_count(rows)) {
        snprintf(summary->oldest, sizeof(summary->oldest), "%s", owm_pg_get_text(rows, 0, 0));
        snprintf(summary->oldest_note, sizeof(summary->oldest_note), "%s",
                 owm_pg_get_text(rows, 0, 1));
    }
    owm_pg_rows_free(rows);
    return OWM_OK;
}

owm_status prov_rows_summary(struct owm_provenance *p, struct prov_summary *summary,
                             struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, p->options.alarm_hours);
    owm_status status = owm_pg_query(p->pg, select_summary, &args, &rows, error);
    if (status != OWM_OK) return status;
    *summary = (struct prov_summary){
        .none = (uint64_t)owm_pg_get_i64(rows, 0, 0),
        .pending = (uint64_t)owm_pg_get_i64(rows, 0, 1),
        .confirmed = (uint64_t)owm_pg_get_i64(rows, 0, 2),
        .overdue = (uint64_t)owm_pg_get_i64(rows, 0, 3),
    };
    owm_pg_rows_free(rows);
    return read_notes(p, summary, error);
}
