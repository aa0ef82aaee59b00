/* world.c: see world.h. */
#include "world.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/pg/migrate.h"
#include "base/sha256.h"
#include "controlplane/db/schema.h"
#include "controlplane/provenance/manifest.h"

#define METRIC_MS     10000
#define TOLD_MS       10000
#define VERSION_BYTES 1000

struct pg_fixture server;

static void proven(void *ctx, const struct owm_proven *told)
{
    struct world *world = ctx;
    pthread_mutex_lock(&world->lock);
    if (world->told_count < WORLD_TOLD_MAX) world->told[world->told_count++] = *told;
    pthread_mutex_unlock(&world->lock);
}

static void note(void *ctx, const char *text)
{
    struct world *world = ctx;
    pthread_mutex_lock(&world->lock);
    snprintf(world->note, sizeof(world->note), "%s", text);
    pthread_mutex_unlock(&world->lock);
}

static void open_doubles(struct world *world)
{
    for (int i = 0; i < WORLD_CALENDARS; i++) calendar_open(&world->calendar[i], CALENDAR_PROMISES);
    snprintf(world->calendars, sizeof(world->calendars), "%s, %s,%s/", world->calendar[0].url,
             world->calendar[1].url, world->calendar[2].url);
    node_open(&world->node);
    node_mine(&world->node, 5, 0, NULL);
}

void world_open(struct world *world, const char *name)
{
    static const uint8_t seed[32] = {7};
    struct owm_error error = {""};
    memset(world, 0, sizeof(*world));
    pthread_mutex_init(&world->lock, NULL);
    assert_true(pg_fixture_database(&server, name, world->url));
    assert_ok(owm_pg_open(world->url, &world->pg, NULL));
    if (owm_migrate(world->pg, owm_migrations, owm_migrations_count, NULL, &error) != OWM_OK)
        fail_msg("%s", error.text);
    snprintf(world->folder, sizeof(world->folder), "/tmp/owm-prov-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->blobs, sizeof(world->blobs), "%s/blobs", world->folder);
    assert_ok(owm_blob_store_open(world->blobs, &world->store, NULL));
    assert_ok(owm_identity_from_seed(seed, &world->identity));
    assert_ok(owm_metrics_open(0, &world->metrics));
    open_doubles(world);
    world->options = (struct owm_provenance_options){
        .database_url = world->url,
        .identity = world->identity,
        .store = world->store,
        .calendars = world->calendars,
        .calendars_needed = 2,
        .bitcoin_rpc = world->node.url_with_password,
        .bitcoin_cookie = "",
        .headers_file = "",
        .bitcoin_network = OWM_REGTEST,
        .retry_min_s = 1,
        .retry_max_s = 2,
        .alarm_hours = 48,
        .metrics = world->metrics,
        .proven = proven,
        .note = note,
        .ctx = world,
    };
}

void world_close(struct world *world)
{
    char command[128];
    world_stop(world);
    for (int i = 0; i < WORLD_CALENDARS; i++) calendar_close(&world->calendar[i]);
    node_close(&world->node);
    owm_metrics_close(world->metrics);
    owm_identity_close(world->identity);
    owm_blob_store_close(world->store);
    owm_pg_close(world->pg);
    pthread_mutex_destroy(&world->lock);
    snprintf(command, sizeof(command), "rm -rf '%s'", world->folder);
    assert_int_equal(system(command), 0);
}

void world_sql(struct world *world, const char *statement)
{
    struct owm_error error = {""};
    if (owm_pg_exec(world->pg, statement, &error) != OWM_OK)
        fail_msg("%s: %s", statement, error.text);
}

static void run(struct world *world, const char *sql, const struct owm_pg_args *args)
{
    struct owm_error error = {""};
    if (owm_pg_query(world->pg, sql, args, NULL, &error) != OWM_OK)
        fail_msg("%s: %s", sql, error.text);
}

static char *make_manifest(struct world *world, const char *version, uint32_t n,
                           const uint8_t hash[32])
{
    char path[256];
    world_path(world, hash, path);
    struct owm_manifest_facts facts = {.version = version,
                                       .sub_model = "owm-lm",
                                       .round = n,
                                       .created_ms = owm_clock_wall_ms(),
                                       .bytes = VERSION_BYTES,
                                       .ots_proof = path + strlen(world->folder) + 1,
                                       .notes = "made for a test"};
    memcpy(facts.sha256, hash, 32);
    char *text = owm_manifest_make(world->identity, &facts);
    assert_non_null(text);
    return text;
}

void world_version(struct world *world, uint32_t n, uint8_t hash[32])
{
    char content[64], version[32];
    struct owm_pg_args args;
    snprintf(content, sizeof(content), "checkpoint %u", n);
    snprintf(version, sizeof(version), "owm-v0.1.%u", n);
    assert_ok(owm_blob_put(world->store, content, strlen(content), hash, NULL));
    char *manifest = make_manifest(world, version, n, hash);
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, n);
    if (n)
        run(world,
            "INSERT INTO fl_rounds (round_id, round_number, base_version, base_hash, base_bytes)"
            " VALUES ($1::int, $1::int, '', sha256(''), 1)",
            &args);
    world_sql(world, "UPDATE model_versions SET is_current = false");
    owm_pg_begin_args(&args);
    owm_pg_text(&args, version);
    owm_pg_i64(&args, n);
    owm_pg_bytes(&args, hash, 32);
    owm_pg_text(&args, manifest);
    run(world,
        "INSERT INTO model_versions (version_id, round_number, model_hash, model_bytes, is_current,"
        " manifest, sub_model_hashes, ots_proof_paths) VALUES ($1, nullif($2::int, 0), $3, 1000,"
        " true, $4, jsonb_build_object('owm-lm', encode($3::bytea, 'hex')), '{}')",
        &args);
    free(manifest);
    owm_provenance_wake(world->provenance);
}

void world_start(struct world *world)
{
    struct owm_error error = {""};
    if (owm_provenance_open(&world->options, &world->provenance, &error) != OWM_OK)
        fail_msg("%s", error.text);
}

void world_stop(struct world *world)
{
    owm_provenance_close(world->provenance);
    world->provenance = NULL;
}

const char *world_text(struct world *world, const char *query)
{
    static char text[1024];
    struct owm_error error = {""};
    struct owm_pg_rows *rows = NULL;
    if (owm_pg_query(world->pg, query, NULL, &rows, &error) != OWM_OK)
        fail_msg("%s: %s", query, error.text);
    snprintf(text, sizeof(text), "%s", owm_pg_rows_count(rows) ? owm_pg_get_text(rows, 0, 0) : "");
    owm_pg_rows_free(rows);
    return text;
}

void world_until(struct world *world, const char *query, const char *wanted, unsigned seconds)
{
    uint64_t end_ms = owm_clock_mono_ms() + 1000ull * seconds;
    while (strcmp(world_text(world, query), wanted) != 0) {
        if (owm_clock_mono_ms() > end_ms)
            fail_msg("%s: '%s', wanted '%s'; note: %s", query, world_text(world, query), wanted,
                     world->note);
        owm_clock_sleep_ms(10);
    }
}

void world_noted(struct world *world, const char *text, unsigned seconds)
{
    uint64_t end_ms = owm_clock_mono_ms() + 1000ull * seconds;
    for (;;) {
        char now[sizeof(world->note)];
        pthread_mutex_lock(&world->lock);
        memcpy(now, world->note, sizeof(now));
        pthread_mutex_unlock(&world->lock);
        if (text[0] ? strstr(now, text) != NULL : !now[0]) return;
        if (owm_clock_mono_ms() > end_ms) fail_msg("note '%s', wanted '%s'", now, text);
        owm_clock_sleep_ms(10);
    }
}

/* The last one of a hash; one that nobody told of has no bytes. */
static struct owm_proven last_of(struct world *world, const uint8_t hash[32])
{
    struct owm_proven last = {.model_bytes = 0};
    pthread_mutex_lock(&world->lock);
    for (size_t i = 0; i < world->told_count; i++)
        if (memcmp(world->told[i].model_hash, hash, 32) == 0) last = world->told[i];
    pthread_mutex_unlock(&world->lock);
    return last;
}

void world_told(struct world *world, const uint8_t hash[32], bool training, bool serving)
{
    uint64_t end_ms = owm_clock_mono_ms() + TOLD_MS;
    for (;;) {
        struct owm_proven last = last_of(world, hash);
        if (last.model_bytes == VERSION_BYTES && last.training == training
            && last.serving == serving)
            return;
        if (owm_clock_mono_ms() > end_ms)
            fail_msg("told training=%d serving=%d, wanted %d and %d", last.training, last.serving,
                     training, serving);
        owm_clock_sleep_ms(10);
    }
}

void world_path(struct world *world, const uint8_t hash[32], char path[static 256])
{
    assert_ok(owm_provenance_path(world->store, hash, path, 256));
}

uint8_t *world_bytes(struct world *world, const uint8_t hash[32], size_t *bytes)
{
    char path[256];
    uint8_t *data = NULL;
    world_path(world, hash, path);
    assert_ok(owm_fs_read(path, OWM_OTS_FILE_BYTES_MAX, &data, bytes, NULL));
    return data;
}

void world_proof(struct world *world, const uint8_t hash[32], struct owm_ots_proof *proof)
{
    size_t bytes = 0;
    uint8_t *data = world_bytes(world, hash, &bytes);
    assert_ok(owm_ots_proof_read(data, bytes, proof, NULL));
    free(data);
    assert_int_equal(proof->file_op, OWM_OTS_SHA256);
    assert_memory_equal(proof->tree.nodes[OWM_OTS_ROOT].message.data, hash, 32);
}

void world_mine(struct world *world, const uint8_t hash[32], uint64_t height, size_t blocks)
{
    struct owm_ots_proof proof;
    uint8_t root[32] = {0};
    world_proof(world, hash, &proof);
    for (uint32_t i = 0; i < proof.tree.attestation_count; i++) {
        const struct owm_ots_attestation *a = &proof.tree.attestations[i];
        if (a->kind != OWM_OTS_PENDING) continue;
        const struct owm_ots_bytes message = proof.tree.nodes[a->node].message;
        owm_sha256(message.data, message.bytes, root);
    }
    owm_ots_proof_deinit(&proof);
    node_mine(&world->node, blocks, height, root);
    for (int i = 0; i < WORLD_CALENDARS; i++) {
        world->calendar[i].height = height;
        world->calendar[i].mood = CALENDAR_MINED;
    }
}

bool world_metric(struct world *world, const char *line)
{
    uint64_t end_ms = owm_clock_mono_ms() + METRIC_MS;
    for (;;) {
        char *text = NULL;
        assert_ok(owm_metrics_text(world->metrics, &text, NULL));
        bool found = strstr(text, line) != NULL;
        free(text);
        if (found || owm_clock_mono_ms() > end_ms) return found;
        owm_clock_sleep_ms(10);
    }
}
