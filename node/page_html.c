/* page_html.c: the local page. Four questions first: am I earning, am I healthy, what happens next,
 * what do I own. Every number has its unit, age and source. No script; refreshes itself. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/html.h"
#include "node/earnings.h"
#include "node/mining.h"
#include "node/page.h"

static const char head[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
    "<meta http-equiv=\"refresh\" content=\"10\"><title>OWM node</title><style>"
    ":root{color-scheme:light dark;--line:#8884;--dim:#666;--good:#0a7d33;--warn:#8a5a00;"
    "--bad:#b3261e}@media(prefers-color-scheme:dark){:root{--dim:#aaa;--good:#5fd38a;"
    "--warn:#f0b84a;--bad:#ff8a80}}"
    "body{font:16px/1.45 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:0 1rem 2rem}"
    "h1{font-size:1.3rem}h2{font-size:1.05rem;margin:0 0 .4rem}section{border:1px solid "
    "var(--line);border-radius:.5rem;padding:.8rem 1rem;margin:.8rem 0}p{margin:.25rem 0}"
    ".big{font-size:1.6rem}.dim,small{color:var(--dim)}.good{color:var(--good)}"
    ".warn{color:var(--warn)}.bad{color:var(--bad)}"
    ".three{display:grid;gap:.8rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),"
    "1fr))}.three>section{margin:0}.big "
    "small{font-size:1rem}code{overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.25rem .5rem .25rem 0;border-bottom:1px solid var(--line);"
    "vertical-align:top;overflow-wrap:break-word}td:last-child{overflow-wrap:anywhere}"
    "@media(max-width:600px){thead{display:none}tr,td{display:block;border:0;padding:0}"
    "tr{border-bottom:1px solid var(--line);padding:.4rem 0}"
    "td::before{content:attr(data-label) \": \";color:var(--dim)}td.none{display:none}}"
    "</style></head><body>";

/** put: printf whose text is escaped for HTML. Markup goes through fputs. */
static void put(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(FILE *out, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    owm_html_text(out, text);
}

/** paragraph: one escaped sentence in a class. */
#define PARAGRAPH(out, class, ...)                                                                 \
    do {                                                                                           \
        fputs("<p class=\"" class "\">", out);                                                     \
        put(out, __VA_ARGS__);                                                                     \
        fputs("</p>", out);                                                                        \
    } while (0)

/** age: "3 s ago", "never". text [32]. */
static const char *age(int64_t then_ms, char text[static 32])
{
    int64_t s = (owm_clock_wall_ms() - then_ms) / 1000;
    if (then_ms <= 0)
        snprintf(text, 32, "never");
    else if (s < 120)
        snprintf(text, 32, "%" PRId64 " s ago", s < 0 ? 0 : s);
    else if (s < 7200)
        snprintf(text, 32, "%" PRId64 " min ago", s / 60);
    else if (s < 172800)
        snprintf(text, 32, "%" PRId64 " h ago", s / 3600);
    else
        snprintf(text, 32, "%" PRId64 " days ago", s / 86400);
    return text;
}

/** sats: thousandths without floating point. text [40]. */
static const char *sats(int64_t msat, char text[static 40])
{
    snprintf(text, 40, "%" PRId64 ".%03" PRId64 " sats", msat / 1000, msat % 1000);
    return text;
}

/** shown: everything the page needs, taken once. */
struct shown {
    struct node *node;
    struct node_view view;
    struct page_health health;
    struct owm_task_totals totals;
    struct owm_task_row rows[PAGE_ROWS_MAX];
    size_t row_count;
    struct owm_task_payment payments[PAGE_PAYMENTS];
    size_t payment_count;
    int64_t earnings_ms;
};

static void banner(FILE *out, const struct shown *s)
{
    if (!proof_development(s->view.network)) return;
    fputs("<p class=\"warn\"><b>", out);
    put(out, "Development network (%s)", s->view.network);
    fputs("</b>. ", out);
    put(out, "Stake policy: %s. ", s->view.stake_policy[0] ? s->view.stake_policy : "unknown");
    fputs("<a href=\"#devnet\">What that means</a></p>", out);
}

/* The small print of the banner, so that on a phone it does not push the answers away. */
static void devnet(FILE *out, const struct shown *s)
{
    if (!proof_development(s->view.network)) return;
    fputs("<section id=\"devnet\"><h2>Development network</h2>", out);
    enum proof_demand demand[MODEL_USES];
    struct owm_error error;
    if (proof_demands(&s->node->config, s->view.network, demand, &error) != OWM_OK
        || demand[MODEL_SERVING] == PROOF_OPTIONAL)
        PARAGRAPH(out, "",
                  "Provenance: proofs (OpenTimestamps) of model weights are not required on this "
                  "network; one that comes with a version and is wrong is refused. SHA-256 and "
                  "origin are always checked.");
    else
        PARAGRAPH(out, "",
                  "Provenance: this node asks for proofs (OpenTimestamps) of model weights, as "
                  "model.proofs says. They are worth what this network's blocks are worth.");
    PARAGRAPH(out, "", "Sats owed here are entries of this network's ledger.");
    fputs("</section>", out);
}

static void earning(FILE *out, const struct shown *s)
{
    char a[40], b[32], c[32];
    const struct owm_task_totals *t = &s->totals;
    int64_t unpaid = t->owed_msat + t->in_flight_msat;
    fputs("<section><h2>Am I earning?</h2><p class=\"big\">", out);
    put(out, "%s", sats(unpaid, a));
    fputs(" <small>earned, not yet paid</small></p>", out);
    PARAGRAPH(out, "", "Paid so far: %s.", sats(t->settled_msat, a));
    if (t->failed_msat)
        PARAGRAPH(out, "bad", "Payments that failed: %s; see the table.", sats(t->failed_msat, a));
    if (t->cancelled_msat)
        PARAGRAPH(out, "warn", "Cancelled: %s; see the table.", sats(t->cancelled_msat, a));
    PARAGRAPH(out, "dim", "From the coordinator's ledger, fetched %s. Oldest unpaid: %s.",
              age(s->earnings_ms, b), t->owed_since_ms ? age(t->owed_since_ms, c) : "none");
    PARAGRAPH(out, "",
              "Tasks: %" PRId64 " accepted, %" PRId64 " refused, of %" PRId64
              " taken; last accepted %s.",
              t->accepted, t->refused, t->tasks, age(t->last_accepted_ms, b));
    PARAGRAPH(out, "dim", "From this node's task log. Tier multiplier %s.",
              owm_tier_row_of(s->node->tier.tier) ? owm_tier_row_of(s->node->tier.tier)->multiplier
                                                  : "none");
    fputs("<p><a href=\"#how\">How these are computed</a></p></section>", out);
}

static void health(FILE *out, const struct shown *s)
{
    char a[32];
    fputs("<section><h2>Am I healthy?</h2>", out);
    if (s->health.count == 0)
        PARAGRAPH(out, "big good", "Yes");
    else
        PARAGRAPH(out, "big bad", "No");
    for (size_t i = 0; i < s->health.count; i++) PARAGRAPH(out, "bad", "%s", s->health.reason[i]);
    for (size_t i = 0; i < s->health.warning_count; i++)
        PARAGRAPH(out, "warn", "%s", s->health.warning[i]);
    PARAGRAPH(out, "", "Last heartbeat answered: %s (expected every %.1f s).",
              age(s->view.heartbeat_ms, a), s->view.heartbeat_period_ms / 1000.0);
    if (s->view.trouble_ms)
        PARAGRAPH(out, "warn", "Last trouble, %s: %s", age(s->view.trouble_ms, a), s->view.trouble);
    if (s->view.notice[0]) PARAGRAPH(out, "warn", "The coordinator says: %s", s->view.notice);
    if (s->totals.unsent)
        PARAGRAPH(out, "warn",
                  "%" PRId64 " results wait to be delivered; they are kept and sent "
                  "again.",
                  s->totals.unsent);
    fputs("</section>", out);
}

static void next(FILE *out, const struct shown *s)
{
    struct node *node = s->node;
    char a[32];
    unsigned busy = 0;
    fputs("<section><h2>What happens next?</h2>", out);
    pthread_mutex_lock(&node->lock);
    for (unsigned i = 0; i < node->slot_count; i++) {
        const struct node_slot *slot = &node->slots[i];
        if (!slot->busy) continue;
        busy++;
        PARAGRAPH(out, "", "Now: %s; begun %s (%s).", slot->doing, age(slot->started_ms, a),
                  task_type_name(slot->task.type));
    }
    bool draining = node->draining;
    pthread_mutex_unlock(&node->lock);
    if (draining)
        PARAGRAPH(out, "", "Then this node stops, as asked.");
    else if (s->view.link == NODE_REGISTERED)
        PARAGRAPH(out, "",
                  "%u of %u slots are free; the coordinator gives the next task by itself. "
                  "Round %u is the newest finished one.",
                  node->slot_count - busy, node->slot_count, s->view.round);
    else {
        int64_t left = (s->view.next_try_ms - owm_clock_wall_ms()) / 1000;
        PARAGRAPH(out, "", "The next try to register comes in %" PRId64 " s, by itself.",
                  left > 0 ? left : 0);
    }
    if (s->view.link == NODE_REFUSED && s->view.stake.required_sats)
        PARAGRAPH(out, "warn", "First the stake: run owm-node stake, it says the next step.");
    if (node->shard.fd < 0)
        PARAGRAPH(out, "warn", "No training rounds: data.shard_paths is empty.");
    fputs("</section>", out);
}

static void own(FILE *out, const struct shown *s)
{
    const struct node *node = s->node;
    char hex[65];
    fputs("<section><h2>What do I own?</h2>", out);
    owm_hex_encode(owm_identity_public_key(node->identity), 32, hex);
    PARAGRAPH(out, "", "Node %s, alias %s.", s->view.node_id[0] ? s->view.node_id : "(no id yet)",
              node->config.alias);
    fputs("<p>Public key <code>", out);
    put(out, "%s", hex);
    fputs("</code></p>", out);
    PARAGRAPH(out, "", "Identity key: %s. Keep a copy: it is this node, and what it earned.",
              node->config.identity_key);
    const struct owm_tier_row *row = owm_tier_row_of(node->tier.tier);
    PARAGRAPH(out, "", "%s%s: %s, %.1f GB VRAM (%s), %.1f GB RAM (%s), %.0f Mbit/s (%s).",
              row ? row->name : "Below Tier 1", node->tier.overridden ? ", set by hand" : "",
              node->machine.device, (double)node->machine.vram_bytes / 1e9,
              node->machine.vram_source, (double)node->machine.ram_bytes / 1e9,
              node->machine.ram_source, node->machine.bandwidth_mbps,
              node->machine.bandwidth_source);
    if (node->tier.why[0]) PARAGRAPH(out, "dim", "Short of the next tier: %s.", node->tier.why);
    PARAGRAPH(out, "", "Training text: %zu %s, %.1f MB; it never leaves this machine.",
              node->shard.files, node->shard.files == 1 ? "file" : "files",
              (double)node->shard.bytes / 1e6);
    if (s->view.model_known) {
        owm_hex_encode(s->view.model_hash, 32, hex);
        fputs("<p>Newest checkpoint <code>", out);
        put(out, "%s", hex);
        fputs("</code></p>", out);
    }
    fputs("</section>", out);
}

/* What the operator's Lightning node shows, which may be ahead of the treasury's reading. */
static void own_channels(FILE *out, const struct node_stake *stake)
{
    char a[32];
    if (stake->looked_ms == 0) {
        PARAGRAPH(out, "dim",
                  "Your Lightning node has not been asked (lightning.backend); the numbers are the "
                  "coordinator's.");
        return;
    }
    PARAGRAPH(out, "",
              "Your Lightning node shows %" PRId64 " sats in %u open %s to it, %" PRId64
              " in opening ones.",
              stake->open_sats, stake->open, stake->open == 1 ? "channel" : "channels",
              stake->opening_sats);
    PARAGRAPH(out, "dim", "Asked %s.", age(stake->looked_ms, a));
}

static void stake(FILE *out, const struct shown *s)
{
    const struct node_stake *stake = &s->view.stake;
    if (strcmp(s->view.stake_policy, "lightning") != 0) return;
    fputs("<section id=\"stake\"><h2>Stake</h2><p class=\"big\">", out);
    put(out, "%" PRId64 " sats", stake->sats);
    fputs(" <small>", out);
    put(out, "of at least %" PRId64 " that the tier needs", stake->required_sats);
    if (stake->bonus_permille)
        put(out, "; rewards x %u.%03u", stake->bonus_permille / 1000, stake->bonus_permille % 1000);
    fputs("</small></p>", out);
    if (stake->degraded_until_ms) {
        int64_t left_ms = stake->degraded_until_ms - owm_clock_wall_ms();
        PARAGRAPH(out, "bad",
                  "Degraded: no tasks. %" PRId64 " sats are missing; %" PRId64
                  " hours until it is suspended.",
                  stake->required_sats - stake->sats, left_ms > 0 ? left_ms / 3600000 : 0);
    }
    if (stake->note[0]) PARAGRAPH(out, "", "The treasury says: %s.", stake->note);
    fputs("<p>Treasury <code>", out);
    put(out, "%s", stake->treasury_uri[0] ? stake->treasury_uri : "(address not published)");
    fputs("</code></p>", out);
    own_channels(out, stake);
    fputs("<p class=\"dim\">The next step, with its command lines: <code>owm-node stake</code>."
          "</p></section>",
          out);
}

static void models(FILE *out, const struct shown *s)
{
    char text[PAGE_MODEL_TEXT_MAX];
    enum proof_demand demand[MODEL_USES];
    struct owm_error error;
    fputs("<section id=\"models\"><h2>Models</h2>", out);
    for (int use = 0; use < MODEL_USES; use++) {
        const struct node_model_used *used = &s->view.models.used[use];
        const char *name = use == MODEL_TRAINING ? "Training" : "Serving";
        if (used->known) page_model_text(used, text);
        PARAGRAPH(out, "", "%s: %s.", name, used->known ? text : "none used yet");
    }
    if (s->view.models.refused.code != REFUSAL_NONE) {
        page_refused_text(&s->view.models.refused, text);
        PARAGRAPH(out, "bad", "Last one refused, %s", text);
    }
    if (proof_demands(&s->node->config, s->view.network, demand, &error) == OWM_OK)
        PARAGRAPH(out, "dim", "Asked for (model.proofs): training needs %s; serving, %s.",
                  proof_demand_text(demand[MODEL_TRAINING]),
                  proof_demand_text(demand[MODEL_SERVING]));
    fputs("</section>", out);
}

static void mining(FILE *out, const struct shown *s)
{
    char text[1024];
    node_mining_line(atomic_load(&s->node->mining), text, sizeof text);
    if (text[0] == '\0') return;
    fputs("<section><h2>Mining</h2>", out);
    PARAGRAPH(out, "", "%s", text);
    PARAGRAPH(out, "dim", "What the shares earn is on the pool's own page.");
    fputs("</section>", out);
}

static void cell(FILE *out, const char *label, const char *text)
{
    bool none = text[0] == '\0';
    fprintf(out, "<td%s data-label=\"%s\">", none ? " class=\"none\"" : "", label);
    put(out, "%s", none ? "–" : text);
    fputs("</td>", out);
}

static void table(FILE *out, const struct shown *s)
{
    char a[40];
    fputs("<section><h2>Newest tasks</h2><table><thead><tr><th>When<th>Task<th>Took<th>State"
          "<th>Pay<th>Reason</thead>",
          out);
    for (size_t i = 0; i < s->row_count; i++) {
        const struct owm_task_row *row = &s->rows[i];
        fputs("<tr>", out);
        cell(out, "When", age(row->received_ms, a));
        snprintf(a, sizeof a, "%.20s %.8s", row->type, row->task_id);
        cell(out, "Task", a);
        snprintf(a, sizeof a, "%" PRId64 " ms", row->execution_ms);
        cell(out, "Took", row->finished_ms ? a : "");
        cell(out, "State", row->state);
        char pay[64] = "";
        if (row->payment_state[0])
            snprintf(pay, sizeof pay, "%s, %s", sats(row->payment_msat, a), row->payment_state);
        cell(out, "Pay", pay);
        cell(out, "Reason", row->reason);
        fputs("</tr>", out);
    }
    fputs("</table>", out);
    if (s->row_count == 0) PARAGRAPH(out, "dim", "None yet.");
    fputs("</section>", out);
}

static void payments(FILE *out, const struct shown *s)
{
    char a[40], why[OWM_ERROR_BYTES_MAX];
    fputs("<section><h2>Newest payments</h2><table><thead><tr><th>Earned<th>For<th>Sats<th>State"
          "<th>Why</thead>",
          out);
    for (size_t i = 0; i < s->payment_count; i++) {
        const struct owm_task_payment *payment = &s->payments[i];
        fputs("<tr>", out);
        cell(out, "Earned", age(payment->created_ms, a));
        snprintf(a, sizeof a, "%.20s %.8s", payment->purpose, payment->task_id);
        cell(out, "For", a);
        cell(out, "Sats", sats(payment->amount_msat, a));
        cell(out, "State", payment->state);
        node_earning_why(payment, why);
        cell(out, "Why", why);
        fputs("</tr>", out);
    }
    fputs("</table>", out);
    if (s->payment_count == 0) PARAGRAPH(out, "dim", "None yet.");
    PARAGRAPH(out, "dim", "All of them: owm-node earnings --csv, or --json.");
    fputs("</section>", out);
}

static void how(FILE *out)
{
    fputs("<section id=\"how\"><h2>How these are computed</h2>"
          "<p>Sats: sums over the payments that the coordinator lists for this node (GetEarnings), "
          "kept in the local task log; 1 sat is 1000 msat. An accepted update earns only when its "
          "round counts it. A preimage proves a payment: its SHA-256 is the payment "
          "hash.</p><p>Tasks: rows of the local task log, one per attempt.</p>"
          "<p>Tier: the highest row of the table whose VRAM, RAM and bandwidth are all reached "
          "(docs/node-setup.md).</p><p>The same numbers for programs: <a href=\"/health\">/health"
          "</a>, <a href=\"/metrics\">/metrics</a>.</p></section>",
          out);
}

char *page_html(struct node *node)
{
    struct shown *s = calloc(1, sizeof *s);
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = s ? open_memstream(&text, &bytes) : NULL;
    if (out == NULL) {
        free(s);
        return NULL;
    }
    s->node = node;
    node_look(node, &s->view);
    page_health(node, &s->view, &s->health);
    char stamp[24] = "0", now[40];
    if (owm_task_log_totals(node->log, &s->totals) != OWM_OK
        || owm_task_log_recent(node->log, s->rows, PAGE_ROWS_MAX, &s->row_count) != OWM_OK
        || owm_task_log_payments(node->log, s->payments, 0, PAGE_PAYMENTS, &s->payment_count)
               != OWM_OK)
        snprintf(s->view.notice, sizeof s->view.notice, "the task log cannot be read");
    if (owm_task_log_get(node->log, "earnings_ms", stamp, sizeof stamp) == OWM_OK)
        s->earnings_ms = strtoll(stamp, NULL, 10);
    fputs(head, out);
    fputs("<h1>OWM node <small>", out);
    put(out, "%s", node->config.alias);
    fputs("</small></h1>", out);
    banner(out, s);
    fputs("<div class=\"three\">", out);
    earning(out, s);
    health(out, s);
    next(out, s);
    fputs("</div>", out);
    stake(out, s);
    own(out, s);
    models(out, s);
    mining(out, s);
    payments(out, s);
    table(out, s);
    how(out);
    devnet(out, s);
    time_t seconds = (time_t)(owm_clock_wall_ms() / 1000);
    struct tm utc;
    strftime(now, sizeof now, "%Y-%m-%d %H:%M:%S UTC", gmtime_r(&seconds, &utc));
    PARAGRAPH(out, "dim", "%s. This machine's clock: %s. Refreshes every 10 s.", NODE_SOFTWARE,
              now);
    fputs("</body></html>", out);
    bool ok = fclose(out) == 0;
    free(s);
    if (ok) return text;
    free(text);
    return NULL;
}
