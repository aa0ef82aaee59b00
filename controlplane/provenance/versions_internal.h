/* versions_internal.h: a row of model_versions as it is shown. Private to this folder. */
#ifndef OWM_PROVENANCE_VERSIONS_INTERNAL_H
#define OWM_PROVENANCE_VERSIONS_INTERNAL_H

#include <stdbool.h>

#include "base/pg/pg.h"

#define VERSIONS_ON_PAGE 50

/* Borrowed from the rows. Times are milliseconds since 1970; 0: not yet. */
struct version {
    const char *id, *status, *note, *manifest, *proof_path;
    int64_t round, bytes, calendars, btc_block;
    int64_t created_ms, stamped_ms, confirmed_ms, btc_time_ms;
    double heldout; /* NAN: unknown */
    bool current;
    uint8_t hash[32];
    char hex[65];
};

/* What is looked for. */
struct version_query {
    const char *id;        /* NULL: every one */
    const uint8_t *hash;   /* or the one with this; NULL: none */
    int64_t before, limit; /* of rounds; before < 0: from the newest */
};

/* versions_read: newest first; owm_pg_rows_free. Returns: as owm_pg_query. */
OWM_MUST_USE owm_status versions_read(struct owm_pg *pg, const struct version_query *query,
                                      struct owm_pg_rows **rows, struct owm_error *error);
void version_of(const struct owm_pg_rows *rows, size_t i, struct version *version);

/* versions_page: HTML, malloc'ed; NULL: out of memory. */
char *versions_page(const struct owm_pg_rows *rows, const char *policy, int64_t now_ms);

#endif
