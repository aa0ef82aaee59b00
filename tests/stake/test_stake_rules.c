/* test_stake_rules.c: what counts as stake, who a statement is of, and when stakes are read: the
 * parts of the stake manager that know no clock and no network. */
#include "base/rng.h"
#include "controlplane/stake/assess.h"
#include "controlplane/stake/binding.h"
#include "controlplane/stake/nodes.h"
#include "controlplane/stake/plan.h"
#include "ln_signer.h"
#include "test.h"

enum { CONFIRMATIONS = 3, HOUR_MS = 3600000, DAY_MS = 24 * HOUR_MS };

static const uint8_t peer[OWM_LIGHTNING_KEY_BYTES] = {2, 7};

/* --- assess ----------------------------------------------------------------------------------- */

/* An ordinary channel of 1,000,000 sats that the peer opened, deep in the chain. */
static struct owm_lightning_channel ordinary(uint8_t number)
{
    struct owm_lightning_channel channel = {.short_id = (uint64_t)(100 + number) << 40,
                                            .state = OWM_LIGHTNING_NORMAL,
                                            .opened_by_peer = true,
                                            .capacity_msat = 1000000000,
                                            .remote_msat = 1000000000,
                                            .confirmations = 100};
    memcpy(channel.peer, peer, sizeof(peer));
    channel.point.txid[31] = number;
    return channel;
}

static struct owm_stake_reading assess(const struct owm_lightning_channel *channels, size_t count)
{
    struct owm_stake_reading reading;
    owm_stake_assess(channels, count, peer, CONFIRMATIONS, &reading);
    assert_true(strlen(reading.note) > 10);
    return reading;
}

/* SRS-STAKE-01: each rule, by a channel that breaks it. */
static void test_rules(void **state)
{
    (void)state;
    struct owm_lightning_channel c = ordinary(1);
    struct owm_stake_reading reading = assess(&c, 1);
    assert_int_equal(reading.stake_sats, 1000000);
    assert_int_equal(reading.counted, 1);
    assert_string_equal(reading.note, "1 channel: 1 counted");

    c.active = false; /* the peer is offline: nothing changes */
    assert_int_equal(assess(&c, 1).stake_sats, 1000000);

    c = ordinary(1);
    c.opened_by_peer = false; /* what the treasury funded and moved over is not the peer's */
    reading = assess(&c, 1);
    assert_int_equal(reading.stake_sats, 0);
    assert_int_equal(reading.pending_sats, 0);
    assert_non_null(strstr(reading.note, "01000000…:0 is not (the treasury opened it)"));

    c = ordinary(1);
    c.confirmations = 2;
    reading = assess(&c, 1);
    assert_int_equal(reading.stake_sats, 0);
    assert_int_equal(reading.pending_sats, 1000000);
    assert_int_equal(reading.blocks_to_go, 1);
    assert_non_null(strstr(reading.note, "waiting for confirmations: 2 of 3"));
    c.confirmations = 3;
    assert_int_equal(assess(&c, 1).stake_sats, 1000000);

    c.short_id = 0; /* used before it is in the chain */
    reading = assess(&c, 1);
    assert_int_equal(reading.stake_sats, 0);
    assert_int_equal(reading.blocks_to_go, 3);

    c = ordinary(1);
    c.state = OWM_LIGHTNING_BROKEN;
    snprintf(c.note, sizeof(c.note), "ChanStatusLocalDataLoss");
    reading = assess(&c, 1);
    assert_int_equal(reading.stake_sats + reading.pending_sats, 0);
    assert_non_null(strstr(reading.note, "ChanStatusLocalDataLoss"));

    c = ordinary(1); /* spent, in flight, pushed at opening: not the peer's */
    c.remote_msat = 600000000;
    c.unsettled_msat = 100000000;
    c.local_msat = c.pushed_msat = 300000000;
    assert_int_equal(assess(&c, 1).stake_sats, 600000);
}

/* SRS-STAKE-08: who closed decides whether it left; and of several channels, the newest. */
static void test_left(void **state)
{
    (void)state;
    static const struct {
        enum owm_lightning_close_kind kind;
        bool left;
    } kinds[] = {
        {OWM_LIGHTNING_CLOSE_COOPERATIVE, true},   {OWM_LIGHTNING_CLOSE_FORCED_BY_PEER, true},
        {OWM_LIGHTNING_CLOSE_FORCED_BY_US, false}, {OWM_LIGHTNING_CLOSE_BREACH, false},
        {OWM_LIGHTNING_CLOSE_OTHER, false},        {OWM_LIGHTNING_CLOSE_NONE, false}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct owm_lightning_channel c[2] = {ordinary(1), ordinary(2)};
        c[0].state = OWM_LIGHTNING_CLOSED; /* the older */
        c[0].close_kind = OWM_LIGHTNING_CLOSE_FORCED_BY_US;
        c[1].state = i % 2 ? OWM_LIGHTNING_CLOSED : OWM_LIGHTNING_CLOSING;
        c[1].close_kind = kinds[i].kind;
        struct owm_stake_reading reading = assess(c, 2);
        assert_int_equal(reading.stake_sats, 0);
        assert_int_equal(reading.left, kinds[i].left);
        c[0].state = OWM_LIGHTNING_OPENING; /* it opens another one: it stays */
        assert_false(assess(c, 2).left);
    }
    assert_false(assess(NULL, 0).left);
    struct owm_lightning_channel ours = ordinary(1);
    ours.opened_by_peer = false;
    ours.state = OWM_LIGHTNING_CLOSED;
    ours.close_kind = OWM_LIGHTNING_CLOSE_COOPERATIVE;
    assert_false(assess(&ours, 1).left);
}

static int64_t any_amount(struct owm_rng *rng)
{
    static const int64_t edges[] = {INT64_MIN, -1, 0, 1, 999, 1000, INT64_MAX};
    if (owm_rng_below(rng, 8) == 0) return edges[owm_rng_below(rng, 7)];
    return (int64_t)owm_rng_below(rng, 2000000000);
}

static struct owm_lightning_channel any_channel(struct owm_rng *rng, uint8_t number)
{
    struct owm_lightning_channel c = ordinary(number);
    c.peer[1] = (uint8_t)owm_rng_below(rng, 3);
    c.state = (enum owm_lightning_channel_state)owm_rng_below(rng, 5);
    c.close_kind = (enum owm_lightning_close_kind)owm_rng_below(rng, 6);
    c.opened_by_peer = owm_rng_below(rng, 4) != 0;
    c.confirmations = (uint32_t)owm_rng_below(rng, 6);
    c.short_id = owm_rng_below(rng, 4) ? c.short_id : 0;
    c.capacity_msat = any_amount(rng);
    c.local_msat = any_amount(rng);
    c.remote_msat = any_amount(rng);
    c.unsettled_msat = any_amount(rng);
    c.pushed_msat = any_amount(rng);
    return c;
}

/* Whatever the treasury's node says: all stakes together are never more than the channels hold that
 * their peers opened, a channel that is listed twice counts once, and nothing is negative. */
static void test_never_more_than_there_is(void **state)
{
    (void)state;
    struct owm_rng rng;
    owm_rng_seed(&rng, 1);
    for (int run = 0; run < 20000; run++) {
        struct owm_lightning_channel c[9];
        size_t count = owm_rng_below(&rng, 9);
        __int128 capacity_msat = 0, stakes_sats = 0;
        for (size_t i = 0; i < count; i++) {
            c[i] = any_channel(&rng, (uint8_t)(i + 1));
            if (c[i].opened_by_peer && c[i].capacity_msat > 0) capacity_msat += c[i].capacity_msat;
        }
        if (count) c[count] = c[count - 1]; /* twice */
        for (uint8_t who = 0; who < 3; who++) {
            struct owm_stake_reading reading, again;
            uint8_t key[OWM_LIGHTNING_KEY_BYTES] = {2, who};
            owm_stake_assess(c, count, key, CONFIRMATIONS, &reading);
            owm_stake_assess(c, count + (count > 0), key, CONFIRMATIONS, &again);
            assert_memory_equal(&reading, &again, sizeof(reading));
            assert_true(reading.stake_sats >= 0 && reading.pending_sats >= 0);
            assert_true(reading.counted <= reading.channels);
            assert_false(reading.left && reading.stake_sats > 0);
            stakes_sats += reading.stake_sats + reading.pending_sats;
        }
        assert_true(stakes_sats * 1000 <= capacity_msat);
    }
}

/* --- binding ---------------------------------------------------------------------------------- */

struct bound {
    owm_identity *coordinator;
    struct owm_stake_binding binding;
    struct ln_signer signer;
    uint8_t node_key[32];
    char statement[OWM_STATEMENT_BYTES], signature[OWM_LIGHTNING_SIGNATURE_TEXT];
    int64_t now_ms;
};

static void bind(struct bound *b)
{
    uint8_t seed[32] = {5};
    memset(b, 0, sizeof(*b));
    b->now_ms = INT64_C(20000) * DAY_MS + 7 * HOUR_MS;
    memset(b->node_key, 9, sizeof(b->node_key));
    assert_ok(owm_identity_from_seed(seed, &b->coordinator));
    assert_ok(owm_stake_binding_init(&b->binding, b->coordinator, "devnet", NULL));
    ln_signer_make(&b->signer, 1);
    owm_stake_statement(&b->binding, b->node_key, b->now_ms, b->statement);
    ln_signer_sign(&b->signer, b->statement, b->signature);
}

static owm_status prove(const struct bound *b, int64_t now_ms)
{
    struct owm_error error = {""};
    owm_status status = owm_stake_prove(&b->binding,
                                        &(struct owm_stake_proof){.node_key = b->node_key,
                                                                  .statement = b->statement,
                                                                  .signature = b->signature,
                                                                  .ln_key = b->signer.key},
                                        now_ms, &error);
    assert_int_equal(status == OWM_OK, error.text[0] == 0);
    return status;
}

static void unbind(struct bound *b)
{
    owm_stake_binding_deinit(&b->binding);
    owm_identity_close(b->coordinator);
}

/* A statement is one word, the same for a day, and good for at least a day. */
static void test_statement(void **state)
{
    (void)state;
    struct bound b;
    char later[OWM_STATEMENT_BYTES];
    bind(&b);
    assert_null(strpbrk(b.statement, " \t\n\"'$`\\!*"));
    assert_true(strlen(b.statement) < 160);
    owm_stake_statement(&b.binding, b.node_key, b.now_ms + 16 * HOUR_MS, later);
    assert_string_equal(later, b.statement);
    owm_stake_statement(&b.binding, b.node_key, b.now_ms + 17 * HOUR_MS, later);
    assert_string_not_equal(later, b.statement);
    assert_ok(prove(&b, b.now_ms));
    assert_ok(prove(&b, b.now_ms + DAY_MS));
    assert_int_equal(prove(&b, b.now_ms + 2 * DAY_MS), OWM_E_TIMEOUT);
    /* A standby or a restarted coordinator of the same identity knows it; another one does not. */
    owm_identity *other = NULL;
    struct owm_stake_binding mine = b.binding;
    assert_ok(owm_stake_binding_init(&b.binding, b.coordinator, "devnet", NULL));
    assert_ok(prove(&b, b.now_ms));
    assert_ok(owm_identity_generate(&other));
    assert_ok(owm_stake_binding_init(&b.binding, other, "devnet", NULL));
    assert_int_equal(prove(&b, b.now_ms), OWM_E_CRYPTO);
    assert_int_equal(owm_stake_binding_init(&b.binding, other, "a b", NULL), OWM_E_CONFIG);
    b.binding = mine;
    owm_identity_close(other);
    unbind(&b);
}

/* A proof is of one node and one Lightning key: nobody else can use it, nor change a bit of it. */
static void test_proof(void **state)
{
    (void)state;
    struct bound b, other;
    bind(&b);
    bind(&other);
    other.node_key[0] ^= 1; /* another node with the same proof */
    assert_int_equal(prove(&other, b.now_ms), OWM_E_CRYPTO);
    other = b;
    ln_signer_make(&other.signer, 2); /* a channel of another Lightning node */
    assert_int_equal(prove(&other, b.now_ms), OWM_E_STATE);
    other = b;
    ln_signer_sign(&other.signer, "something else", other.signature);
    assert_int_equal(prove(&other, b.now_ms), OWM_E_STATE);
    other = b;
    other.signature[50] = '!';
    assert_int_equal(prove(&other, b.now_ms), OWM_E_CRYPTO);
    other.signature[0] = 0;
    assert_int_equal(prove(&other, b.now_ms), OWM_E_CRYPTO);
    for (size_t i = 0; i < strlen(b.statement); i++) {
        other = b;
        other.statement[i] = other.statement[i] == '1' ? '2' : '1';
        ln_signer_sign(&other.signer, other.statement, other.signature);
        assert_int_equal(prove(&other, b.now_ms), OWM_E_CRYPTO);
    }
    bind(&other);
    memset(other.node_key, 3, sizeof(other.node_key));
    assert_ok(
        owm_statement_names(b.statement, "devnet", b.binding.coordinator_key, b.node_key, NULL));
    assert_int_equal(
        owm_statement_names(b.statement, "devnet", b.binding.coordinator_key, other.node_key, NULL),
        OWM_E_CRYPTO);
    assert_int_equal(
        owm_statement_names(b.statement, "mainnet", b.binding.coordinator_key, b.node_key, NULL),
        OWM_E_CRYPTO);
    assert_int_equal(
        owm_statement_names("sign this", "devnet", b.binding.coordinator_key, b.node_key, NULL),
        OWM_E_PROTO);
    unbind(&b);
    owm_identity_close(other.coordinator);
}

/* --- plan ------------------------------------------------------------------------------------- */

enum { NODES = 10000, SWEEP_MS = 600000, RECHECK_MS = 6 * HOUR_MS };

static struct owm_stake_plan *open_plan(uint32_t nodes)
{
    const struct owm_stake_plan_config config = {.nodes_max = nodes,
                                                 .recheck_ms = RECHECK_MS,
                                                 .sweep_ms = SWEEP_MS,
                                                 .follow_ms = 15000,
                                                 .list_pause_ms = 250};
    struct owm_stake_plan *plan = NULL;
    assert_ok(owm_stake_plan_open(&config, 0, &plan));
    for (uint32_t i = 0; i < nodes; i++) owm_stake_plan_add(plan);
    return plan;
}

/* Follows the plan from *now_ms to until_ms with a treasury that takes 1 s for a list and 20 ms for
 * one peer; told[i]: how often the engine would be told of node i in any case. */
static unsigned follow(struct owm_stake_plan *plan, uint32_t nodes, int64_t *now_ms,
                       int64_t until_ms, unsigned *told)
{
    struct owm_stake_order order;
    unsigned lists = 0;
    while (*now_ms < until_ms) {
        owm_stake_plan_next(plan, *now_ms, &order);
        if (order.batch == OWM_STAKE_WAIT) {
            assert_true(order.wait_ms > 0);
            *now_ms += order.wait_ms;
            continue;
        }
        for (uint32_t i = 0; i < nodes; i++)
            if (order.batch == OWM_STAKE_ALL || order.node == i)
                told[i] += owm_stake_plan_wanted(plan, i);
        lists += order.batch == OWM_STAKE_ALL;
        *now_ms += order.batch == OWM_STAKE_ALL ? 1000 : 20;
        owm_stake_plan_done(plan, *now_ms, true);
    }
    return lists;
}

/* SRS-PERF-14, SRS-STAKE-02: 10,000 nodes, each once within 10 minutes of every 6 hours, with few
 * questions, and never many nodes at a time. */
static void test_sweep(void **state)
{
    (void)state;
    struct owm_stake_plan *plan = open_plan(NODES);
    unsigned *told = calloc(NODES, sizeof(*told));
    int64_t now_ms = 0;
    for (unsigned cycle = 0; cycle < 4; cycle++) {
        int64_t began_ms = cycle * (int64_t)RECHECK_MS;
        uint32_t before = 0, after = 0;
        unsigned lists = follow(plan, NODES, &now_ms, began_ms + SWEEP_MS / 2, told);
        for (uint32_t i = 0; i < NODES; i++) before += told[i] - cycle;
        assert_in_range(before, NODES / 3, NODES * 2 / 3); /* spread out */
        lists += follow(plan, NODES, &now_ms, began_ms + SWEEP_MS, told);
        for (uint32_t i = 0; i < NODES; i++) after += told[i] == cycle + 1;
        assert_int_equal(after, NODES);
        assert_in_range(lists, OWM_STAKE_SLICES, OWM_STAKE_SLICES + 1);
        lists = follow(plan, NODES, &now_ms, began_ms + RECHECK_MS, told);
        assert_int_equal(lists, 0);
    }
    free(told);
    owm_stake_plan_close(plan);
}

/* Many nodes wanted at once cost one list; a few cost a question each; one that is wanted again
 * while it is read is read again. */
static void test_coalescing(void **state)
{
    (void)state;
    struct owm_stake_plan *plan = open_plan(1000);
    unsigned told[1000] = {0};
    struct owm_stake_order order;
    int64_t now_ms = 0;
    follow(plan, 1000, &now_ms, SWEEP_MS, told);
    memset(told, 0, sizeof(told));
    for (uint32_t i = 0; i < 1000; i += 2) owm_stake_plan_want(plan, i);
    owm_stake_plan_look(plan, 1);
    assert_int_equal(follow(plan, 1000, &now_ms, now_ms + 2000, told), 1);
    for (uint32_t i = 0; i < 1000; i++) assert_int_equal(told[i], i % 2 == 0);
    owm_stake_plan_want(plan, 5);
    owm_stake_plan_look(plan, 6);
    memset(told, 0, sizeof(told));
    assert_int_equal(follow(plan, 1000, &now_ms, now_ms + 2000, told), 0);
    assert_int_equal(told[5], 1);
    assert_int_equal(told[6], 0);
    owm_stake_plan_want(plan, 7);
    owm_stake_plan_next(plan, now_ms, &order);
    assert_int_equal(order.batch, OWM_STAKE_ONE);
    owm_stake_plan_want(plan, 7);
    owm_stake_plan_done(plan, now_ms, true);
    owm_stake_plan_next(plan, now_ms, &order);
    assert_int_equal(order.batch, OWM_STAKE_ONE);
    assert_int_equal(order.node, 7);
    owm_stake_plan_done(plan, now_ms, true);
    owm_stake_plan_follow(plan, 9, true);
    memset(told, 0, sizeof(told));
    follow(plan, 1000, &now_ms, now_ms + 150000, told);
    assert_in_range(told[9], 9, 11);
    owm_stake_plan_close(plan);
}

/* A treasury that is away is asked again with growing pauses, and nothing that was due is lost. */
static void test_away(void **state)
{
    (void)state;
    struct owm_stake_plan *plan = open_plan(10);
    struct owm_stake_order order;
    unsigned told[10] = {0}, tries = 0;
    int64_t now_ms = 0;
    follow(plan, 10, &now_ms, SWEEP_MS, told);
    memset(told, 0, sizeof(told));
    for (uint32_t i = 0; i < 10; i++) owm_stake_plan_want(plan, i);
    for (int64_t until_ms = now_ms + 300000; now_ms < until_ms;) {
        owm_stake_plan_next(plan, now_ms, &order);
        if (order.batch == OWM_STAKE_WAIT) {
            now_ms += order.wait_ms;
            continue;
        }
        owm_stake_plan_done(plan, now_ms, false);
        tries++;
    }
    assert_in_range(tries, 25, 40);
    follow(plan, 10, &now_ms, now_ms + 20000, told);
    for (uint32_t i = 0; i < 10; i++) assert_int_equal(told[i], 1);
    owm_stake_plan_close(plan);
}

/* --- nodes ------------------------------------------------------------------------------------ */

/* Found by each of its three names, also after its Lightning key changed, many times over. */
static void test_nodes(void **state)
{
    (void)state;
    struct stake_nodes nodes;
    struct owm_node_row row = {.status = OWM_NODE_ACTIVE};
    uint32_t number = 0;
    bool is_new = false;
    assert_ok(stake_nodes_init(&nodes, 8));
    for (uint32_t i = 0; i < 400; i++) {
        uint32_t who = i % 8;
        memset(&row, 0, sizeof(row));
        memcpy(row.node_id + 4, &who, 4);
        memcpy(row.public_key + 4, &who, 4);
        row.ln_key[0] = 2;
        memcpy(row.ln_key + 20, &i, 4);
        assert_ok(stake_nodes_put(&nodes, &row, &number, &is_new));
        assert_true(is_new);
        assert_int_equal(number, who);
        assert_int_equal(stake_nodes_by_ln_key(&nodes, row.ln_key), who);
        assert_int_equal(stake_nodes_by_id(&nodes, row.node_id), who);
        assert_int_equal(stake_nodes_by_public_key(&nodes, row.public_key), who);
        assert_ok(stake_nodes_put(&nodes, &row, &number, &is_new));
        assert_false(is_new);
        uint32_t old = i - 8;
        memcpy(row.ln_key + 20, &old, 4);
        assert_int_equal(stake_nodes_by_ln_key(&nodes, row.ln_key), STAKE_NODE_NONE);
    }
    row.node_id[0] = 1;
    assert_int_equal(stake_nodes_put(&nodes, &row, &number, &is_new), OWM_E_LIMIT);
    stake_nodes_deinit(&nodes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_left),
        cmocka_unit_test(test_never_more_than_there_is),
        cmocka_unit_test(test_statement),
        cmocka_unit_test(test_proof),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_coalescing),
        cmocka_unit_test(test_away),
        cmocka_unit_test(test_nodes),
    };
    return cmocka_run_group_tests_name("stake rules", tests, NULL, NULL);
}
