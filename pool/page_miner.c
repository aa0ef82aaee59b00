/* page_miner.c: the page of one miner: what it earns, what its workers do, what it is owed. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/html.h"
#include "page_figures.h"
#include "page_html.h"

#define DIFFICULTY_1 4294967296.0

static void put_who(FILE *out, const struct owm_miner *miner)
{
    fputs("<p><a href=\"./\">← The pool</a></p><p class=\"big\"><bdi>", out);
    owm_html_text(out, miner->text);
    fputs("</bdi></p>", out);
    if (miner->kind == OWM_MINER_NODE)
        fputs("<p class=\"good\">An OWM node: it has proven this key.</p>", out);
    else
        fputs("<p class=\"dim\">A name that miners gave; nobody has proven that it is theirs.</p>",
              out);
}

static void row(FILE *out, const char *label, const char *text)
{
    fprintf(out, "<tr><th scope=\"row\">%s</th><td>", label);
    owm_html_text(out, text);
    fputs("</td></tr>", out);
}

static void put_earning(FILE *out, const struct owm_report_view *view,
                        const struct owm_report_now *now)
{
    double rate = view->known ? view->line.rate.hour : view->now.hashes_per_s[OWM_RATE_10M];
    char text[OWM_FORMAT_BYTES];
    fputs("<section><h2>Am I earning?</h2>", out);
    if (view->now.workers)
        fputs("<p class=\"big good\">Yes</p>", out);
    else
        fputs("<p class=\"big warn\">Not connected now</p>", out);
    fputs("<table class=\"figures\">", out);
    row(out, view->known ? "A day, at the last hour's rate*" : "A day, at this rate",
        owm_format_sats(owm_report_day_sats(now, rate), text));
    if (view->known) {
        row(out, "Balance*", owm_format_sats(view->line.balance_sats, text));
        row(out, "Became payments so far*", owm_format_sats(view->line.paid_sats, text));
    }
    fputs("</table>", out);
    if (view->known) {
        owm_put(out, "Paid when the balance reaches %s or its timer ends. ",
                owm_format_sats((double)now->terms->threshold_sats, text));
        owm_put(out, "* From the database, %s.",
                owm_format_ago(owm_clock_wall_ms() - view->taken_ms, text));
    } else if (view->taken_ms == 0) {
        fputs(
            "<p class=\"warn\">The database does not answer now: balance and payouts are missing; "
            "nothing is lost.</p>",
            out);
    } else {
        fputs("<p class=\"dim\">Its first shares have not reached the database yet.</p>", out);
    }
    fputs("</section>", out);
}

static void put_work(FILE *out, const struct owm_report_view *view)
{
    const struct owm_report_miner *miner = &view->now;
    char text[OWM_FORMAT_BYTES];
    fputs("<section><h2>Hashrate and shares</h2><table class=\"figures\">", out);
    row(out, "Hashrate, 1 minute", owm_format_rate(miner->hashes_per_s[OWM_RATE_1M], text));
    row(out, "Hashrate, 10 minutes", owm_format_rate(miner->hashes_per_s[OWM_RATE_10M], text));
    if (view->known) {
        row(out, "Hashrate, 1 hour*", owm_format_rate(view->line.rate.hour, text));
        row(out, "Hashrate, 24 hours*", owm_format_rate(view->line.rate.day, text));
        row(out, "Shares of all time*", owm_format_count(view->line.shares, text));
    }
    row(out, "Workers connected", owm_format_count(miner->workers, text));
    row(out, "Accepted since the pool's start", owm_format_count(miner->accepted, text));
    row(out, "Rejected since the pool's start", owm_format_count(miner->rejected, text));
    row(out, "Best share since the pool's start",
        owm_format_large((double)miner->best_hashes / DIFFICULTY_1, text));
    row(out, "Last share", owm_format_ago(miner->last_share_age_ms, text));
    fputs("</table></section>", out);
}

static void put_worker(FILE *out, const struct owm_report_worker *worker, int64_t now_ms)
{
    int64_t age_ms = worker->last_share_age_ms;
    char text[OWM_FORMAT_BYTES];
    if (age_ms < 0 && worker->line.last_ms) age_ms = now_ms - worker->line.last_ms;
    double rate = worker->live ? worker->hashes_per_s[OWM_RATE_10M] : worker->line.rate.ten_minutes;
    fputs("<tr>", out);
    owm_html_name_cell(out, "Worker", worker->name[0] ? worker->name : "(no name)");
    owm_html_cell(out, "Connected", worker->channels ? "yes" : "no");
    owm_html_cell(out, "10 min", owm_format_rate(rate, text));
    owm_html_cell(out, "1 h*", worker->stored ? owm_format_rate(worker->line.rate.hour, text) : "");
    owm_html_cell(out, "24 h*", worker->stored ? owm_format_rate(worker->line.rate.day, text) : "");
    owm_html_cell(out, "Accepted", worker->live ? owm_format_count(worker->accepted, text) : "");
    owm_html_cell(out, "Rejected", worker->live ? owm_format_count(worker->rejected, text) : "");
    owm_html_cell(out, "Difficulty",
                  worker->hashes ? owm_format_large((double)worker->hashes / DIFFICULTY_1, text)
                                 : "");
    owm_html_cell(out, "Best share",
                  worker->best_hashes
                      ? owm_format_large((double)worker->best_hashes / DIFFICULTY_1, text)
                      : "");
    owm_html_cell(out, "Last share", owm_format_ago(age_ms, text));
    fputs("</tr>", out);
}

static void put_workers(FILE *out, const struct owm_report_view *view)
{
    int64_t now_ms = owm_clock_wall_ms();
    fputs("<section><h2>Workers</h2><table class=\"list\"><thead><tr><th>Worker<th>Connected"
          "<th>10 min<th>1 h*<th>24 h*<th>Accepted<th>Rejected<th>Difficulty<th>Best share"
          "<th>Last share</thead>",
          out);
    for (size_t i = 0; i < view->worker_count; i++) put_worker(out, &view->workers[i], now_ms);
    fputs("</table>", out);
    if (view->workers_left_out)
        owm_put(out, "%u weaker ones are left out here.", view->workers_left_out);
    fputs("<p class=\"dim\">Accepted, rejected, difficulty and best share count since the pool's "
          "start. Difficulty is that of the newest target; the pool sets it so that a worker finds "
          "a share every few seconds.</p></section>",
          out);
}

static void put_miner(FILE *out, const struct owm_report_view *view,
                      const struct owm_report_now *now)
{
    owm_html_begin(out, now, "OWM pool: a miner");
    put_who(out, &view->miner);
    fputs("<div id=\"miner\" data-fresh><div class=\"cards\">", out);
    put_earning(out, view, now);
    put_work(out, view);
    fputs("</div>", out);
    put_workers(out, view);
    fputs("<section><h2>Payouts*</h2>", out);
    owm_html_payouts(out, view->payouts, view->payout_count);
    fputs("</section><section><h2>Blocks of 30 days*</h2>", out);
    owm_html_blocks(out, view->blocks, view->block_count);
    fputs("</section></div><section><h2>How it is computed</h2><p>A day's sats: hashrate &times; "
          "86,400 s &times; block reward counted &divide; network hashes &times; miners' part, at "
          "this block's difficulty. <a href=\"./#how\">All numbers</a></p></section>",
          out);
    owm_html_end(out, now);
}

/* ---------------------------------------------------------------------------- public */

char *owm_page_miner(struct owm_report *report, const struct owm_report_view *view)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    struct owm_report_now now = owm_report_lock(report);
    put_miner(out, view, &now);
    owm_report_unlock(report);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

char *owm_page_sorry(struct owm_report *report, const char *name, const char *reason)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    struct owm_report_now now = owm_report_lock(report);
    owm_html_begin(out, &now, "OWM pool: a miner");
    fputs("<p><a href=\"./\">← The pool</a></p><p class=\"big\"><bdi>", out);
    owm_html_text(out, name);
    fputs("</bdi></p><p class=\"warn\">", out);
    owm_html_text(out, reason);
    fputs("</p>", out);
    owm_html_lookup(out);
    owm_html_end(out, &now);
    owm_report_unlock(report);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}
