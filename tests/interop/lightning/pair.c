/* pair.c: the rig of a test, and questions to it. */
#include "pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sha256.h"
#include "test.h"

static owm_status open_channels(struct pair *pair, struct owm_error *error)
{
    const struct rig_channel stake = {pair->owner, pair->treasury, PAIR_STAKE_SATS, 0};
    const struct rig_channel payout = {pair->treasury, pair->owner, PAIR_PAYOUT_SATS, 0};
    char path[DAEMON_PATH_MAX + 32];
    owm_status status = rig_open(&pair->rig, &stake, pair->stake, error);
    if (status == OWM_OK) status = rig_open(&pair->rig, &payout, pair->payout, error);
    if (status == OWM_OK) status = daemon_bake(pair->owner, OWM_LIGHTNING_INVOICE, path, error);
    if (status == OWM_OK) status = daemon_bake(pair->owner, OWM_LIGHTNING_PAY, path, error);
    if (status == OWM_OK)
        status = owm_hex_decode(pair->treasury->key, pair->treasury_key, OWM_LIGHTNING_KEY_BYTES);
    if (status == OWM_OK)
        status = owm_hex_decode(pair->owner->key, pair->operator_key, OWM_LIGHTNING_KEY_BYTES);
    return status;
}

int pair_start(struct pair *pair)
{
    const char *programs = getenv("OWM_LIGHTNING_PROGRAMS");
    struct owm_error error = {""};
    *pair = (struct pair){.folder = "/tmp/owm-lightning-XXXXXX", .rig.lock_fd = -1};
    if (!programs) {
        puts("skipped: OWM_LIGHTNING_PROGRAMS is not set: run me by tests/peers/lightning.sh");
        return TEST_SKIP;
    }
    owm_log_level_set(OWM_LOG_ERROR);
    if (!mkdtemp(pair->folder)) return 1;
    pair->treasury = &pair->rig.treasury;
    pair->owner = &pair->rig.operators[0];
    uint64_t begun_ms = owm_clock_mono_ms();
    owm_status status = rig_up(&pair->rig, pair->folder, programs, 1, &error);
    if (status == OWM_OK) status = open_channels(pair, &error);
    if (status) {
        printf("no Lightning network: %s\n", error.text);
        pair_logs(pair);
        pair_stop(pair);
        return 1;
    }
    printf("two real lnd nodes with a btcd, ready in %.1f s\n",
           (double)(owm_clock_mono_ms() - begun_ms) / 1000);
    return 0;
}

void pair_logs(const struct pair *pair)
{
    char command[160];
    snprintf(command, sizeof command, "tail -n 30 %s/logs/*.log", pair->folder);
    fflush(stdout);
    if (system(command)) puts("no logs");
}

void pair_stop(struct pair *pair)
{
    char command[96];
    rig_down(&pair->rig);
    snprintf(command, sizeof command, "rm -rf %s", pair->folder);
    if (system(command)) printf("%s stays\n", pair->folder);
}

struct owm_lightning_config pair_config(const struct daemon *of, enum owm_lightning_role role)
{
    static char address[32], certificate[DAEMON_PATH_MAX + 16], credential[DAEMON_PATH_MAX + 32];
    static const char *const names[] = {"stake", "invoice", "pay", "slash", "operator"};
    snprintf(address, sizeof address, "127.0.0.1:%u", of->rpc_port);
    snprintf(certificate, sizeof certificate, "%s/tls.cert", of->folder);
    snprintf(credential, sizeof credential, "%s/owm-%s.macaroon", of->folder, names[role]);
    return (struct owm_lightning_config){.backend = OWM_LIGHTNING_LND,
                                         .role = role,
                                         .address = address,
                                         .certificate = certificate,
                                         .credential = credential,
                                         .network = "simnet"};
}

owm_lightning *pair_open(const struct daemon *of, enum owm_lightning_role role)
{
    const struct owm_lightning_config config = pair_config(of, role);
    struct owm_error error = {""};
    owm_lightning *lightning;
    if (owm_lightning_open(&config, &lightning, &error)) fail_msg("%s", error.text);
    return lightning;
}

struct owm_lightning_channel pair_channel(owm_lightning *lightning, const char *point)
{
    struct owm_lightning_channel *channels, found = {0};
    struct owm_lightning_point wanted;
    struct owm_error error = {""};
    size_t count;
    bool there = false;
    assert_ok(owm_lightning_point_parse(point, &wanted));
    if (owm_lightning_channels(lightning, NULL, true, &channels, &count, &error))
        fail_msg("%s", error.text);
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&channels[i].point, &wanted, sizeof wanted)) continue;
        assert_false(there); /* A channel is listed once. */
        there = true;
        found = channels[i];
    }
    free(channels);
    if (!there) fail_msg("channel %s is not listed", point);
    return found;
}

struct owm_lightning_order pair_keysend(const uint8_t *destination, int64_t amount_msat,
                                        unsigned number)
{
    struct owm_lightning_order order = {
        .destination = destination, .amount_msat = amount_msat, .fee_limit_msat = 1000};
    owm_sha256(&number, sizeof number, order.preimage);
    owm_sha256(order.preimage, sizeof order.preimage, order.payment_hash);
    memcpy(order.record_id, &number, sizeof number);
    order.record_id[15] = 1;
    return order;
}

static int64_t number_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? strtoll(text, NULL, 10) : 0;
}

static json_t *ask(const struct daemon *of, const char *const *words)
{
    struct owm_error error = {""};
    json_t *reply;
    if (daemon_ask(of, words, &reply, &error)) fail_msg("%s", error.text);
    assert_non_null(reply);
    return reply;
}

int64_t pair_received(const struct daemon *of, const uint8_t *hash, unsigned *count)
{
    struct owm_error error = {""};
    struct books books;
    if (daemon_received(of, &(struct books_filter){.hash = hash}, &books, &error))
        fail_msg("%s", error.text);
    *count = books.count;
    return books.msat;
}

int64_t pair_sent(const struct daemon *of)
{
    struct owm_error error = {""};
    struct books books;
    if (daemon_sent(of, &books, &error)) fail_msg("%s", error.text);
    return books.msat;
}

static bool quiet(const struct daemon *of)
{
    size_t i;
    const json_t *channel;
    bool none = true;
    json_t *reply = ask(of, DAEMON_WORDS("listchannels"));
    json_array_foreach(json_object_get(reply, "channels"), i, channel) none =
        none && number_of(channel, "unsettled_balance") == 0;
    json_decref(reply);
    return none;
}

void pair_settle(struct pair *pair)
{
    uint64_t give_up_ms = owm_clock_mono_ms() + PAIR_WAIT_MS;
    while (!quiet(pair->treasury) || !quiet(pair->owner)) {
        if (owm_clock_mono_ms() > give_up_ms) fail_msg("HTLCs are left");
        owm_clock_sleep_ms(100);
    }
}

void pair_restart(struct pair *pair, struct daemon *daemon)
{
    struct owm_error error = {""};
    if (daemon_start(daemon, &error) || rig_mine(&pair->rig, 1, &error)
        || rig_connect(pair->owner, pair->treasury, &error))
        fail_msg("%s", error.text);
}

static bool all_active(const struct daemon *of)
{
    size_t i;
    const json_t *channel;
    bool all = true;
    json_t *reply = ask(of, DAEMON_WORDS("listchannels"));
    json_array_foreach(json_object_get(reply, "channels"), i, channel) all =
        all && json_is_true(json_object_get(channel, "active"));
    json_decref(reply);
    return all;
}

void pair_wait_active(struct pair *pair)
{
    uint64_t give_up_ms = owm_clock_mono_ms() + PAIR_WAIT_MS;
    while (!all_active(pair->treasury) || !rig_can_pay(pair->treasury, pair->owner)) {
        if (owm_clock_mono_ms() > give_up_ms) fail_msg("the channels do not come back");
        owm_clock_sleep_ms(100);
    }
}
