/* test_stake_guide.c: SRS-NODE-11, the next step from every state; SRS-NODE-12, what alarms. */
#include "node/stake_guide.h"
#include "node/stake_watch.h"
#include "test.h"

#define TREASURY_KEY "02a1633cafcc01ebfb6d78e39f687a1f0995c62fc95f51ead10a02ee0be551b5dc"
#define TREASURY     TREASURY_KEY "@203.0.113.5:9735"

static char nothing[] = "", regtest[] = "regtest";

static struct owm_node_config by_hand(void)
{
    return (struct owm_node_config){.lightning = OWM_NODE_BY_HAND,
                                    .lightning_network = nothing,
                                    .node_uri = nothing,
                                    .min_payment_channel_sat = 100000};
}

/** joined: everything is done, the node is active. Tests take something away. */
static struct stake_facts joined(const struct owm_node_config *config)
{
    struct stake_facts f = {.config = config,
                            .tier = "t1",
                            .answered = true,
                            .network = "signet",
                            .policy = "lightning",
                            .statement = "owm-stake-1:signet:text",
                            .minimum_sats = 100000,
                            .bound = true,
                            .uri_ok = true,
                            .running = true,
                            .link = "registered",
                            .status = "active"};
    snprintf(f.stake.treasury_uri, sizeof f.stake.treasury_uri, "%s", TREASURY);
    f.stake.sats = 150000;
    f.stake.bonus_permille = 1250;
    return f;
}

static void decide(const struct stake_facts *f, struct stake_guide *guide, enum stake_step wanted)
{
    stake_guide_decide(f, guide);
    if (guide->step != wanted)
        fail_msg("%s instead of %s: %s", stake_step_name(guide->step), stake_step_name(wanted),
                 guide->what);
}

static void has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) fail_msg("'%s' is not in: %s", part, text);
}

/* SRS-NODE-11: no coordinator, no stake wanted, no Lightning node, no signature. */
static void test_before_the_channel(void **state)
{
    (void)state;
    struct owm_node_config config = by_hand();
    struct stake_facts f = joined(&config);
    struct stake_guide guide;
    f.answered = false;
    snprintf(f.coordinator_error, sizeof f.coordinator_error, "host:9000 does not answer");
    decide(&f, &guide, STAKE_COORDINATOR);
    has(guide.what, "host:9000 does not answer");
    f = joined(&config);
    snprintf(f.policy, sizeof f.policy, "none");
    decide(&f, &guide, STAKE_NOT_ASKED);
    f = joined(&config);
    f.uri_ok = false;
    decide(&f, &guide, STAKE_LIGHTNING_NODE);
    has(guide.what, "lightning.node_uri");
    has(guide.command[0], "lncli --network=signet getinfo");
    has(guide.command[2], "lightning-cli --network=signet getinfo");
    f = joined(&config);
    snprintf(f.lightning_error, sizeof f.lightning_error, "LND: wallet locked");
    decide(&f, &guide, STAKE_LIGHTNING_NODE);
    has(guide.what, "wallet locked");
    f = joined(&config);
    f.bound = false;
    decide(&f, &guide, STAKE_IDENTITY);
    has(guide.command[0], "lncli --network=signet signmessage \"owm-stake-1:signet:text\"");
    has(guide.command[1], "lightning-cli --network=signet signmessage");
    has(guide.command[2], "owm-node stake prove");
    f.signed_by_hand = true;
    decide(&f, &guide, STAKE_ACTIVE);
    f.signed_by_hand = false;
    f.can_sign = true;
    decide(&f, &guide, STAKE_ACTIVE);
}

/* SRS-NODE-11: a channel to the treasury with the tier's amount and a margin, by either program. */
static void test_channel(void **state)
{
    (void)state;
    struct owm_node_config config = by_hand();
    struct stake_facts f = joined(&config);
    struct stake_guide guide;
    assert_int_equal(stake_channel_sats(&config, 500000), 550000);
    assert_int_equal(stake_channel_sats(&config, 100001), 111000);
    assert_int_equal(stake_channel_sats(&config, 20000), 100000);
    f.running = false;
    f.stake.sats = 0;
    decide(&f, &guide, STAKE_CHANNEL);
    assert_int_equal(guide.commands, 4);
    has(guide.command[0], "connect " TREASURY);
    has(guide.command[1], "openchannel --node_key " TREASURY_KEY " --local_amt 110000");
    has(guide.command[3], "fundchannel " TREASURY_KEY " 110000");
    config.lightning = OWM_NODE_CLN;
    config.lightning_network = regtest;
    decide(&f, &guide, STAKE_CHANNEL);
    assert_int_equal(guide.commands, 2);
    has(guide.command[1], "lightning-cli --network=regtest fundchannel");
    snprintf(f.network, sizeof f.network, "mainnet");
    config.lightning_network = nothing;
    config.lightning = OWM_NODE_LND;
    decide(&f, &guide, STAKE_CHANNEL);
    has(guide.command[0], "lncli connect");
    f.stake.treasury_uri[0] = '\0'; /* The coordinator does not say where to. */
    decide(&f, &guide, STAKE_CHANNEL);
    assert_int_equal(guide.commands, 0);
    has(guide.what, "ask its operator");
}

/* SRS-NODE-11: opening, confirmed without a daemon, too small, fallen below, active. */
static void test_after_the_channel(void **state)
{
    (void)state;
    struct owm_node_config config = by_hand();
    struct stake_facts f = joined(&config);
    struct stake_guide guide;
    f.running = false;
    f.stake.sats = 0;
    f.stake.looked_ms = 1;
    f.stake.opening_sats = 110000;
    decide(&f, &guide, STAKE_CONFIRMATIONS);
    has(guide.command[0], "owm-node start");
    f.stake.open_sats = 110000;
    f.stake.opening_sats = 0;
    decide(&f, &guide, STAKE_START);
    f.stake.open_sats = 60000;
    decide(&f, &guide, STAKE_MORE);
    has(guide.what, "40000 sats are missing");
    has(guide.command[1], "--local_amt 50000");
    f = joined(&config);
    snprintf(f.status, sizeof f.status, "degraded");
    f.stake.sats = 99999;
    decide(&f, &guide, STAKE_MORE);
    has(guide.what, "1 sats are missing");
    has(guide.command[1], "--local_amt 20000");
    f = joined(&config);
    snprintf(f.status, sizeof f.status, "pending");
    f.stake.sats = 0;
    decide(&f, &guide, STAKE_CONFIRMATIONS);
    f.stake.looked_ms = 1; /* The own node shows that there is none: it was closed. */
    decide(&f, &guide, STAKE_CHANNEL);
    f = joined(&config);
    decide(&f, &guide, STAKE_ACTIVE);
    has(guide.what, "bonus 1.250");
    f.stake.sats = 300000;
    decide(&f, &guide, STAKE_ACTIVE);
    has(guide.what, "highest");
}

/* The print marks what is done; JSON has the same. */
static void test_print(void **state)
{
    (void)state;
    struct owm_node_config config = by_hand();
    struct stake_facts f = joined(&config);
    struct stake_guide guide;
    char *text = NULL;
    size_t bytes = 0;
    f.running = false;
    f.stake.sats = 0;
    stake_guide_decide(&f, &guide);
    FILE *out = open_memstream(&text, &bytes);
    stake_guide_print(&f, &guide, false, out);
    fclose(out);
    has(text, "[x] 1. Lightning node known");
    has(text, "[x] 2. bound to it");
    has(text, "[ ] 3. channel to the treasury");
    has(text, "[ ] 5. active");
    has(text, "t1 needs 100000 sats in channels to " TREASURY);
    free(text);
    out = open_memstream(&text, &bytes);
    stake_guide_print(&f, &guide, true, out);
    fclose(out);
    has(text, "\"step\": \"channel\"");
    has(text, "\"minimum_sats\": 100000");
    free(text);
}

/* ------------------------------------------------------------------------------- alerts */

static struct node_view well(void)
{
    struct node_view view = {.link = NODE_REGISTERED,
                             .status = "active",
                             .stake_policy = "lightning",
                             .stake = {.sats = 120000, .required_sats = 100000}};
    return view;
}

static size_t alerts(const struct node_view *view, struct node_stake_alert list[])
{
    return node_stake_alerts(view, 1000, list);
}

/* SRS-NODE-12: within 5 % of the minimum is a warning, below it is grave, with what is missing. */
static void test_balance(void **state)
{
    (void)state;
    struct node_stake_alert list[NODE_STAKE_ALERTS_MAX];
    struct node_view view = well();
    assert_int_equal(alerts(&view, list), 0);
    view.stake.sats = 105000;
    assert_int_equal(alerts(&view, list), 0);
    view.stake.sats = 104999;
    assert_int_equal(alerts(&view, list), 1);
    assert_false(list[0].grave);
    has(list[0].text, "within 5 %");
    view.stake.sats = 99999;
    assert_int_equal(alerts(&view, list), 1);
    assert_true(list[0].grave);
    has(list[0].text, "99999 of 100000 sats, 1 are missing");
    view.stake.sats = 40000;
    view.stake.degraded_until_ms = 1000 + 23 * 3600000 + 59 * 60000;
    assert_int_equal(alerts(&view, list), 1);
    assert_true(list[0].grave);
    has(list[0].text, "60000 sats are missing");
    has(list[0].text, "suspended in 23 h 59 min");
    view.stake.degraded_until_ms = 500;
    assert_int_equal(alerts(&view, list), 1);
    has(list[0].text, "suspended in 0 h 0 min");
}

/* SRS-NODE-12: what the own Lightning node shows: closing, offline, lower than the treasury knows,
 * silent. */
static void test_channel_alerts(void **state)
{
    (void)state;
    struct node_stake_alert list[NODE_STAKE_ALERTS_MAX];
    struct node_view view = well();
    view.stake.closing = 1;
    assert_int_equal(alerts(&view, list), 1);
    assert_true(list[0].grave);
    has(list[0].text, "closing");
    view.stake.open = 1;
    view.stake.open_sats = 120000; /* Another one is enough. */
    assert_int_equal(alerts(&view, list), 1);
    assert_false(list[0].grave);
    view = well();
    view.stake.open = 1;
    view.stake.open_sats = 120000;
    assert_int_equal(alerts(&view, list), 0);
    view.stake.open_sats = 90000;
    assert_int_equal(alerts(&view, list), 1);
    assert_true(list[0].grave);
    view.stake.open_sats = 120000;
    view.stake.offline = 1;
    assert_int_equal(alerts(&view, list), 1);
    assert_false(list[0].grave);
    has(list[0].text, "not connected");
    view = well();
    snprintf(view.stake.look_error, sizeof view.stake.look_error, "LND: no answer");
    assert_int_equal(alerts(&view, list), 1);
    assert_false(list[0].grave);
}

/* Nothing alarms where nothing is staked, before anything is known, and while it is pending. */
static void test_no_alarm(void **state)
{
    (void)state;
    struct node_stake_alert list[NODE_STAKE_ALERTS_MAX];
    struct node_view view = well();
    view.stake.sats = 0;
    snprintf(view.stake_policy, sizeof view.stake_policy, "none");
    assert_int_equal(alerts(&view, list), 0);
    view = well();
    view.stake.sats = 0;
    snprintf(view.status, sizeof view.status, "pending");
    assert_int_equal(alerts(&view, list), 0);
    view = (struct node_view){.stake_policy = "lightning"};
    assert_int_equal(alerts(&view, list), 0);
}

/* The bonus of SRS 4.4.2 follows the heartbeats: 1.0 at the minimum, 2.0 from three times on. */
static void test_bonus(void **state)
{
    (void)state;
    static const struct {
        int64_t sats;
        unsigned permille;
    } rows[] = {{0, 1000},      {100000, 1000}, {150000, 1250},    {200000, 1500},
                {299999, 1999}, {300000, 2000}, {INT64_MAX, 2000}, {-5, 1000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        PB(HeartbeatResponse) answer = OWM__COORDINATOR__V1__HEARTBEAT_RESPONSE__INIT;
        struct node_stake stake = {.required_sats = 100000};
        answer.stake_sats = rows[i].sats;
        answer.required_stake_sats = 100000;
        node_stake_beat(&stake, &answer);
        assert_int_equal(stake.bonus_permille, rows[i].permille);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_the_channel),
        cmocka_unit_test(test_channel),
        cmocka_unit_test(test_after_the_channel),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_balance),
        cmocka_unit_test(test_channel_alerts),
        cmocka_unit_test(test_no_alarm),
        cmocka_unit_test(test_bonus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
