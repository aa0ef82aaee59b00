/* page_world.c: see page_world.h. */
#include "page_world.h"

#include "test.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "chain/template_text.h"
#include "dataplane/chain/target.h"

#define LIFE_MS 3600000 /* For which the workers have been at it. */

/* ---------------------------------------------------------------------------- loops */

struct rig {
    unsigned loop;
    enum owm_miner_kind kind;
    const char *miner, *worker;
    uint64_t accepted, rejected, hashes, best;
    bool connected;
};

/* alice's rig1 is in both loops; bob is gone. */
static const struct rig rigs[] = {
    {0, OWM_MINER_NAMED, "alice", "rig1", 100, 1, 1ull << 40, 1ull << 45, true},
    {1, OWM_MINER_NAMED, "alice", "rig1", 50, 0, 1ull << 40, 1ull << 43, true},
    {0, OWM_MINER_NAMED, "alice", "rig2", 30, 2, 1ull << 38, 1ull << 40, true},
    {0, OWM_MINER_NAMED, WORLD_HOSTILE, WORLD_HOSTILE_RIG, 7, 3, 1ull << 36, 1ull << 37, true},
    {1, OWM_MINER_NODE, WORLD_NODE, "gpu0", 9, 0, 1ull << 37, 1ull << 50, true},
    {1, OWM_MINER_NAMED, "bob", "", 5, 0, 1ull << 36, 1ull << 36, false},
};

static void put_rig(struct page_world *world, const struct rig *rig, int64_t now_ms)
{
    struct owm_miner miner;
    struct owm_worker worker;
    assert_true(owm_miner_of(rig->kind, rig->miner, &miner));
    assert_true(owm_worker_of(rig->worker, &worker));
    struct owm_workers *table = world->workers[rig->loop];
    uint32_t index = owm_workers_claim(table, &miner, &worker, now_ms - LIFE_MS);
    assert_true(index != OWM_WORKER_NONE);
    struct owm_worker_entry *entry = owm_workers_at(table, index);
    struct owm_pool_stats *stats = world->stats[rig->loop];
    entry->accepted = rig->accepted;
    entry->rejected = rig->rejected;
    entry->hashes = rig->hashes;
    entry->best = rig->best;
    entry->last_share_ms = now_ms;
    owm_rate_add(&entry->rate, rig->hashes * rig->accepted, now_ms);
    owm_rate_add(&stats->rate, rig->hashes * rig->accepted, now_ms);
    owm_count(&stats->accepted, rig->accepted);
    owm_count(&stats->rejected[OWM_REJECT_STALE], rig->rejected);
    owm_count(&stats->difficulty, (rig->hashes >> 32) * rig->accepted);
    owm_latency_add(&stats->verdict, 20000, rig->accepted);
    owm_latency_add(&stats->ack, 3000000, rig->accepted);
    if (!rig->connected) owm_workers_release(table, index);
}

static void fill_loops(struct page_world *world)
{
    int64_t now_ms = (int64_t)owm_clock_mono_ms();
    for (unsigned i = 0; i < WORLD_LOOPS; i++) {
        world->stats[i] = calloc(1, sizeof *world->stats[i]);
        owm_rate_init(&world->stats[i]->rate, now_ms - LIFE_MS);
        assert_ok(owm_workers_open(1000, &world->workers[i]));
        world->loops[i] =
            (struct owm_report_loop){.stats = world->stats[i], .workers = world->workers[i]};
        owm_level(&world->stats[i]->sessions, 3);
        owm_level(&world->stats[i]->channels, 4);
        owm_count(&world->stats[i]->closed[OWM_CLOSE_STRATUM_V1], 2);
    }
    for (size_t i = 0; i < sizeof rigs / sizeof rigs[0]; i++) put_rig(world, &rigs[i], now_ms);
}

/* ---------------------------------------------------------------------------- database */

static void run(struct owm_pg *pg, const char *sql, const struct owm_pg_args *args)
{
    struct owm_error error = {""};
    if (owm_pg_query(pg, sql, args, NULL, &error) != OWM_OK) fail_msg("%s: %s", sql, error.text);
}

static void put_account(struct owm_pg *pg, enum owm_miner_kind kind, const char *name,
                        int64_t earned_msat, int64_t paid_msat)
{
    struct owm_miner miner;
    struct owm_pg_args args;
    assert_true(owm_miner_of(kind, name, &miner));
    owm_pg_begin_args(&args);
    owm_pg_bytes(&args, miner.id, sizeof miner.id);
    owm_pg_i64(&args, kind);
    owm_pg_text(&args, name);
    owm_pg_i64(&args, earned_msat);
    owm_pg_i64(&args, paid_msat);
    run(pg,
        "INSERT INTO accounts (miner_id, kind, name, earned_psat, paid_psat, shares, hashes,"
        " first_at, last_at) VALUES ($1, $2, $3, $4::numeric * 1000000000, $5::numeric *"
        " 1000000000, 77, 1000, now(), now())",
        &args);
}

static void put_worker(struct owm_pg *pg, const char *account, const char *name, int64_t hashes)
{
    struct owm_worker worker;
    struct owm_pg_args args;
    assert_true(owm_worker_of(name, &worker));
    owm_pg_begin_args(&args);
    owm_pg_text(&args, account);
    owm_pg_bytes(&args, worker.id, sizeof worker.id);
    owm_pg_text(&args, name);
    owm_pg_i64(&args, hashes);
    /* Work of 40 minutes ago: in the hour and in the day, not in the ten minutes. */
    run(pg,
        "WITH w AS (INSERT INTO workers (account, worker_id, name, shares, hashes, first_at,"
        " last_at) SELECT account, $2, $3, 33, 1000, now(), now() FROM accounts WHERE name = $1"
        " RETURNING worker, account) INSERT INTO work SELECT"
        " date_bin('5 minutes', now() - interval '40 minutes', 'epoch'), worker, account, 11, $4"
        " FROM w",
        &args);
}

static const char blocks_sql[] =
    "INSERT INTO blocks (hash, found_at, height, account, reward_sats, fate, confirmations) SELECT"
    " sha256(n::text::bytea), now() - n * interval '1 day', 870000 - n, account, 312500000 + n,"
    " CASE n WHEN 1 THEN 'unknown' WHEN 2 THEN 'orphaned' ELSE 'active' END, n * 40 - 80"
    " FROM generate_series(2, 5) n, accounts WHERE name = 'alice';"
    "INSERT INTO blocks (hash, found_at) VALUES (sha256('new'), now());"
    "INSERT INTO block_submissions VALUES (sha256('new'), 'http://node', false, 'bad-<txns>',"
    " now())";

static void fill_database(struct page_world *world)
{
    struct owm_error error = {""};
    put_account(world->pg, OWM_MINER_NAMED, "alice", 12345678, 10000000);
    put_account(world->pg, OWM_MINER_NAMED, WORLD_HOSTILE, 1000, 0);
    put_account(world->pg, OWM_MINER_NAMED, "carol", 5000, 0); /* Known to the ledger alone. */
    put_worker(world->pg, "alice", "rig1", 7200000000000);
    put_worker(world->pg, "alice", "old", 3600000000000);
    put_worker(world->pg, WORLD_HOSTILE, WORLD_HOSTILE_RIG, 1000);
    if (owm_pg_exec(world->pg, blocks_sql, &error) != OWM_OK) fail_msg("%s", error.text);
    /* A batch pays an account once. */
    for (int n = 0; n < WORLD_PAYMENTS; n++) {
        struct owm_pg_args args;
        owm_pg_begin_args(&args);
        owm_pg_i64(&args, n);
        owm_pg_bool(&args, n % WORLD_SETTLED_MOD == 0);
        run(world->pg,
            "WITH b AS (INSERT INTO payout_batches VALUES (gen_random_uuid(), now(), 1, 1, 1)"
            " RETURNING batch_id) INSERT INTO payments (payment_id, source_id, purpose, batch_id,"
            " account, amount_msat, payment_hash, state, preimage, created_at) SELECT"
            " gen_random_uuid(), gen_random_uuid(), 'pool_payout', batch_id, account,"
            " (100 + $1::bigint) * 1000, sha256($1::text::bytea), CASE WHEN $2::boolean THEN"
            " 'settled' ELSE 'owed' END, CASE WHEN $2::boolean THEN $1::text::bytea END,"
            " now() - $1::bigint * interval '1 minute' FROM b, accounts WHERE name = 'alice'",
            &args);
    }
    if (owm_pg_exec(world->pg,
                    "INSERT INTO work_hours SELECT date_trunc('hour', now()) - n * interval '1"
                    " hour', 10 + n, (20 - n) * 3600 * 1000000000::numeric FROM"
                    " generate_series(0, 19) n",
                    &error)
        != OWM_OK)
        fail_msg("%s", error.text);
}

/* ---------------------------------------------------------------------------- page */

void page_world_work(struct page_world *world, uint32_t bits)
{
    struct owm_work_options options = {
        .script = {0x51},
        .script_bytes = 1,
        .tag = "/OWM/",
        .pay_basis_points = OWM_PAY_BASIS_POINTS,
        .halving_interval = 210000,
    };
    struct owm_error error = {""};
    struct owm_work *work = NULL;
    uint8_t target[32];
    char text[65];
    json_t *root = template_json(3);
    assert_true(owm_target_from_compact(bits, target));
    for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", target[31 - i]);
    json_object_set_new(root, "target", json_string(text));
    snprintf(text, sizeof text, "%08x", bits);
    json_object_set_new(root, "bits", json_string(text));
    struct owm_template *block = template_parsed(root);
    json_decref(root);
    assert_ok(owm_work_make(block, &options, (struct owm_work_place){1, 1}, &work, &error));
    owm_pool_page_work(world->page, work);
    owm_work_release(work);
}

void page_world_open(struct page_world *world, const char *name,
                     const struct owm_report_options *options)
{
    struct owm_error error = {""};
    memset(world, 0, sizeof *world);
    fill_loops(world);
    world->pg = pool_database(name, world->url);
    fill_database(world);
    world->filled_ms = owm_clock_wall_ms();
    assert_ok(owm_metrics_open(0, &world->metrics));
    owm_counter_add(owm_metrics_counter(world->metrics, "owm_test_total", "A test's.", NULL), 3);
    struct owm_pool_page_options page = {
        .metrics = world->metrics,
        .public_host = "pool.example",
        .public_port = 3333,
        .authority = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72",
    };
    if (options) page.report = *options;
    page.report.loops = world->loops;
    page.report.loop_count = WORLD_LOOPS;
    page.report.database_url = world->url;
    page.report.network = "mainnet";
    page.report.terms = (struct owm_report_terms){.pay_basis_points = OWM_PAY_BASIS_POINTS,
                                                  .threshold_sats = 10000,
                                                  .minimum_sats = 1,
                                                  .timer_s = 3600,
                                                  .shares_per_minute = 18,
                                                  .keep_days = 30};
    if (owm_pool_page_open(&page, &world->page, &error) != OWM_OK) fail_msg("%s", error.text);
    snprintf(world->base, sizeof world->base, "http://127.0.0.1:%u",
             owm_pool_page_port(world->page));
    page_world_work(world, 0x17025105);
    page_world_await(world);
}

void page_world_close(struct page_world *world)
{
    owm_pool_page_close(world->page);
    owm_metrics_close(world->metrics);
    owm_pg_close(world->pg);
    for (unsigned i = 0; i < WORLD_LOOPS; i++) {
        owm_workers_close(world->workers[i]);
        free(world->stats[i]);
    }
}

/* ---------------------------------------------------------------------------- asking */

unsigned page_get(const struct page_world *world, const char *path, char **body)
{
    struct owm_error error = {""};
    struct owm_http_result result;
    char url[2048];
    snprintf(url, sizeof url, "%s%s", world->base, path);
    struct owm_http_call call = {.method = "GET", .url = url};
    if (owm_http_fetch(&call, &result, &error) != OWM_OK) fail_msg("%s: %s", path, error.text);
    *body = (char *)result.body;
    if (!*body) *body = strdup("");
    return result.status;
}

json_t *page_json(const struct page_world *world, const char *path, unsigned status)
{
    char *body;
    unsigned got = page_get(world, path, &body);
    json_t *value = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
    if (got != status || !value) fail_msg("%s: %u %s", path, got, body);
    free(body);
    return value;
}

const json_t *page_at(const json_t *value, const char *path)
{
    char key[64];
    for (const char *at = path; *at;) {
        size_t bytes = strcspn(at, ".");
        snprintf(key, sizeof key, "%.*s", (int)bytes, at);
        value = json_is_array(value) ? json_array_get(value, strtoul(key, NULL, 10))
                                     : json_object_get(value, key);
        if (!value) fail_msg("nothing at %s of %s", key, path);
        at += bytes + (at[bytes] == '.');
    }
    return value;
}

void page_world_await(struct page_world *world)
{
    for (int i = 0; i < 400; i++) {
        json_t *stats = page_json(world, "/v1/mining/stats", 200);
        bool ready =
            json_is_object(page_at(stats, "ledger")) && json_is_object(page_at(stats, "price"));
        json_decref(stats);
        if (ready) return;
        owm_clock_sleep_ms(25);
    }
    fail_msg("the page has not read the database in 10 s");
}
