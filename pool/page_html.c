/* page_html.c: the front page: am I earning, how do I mine here, is the pool well, what has it
 * found, what has it paid, what was rejected, and how each number is computed. */
#include "page_html.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/html.h"
#include "page_figures.h"

#define PAYOUTS_SHOWN 15
#define HOUR_MS       3600000

/* ---------------------------------------------------------------------------- numbers */

static void put_figure(FILE *out, const struct owm_figure *figure, const struct owm_report_now *now)
{
    char text[OWM_FORMAT_BYTES];
    fprintf(out, "<span data-live=\"%s\">", figure->key);
    owm_html_text(out, owm_figure_text(figure, now, text));
    fputs("</span>", out);
}

static void put_figure_named(FILE *out, const char *key, const struct owm_report_now *now)
{
    for (size_t i = 0; i < owm_figures_count; i++)
        if (strcmp(owm_figures[i].key, key) == 0) put_figure(out, &owm_figures[i], now);
}

static void put_group(FILE *out, enum owm_figure_group group, const struct owm_report_now *now)
{
    fputs("<table class=\"figures\">", out);
    for (size_t i = 0; i < owm_figures_count; i++) {
        const struct owm_figure *figure = &owm_figures[i];
        if (figure->group != group) continue;
        fprintf(out, "<tr><th scope=\"row\"><a href=\"#how-%s\">", figure->key);
        owm_html_text(out, figure->label);
        fputs(figure->ledger ? "</a>*</th><td>" : "</a></th><td>", out);
        put_figure(out, figure, now);
        fputs("</td></tr>", out);
    }
    fputs("</table>", out);
}

/* ---------------------------------------------------------------------------- cards */

/* What is wrong stands above everything else. */
static void put_trouble(FILE *out, const struct owm_report *report,
                        const struct owm_report_now *now)
{
    struct owm_report_reason reasons[OWM_REPORT_REASONS_MAX];
    size_t count = owm_report_reasons(report, reasons);
    fputs("<div id=\"trouble\" data-fresh>", out);
    for (size_t i = 0; i < count; i++) {
        fputs("<p class=\"bad\"><b>Trouble:</b> ", out);
        owm_html_text(out, reasons[i].text);
        fputs("</p>", out);
    }
    if (now->ledger->away_since_ms && now->ledger->taken_ms) {
        char text[OWM_FORMAT_BYTES];
        fputs("<p class=\"warn\">The database does not answer; numbers with * are ", out);
        owm_put(out, "%s old.", owm_format_span(owm_clock_wall_ms() - now->ledger->taken_ms, text));
        fputs(" Shares are kept on disk meanwhile.</p>", out);
    } else if (now->ledger->taken_ms == 0) {
        fputs(
            "<p class=\"warn\">The database has not answered yet; numbers with * are missing.</p>",
            out);
    }
    fputs("</div>", out);
}

static void put_earning(FILE *out, const struct owm_report_now *now)
{
    const struct owm_report_terms *terms = now->terms;
    char text[OWM_FORMAT_BYTES];
    fputs("<section><h2>Am I earning?</h2>", out);
    owm_html_lookup(out);
    fputs("<p>The name is what your miner sends as its user, up to the first dot; an OWM node has "
          "its key.</p><p>Now <b>",
          out);
    put_figure_named(out, "fpps_day", now);
    fputs("</b> per TH/s and day, or ", out);
    put_figure_named(out, "fpps_share", now);
    owm_put(out,
            " per share of difficulty 1: FPPS, %.4g %% of the block reward%s, whether or not the "
            "pool finds a block. ",
            terms->pay_basis_points / 100.0, terms->pay_fees ? " with its fees" : " without fees");
    owm_put(out, "Paid when a balance reaches %s, or is ",
            owm_format_sats((double)terms->threshold_sats, text));
    owm_put(out, "%s old and at least ", owm_format_span((int64_t)terms->timer_s * 1000, text));
    owm_put(out, "%s.", owm_format_sats((double)terms->minimum_sats, text));
    fputs("</p></section>", out);
}

static void put_join(FILE *out, const char *address)
{
    fputs("<section><h2>Mine here</h2><p>Stratum v2, encrypted. Address for your miner:</p>"
          "<code class=\"copy\">",
          out);
    owm_html_text(out, address);
    fputs("</code><p>On a GPU or CPU, or for an OWM node:</p><code class=\"copy\">owm-mine --pool ",
          out);
    owm_html_text(out, address);
    fputs(
        " --identity ~/.owm/identity.key --worker rig1</code><p class=\"dim\">User: any name you "
        "like, then a dot and the "
        "worker's name: <code>alice.rig1</code>. Whoever uses a name gets its sats added there, "
        "so take one that is yours alone. The last part of the address is the pool's key: with it "
        "nobody can stand between you and the pool.</p></section>",
        out);
}

static void put_rate(FILE *out, const struct owm_report_now *now)
{
    fputs("<section><h2>Pool</h2><p class=\"big\">", out);
    put_figure_named(out, "rate_10m", now);
    fputs("</p><p>from <b>", out);
    put_figure_named(out, "miners", now);
    fputs("</b> miners with <b>", out);
    put_figure_named(out, "workers", now);
    fputs("</b> workers</p>", out);
    put_group(out, OWM_FIGURES_RATE, now);
    fputs("</section>", out);
}

static void put_card(FILE *out, const char *title, enum owm_figure_group group,
                     const struct owm_report_now *now)
{
    fprintf(out, "<section><h2>%s</h2>", title);
    put_group(out, group, now);
    fputs("</section>", out);
}

/* ---------------------------------------------------------------------------- hours */

static const struct owm_hour_line *hour_at(const struct owm_report_ledger *ledger, int64_t hour_ms)
{
    for (size_t i = 0; i < ledger->hour_count; i++)
        if (ledger->hours[i].hour_ms == hour_ms) return &ledger->hours[i];
    return NULL;
}

static void put_bars(FILE *out, const struct owm_report_ledger *ledger, int64_t first_ms,
                     double highest)
{
    fputs("<svg viewBox=\"0 0 240 50\" preserveAspectRatio=\"none\" role=\"img\" "
          "aria-label=\"Hashrate by hour; the same as a table below\">",
          out);
    for (int i = 0; i < OWM_REPORT_HOURS; i++) {
        const struct owm_hour_line *line = hour_at(ledger, first_ms + (int64_t)i * HOUR_MS);
        double height = line && highest > 0 ? 48 * line->rate / highest : 0;
        fprintf(out, "<rect x=\"%d\" y=\"%.2f\" width=\"8\" height=\"%.2f\"/>", i * 10 + 1,
                49 - height, height);
    }
    fputs("<line x1=\"0\" y1=\"49.5\" x2=\"240\" y2=\"49.5\"/></svg>", out);
}

static void put_hours(FILE *out, const struct owm_report_ledger *ledger)
{
    char text[OWM_FORMAT_BYTES];
    double highest = 0;
    int64_t first_ms = (ledger->taken_ms / HOUR_MS - OWM_REPORT_HOURS + 1) * HOUR_MS;
    for (size_t i = 0; i < ledger->hour_count; i++)
        if (ledger->hours[i].hour_ms >= first_ms && ledger->hours[i].rate > highest)
            highest = ledger->hours[i].rate;
    fputs("<section><h2>Last 24 hours*</h2><div id=\"hours\" data-fresh>", out);
    put_bars(out, ledger, first_ms, highest);
    owm_put(out, "Highest: %s. Hours of UTC, the current one at the right.",
            owm_format_rate(highest, text));
    fputs("</div><details><summary>As a table</summary><table class=\"list\"><thead><tr><th>Hour"
          "<th>Hashrate<th>Shares</thead>",
          out);
    for (int i = OWM_REPORT_HOURS - 1; i >= 0; i--) {
        const struct owm_hour_line *line = hour_at(ledger, first_ms + (int64_t)i * HOUR_MS);
        if (!line) continue;
        fputs("<tr>", out);
        owm_html_cell(out, "Hour", owm_format_time(line->hour_ms, text));
        owm_html_cell(out, "Hashrate", owm_format_rate(line->rate, text));
        owm_html_cell(out, "Shares", owm_format_count(line->shares, text));
        fputs("</tr>", out);
    }
    fputs("</table></details></section>", out);
}

/* ---------------------------------------------------------------------------- lists */

static void put_miner(FILE *out, const struct owm_report_miner *miner,
                      const struct owm_report_now *now)
{
    char text[OWM_FORMAT_BYTES];
    fputs("<tr>", out);
    owm_html_miner_cell(out, &miner->miner);
    owm_html_cell(out, "Hashrate, 10 min",
                  owm_format_rate(miner->hashes_per_s[OWM_RATE_10M], text));
    owm_html_cell(out, "Workers", owm_format_count(miner->workers, text));
    owm_html_cell(out, "Accepted", owm_format_count(miner->accepted, text));
    owm_html_cell(out, "Rejected", owm_format_count(miner->rejected, text));
    owm_html_cell(out, "Last share", owm_format_ago(miner->last_share_age_ms, text));
    owm_html_cell(
        out, "Earns a day, about",
        owm_format_sats(owm_report_day_sats(now, miner->hashes_per_s[OWM_RATE_10M]), text));
    fputs("</tr>", out);
}

static void put_miners(FILE *out, const struct owm_report_now *now)
{
    const struct owm_report_live *live = now->live;
    char text[OWM_FORMAT_BYTES];
    fputs("<section><h2>Miners connected</h2><div id=\"miners\" data-fresh>", out);
    if (live->top_count == 0) {
        fputs("<p class=\"dim\">None now.</p></div></section>", out);
        return;
    }
    fputs("<table class=\"list\"><thead><tr><th>Miner<th>Hashrate, 10 min<th>Workers<th>Accepted"
          "<th>Rejected<th>Last share<th>Earns a day, about</thead>",
          out);
    for (size_t i = 0; i < live->top_count; i++) put_miner(out, &live->top[i], now);
    fputs("</table>", out);
    if (live->rest_miners)
        owm_put(out, "And %u more with %s together.", live->rest_miners,
                owm_format_rate(live->rest_hashes_per_s[OWM_RATE_10M], text));
    if (live->best_hashes) {
        fputs("<p class=\"dim\">Best share since the start: difficulty ", out);
        owm_put(out, "%s by ", owm_format_large((double)live->best_hashes / 4294967296.0, text));
        owm_html_miner_link(out, &live->best_by);
        fputs(".</p>", out);
    }
    fputs("</div></section>", out);
}

static void put_found(FILE *out, const struct owm_report_now *now)
{
    const struct owm_pool_summary *sum = &now->ledger->summary;
    fputs("<section><h2>Blocks of 30 days*</h2><div id=\"blocks\" data-fresh>", out);
    owm_put(out, "%u found, %u orphaned.", sum->blocks_month, sum->orphans_month);
    owm_html_blocks(out, now->ledger->blocks, now->ledger->block_count);
    fputs("</div></section>", out);
}

static void put_paid(FILE *out, const struct owm_report_now *now)
{
    size_t count = now->ledger->payout_count;
    fputs("<section><h2>Payouts*</h2>", out);
    put_group(out, OWM_FIGURES_MONEY, now);
    fputs(
        "<p>A payment is written down, with the hash that it will have, when it becomes due. It is "
        "sent by the owm-coordinator that pays from this pool's database, to the miner's name if "
        "that is a Lightning address, node key or offer; until then it stays <i>owed</i>.</p><div "
        "id=\"payouts\" data-fresh>",
        out);
    owm_html_payouts(out, now->ledger->payouts, count < PAYOUTS_SHOWN ? count : PAYOUTS_SHOWN);
    fputs("</div>", out);
    if (count > PAYOUTS_SHOWN)
        fputs("<p><a href=\"v1/mining/payouts?limit=100\">More of them, as JSON</a></p>", out);
    fputs("</section>", out);
}

static void put_rejects(FILE *out, const struct owm_report_now *now)
{
    char text[OWM_FORMAT_BYTES];
    fputs("<section><h2>Rejected shares</h2><table class=\"list\"><thead><tr><th>Reason<th>Shares"
          "<th>What it means</thead>",
          out);
    for (int i = 0; i < OWM_REJECTS; i++) {
        enum owm_reject reject = (enum owm_reject)i;
        fputs("<tr>", out);
        owm_html_cell(out, "Reason", owm_reject_text(reject));
        fprintf(out, "<td data-label=\"Shares\"><span data-live=\"reject_%s\">%s</span></td>",
                owm_reject_text(reject),
                owm_format_count(owm_counted(&now->live->stats.rejected[i]), text));
        owm_html_cell(out, "What it means", owm_reject_help(reject));
        fputs("</tr>", out);
    }
    fputs("</table></section>", out);
}

static void put_health(FILE *out, const struct owm_report *report, const struct owm_report_now *now)
{
    const struct owm_bitcoin_health *node = &now->live->node;
    struct owm_report_reason reasons[OWM_REPORT_REASONS_MAX];
    bool well = owm_report_reasons(report, reasons) == 0;
    fprintf(out,
            "<section><h2>Is the pool well?</h2><p id=\"well\" data-fresh class=\"big %s\">%s</p>",
            well ? "good" : "bad", well ? "Yes" : "No: see above");
    put_group(out, OWM_FIGURES_HEALTH, now);
    put_group(out, OWM_FIGURES_AGE, now);
    if (now->live->has_node) {
        fputs("<p class=\"dim\">Bitcoin node: ", out);
        owm_put(out, "%s%s.", node->version[0] ? node->version : "unknown",
                node->usable ? "" : ", does not answer as it should");
        fputs("</p>", out);
    }
    fputs("</section>", out);
}

static void put_how(FILE *out)
{
    fputs("<section id=\"how\"><h2>How it is computed</h2><p>Numbers with * come from the database "
          "and survive a restart of the pool; the others count from its start. Shares, prices and "
          "payments are whole numbers of 10<sup>&minus;12</sup> sat; each share is stored with "
          "what fixes its price, so anyone with the shares can compute every sat again.</p>"
          "<dl>",
          out);
    for (size_t i = 0; i < owm_figures_count; i++) {
        fprintf(out, "<dt id=\"how-%s\">", owm_figures[i].key);
        owm_html_text(out, owm_figures[i].label);
        fputs(owm_figures[i].ledger ? "*</dt><dd>" : "</dt><dd>", out);
        owm_html_text(out, owm_figures[i].how);
        fputs("</dd>", out);
    }
    fputs("</dl><nav>For programs: <a href=\"v1/mining/stats\">stats</a> "
          "<a href=\"v1/mining/payouts\">payouts</a> <a href=\"metrics\">metrics</a> "
          "<a href=\"health\">health</a></nav></section>",
          out);
}

static void put_overview(FILE *out, const struct owm_report *report,
                         const struct owm_report_now *now, const char *address)
{
    owm_html_begin(out, now, "OWM pool");
    put_trouble(out, report, now);
    fputs("<div class=\"cards\">", out);
    put_earning(out, now);
    put_join(out, address);
    put_rate(out, now);
    put_card(out, "Price of a share", OWM_FIGURES_PRICE, now);
    put_card(out, "Shares", OWM_FIGURES_SHARES, now);
    put_health(out, report, now);
    fputs("</div>", out);
    put_hours(out, now->ledger);
    put_miners(out, now);
    put_found(out, now);
    put_paid(out, now);
    put_rejects(out, now);
    put_how(out);
    owm_html_end(out, now);
}

char *owm_page_overview(struct owm_report *report, const char *address)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    struct owm_report_now now = owm_report_lock(report);
    put_overview(out, report, &now, address);
    owm_report_unlock(report);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}
