/* test_history.c: the payments of a node over HTTP, from a payer that has worked. */
#include "controlplane/payments/history.h"

#include "base/http_client.h"
#include "base/json.h"
#include "base/uuid.h"
#include "fake_world.h"

static unsigned port;

static json_t *get(const char *path, unsigned wanted)
{
    char url[600];
    struct owm_http_result result;
    struct owm_error error = {""};
    json_t *value = NULL;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", port, path);
    const struct owm_http_call call = {.url = url};
    if (owm_http_fetch(&call, &result, &error) != OWM_OK) fail_msg("%s", error.text);
    if (result.status != wanted) fail_msg("%s: %u %s", path, result.status, (char *)result.body);
    if (owm_json_parse((char *)result.body, result.body_bytes, 1 << 20, &value, &error) != OWM_OK)
        fail_msg("%s: %s", path, error.text);
    owm_http_result_deinit(&result);
    return value;
}

static const char *text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* Every page of a node's history, in order and without a gap; the number of payments. */
static size_t walk(const char *node, unsigned limit)
{
    char path[300], before[OWM_UUID_TEXT_BYTES] = "";
    size_t seen = 0;
    for (bool more = true; more;) {
        snprintf(path, sizeof(path), "/v1/payments/history?node=%s&limit=%u%s%s", node, limit,
                 before[0] ? "&before=" : "", before);
        json_t *page = get(path, 200);
        seen += json_array_size(json_object_get(page, "payments"));
        more = text(page, "next") != NULL;
        if (more) snprintf(before, sizeof(before), "%s", text(page, "next"));
        json_decref(page);
    }
    return seen;
}

/* SRS-LN-10: an operator sees each payment with its state, reason and proof, and the sums. */
static void test_history(void **state)
{
    (void)state;
    struct world world;
    struct owm_history *history = NULL;
    owm_http_server *http = NULL;
    uint8_t node[2][16];
    char id[2][OWM_UUID_TEXT_BYTES], path[200];
    world_open(&world, "history");
    world_key_node(&world, 1, node[0]);
    world_node(&world, "", "", node[1]);
    for (int i = 0; i < 2; i++) owm_uuid_format(node[i], id[i]);
    assert_ok(owm_history_open(world.url, "no Lightning node is configured", &history));
    const struct owm_http_route routes[] = {
        {"GET", "/v1/payments/history", owm_history_serve, history},
        {"GET", "/v1/payments/summary", owm_history_serve, history},
        {"GET", "/v1/nodes/", owm_history_serve, history}};
    const struct owm_http_server_options options = {.routes = routes, .route_count = 3};
    assert_ok(owm_http_server_open(&options, &http, NULL));
    port = owm_http_server_port(http);

    world_owe(&world, node[1], 1234567);
    json_t *page = get("/v1/payments/history?state=owed", 200);
    const json_t *line = json_array_get(json_object_get(page, "payments"), 0);
    assert_string_equal(text(line, "reason"), "no Lightning node is configured");
    assert_string_equal(text(line, "amount_sats"), "1234.567");
    assert_int_equal(json_integer_value(json_object_get(line, "amount_msat")), 1234567);
    json_decref(page);

    for (int i = 0; i < 7; i++) world_owe(&world, node[0], 2000 + i);
    world_start(&world);
    world_until(world.pg, "SELECT count(*) FROM payments WHERE state = 'settled'", 7);
    world_until(world.pg, "SELECT count(*) FROM payments WHERE state = 'owed' AND reason <> ''", 1);
    assert_int_equal(walk(id[0], 3), 7);
    assert_int_equal(walk(id[0], 7), 7);
    assert_int_equal(walk(id[1], 500), 1);
    snprintf(path, sizeof(path), "/v1/payments/history?node=%s&state=settled&limit=1", id[0]);
    page = get(path, 200);
    line = json_array_get(json_object_get(page, "payments"), 0);
    assert_string_equal(text(line, "node_id"), id[0]);
    assert_string_equal(text(line, "kind"), "keysend");
    assert_int_equal(strlen(text(line, "preimage")), 64);
    assert_int_equal(strlen(text(line, "payment_hash")), 64);
    assert_int_equal(json_integer_value(json_object_get(line, "attempts")), 1);
    json_decref(page);

    snprintf(path, sizeof(path), "/v1/nodes/%s/earnings", id[0]);
    page = get(path, 200);
    const json_t *settled = json_object_get(json_object_get(page, "states"), "settled");
    assert_int_equal(json_integer_value(json_object_get(settled, "amount_msat")), 14021);
    line = json_array_get(json_object_get(page, "days"), 0);
    assert_int_equal(json_integer_value(json_object_get(line, "settled_msat")), 14021);
    assert_string_equal(text(line, "earned_sats"), "14.021");
    json_decref(page);
    page = get("/v1/payments/summary", 200);
    settled = json_object_get(json_object_get(page, "states"), "settled");
    assert_int_equal(json_integer_value(json_object_get(settled, "count")), 7);
    json_decref(page);

    static const char *const wrong[] = {"limit=0", "limit=501", "limit=x",  "state=paid",
                                        "node=x",  "before=1",  "colour=1", "node"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(path, sizeof(path), "/v1/payments/history?%s", wrong[i]);
        json_decref(get(path, 400));
    }
    json_decref(get("/v1/nodes/00000000-0000-4000-8000-000000000001/earnings", 404));
    json_decref(get("/v1/nodes/x/earnings", 404));
    owm_http_server_close(http);
    owm_history_close(history);
    world_close(&world);
}

WORLD_MAIN(cmocka_unit_test(test_history))
