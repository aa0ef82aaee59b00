/* world.c: see world.h. */
#include "world.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/pg/migrate.h"
#include "base/uuid.h"
#include "controlplane/db/schema.h"
#include "pool/db/schema.h"

struct pg_fixture server;

static void run(struct owm_pg *pg, const char *sql, const struct owm_pg_args *args)
{
    struct owm_error error = {""};
    if (owm_pg_query(pg, sql, args, NULL, &error) != OWM_OK) fail_msg("%s: %s", sql, error.text);
}

static struct owm_payment_secret *secret(const char *folder, const char *name)
{
    char path[128];
    struct owm_payment_secret *made = NULL;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_ok(owm_payment_secret_load_or_create(path, &made, NULL, NULL));
    return made;
}

void world_databases(struct world *world, const char *name)
{
    struct owm_error error = {""};
    char pool_name[64];
    memset(world, 0, sizeof(*world));
    snprintf(pool_name, sizeof(pool_name), "%s_pool", name);
    assert_true(pg_fixture_database(&server, name, world->url));
    assert_true(pg_fixture_database(&server, pool_name, world->pool_url));
    assert_ok(owm_pg_open(world->url, &world->pg, NULL));
    assert_ok(owm_pg_open(world->pool_url, &world->pool, NULL));
    if (owm_migrate(world->pg, owm_migrations, owm_migrations_count, NULL, &error) != OWM_OK
        || owm_pool_migrate(world->pool, &error) != OWM_OK)
        fail_msg("%s", error.text);
    snprintf(world->folder, sizeof(world->folder), "/tmp/owm-pay-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    world->secret = secret(world->folder, "payment.key");
    world->pool_secret = secret(world->folder, "pool.key");
    world->options = (struct owm_pay_options){
        .database_url = world->url,
        .secret = world->secret,
        .pool_database_url = "",
        .pool_secret = world->pool_secret,
        .treasury_destination = "",
        .concurrency = 8,
        .in_flight_max = 64,
        .deadline_s = 60,
        .fee_min_msat = 5000,
        .fee_ppm = 10000,
        .retry = {.min_ms = 50, .max_ms = 400, .transit_ms = 300},
        .channel_sats = 100000,
        .reserve_sats = 50000,
    };
}

void world_start(struct world *world)
{
    assert_ok(owm_metrics_open(0, &world->metrics));
    world->options.metrics = world->metrics;
    assert_ok(owm_pay_open(&world->options, &world->pay));
}

void world_stop(struct world *world)
{
    owm_pay_close(world->pay);
    owm_metrics_close(world->metrics);
    world->pay = NULL;
    world->metrics = NULL;
}

void world_close(struct world *world)
{
    char path[128];
    if (world->pay) world_stop(world);
    owm_pg_close(world->pg);
    owm_pg_close(world->pool);
    owm_payment_secret_close(world->secret);
    owm_payment_secret_close(world->pool_secret);
    snprintf(path, sizeof(path), "%s/payment.key", world->folder);
    unlink(path);
    snprintf(path, sizeof(path), "%s/pool.key", world->folder);
    unlink(path);
    rmdir(world->folder);
}

void world_node(struct world *world, const char *uri, const char *payout_to, uint8_t id[16])
{
    struct owm_pg_args args;
    char key[65];
    snprintf(key, sizeof(key), "%064x", ++world->nodes);
    owm_uuid_random(id);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    owm_pg_text(&args, key);
    owm_pg_text(&args, uri);
    owm_pg_text(&args, payout_to);
    run(world->pg,
        "INSERT INTO nodes (node_id, public_key, ln_node_uri, payout_to, tier, status)"
        " VALUES ($1, $2, $3, $4, 't1', 'active')",
        &args);
}

void world_owe(struct world *world, const uint8_t node_id[16], int64_t amount_msat)
{
    struct owm_pg_args args;
    uint8_t source[16], id[16], hash[32];
    world->made++;
    owm_uuid_random(source);
    owm_payment_id(source, "inference", id);
    owm_payment_hash(world->secret, id, hash);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    owm_pg_uuid(&args, source);
    owm_pg_uuid(&args, node_id);
    owm_pg_i64(&args, amount_msat);
    owm_pg_bytes(&args, hash, 32);
    run(world->pg,
        "INSERT INTO payments (payment_id, source_id, purpose, node_id, amount_msat, payment_hash,"
        " created_at) VALUES ($1, $2, 'inference', $3, $4, $5, clock_timestamp())",
        &args);
}

static int64_t account(struct world *world, int kind, const char *name)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    uint8_t miner[16];
    if (kind == 2) return world_number(world->pool, "SELECT account FROM accounts WHERE kind = 2");
    owm_uuid_random(miner);
    owm_pg_begin_args(&args);
    owm_pg_bytes(&args, miner, 16);
    owm_pg_i64(&args, kind);
    owm_pg_text(&args, name);
    assert_ok(owm_pg_query(world->pool,
                           "INSERT INTO accounts (miner_id, kind, name, first_at)"
                           " VALUES ($1, $2, $3, now()) RETURNING account",
                           &args, &rows, NULL));
    int64_t id = owm_pg_get_i64(rows, 0, 0);
    owm_pg_rows_free(rows);
    return id;
}

void world_miner(struct world *world, int kind, const char *name, int64_t amount_msat)
{
    struct owm_pg_args args;
    uint8_t source[16], id[16], hash[32];
    const char *purpose = kind == 2 ? "pool_treasury" : "pool_payout";
    int64_t to = account(world, kind, name);
    owm_uuid_random(source);
    owm_payment_id(source, purpose, id);
    owm_payment_hash(world->pool_secret, id, hash);
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, id);
    owm_pg_uuid(&args, source);
    owm_pg_text(&args, purpose);
    owm_pg_i64(&args, to);
    owm_pg_i64(&args, amount_msat);
    owm_pg_bytes(&args, hash, 32);
    run(world->pool,
        "WITH b AS (INSERT INTO payout_batches VALUES (gen_random_uuid(), now(), 1, 1, 1)"
        " RETURNING batch_id) INSERT INTO payments (payment_id, source_id, purpose, batch_id,"
        " account, amount_msat, payment_hash, created_at) SELECT $1::uuid, $2::uuid, $3::text,"
        " batch_id, $4::int, $5::bigint, $6::bytea, now() FROM b",
        &args);
}

void world_text(struct owm_pg *pg, const char *sql, char text[256])
{
    struct owm_pg_rows *rows = NULL;
    struct owm_error error = {""};
    if (owm_pg_query(pg, sql, NULL, &rows, &error) != OWM_OK) fail_msg("%s: %s", sql, error.text);
    snprintf(text, 256, "%s", owm_pg_rows_count(rows) ? owm_pg_get_text(rows, 0, 0) : "");
    owm_pg_rows_free(rows);
}

int64_t world_number(struct owm_pg *pg, const char *sql)
{
    char text[256];
    world_text(pg, sql, text);
    return strtoll(text, NULL, 10);
}

void world_until(struct owm_pg *pg, const char *sql, int64_t wanted)
{
    uint64_t until_ms = owm_clock_mono_ms() + 30000;
    int64_t found;
    while ((found = world_number(pg, sql)) != wanted) {
        if (owm_clock_mono_ms() > until_ms)
            fail_msg("%s: %lld, not %lld", sql, (long long)found, (long long)wanted);
        owm_clock_sleep_ms(10);
    }
}

static void ledger_sound(struct owm_pg *pg)
{
    static const char *const wrong[] = {
        "SELECT count(*) FROM payments p WHERE state = 'settled' AND 1 <> (SELECT count(*) FROM"
        " payment_attempts a WHERE a.payment_id = p.payment_id AND a.state = 'succeeded')",
        "SELECT count(*) FROM payments p WHERE state <> 'settled' AND EXISTS (SELECT 1 FROM"
        " payment_attempts a WHERE a.payment_id = p.payment_id AND a.state = 'succeeded')",
        "SELECT count(*) FROM payments p WHERE (state = 'in_flight') <> EXISTS (SELECT 1 FROM"
        " payment_attempts a WHERE a.payment_id = p.payment_id AND a.state = 'sent')",
        "SELECT count(*) FROM payments p WHERE attempts <> (SELECT count(*) FROM"
        " payment_attempts a WHERE a.payment_id = p.payment_id)",
        "SELECT count(*) FROM payments WHERE state = 'settled' AND settled_msat <> amount_msat"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (world_number(pg, wrong[i])) fail_msg("%s", wrong[i]);
}

void world_ledgers_sound(struct world *world)
{
    ledger_sound(world->pg);
    ledger_sound(world->pool);
}
