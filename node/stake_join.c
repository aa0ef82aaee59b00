/* stake_join.c: `owm-node stake can-join`: what joining needs, may earn and costs, before any sat
 * is locked. An estimate names its inputs; all of it is integers. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "node/beside.h"
#include "node/stake_command.h"

#define BASE_SATS_EXAMPLE 10 /* SRS 4.4.2: "e.g., 10 sats per compute unit" */
#define BASE_SATS_MAX     1000000
#define WEEK_MS           (INT64_C(7) * 24 * 3600 * 1000)
#define OPEN_VBYTES       160 /* one input, the funding output, change */
#define CLOSE_VBYTES      180 /* a cooperative close with two outputs */
#define ROWS              200

/* Task weights of SRS 4.4.2, in tenths. */
#define INFERENCE_TENTHS 10
#define FL_ROUND_TENTHS  30

struct forecast {
    enum owm_tier tier;
    const struct owm_tier_row *row;
    int64_t tier_tenths, minimum_sats, base_sats;
    bool base_given;
    bool answered;
    char network[NODE_WORD_MAX], policy[NODE_WORD_MAX], treasury[OWM_LIGHTNING_TEXT_BYTES];
    struct owm_error trouble;
    int64_t week_msat, week_payments; /* of this node, from its own log */
    int64_t base_permille;            /* the bonus that those were earned with; 0: not known */
};

static int64_t tier_tenths(enum owm_tier tier)
{
    static const int64_t tenths[] = {0, 10, 25, 80};
    return tenths[tier];
}

/** per_task_msat: at quality 1.0, without the uptime bonus. */
static int64_t per_task_msat(const struct forecast *f, int64_t weight_tenths,
                             int64_t bonus_permille)
{
    return f->base_sats * f->tier_tenths * weight_tenths * bonus_permille / 100;
}

static void ask(const struct owm_node_config *config, struct forecast *f)
{
    struct node_contact contact;
    PB(HelloResponse) *hello = NULL;
    owm_status status = node_contact_open(config, NODE_CONTACT_STRANGER, &contact, &f->trouble);
    if (status == OWM_OK) status = node_contact_hello(&contact, &hello, &f->trouble);
    f->answered = status == OWM_OK;
    if (status == OWM_OK) {
        snprintf(f->network, sizeof f->network, "%s", hello->network);
        snprintf(f->policy, sizeof f->policy, "%s", hello->stake_policy);
        snprintf(f->treasury, sizeof f->treasury, "%s", hello->treasury_uri);
        for (size_t i = 0; i < hello->n_tiers; i++)
            if (strcmp(hello->tiers[i]->tier, owm_tier_code(f->tier)) == 0)
                f->minimum_sats = hello->tiers[i]->minimum_sats;
    }
    link_free(hello);
    node_contact_close(&contact);
}

/* What this node earned in the last seven days, and with which bonus it does now. */
static void remember(const struct owm_node_config *config, struct forecast *f)
{
    static struct owm_task_payment rows[ROWS];
    size_t count = ROWS;
    struct owm_error error;
    owm_task_log *log = NULL;
    json_t *health = NULL;
    bool healthy;
    if (node_beside_log(config, &log, &error) != OWM_OK) return;
    int64_t since = owm_clock_wall_ms() - WEEK_MS;
    for (size_t skip = 0; count == ROWS; skip += ROWS) {
        if (owm_task_log_payments(log, rows, skip, ROWS, &count) != OWM_OK) break;
        for (size_t i = 0; i < count; i++) {
            if (rows[i].created_ms < since || strcmp(rows[i].state, "cancelled") == 0) continue;
            f->week_msat += rows[i].amount_msat;
            f->week_payments++;
        }
        if (count > 0 && rows[count - 1].created_ms < since) break;
    }
    owm_task_log_close(log);
    if (node_beside_health(config, &health, &healthy, &error) != OWM_OK) return;
    f->base_permille =
        json_integer_value(json_object_get(json_object_get(health, "stake"), "bonus_permille"));
    json_decref(health);
}

/* ------------------------------------------------------------------------------- print */

static const struct {
    int64_t times, bonus_permille;
} stakes[] = {{1, 1000}, {2, 1500}, {3, 2000}};
#define STAKES (sizeof stakes / sizeof stakes[0])

static int64_t week_at(const struct forecast *f, int64_t permille)
{
    return f->week_msat * permille / (f->base_permille ? f->base_permille : 1000);
}

static void print_needs(const struct forecast *f)
{
    printf("Can this machine join? %s: %s.\n", f->row->name,
           f->answered ? "yes, the coordinator answers"
                       : "not now, the coordinator does not answer");
    if (!f->answered) printf("  %s\n", f->trouble.text);
    printf("\nNeeds\n  machine  %g GB VRAM, %g GB RAM, %g Mbit/s\n", f->row->vram_gb,
           f->row->ram_gb, f->row->bandwidth_mbps);
    if (f->answered && strcmp(f->policy, "lightning") != 0)
        printf("  stake    none: %s is a network without stakes\n", f->network);
    else
        printf("  stake    %" PRId64 " sats on your side of channels that you open to %s (%s)\n",
               f->minimum_sats, f->treasury[0] ? f->treasury : "the treasury",
               f->answered ? "the coordinator says so" : "the specification's table");
}

static void print_forecast(const struct forecast *f)
{
    printf("\nForecast: an estimate, not a promise\n"
           "  inputs   base rate %" PRId64 " sats (%s), tier %s, quality 1.0, no uptime bonus "
           "(it adds up to half)\n"
           "  %-9s %14s %12s %16s %16s\n",
           f->base_sats,
           f->base_given ? "by --base-sats"
                         : "the specification's example; the coordinator's page shows its own, "
                           "give it by --base-sats",
           f->row->multiplier, "stake", "sats", "bonus", "inference", "fl_round");
    for (size_t i = 0; i < STAKES; i++) {
        int64_t bonus = stakes[i].bonus_permille;
        int64_t one = per_task_msat(f, INFERENCE_TENTHS, bonus);
        int64_t round = per_task_msat(f, FL_ROUND_TENTHS, bonus);
        printf("  %" PRId64 "x        %14" PRId64 " %8" PRId64 ".%03" PRId64 " %7" PRId64
               ".%03" PRId64 " sats %7" PRId64 ".%03" PRId64 " sats\n",
               stakes[i].times, f->minimum_sats * stakes[i].times, bonus / 1000, bonus % 1000,
               one / 1000, one % 1000, round / 1000, round % 1000);
    }
    if (f->week_payments == 0) {
        printf(
            "  How many tasks come depends on the network; this node has no week to go by yet.\n");
        return;
    }
    printf("  This node's last 7 days: %" PRId64 " payments, %" PRId64 ".%03" PRId64
           " sats. The same tasks again:\n",
           f->week_payments, f->week_msat / 1000, f->week_msat % 1000);
    for (size_t i = 0; i < STAKES; i++) {
        int64_t week = week_at(f, stakes[i].bonus_permille);
        printf("  %" PRId64 "x stake  %" PRId64 ".%03" PRId64 " sats a week\n", stakes[i].times,
               week / 1000, week % 1000);
    }
}

static void print_costs(const struct forecast *f)
{
    printf(
        "\nWhat locking costs\n"
        "  to open  about %d vbytes on chain, to close about %d: %d sats at 5 sat/vB, %d at 50\n"
        "  waiting  the sats in the channel can be spent, but what leaves it stops counting: to "
        "keep\n           the stake, leave them there\n"
        "  back     closing the channel gives your whole balance back, on chain, less the fee; "
        "a forced\n           close makes you wait for the channel's delay (often a day or two)\n"
        "  risk     a channel needs a Lightning node that is online or watched; a lost channel "
        "database\n           can cost the balance\n"
        "  slashed  the treasury can close the channel (you leave the network, your balance "
        "comes back);\n           it cannot take it. Only a bond (owm-node stake bond) can be "
        "forfeited, and it is\n           yours to choose\n",
        OPEN_VBYTES, CLOSE_VBYTES, (OPEN_VBYTES + CLOSE_VBYTES) * 5,
        (OPEN_VBYTES + CLOSE_VBYTES) * 50);
    if (f->answered) printf("\nNext: owm-node stake\n");
}

static void print_json(const struct forecast *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < STAKES; i++) {
        int64_t bonus = stakes[i].bonus_permille;
        json_array_append_new(list, json_pack("{s:I,s:I,s:I,s:I,s:I}", "stake_sats",
                                              (json_int_t)(f->minimum_sats * stakes[i].times),
                                              "bonus_permille", (json_int_t)bonus, "inference_msat",
                                              (json_int_t)per_task_msat(f, INFERENCE_TENTHS, bonus),
                                              "fl_round_msat",
                                              (json_int_t)per_task_msat(f, FL_ROUND_TENTHS, bonus),
                                              "week_msat", (json_int_t)week_at(f, bonus)));
    }
    json_t *root = json_pack(
        "{s:b,s:o,s:s,s:o,s:o,s:I,s:{s:I,s:b,s:I,s:I,s:I},s:o,s:I,s:I}", "coordinator_answers",
        f->answered, "trouble", owm_json_text(f->trouble.text), "tier", owm_tier_code(f->tier),
        "network", owm_json_text(f->network), "stake_policy", owm_json_text(f->policy),
        "minimum_sats", (json_int_t)f->minimum_sats, "estimate_inputs", "base_sats",
        (json_int_t)f->base_sats, "base_sats_given", f->base_given, "tier_tenths",
        (json_int_t)f->tier_tenths, "week_payments", (json_int_t)f->week_payments, "week_msat",
        (json_int_t)f->week_msat, "estimate", list, "open_vbytes", (json_int_t)OPEN_VBYTES,
        "close_vbytes", (json_int_t)CLOSE_VBYTES);
    json_dumpf(root, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(root);
}

static owm_status read_base(const char *text, struct forecast *f, struct owm_error *error)
{
    char *end = NULL;
    f->base_sats = BASE_SATS_EXAMPLE;
    if (text == NULL) return OWM_OK;
    errno = 0;
    f->base_sats = strtoll(text, &end, 10);
    f->base_given = true;
    if (errno || end == text || *end || f->base_sats < 0 || f->base_sats > BASE_SATS_MAX)
        return owm_fail(error, OWM_E_ARG, "--base-sats is a number from 0 to %d", BASE_SATS_MAX);
    return OWM_OK;
}

owm_status stake_can_join(const struct owm_node_config *config, const struct stake_options *options,
                          struct owm_error *error)
{
    struct forecast f = {.tier = stake_tier(config, options->tier)};
    f.row = owm_tier_row_of(f.tier);
    if (f.row == NULL && options->tier) return owm_fail(error, OWM_E_ARG, "--tier is t1, t2 or t3");
    if (f.row == NULL)
        return owm_fail(error, OWM_E_STATE,
                        "this machine is below Tier 1: owm-node doctor says what is short; --tier "
                        "t1 shows the numbers all the same");
    owm_status status = read_base(options->base_sats, &f, error);
    if (status != OWM_OK) return status;
    f.tier_tenths = tier_tenths(f.tier);
    f.minimum_sats = f.row->stake_sats;
    ask(config, &f);
    remember(config, &f);
    if (options->json) {
        print_json(&f);
        return OWM_OK;
    }
    print_needs(&f);
    print_forecast(&f);
    print_costs(&f);
    return OWM_OK;
}
