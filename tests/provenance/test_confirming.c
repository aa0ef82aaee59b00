/* test_confirming.c: from promises to a block that our own headers show to hold them. */
#include "world.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "controlplane/db/persist.h"
#include "controlplane/provenance/manifest.h"

#define HEIGHT 10
#define DEEP   (HEIGHT + 6) /* blocks until block HEIGHT has six confirmations */

#define BLOCK "SELECT coalesce(btc_block, 0) FROM model_versions"

static void stamped(struct world *world, const char *name, uint8_t hash[32])
{
    world_open(world, name);
    world_start(world);
    world_version(world, 1, hash);
    world_until(world, "SELECT ots_calendars FROM model_versions", "3", 20);
}

static json_t *manifest_of(struct world *world)
{
    const char *text = world_text(world, "SELECT manifest FROM model_versions");
    json_t *value = NULL;
    assert_ok(owm_json_parse(text, strlen(text), 65536, &value, NULL));
    return value;
}

/* The engine's batch once more, as after a COMMIT of which nobody heard. */
static void persist_again(struct world *world, const uint8_t hash[32])
{
    struct owm_effect effect = {.kind = OWM_EFFECT_MODEL,
                                .model = {.version = "owm-v0.1.1",
                                          .round = 1,
                                          .created_ms = 1000,
                                          .model_bytes = 1000,
                                          .is_current = true,
                                          .manifest = "{\"coordinator_signature\":\"old\"}"}};
    memcpy(effect.model.model_hash, hash, 32);
    effect.model.manifest_bytes = strlen(effect.model.manifest);
    assert_ok(owm_persist_prepare(world->pg, NULL));
    assert_ok(owm_persist(world->pg, &effect, 1, NULL, NULL));
}

/* SRS-OTS-07: block, its time and the path of the proof are in the row, the block in the manifest,
 * which is signed again; nothing else in it changes. */
static void test_confirmed(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    char time[32];
    stamped(&world, "confirmed", hash);
    json_t *before = manifest_of(&world);
    world_mine(&world, hash, HEIGHT, DEEP);
    world_until(&world, BLOCK, "10", 20);
    persist_again(&world, hash);
    json_t *after = manifest_of(&world);
    json_t *model = json_object_get(json_object_get(after, "sub_models"), "owm-lm");
    assert_int_equal(json_integer_value(json_object_get(model, "btc_block")), HEIGHT);
    assert_string_equal(json_string_value(json_object_get(after, "coordinator_signature")),
                        world_text(&world, "SELECT coordinator_sig FROM model_versions"));
    json_object_set_new(model, "btc_block", json_null());
    json_object_del(before, "coordinator_signature");
    json_object_del(after, "coordinator_signature");
    assert_true(json_equal(before, after));
    json_decref(before);
    json_decref(after);
    snprintf(time, sizeof(time), "%u", 1300000000u + 600 * HEIGHT);
    assert_string_equal(
        world_text(&world, "SELECT extract(epoch FROM btc_time)::bigint FROM model_versions"),
        time);
    assert_string_equal(world_text(&world, "SELECT btc_block FROM fl_rounds"), "10");
    char *fresh = NULL; /* Ours, or it would not be signed again. */
    assert_ok(owm_manifest_confirm(world.identity,
                                   world_text(&world, "SELECT manifest FROM model_versions"), hash,
                                   HEIGHT, &fresh, NULL));
    free(fresh);
    world_told(&world, hash, true, true);
    assert_true(world_metric(&world, "owm_model_confirm_seconds_count 1"));
    world_noted(&world, "", 10);
    world_stop(&world);
    world.told_count = 0;
    world_start(&world); /* Known from the start. */
    world_told(&world, hash, true, true);
    world_close(&world);
}

/* A block that is taken back before it has six confirmations changes nothing; the next counts. */
static void test_reorganised(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    stamped(&world, "reorganised", hash);
    world_mine(&world, hash, HEIGHT, DEEP - 1);
    world_until(&world, "SELECT ots_note FROM model_versions", "block 10 has 5 of 6 confirmations",
                20);
    assert_string_equal(world_text(&world, BLOCK), "0");
    for (int i = 0; i < WORLD_CALENDARS; i++) world.calendar[i].mood = CALENDAR_PROMISES;
    node_cut(&world.node, HEIGHT);
    node_mine(&world.node, DEEP + 4, 0, NULL);
    world_until(&world,
                "SELECT ots_note LIKE 'block 10 has another merkle root; %' FROM model_versions",
                "t", 20);
    world_told(&world, hash, true, false);
    world_mine(&world, hash, 25, 31);
    world_until(&world, BLOCK, "25", 20);
    world_told(&world, hash, true, true);
    world_close(&world);
}

/* What leads to another block, or to none that is known, is not taken into the proof. */
static void test_wrong_block(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32], *before, *after;
    size_t bytes = 0, bytes_after = 0;
    stamped(&world, "wrong_block", hash);
    before = world_bytes(&world, hash, &bytes);
    node_mine(&world.node, DEEP, 0, NULL); /* Without our root in it. */
    for (int i = 0; i < WORLD_CALENDARS; i++) {
        world.calendar[i].height = HEIGHT;
        world.calendar[i].mood = i == 1 ? CALENDAR_LIES : CALENDAR_MINED;
    }
    world_until(&world,
                "SELECT ots_note LIKE '%answer is wrong: block 10 has another merkle root%'"
                " FROM model_versions",
                "t", 20);
    for (int i = 0; i < WORLD_CALENDARS; i++) world.calendar[i].height = 100000;
    world_until(&world,
                "SELECT ots_note LIKE '%leads to no block yet: it names block 100000%'"
                " FROM model_versions",
                "t", 20);
    assert_string_equal(world_text(&world, BLOCK), "0");
    after = world_bytes(&world, hash, &bytes_after);
    assert_int_equal(bytes, bytes_after);
    assert_memory_equal(before, after, bytes);
    free(before);
    free(after);
    world_close(&world);
}

/* A node that is away or of another network, a file of headers: nothing is believed without. */
static void test_headers(void **state)
{
    (void)state;
    struct world world;
    struct owm_ots_chain chain;
    struct stat file;
    uint8_t hash[32], *data = NULL;
    size_t bytes = 0;
    char path[128];
    stamped(&world, "headers", hash);
    world_stop(&world);
    snprintf(path, sizeof(path), "%s/headers.dat", world.folder);
    world_mine(&world, hash, HEIGHT, DEEP);
    world.options.bitcoin_rpc = "http://127.0.0.1:1/";
    world_start(&world);
    world_until(&world, "SELECT ots_note LIKE '%127.0.0.1:1%' FROM model_versions", "t", 20);
    world_stop(&world);
    world.options.bitcoin_rpc = "";
    world.options.headers_file = path;
    world_start(&world);
    world_until(&world, "SELECT ots_note LIKE '%headers.dat%' FROM model_versions", "t", 20);
    owm_ots_chain_init(&chain, OWM_REGTEST); /* Somebody brings one that is too short, */
    for (size_t i = 0; i < DEEP - 3; i++)
        assert_ok(owm_ots_chain_push(&chain, world.node.chain.headers[i], NULL));
    assert_ok(owm_ots_chain_write(&chain, &data, &bytes, NULL));
    owm_ots_chain_deinit(&chain);
    assert_ok(owm_fs_write_atomic(path, data, bytes, 0644, NULL));
    free(data);
    world_until(&world, "SELECT ots_note FROM model_versions", "block 10 has 3 of 6 confirmations",
                20);
    assert_string_equal(world_text(&world, BLOCK), "0");
    world_stop(&world);
    world.options.bitcoin_rpc = world.node.url_with_password; /* and a node extends it. */
    world_start(&world);
    world_until(&world, BLOCK, "10", 20);
    world_stop(&world);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_size, 8 + 48 * DEEP);
    world_close(&world);
}

/* A manifest that another has signed is not signed again, so its version is not confirmed. */
static void test_foreign_manifest(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    owm_identity *another = NULL, *ours;
    world_open(&world, "another_key");
    assert_ok(owm_identity_generate(&another));
    ours = world.identity;
    world.identity = another;
    world_version(&world, 1, hash);
    world.identity = ours;
    world_start(&world);
    world_until(&world, "SELECT ots_calendars FROM model_versions", "3", 20);
    world_mine(&world, hash, HEIGHT, DEEP);
    world_until(&world,
                "SELECT ots_note LIKE '%not signed by the coordinator%'"
                " FROM model_versions",
                "t", 20);
    assert_string_equal(world_text(&world, BLOCK), "0");
    owm_identity_close(another);
    world_close(&world);
}

/* A version whose checkpoint is gone is followed by its proof alone, and offered to nobody. */
static void test_deleted_checkpoint(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    stamped(&world, "deleted", hash);
    assert_ok(owm_blob_delete(world.store, hash));
    world_mine(&world, hash, HEIGHT, DEEP);
    world_until(&world, BLOCK, "10", 20);
    world_told(&world, hash, true, false);
    world_close(&world);
}

/* The proof of a confirmed version that is lost is made anew: what is confirmed can be shown. */
static void test_lost_proof(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    char path[256];
    stamped(&world, "lost_proof", hash);
    world_mine(&world, hash, HEIGHT, DEEP);
    world_until(&world, BLOCK, "10", 20);
    world_stop(&world);
    world_path(&world, hash, path);
    assert_int_equal(unlink(path), 0);
    for (int i = 0; i < WORLD_CALENDARS; i++) world.calendar[i].mood = CALENDAR_PROMISES;
    world_start(&world);
    world_until(&world, "SELECT ots_calendars FROM model_versions WHERE btc_block IS NULL", "3",
                20);
    world_told(&world, hash, true, false);
    world_mine(&world, hash, 20, 26);
    world_until(&world, BLOCK, "20", 20);
    world_close(&world);
}

/* serve_pending: a development network; and the alarm for what waits too long. */
static void test_development(void **state)
{
    (void)state;
    struct world world;
    uint8_t hash[32];
    world_open(&world, "development");
    world.options.serve_pending = true;
    world_start(&world);
    world_version(&world, 1, hash);
    world_until(&world, "SELECT ots_calendars FROM model_versions", "3", 20);
    world_told(&world, hash, true, true);
    world_sql(&world, "UPDATE model_versions SET created_at = now() - interval '49 hours'");
    world_noted(&world,
                "1 checkpoints wait for a Bitcoin block for more than 48 hours; the oldest,"
                " owm-v0.1.1: ",
                20);
    assert_true(world_metric(&world, "owm_model_proofs_overdue 1"));
    world_close(&world);
}

/* A version whose promises are lost serves no longer: the newest before it is told instead. */
static void test_lost_promises(void **state)
{
    (void)state;
    struct world world;
    uint8_t older[32], newer[32];
    char path[256];
    world_open(&world, "lost_promises");
    world.options.serve_pending = true;
    world_start(&world);
    world_version(&world, 1, older);
    world_version(&world, 2, newer);
    world_until(&world, "SELECT count(*) FROM model_versions WHERE ots_calendars = 3", "2", 20);
    world_told(&world, newer, true, true);
    world_stop(&world);
    world.told_count = 0;
    world_path(&world, newer, path);
    assert_int_equal(unlink(path), 0);
    for (int i = 0; i < WORLD_CALENDARS; i++) world.calendar[i].mood = CALENDAR_BROKEN;
    world_start(&world);
    world_told(&world, newer, false, false);
    world_told(&world, older, true, true);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_confirmed),        cmocka_unit_test(test_reorganised),
        cmocka_unit_test(test_wrong_block),      cmocka_unit_test(test_headers),
        cmocka_unit_test(test_foreign_manifest), cmocka_unit_test(test_deleted_checkpoint),
        cmocka_unit_test(test_lost_proof),       cmocka_unit_test(test_development),
        cmocka_unit_test(test_lost_promises),
    };
    if (!pg_fixture_start(&server)) return TEST_SKIP;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pg_fixture_stop(&server);
    return failed;
}
