/* test_bitcoin_peers.c: a real node on regtest: blocks are mined on its templates, accepted,
 * followed, reorganised away and back. It is at OWM_PEER_URL, with OWM_PEER_COOKIE or OWM_PEER_USER
 * and OWM_PEER_PASSWORD, and tells of tips at OWM_PEER_ZMQ if that is set. */
#include <jansson.h>

#include "base/log.h"
#include "dataplane/chain/hash.h"
#include "pool/bitcoin.h"
#include "pool/bitcoin_events.h"
#include "pool/bitcoin_rpc.h"
#include "test.h"

#define EXTRANONCE_BYTES 8
#define START_TRIES      300
#define TIP_MS           5000 /* A node may look for news once a second or so. */

struct world {
    struct bitcoin_events events;
    struct owm_bitcoin *bitcoin;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct owm_error error = {""};
    const struct owm_bitcoin_node node = {.url = getenv("OWM_PEER_URL"),
                                          .cookie_path = getenv("OWM_PEER_COOKIE"),
                                          .user = getenv("OWM_PEER_USER"),
                                          .password = getenv("OWM_PEER_PASSWORD"),
                                          .zmq_hashblock = getenv("OWM_PEER_ZMQ")};
    bitcoin_events_init(&world->events);
    const struct owm_bitcoin_options options = {.nodes = &node,
                                                .node_count = 1,
                                                .network = OWM_REGTEST,
                                                .events = bitcoin_events_of(&world->events)};
    owm_status status = owm_bitcoin_open(&options, &world->bitcoin, &error);
    for (int i = 0; i < START_TRIES && (status == OWM_E_STATE || status == OWM_E_PERM); i++) {
        owm_clock_sleep_ms(100); /* It has just been started: it warms up, its cookie is to come. */
        status = owm_bitcoin_open(&options, &world->bitcoin, &error);
    }
    if (status != OWM_OK) fail_msg("%s", error.text);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    uint64_t begin_ms = owm_clock_mono_ms();
    owm_bitcoin_close(world->bitcoin);
    assert_true(owm_clock_mono_ms() - begin_ms < 1000);
    bitcoin_events_deinit(&world->events);
    free(world);
    return 0;
}

/* --- mining ----------------------------------------------------------------------------------- */

static struct owm_template *newest(struct world *world)
{
    pthread_mutex_lock(&world->events.lock);
    struct owm_template *block = owm_template_retain(world->events.last);
    pthread_mutex_unlock(&world->events.lock);
    return block;
}

static bool meets(const uint8_t hash[32], const uint8_t target[32])
{
    int i = 31;
    while (i > 0 && hash[i] == target[i]) i--;
    return hash[i] <= target[i];
}

/* Solves the header; regtest takes two tries. solved: meet the target, or miss it. */
static void solve(const struct owm_template *block, const uint8_t root[32], bool solved,
                  uint8_t header[80], uint8_t hash[32])
{
    struct owm_header_fields fields = {.version = block->version,
                                       .time_s = block->current_time_s,
                                       .bits = block->bits,
                                       .previous = block->previous,
                                       .root = root};
    do {
        owm_header_write(&fields, header);
        owm_sha256d(header, 80, hash);
        fields.nonce++;
    } while (meets(hash, block->target) != solved);
}

/* A block on this template; `salt` makes it another one. hex is for the caller to free. */
static char *mine(const struct owm_template *block, uint8_t salt, bool solved, uint8_t hash[32])
{
    /* OP_TRUE, so that anybody may spend it. */
    const struct owm_coinbase_plan plan = {
        .script = {0x51}, .script_bytes = 1, .tag = "/OWM/", .extranonce_bytes = EXTRANONCE_BYTES};
    const uint8_t extranonce[EXTRANONCE_BYTES] = {salt};
    struct owm_coinbase coinbase;
    struct owm_error error = {""};
    uint8_t root[32], header[80];
    char *hex = NULL;
    if (owm_coinbase_build(block, &plan, &coinbase, &error) != OWM_OK) fail_msg("%s", error.text);
    owm_merkle_root(block, &coinbase, extranonce, root);
    solve(block, root, solved, header, hash);
    assert_ok(owm_block_hex(block, &coinbase, extranonce, header, &hex));
    return hex;
}

/* Mines on the template and submits; returns the node's word. */
static struct told_submit send_block(struct world *world, const struct owm_template *block,
                                     uint8_t salt, bool solved, uint8_t hash[32])
{
    unsigned before = TOLD(&world->events, submits);
    char *hex = mine(block, salt, solved, hash);
    assert_ok(owm_bitcoin_submit(world->bitcoin, hash, hex));
    bitcoin_events_have(&world->events, &world->events.submits, before + 1, TIP_MS);
    struct told_submit told = TOLD(&world->events, submit[before]);
    assert_memory_equal(told.hash, hash, 32);
    return told;
}

static void tip_becomes(struct world *world, const uint8_t hash[32])
{
    bool same = false;
    for (int i = 0; i < TIP_MS && !same; i++) {
        struct owm_template *block = newest(world);
        same = memcmp(block->previous, hash, 32) == 0;
        owm_template_release(block);
        owm_clock_sleep_ms(1);
    }
    assert_true(same);
}

static void extend(struct world *world, uint8_t salt, uint8_t hash[32])
{
    struct owm_template *block = newest(world);
    struct told_submit told = send_block(world, block, salt, true, hash);
    owm_template_release(block);
    if (!told.accepted) fail_msg("refused: %s", told.reason);
    tip_becomes(world, hash);
}

/* The fate last told of a block. */
static struct told_block fate_of(struct world *world, const uint8_t hash[32])
{
    struct told_block found = {.fate = OWM_BLOCK_UNKNOWN};
    pthread_mutex_lock(&world->events.lock);
    for (unsigned i = 0; i < world->events.blocks; i++)
        if (memcmp(world->events.block[i].hash, hash, 32) == 0) found = world->events.block[i];
    pthread_mutex_unlock(&world->events.lock);
    return found;
}

/* --- stories ---------------------------------------------------------------------------------- */

/* SRS-POOL-05: a real node takes the blocks that are built on its templates. */
static void blocks_are_accepted_and_confirmed(void **state)
{
    struct world *world = *state;
    uint8_t first[32], hash[32];
    extend(world, 1, first);
    assert_ok(owm_bitcoin_follow(world->bitcoin, first, 4));
    WAIT_FOR(fate_of(world, first).fate == OWM_BLOCK_ACTIVE, TIP_MS);
    uint32_t height = bitcoin_events_height(&world->events);
    for (uint8_t i = 0; i < 3; i++) {
        uint64_t begin_ns = owm_clock_mono_ns();
        extend(world, i, hash);
        print_message("block out to next template in: %.2f ms\n",
                      (double)(TOLD(&world->events, template_ns) - begin_ns) / 1e6);
    }
    assert_int_equal(bitcoin_events_height(&world->events), height + 3);
    WAIT_FOR(fate_of(world, first).confirmations == 4, TIP_MS);
}

static void bad_blocks_and_doubles(void **state)
{
    struct world *world = *state;
    uint8_t hash[32];
    struct owm_template *block = newest(world);
    struct told_submit told = send_block(world, block, 1, false, hash);
    assert_false(told.accepted);
    print_message("a block above the target: \"%s\"\n", told.reason);
    told = send_block(world, block, 2, true, hash);
    assert_true(told.accepted);
    told = send_block(world, block, 2, true, hash);
    print_message("a block for the second time: \"%s\"\n", told.reason);
    assert_true(told.accepted);
    tip_becomes(world, hash);
    assert_ok(owm_bitcoin_submit(world->bitcoin, hash, strdup("00")));
    bitcoin_events_have(&world->events, &world->events.submits, 4, TIP_MS);
    assert_false(TOLD(&world->events, submit[3].accepted));
    owm_template_release(block);
}

/* The template of a block's successor, without asking: empty, so that it needs no commitment. */
static struct owm_template successor(const struct owm_template *block, const uint8_t hash[32])
{
    struct owm_template next = *block;
    next.height++;
    next.current_time_s++;
    next.coinbase_value_sats -= next.fees_sats;
    next.fees_sats = 0;
    next.transactions = next.branches = next.weight = next.commitment_bytes = 0;
    memcpy(next.previous, hash, 32);
    return next;
}

/* A rival chain becomes longer, then ours again. */
static void chains_are_reorganised(void **state)
{
    struct world *world = *state;
    uint8_t ours[32], rival[32], hash[32];
    struct owm_template *block = newest(world);
    extend(world, 1, ours);
    assert_ok(owm_bitcoin_follow(world->bitcoin, ours, 100));
    WAIT_FOR(fate_of(world, ours).fate == OWM_BLOCK_ACTIVE, TIP_MS);
    send_block(world, block, 2, true, rival); /* Beside the chain: what is said of it differs. */
    struct owm_template next = successor(block, rival);
    send_block(world, &next, 3, true, hash);
    tip_becomes(world, hash);
    WAIT_FOR(fate_of(world, ours).fate == OWM_BLOCK_ORPHANED, TIP_MS);
    next = successor(block, ours);
    send_block(world, &next, 4, true, hash);
    next = successor(&next, hash);
    send_block(world, &next, 5, true, hash);
    tip_becomes(world, hash);
    WAIT_FOR(fate_of(world, ours).confirmations == 3, TIP_MS);
    owm_template_release(block);
}

/* One call past the pool's client; new reference, NULL if the node fails it. */
static json_t *ask(struct owm_bitcoin_rpc *rpc, const char *method, const json_t *params)
{
    struct owm_bitcoin_answer answer;
    char *text = json_dumps(params, JSON_COMPACT);
    const struct owm_bitcoin_call call = {.method = method, .params = text, .deadline_ms = TIP_MS};
    json_t *result = NULL;
    if (owm_bitcoin_rpc_call(rpc, &call, &answer, NULL) == OWM_OK) {
        result = json_loadb(answer.reply.result, answer.reply.result_bytes, JSON_DECODE_ANY, NULL);
        owm_bitcoin_answer_deinit(&answer);
    }
    free(text);
    return result;
}

/* A transaction of the node's wallet, sent; its id, NULL: the node has none. */
static json_t *send_transaction(struct owm_bitcoin_rpc *rpc)
{
    json_t *params = json_pack("[[], [{s:s}]]", "data", "00ff");
    json_t *bare = ask(rpc, "createrawtransaction", params), *funded = NULL, *made = NULL,
           *txid = NULL;
    json_decref(params);
    params = json_pack("[O?, {s:i}]", bare, "fee_rate", 20);
    if (bare) funded = ask(rpc, "fundrawtransaction", params);
    json_decref(params);
    params = json_pack("[O?]", json_object_get(funded, "hex"));
    if (funded) made = ask(rpc, "signrawtransactionwithwallet", params);
    json_decref(params);
    params = json_pack("[O?]", json_object_get(made, "hex"));
    if (made) txid = ask(rpc, "sendrawtransaction", params);
    json_decref(params);
    json_decref(made);
    json_decref(funded);
    json_decref(bare);
    return txid;
}

/* What waits in the node's mempool is mined for its fee, a few seconds after it was sent. */
static void a_transaction_makes_a_template(void **state)
{
    struct world *world = *state;
    const struct owm_bitcoin_node node = {.url = getenv("OWM_PEER_URL"),
                                          .cookie_path = getenv("OWM_PEER_COOKIE"),
                                          .user = getenv("OWM_PEER_USER"),
                                          .password = getenv("OWM_PEER_PASSWORD")};
    struct owm_bitcoin_rpc *rpc;
    struct owm_template *before = newest(world);
    uint8_t hash[32];
    assert_ok(owm_bitcoin_rpc_open(&node, &rpc));
    json_t *txid = send_transaction(rpc);
    if (!txid) {
        print_message("this node has no wallet\n");
        owm_bitcoin_rpc_close(rpc);
        owm_template_release(before);
        skip();
    }
    WAIT_FOR(TOLD(&world->events, last->transactions) == before->transactions + 1, TIP_MS);
    WAIT_FOR(TOLD(&world->events, last->fees_sats) > before->fees_sats, TIP_MS);
    extend(world, 1, hash);
    json_t *none = json_array(), *waiting = ask(rpc, "getrawmempool", none);
    assert_true(json_is_array(waiting) && json_array_size(waiting) == 0);
    json_decref(none);
    json_decref(waiting);
    json_decref(txid);
    owm_bitcoin_rpc_close(rpc);
    owm_template_release(before);
}

int main(void)
{
    owm_log_level_set(OWM_LOG_OFF);
    if (!getenv("OWM_PEER_URL")) {
        fprintf(stderr, "skipped: OWM_PEER_URL names no node\n");
        return TEST_SKIP;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(blocks_are_accepted_and_confirmed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_blocks_and_doubles, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chains_are_reorganised, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_transaction_makes_a_template, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
