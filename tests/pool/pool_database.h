/* pool_database.h: for tests: a private PostgreSQL with a database of the pool, and journals. */
#ifndef OWM_TESTS_POOL_DATABASE_H
#define OWM_TESTS_POOL_DATABASE_H

#include "base/pg/pg.h"
#include "pg_fixture.h"
#include "pool/feeder.h"
#include "pool/journal.h"

extern struct pg_fixture pool_server;

/** pool_database: a fresh migrated database; url [256] written. Fails the test. */
struct owm_pg *pool_database(const char *name, char *url);

/** pool_number: the first column of the first row; pool_text: as text [128]. */
int64_t pool_number(struct owm_pg *pg, const char *sql);
const char *pool_text(struct owm_pg *pg, const char *sql, char text[128]);

/** pool_equal: the recomputation agrees to the last unit; prints it and fails the test otherwise.
 *  journal: NULL, or the folder whose segments must agree as well. Returns shares priced again. */
uint64_t pool_equal(struct owm_pg *pg, const char *journal);

/** journals for tests: open; append share n (share_maker.h); wait until all is durable. */
struct owm_journal *pool_journal(const char *folder, unsigned loop, uint64_t segment_bytes);
void pool_append(struct owm_journal *journal, uint64_t n, int64_t time_ms, uint32_t tip);
void pool_durable(struct owm_journal *journal);

/** pool_feed: step until there is nothing more. Returns records fed. */
uint64_t pool_feed(struct owm_feeder *feeder);

#endif
