/* pool_database.c: see pool_database.h. */
#include "pool_database.h"

#include "test.h"

#include "base/clock.h"
#include "pool/db/schema.h"
#include "pool/recompute.h"
#include "share_maker.h"

struct pg_fixture pool_server;

struct owm_pg *pool_database(const char *name, char *url)
{
    struct owm_pg *pg = NULL;
    struct owm_error error = {""};
    assert_true(pg_fixture_database(&pool_server, name, url));
    if (owm_pg_open(url, &pg, &error) != OWM_OK || owm_pool_migrate(pg, &error) != OWM_OK)
        fail_msg("%s", error.text);
    return pg;
}

const char *pool_text(struct owm_pg *pg, const char *sql, char text[128])
{
    struct owm_pg_rows *rows = NULL;
    struct owm_error error = {""};
    if (owm_pg_query(pg, sql, NULL, &rows, &error) != OWM_OK) fail_msg("%s: %s", sql, error.text);
    text[0] = 0;
    if (owm_pg_rows_count(rows) > 0) snprintf(text, 128, "%s", owm_pg_get_text(rows, 0, 0));
    owm_pg_rows_free(rows);
    return text;
}

int64_t pool_number(struct owm_pg *pg, const char *sql)
{
    char text[128];
    return strtoll(pool_text(pg, sql, text), NULL, 10);
}

uint64_t pool_equal(struct owm_pg *pg, const char *journal)
{
    char *text = NULL;
    size_t bytes = 0;
    struct owm_error error = {""};
    struct owm_recompute_result result;
    struct owm_recompute_options options = {
        .from_day = 0, .to_day = 40000, .journal = journal, .out = open_memstream(&text, &bytes)};
    owm_status status = owm_recompute(pg, &options, &result, &error);
    fclose(options.out);
    if (status != OWM_OK) fail_msg("%s", error.text);
    if (result.differences > 0) fail_msg("%s", text);
    free(text);
    return result.shares;
}

/* The last sequence of each journal. */
static struct {
    struct owm_journal *journal;
    uint64_t sequence;
} last[8];

static uint64_t *last_of(struct owm_journal *journal)
{
    size_t i = 0;
    while (last[i].journal && last[i].journal != journal && i < 7) i++;
    last[i].journal = journal;
    return &last[i].sequence;
}

struct owm_journal *pool_journal(const char *folder, unsigned loop, uint64_t segment_bytes)
{
    struct owm_journal *journal = NULL;
    struct owm_error error = {""};
    struct owm_journal_options options = {
        .folder = folder, .loop = loop, .segment_bytes = segment_bytes};
    if (owm_journal_open(&options, &journal, &error) != OWM_OK) fail_msg("%s", error.text);
    *last_of(journal) = 0;
    return journal;
}

void pool_append(struct owm_journal *journal, uint64_t n, int64_t time_ms, uint32_t tip)
{
    struct made_share made;
    owm_status status;
    make_share(n, time_ms, tip, &made);
    while ((status = owm_journal_append(journal, &made.share, &made.miner, &made.worker,
                                        last_of(journal)))
           == OWM_E_LIMIT) {
        owm_journal_commit(journal);
        owm_clock_sleep_ms(1);
    }
    assert_ok(status);
}

void pool_durable(struct owm_journal *journal)
{
    owm_journal_commit(journal);
    for (int i = 0; owm_journal_durable(journal) < *last_of(journal); i++) {
        if (i > 20000) fail_msg("not durable after 20 s");
        owm_clock_sleep_ms(1);
    }
}

uint64_t pool_feed(struct owm_feeder *feeder)
{
    struct owm_error error = {""};
    uint64_t shares, all = 0;
    for (int idle = 0; idle < 2; idle = shares ? 0 : idle + 1) {
        if (owm_feeder_step(feeder, &shares, &error) != OWM_OK) fail_msg("%s", error.text);
        all += shares;
    }
    return all;
}
