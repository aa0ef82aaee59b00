/* stake_watch.c: looks at the stake from both sides, and says what is wrong with it. */
#include "node/stake_watch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/lightning.h"

#define HOUR_MS         INT64_C(3600000)
#define BONUS_FULL      1000u
#define BONUS_MAX       2000u
#define LOOK_FAILED_MAX 10 /* looks without an answer before it is worth a word */

/* ------------------------------------------------------------------ what the coordinator says */

void node_stake_hello(struct node_stake *stake, const PB(HelloResponse) * answer, const char *tier)
{
    snprintf(stake->treasury_uri, sizeof stake->treasury_uri, "%s", answer->treasury_uri);
    for (size_t i = 0; i < answer->n_tiers; i++)
        if (strcmp(answer->tiers[i]->tier, tier) == 0)
            stake->required_sats = answer->tiers[i]->minimum_sats;
}

void node_stake_registered(struct node_stake *stake, const PB(RegisterNodeResponse) * answer)
{
    double permille = answer->stake_bonus * 1000 + 0.5;
    stake->sats = answer->stake_sats;
    stake->required_sats = answer->required_stake_sats;
    stake->degraded_until_ms = 0;
    stake->bonus_permille =
        permille >= BONUS_FULL && permille <= BONUS_MAX + 1 ? (unsigned)permille : 0;
    snprintf(stake->note, sizeof stake->note, "%s", answer->stake_note);
    if (answer->treasury_uri[0])
        snprintf(stake->treasury_uri, sizeof stake->treasury_uri, "%s", answer->treasury_uri);
}

/* The bonus of SRS 4.4.2, 1 + (stake - min) / (2 min), for what the heartbeats say. */
static unsigned bonus(const struct node_stake *stake)
{
    int64_t minimum = stake->required_sats;
    if (minimum <= 0) return 0;
    if (stake->sats <= minimum) return BONUS_FULL;
    if (stake->sats / 3 >= minimum) return BONUS_MAX;
    return (unsigned)((stake->sats + minimum) * 500 / minimum);
}

void node_stake_beat(struct node_stake *stake, const PB(HeartbeatResponse) * answer)
{
    /* The note was about the stake at registration: another stake makes it old news. */
    if (stake->sats != answer->stake_sats) stake->note[0] = '\0';
    stake->sats = answer->stake_sats;
    if (answer->required_stake_sats > 0) stake->required_sats = answer->required_stake_sats;
    stake->degraded_until_ms = answer->degraded_until_ms;
    stake->bonus_permille = bonus(stake);
}

/* --------------------------------------------------------------------------------- the look */

/* Our side as the treasury counts it: gross of what we, the opener, pay for the commitment. */
static int64_t gross_sats(const struct owm_lightning_channel *channel)
{
    int64_t msat = channel->capacity_msat - channel->remote_msat - channel->unsettled_msat;
    return msat > 0 ? msat / 1000 : 0;
}

static void count(struct node_stake *stake, const struct owm_lightning_channel *channel)
{
    if (channel->opened_by_peer) return; /* The treasury's money. */
    switch (channel->state) {
    case OWM_LIGHTNING_OPENING:
        stake->opening++;
        stake->opening_sats += gross_sats(channel);
        break;
    case OWM_LIGHTNING_NORMAL:
        stake->open++;
        stake->open_sats += gross_sats(channel);
        if (!channel->active) stake->offline++;
        break;
    case OWM_LIGHTNING_CLOSING:
        stake->closing++;
        break;
    case OWM_LIGHTNING_BROKEN:
    case OWM_LIGHTNING_CLOSED:
        break;
    }
}

owm_status node_stake_look(owm_lightning *lightning, struct node_stake *stake,
                           struct owm_error *error)
{
    uint8_t treasury[OWM_LIGHTNING_KEY_BYTES];
    const char *host = NULL;
    struct owm_lightning_channel *channels = NULL;
    size_t n = 0;
    if (owm_lightning_uri_parse(stake->treasury_uri, treasury, &host) != OWM_OK)
        return owm_fail(error, OWM_E_PROTO, "the coordinator's treasury address '%.150s' is none",
                        stake->treasury_uri);
    owm_status status = owm_lightning_channels(lightning, treasury, false, &channels, &n, error);
    if (status != OWM_OK) return status;
    stake->open = stake->opening = stake->closing = stake->offline = 0;
    stake->open_sats = stake->opening_sats = 0;
    for (size_t i = 0; i < n; i++) count(stake, &channels[i]);
    stake->looked_ms = owm_clock_wall_ms();
    stake->look_error[0] = '\0';
    free(channels);
    return OWM_OK;
}

/* ------------------------------------------------------------------------------- the alerts */

struct alerts {
    struct node_stake_alert *list;
    size_t count;
};

static void add(struct alerts *alerts, bool grave, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void add(struct alerts *alerts, bool grave, const char *format, ...)
{
    OWM_ASSERT(alerts->count < NODE_STAKE_ALERTS_MAX);
    struct node_stake_alert *alert = &alerts->list[alerts->count++];
    va_list args;
    va_start(args, format);
    vsnprintf(alert->text, sizeof alert->text, format, args);
    va_end(args);
    alert->grave = grave;
}

static bool near_minimum(int64_t sats, int64_t required_sats)
{
    return sats < required_sats + required_sats * NODE_STAKE_MARGIN_PERCENT / 100;
}

static void judge_balance(struct alerts *alerts, const struct node_view *view, int64_t now_ms)
{
    const struct node_stake *s = &view->stake;
    int64_t missing = s->required_sats - s->sats;
    int64_t left_ms = s->degraded_until_ms - now_ms;
    if (s->degraded_until_ms && missing > 0)
        add(alerts, true,
            "the stake is degraded: %" PRId64 " sats are missing (%" PRId64 " of %" PRId64
            "); no tasks until they are in the channel again, suspended in %" PRId64 " h %" PRId64
            " min. Run owm-node stake",
            missing, s->sats, s->required_sats, left_ms > 0 ? left_ms / HOUR_MS : 0,
            left_ms > 0 ? left_ms % HOUR_MS / 60000 : 0);
    else if (missing > 0)
        add(alerts, true,
            "the stake is below the minimum: the treasury sees %" PRId64 " of %" PRId64
            " sats, %" PRId64 " are missing%s%s. Run owm-node stake",
            s->sats, s->required_sats, missing, s->note[0] ? ": " : "", s->note);
    else if (near_minimum(s->sats, s->required_sats))
        add(alerts, false,
            "the stake is within %d %% of the minimum: %" PRId64 " of %" PRId64
            " sats; a payment or routing through that channel can take it below",
            NODE_STAKE_MARGIN_PERCENT, s->sats, s->required_sats);
}

static void judge_channel(struct alerts *alerts, const struct node_stake *s)
{
    if (s->closing)
        add(alerts, s->open_sats < s->required_sats,
            "%u stake channel%s with the treasury %s closing: its balance comes back to you and "
            "stops counting%s",
            s->closing, s->closing == 1 ? "" : "s", s->closing == 1 ? "is" : "are",
            s->open_sats < s->required_sats ? "; open another one to stay. Run owm-node stake"
                                            : "; what else is open is enough");
    if (s->open && s->sats >= s->required_sats && s->open_sats < s->required_sats)
        add(alerts, true,
            "your Lightning node shows %" PRId64 " sats in the stake channel, below the minimum of "
            "%" PRId64 ": the treasury will see it at its next look",
            s->open_sats, s->required_sats);
    if (s->offline)
        add(alerts, false,
            "the treasury's Lightning node is not connected to yours: the stake counts all the "
            "same, but rewards cannot come through %s. Try: lncli connect %s",
            s->offline == 1 ? "that channel" : "those channels", s->treasury_uri);
    if (s->look_error[0])
        add(alerts, false, "your Lightning node cannot be asked about the stake channel: %.250s",
            s->look_error);
}

size_t node_stake_alerts(const struct node_view *view, int64_t now_ms,
                         struct node_stake_alert list[static NODE_STAKE_ALERTS_MAX])
{
    struct alerts alerts = {list, 0};
    if (strcmp(view->stake_policy, "lightning") != 0 || view->stake.required_sats <= 0) return 0;
    /* A registration that waits for its stake is told so by the coordinator's own sentence. */
    if (view->link == NODE_REGISTERED && strcmp(view->status, "pending") != 0)
        judge_balance(&alerts, view, now_ms);
    judge_channel(&alerts, &view->stake);
    return alerts.count;
}

/* ------------------------------------------------------------------------------- the thread */

/** watching: what the thread remembers. */
struct watching {
    struct node *node;
    owm_lightning *lightning; /* NULL: not open (yet) */
    unsigned failed;          /* looks in a row */
    struct node_stake_alert said[NODE_STAKE_ALERTS_MAX];
    size_t said_count;
};

/** look: whether there is anything to look at yet, or ever. */
static bool look(struct watching *w)
{
    struct node *node = w->node;
    struct node_view view;
    struct owm_error error = {""};
    node_look(node, &view);
    if (!view.stake.treasury_uri[0] || strcmp(view.stake_policy, "lightning") != 0) return false;
    owm_status status = OWM_OK;
    if (w->lightning == NULL)
        status = node_lightning_open(&node->config, view.network, &w->lightning, &error);
    if (status == OWM_E_NOTFOUND) return true; /* By hand: nobody to ask. */
    if (status == OWM_OK) status = node_stake_look(w->lightning, &view.stake, &error);
    w->failed = status == OWM_OK ? 0 : w->failed + 1;
    if (status == OWM_E_PERM || status == OWM_E_NET) {
        owm_lightning_close(w->lightning); /* A new certificate or macaroon is read by opening. */
        w->lightning = NULL;
    }
    pthread_mutex_lock(&node->lock);
    struct node_stake *to = &node->view.stake;
    if (status == OWM_OK) {
        to->open = view.stake.open;
        to->opening = view.stake.opening;
        to->closing = view.stake.closing;
        to->offline = view.stake.offline;
        to->open_sats = view.stake.open_sats;
        to->opening_sats = view.stake.opening_sats;
        to->looked_ms = view.stake.looked_ms;
        to->look_error[0] = '\0';
    } else if (w->failed >= LOOK_FAILED_MAX || to->looked_ms == 0) {
        snprintf(to->look_error, sizeof to->look_error, "%.250s", error.text);
    }
    pthread_mutex_unlock(&node->lock);
    return true;
}

/* An alert's first words tell which it is; the numbers behind them move. */
#define SAME_BYTES 23

static bool was_said(const struct watching *w, const struct node_stake_alert *alert)
{
    for (size_t i = 0; i < w->said_count; i++)
        if (strncmp(w->said[i].text, alert->text, SAME_BYTES) == 0) return true;
    return false;
}

static void tell(struct watching *w)
{
    struct node_view view;
    struct node_stake_alert alerts[NODE_STAKE_ALERTS_MAX];
    node_look(w->node, &view);
    size_t n = node_stake_alerts(&view, owm_clock_wall_ms(), alerts);
    for (size_t i = 0; i < n; i++)
        if (!was_said(w, &alerts[i]))
            owm_log(OWM_LOG_WARN, "stake_alert grave=%d reason=\"%s\"", alerts[i].grave,
                    alerts[i].text);
    if (n == 0 && w->said_count > 0)
        owm_log(OWM_LOG_INFO, "stake_well sats=%" PRId64 " required_sats=%" PRId64, view.stake.sats,
                view.stake.required_sats);
    memcpy(w->said, alerts, sizeof alerts[0] * n);
    w->said_count = n;
    owm_gauge_set(w->node->count.stake, (double)view.stake.sats);
    owm_gauge_set(w->node->count.stake_required, (double)view.stake.required_sats);
}

void *node_stake_watch_main(void *ctx)
{
    struct watching w = {.node = ctx};
    struct node *node = ctx;
    uint64_t look_ms = 0;
    while (!atomic_load(&node->stop)) {
        if (owm_clock_mono_ms() >= look_ms && look(&w))
            look_ms = owm_clock_mono_ms() + node->timing.stake_look;
        tell(&w);
        pthread_mutex_lock(&node->lock);
        node_wait(node, node->timing.stake_look < 1000 ? node->timing.stake_look : 1000);
        pthread_mutex_unlock(&node->lock);
    }
    owm_lightning_close(w.lightning);
    return NULL;
}
