/* stake_guide.c: which step is next, and its command lines for LND and Core Lightning. */
#include "node/stake_guide.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"

#define CHANNEL_SATS_MIN 20000 /* what LND opens at least */

static const char *const step_names[] = {"coordinator",   "not_asked", "lightning_node",
                                         "identity",      "channel",   "more",
                                         "confirmations", "start",     "active"};

const char *stake_step_name(enum stake_step step)
{
    return step_names[step];
}

int64_t stake_channel_sats(const struct owm_node_config *config, int64_t minimum_sats)
{
    int64_t sats = minimum_sats + (minimum_sats * STAKE_MARGIN_PERCENT + 99) / 100;
    sats = (sats + 999) / 1000 * 1000;
    return sats > config->min_payment_channel_sat ? sats : config->min_payment_channel_sat;
}

/* ----------------------------------------------------------------------------- writing */

static void say(struct stake_guide *guide, enum stake_step step, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct stake_guide *guide, enum stake_step step, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(guide->what, sizeof guide->what, format, args);
    va_end(args);
    guide->step = step;
    guide->commands = 0;
}

static void command(struct stake_guide *guide, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void command(struct stake_guide *guide, const char *format, ...)
{
    OWM_ASSERT(guide->commands < STAKE_COMMANDS_MAX);
    va_list args;
    va_start(args, format);
    vsnprintf(guide->command[guide->commands++], STAKE_COMMAND_MAX, format, args);
    va_end(args);
}

/** tools: the two programs with the chain they need to be told; NULL: not this operator's. */
struct tools {
    char lncli[64], cln[64];
    bool lnd_wanted, cln_wanted;
};

static void tools_of(const struct stake_facts *f, struct tools *tools)
{
    const char *chain = f->config->lightning_network[0] ? f->config->lightning_network : f->network;
    bool named = chain[0] && strcmp(chain, "mainnet") != 0 && strcmp(chain, "devnet") != 0;
    snprintf(tools->lncli, sizeof tools->lncli, "lncli%s%.32s", named ? " --network=" : "",
             named ? chain : "");
    snprintf(tools->cln, sizeof tools->cln, "lightning-cli%s%.32s", named ? " --network=" : "",
             named ? chain : "");
    tools->lnd_wanted = f->config->lightning != OWM_NODE_CLN;
    tools->cln_wanted = f->config->lightning != OWM_NODE_LND;
}

/* Key and host of a URI that owm_lightning_uri_parse has taken, or of anything else. */
static void split(const char *uri, char key[static 67], const char **host)
{
    uint8_t raw[OWM_LIGHTNING_KEY_BYTES];
    if (owm_lightning_uri_parse(uri, raw, host) != OWM_OK) *host = "HOST:PORT";
    size_t bytes = strcspn(uri, "@");
    snprintf(key, 67, "%.*s", (int)(bytes < 66 ? bytes : 66), uri);
}

/** open_commands: connect, and a channel of this size. */
static void open_commands(const struct stake_facts *f, struct stake_guide *guide, int64_t sats)
{
    struct tools tools;
    char key[67];
    const char *host;
    tools_of(f, &tools);
    split(f->stake.treasury_uri, key, &host);
    if (tools.lnd_wanted) {
        command(guide, "%s connect %.66s@%.150s", tools.lncli, key, host);
        command(guide, "%s openchannel --node_key %s --local_amt %" PRId64, tools.lncli, key, sats);
    }
    if (tools.cln_wanted) {
        command(guide, "%s connect %.66s@%.150s", tools.cln, key, host);
        command(guide, "%s fundchannel %s %" PRId64, tools.cln, key, sats);
    }
}

/* ------------------------------------------------------------------------------- steps */

static void ask_for_node(const struct stake_facts *f, struct stake_guide *guide)
{
    struct tools tools;
    tools_of(f, &tools);
    if (f->uri_ok) {
        say(guide, STAKE_LIGHTNING_NODE,
            "Your Lightning node cannot be used yet: %.380s. Correct the [lightning] settings, or "
            "set lightning.backend = \"none\" and sign by hand.",
            f->lightning_error);
        if (f->config->lightning == OWM_NODE_LND)
            command(guide, "%s",
                    owm_lightning_role_recipe(OWM_LIGHTNING_LND, OWM_LIGHTNING_OPERATOR));
        return;
    }
    say(guide, STAKE_LIGHTNING_NODE,
        "Say which Lightning node is yours: set lightning.node_uri = \"pubkey@host:port\" in "
        "owm.toml (the command prints key and address). If it runs here, also set "
        "lightning.backend to lnd or cln: then this node proves and watches its stake by itself.");
    if (tools.lnd_wanted) {
        command(guide, "%s getinfo", tools.lncli);
        command(guide, "%s", owm_lightning_role_recipe(OWM_LIGHTNING_LND, OWM_LIGHTNING_OPERATOR));
    }
    if (tools.cln_wanted) command(guide, "%s getinfo", tools.cln);
}

static void ask_for_signature(const struct stake_facts *f, struct stake_guide *guide)
{
    struct tools tools;
    tools_of(f, &tools);
    say(guide, STAKE_IDENTITY,
        "Let your Lightning node vouch for this node: it signs the statement below (it names this "
        "network, this node and an expiry, and moves no money). Then hand the signature over.");
    if (tools.lnd_wanted) command(guide, "%s signmessage \"%.192s\"", tools.lncli, f->statement);
    if (tools.cln_wanted) command(guide, "%s signmessage \"%.192s\"", tools.cln, f->statement);
    command(guide, "owm-node stake prove SIGNATURE");
}

static void ask_for_channel(const struct stake_facts *f, struct stake_guide *guide)
{
    int64_t sats = stake_channel_sats(f->config, f->minimum_sats);
    if (!f->stake.treasury_uri[0]) {
        say(guide, STAKE_CHANNEL,
            "Open a channel of %" PRId64 " sats from your Lightning node to the treasury. The "
            "coordinator does not publish the treasury's address; ask its operator for it.",
            sats);
        return;
    }
    say(guide, STAKE_CHANNEL,
        "Open a channel from your Lightning node to the treasury. %s needs %" PRId64
        " sats on your side; %" PRId64 " leaves %d %% for payments and fees. Push nothing to the "
        "other side. `owm-node stake can-join` says what it costs and what it may earn.%s",
        f->tier, f->minimum_sats, sats, STAKE_MARGIN_PERCENT,
        f->stake.looked_ms || f->running ? "" : " If it is open already: owm-node start.");
    open_commands(f, guide, sats);
}

/* A second channel, or sats back into the first. */
static void ask_for_more(const struct stake_facts *f, struct stake_guide *guide)
{
    int64_t have = f->stake.sats;
    if (f->stake.looked_ms && (!f->running || f->stake.open_sats < have)) have = f->stake.open_sats;
    int64_t missing = f->minimum_sats - have;
    int64_t sats = missing + f->minimum_sats * STAKE_MARGIN_PERCENT / 100;
    sats = (sats + 999) / 1000 * 1000;
    if (sats < CHANNEL_SATS_MIN) sats = CHANNEL_SATS_MIN;
    say(guide, STAKE_MORE,
        "%" PRId64 " sats are missing: %" PRId64 " of %" PRId64
        " count. Receive sats through the channel to the treasury until it has them again, or open "
        "a second one; all your channels to it count together.%s%.200s",
        missing, have, f->minimum_sats, f->reason[0] ? " " : "", f->reason);
    if (f->stake.treasury_uri[0]) open_commands(f, guide, sats);
}

static void wait_for_it(const struct stake_facts *f, struct stake_guide *guide)
{
    say(guide, STAKE_CONFIRMATIONS,
        "Wait: the channel counts when the chain has confirmed it, usually within an hour. There "
        "is nothing to do%s.%s%s",
        f->running ? "; this node becomes active by itself" : " but to start the node",
        f->stake.note[0] ? " The treasury says: " : "", f->stake.note);
    if (!f->running) command(guide, "owm-node start");
}

static void active(const struct stake_facts *f, struct stake_guide *guide)
{
    const struct node_stake *s = &f->stake;
    int64_t full = f->minimum_sats * 3;
    if (s->sats >= full)
        say(guide, STAKE_ACTIVE,
            "Nothing to do: active, stake %" PRId64 " sats, and the bonus is at its highest, 2.000 "
            "times.",
            s->sats);
    else
        say(guide, STAKE_ACTIVE,
            "Nothing to do: active, stake %" PRId64 " sats, bonus %u.%03u times. Each of the next "
            "%" PRId64 " sats raises it, up to 2.000 times at %" PRId64 ".",
            s->sats, s->bonus_permille / 1000, s->bonus_permille % 1000, full - s->sats, full);
}

static void judge_channel(const struct stake_facts *f, struct stake_guide *guide)
{
    const struct node_stake *s = &f->stake;
    bool fell = strcmp(f->status, "degraded") == 0 || strcmp(f->status, "suspended") == 0;
    int64_t own = s->open_sats > s->sats ? s->open_sats : s->sats;
    if (f->running && strcmp(f->status, "active") == 0)
        active(f, guide);
    else if (f->running && fell)
        ask_for_more(f, guide);
    else if (own >= f->minimum_sats && f->running)
        wait_for_it(f, guide);
    else if (own >= f->minimum_sats) {
        say(guide, STAKE_START, "The stake is there; start the node.");
        command(guide, "owm-node start");
    } else if (own + s->opening_sats >= f->minimum_sats)
        wait_for_it(f, guide);
    else if (own + s->opening_sats > 0)
        ask_for_more(f, guide);
    else if (f->running && !s->looked_ms && strcmp(f->status, "pending") == 0)
        wait_for_it(f, guide);
    else
        ask_for_channel(f, guide);
}

void stake_guide_decide(const struct stake_facts *f, struct stake_guide *guide)
{
    memset(guide, 0, sizeof *guide);
    if (!f->answered) {
        say(guide, STAKE_COORDINATOR,
            "The coordinator has to answer first, it knows the treasury: %.400s",
            f->coordinator_error);
        command(guide, "owm-node doctor");
    } else if (strcmp(f->policy, "lightning") != 0)
        say(guide, STAKE_NOT_ASKED,
            "This network (%.24s) asks for no stake. There is nothing to lock: owm-node start.",
            f->network);
    else if (!f->uri_ok || f->lightning_error[0])
        ask_for_node(f, guide);
    else if (!f->bound && !f->can_sign && !f->signed_by_hand)
        ask_for_signature(f, guide);
    else
        judge_channel(f, guide);
}

/* ------------------------------------------------------------------------------- print */

struct line {
    enum stake_step until; /* done, once the next step lies behind this one */
    const char *text;
};

static const struct line lines[] = {
    {STAKE_LIGHTNING_NODE, "Lightning node known"},
    {STAKE_IDENTITY, "bound to it (its signature)"},
    {STAKE_MORE, "channel to the treasury"},
    {STAKE_CONFIRMATIONS, "confirmed"},
    {STAKE_START, "active, with bonus"},
};

static json_t *guide_json(const struct stake_facts *f, const struct stake_guide *guide)
{
    const struct node_stake *s = &f->stake;
    json_t *commands = json_array();
    for (size_t i = 0; i < guide->commands; i++)
        json_array_append_new(commands, owm_json_text(guide->command[i]));
    return json_pack(
        "{s:s,s:o,s:o,s:o,s:s,s:I,s:o,s:b,s:b,s:o,s:I,s:I,s:I,s:I,s:I,s:o}", "step",
        stake_step_name(guide->step), "next", owm_json_text(guide->what), "commands", commands,
        "network", owm_json_text(f->network), "tier", f->tier, "minimum_sats",
        (json_int_t)f->minimum_sats, "treasury_uri", owm_json_text(s->treasury_uri), "bound",
        f->bound, "running", f->running, "status", owm_json_text(f->status), "stake_sats",
        (json_int_t)s->sats, "bonus_permille", (json_int_t)s->bonus_permille, "open_sats",
        (json_int_t)s->open_sats, "opening_sats", (json_int_t)s->opening_sats, "degraded_until_ms",
        (json_int_t)s->degraded_until_ms, "statement", owm_json_text(f->statement));
}

void stake_guide_print(const struct stake_facts *f, const struct stake_guide *guide, bool json,
                       FILE *out)
{
    if (json) {
        json_t *root = guide_json(f, guide);
        json_dumpf(root, out, JSON_INDENT(2));
        fputc('\n', out);
        json_decref(root);
        return;
    }
    bool asked = f->answered && guide->step != STAKE_NOT_ASKED;
    if (asked)
        fprintf(out, "Stake on %s: %s needs %" PRId64 " sats in channels to %s\n\n", f->network,
                f->tier, f->minimum_sats,
                f->stake.treasury_uri[0] ? f->stake.treasury_uri : "the treasury");
    for (size_t i = 0; asked && i < sizeof lines / sizeof lines[0]; i++)
        fprintf(out, "  [%c] %zu. %s\n", guide->step > lines[i].until ? 'x' : ' ', i + 1,
                lines[i].text);
    fprintf(out, "%sNext: %s\n", asked ? "\n" : "", guide->what);
    for (size_t i = 0; i < guide->commands; i++) fprintf(out, "\n    %s\n", guide->command[i]);
}
