/* page.c: no script, one column, dark where the reader's screen is. */
#include "page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/html.h"
#include "base/json.h"

#define RELOAD_S  "30"
#define TEXT_MAX  64
#define DAY_S     86400
#define SPAN_DAYS 2 /* From here on in days. */

static const char head[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
    "<meta http-equiv=\"refresh\" content=\"" RELOAD_S "\"><title>OpenTimestamps calendar</title>"
    "<style>:root{color-scheme:light dark;--line:#8884;--dim:#5f6368;--good:#0a7d33;"
    "--warn:#8a5a00;--bad:#b3261e}@media(prefers-color-scheme:dark){:root{--dim:#aaa;"
    "--good:#5fd38a;--warn:#f0b84a;--bad:#ff8a80}}"
    "body{font:16px/1.45 system-ui,sans-serif;max-width:46rem;margin:0 auto;padding:0 1rem 2rem}"
    "small,code,td.id{overflow-wrap:anywhere}h1{font-size:1.3rem}h2{font-size:1.05rem;margin:0 0 "
    ".4rem}"
    "section{border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem;margin:.8rem 0}"
    "p{margin:.3rem 0}.big{font-size:1.3rem}.dim,small{color:var(--dim)}.good{color:var(--good)}"
    ".warn{color:var(--warn)}.bad{color:var(--bad)}table{border-collapse:collapse;width:100%;"
    "font-variant-numeric:tabular-nums}th,td{padding:.25rem 0;border-bottom:1px solid var(--line);"
    "text-align:left;vertical-align:top}th{font-weight:400;padding-right:.8rem}td{text-align:right;"
    "white-space:nowrap}td.id{white-space:normal}"
    "tr:last-child>*{border-bottom:0}code{background:#8882;border-radius:.25rem;padding:.1rem "
    ".3rem}code.line{display:block;padding:.4rem .5rem;margin:.3rem 0;user-select:all}</style>"
    "</head><body><h1>OpenTimestamps calendar <small>";

/* ---------------------------------------------------------------------------- words */

__attribute__((format(printf, 2, 3))) static void put(FILE *out, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    owm_html_text(out, text);
}

static const char *span(int64_t ms, char text[static TEXT_MAX])
{
    int64_t s = ms > 0 ? ms / 1000 : 0;
    if (s < 120)
        snprintf(text, TEXT_MAX, "%" PRId64 " s", s);
    else if (s < 7200)
        snprintf(text, TEXT_MAX, "%" PRId64 " min", s / 60);
    else if (s < SPAN_DAYS * DAY_S)
        snprintf(text, TEXT_MAX, "%" PRId64 " h", s / 3600);
    else
        snprintf(text, TEXT_MAX, "%" PRId64 " days", s / DAY_S);
    return text;
}

static const char *since(int64_t at_ms, int64_t now_ms, char text[static TEXT_MAX])
{
    char length[TEXT_MAX];
    if (at_ms == 0)
        snprintf(text, TEXT_MAX, "–");
    else
        snprintf(text, TEXT_MAX, "%s ago", span(now_ms - at_ms, length));
    return text;
}

const char *page_status(const struct page_view *view)
{
    if (view->aggregate.failed[0]) return "failed";
    return view->anchor.trouble[0] ? "degraded" : "ok";
}

/* ---------------------------------------------------------------------------- the page */

static void cell(FILE *out, const char *label, const char *td, const char *text)
{
    fputs("<tr><th scope=\"row\">", out);
    owm_html_text(out, label);
    fputs("</th>", out);
    fputs(td, out);
    owm_html_text(out, text);
    fputs("</td></tr>", out);
}

__attribute__((format(printf, 3, 4))) static void row(FILE *out, const char *label,
                                                      const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cell(out, label, "<td>", text);
}

static void put_state(FILE *out, const struct page_view *view)
{
    char text[TEXT_MAX];
    fputs("<section><h2>Is it well?</h2>", out);
    if (view->aggregate.failed[0]) {
        fputs("<p class=\"big bad\">No: nothing is promised now.</p><p>", out);
        put(out, "%s", view->aggregate.failed);
    } else if (view->anchor.trouble[0]) {
        fputs("<p class=\"big warn\">Promises are made and kept, but nothing is put into blocks "
              "now.</p><p>",
              out);
        put(out, "%s", view->anchor.trouble);
    } else {
        fputs("<p class=\"big good\">Yes</p><p>", out);
        put(out, "All promises that wait go into one transaction, every %s.",
            span((int64_t)view->interval_s * 1000, text));
    }
    fputs("</p></section>", out);
}

static void put_use(FILE *out, const struct page_view *view)
{
    fputs("<section><h2>Stamp a file here</h2><code class=\"line\">owm-ots stamp --calendar ", out);
    put(out, "%s", view->uri);
    fputs(" FILE</code><code class=\"line\">owm-ots upgrade --calendar ", out);
    put(out, "%s", view->uri);
    fputs(" FILE.ots</code><p>or with the reference client:</p>"
          "<code class=\"line\">ots stamp -m 1 -c ",
          out);
    put(out, "%s", view->uri);
    fputs(" FILE</code><code class=\"line\">ots -l ", out);
    put(out, "%s", view->uri);
    fputs(" upgrade FILE.ots</code><p class=\"dim\">The first line needs a second, and gives "
          "FILE.ots with a promise. The second one some hours later puts the way into a block into "
          "it; then it proves, without us, that the file existed before that block. Only a hash "
          "reaches this server, and it cannot tell of what.</p></section>",
          out);
}

static void put_figures(FILE *out, const struct page_view *view)
{
    const struct anchor_figures *anchor = &view->anchor;
    char text[TEXT_MAX];
    fputs("<section><h2>Promises</h2><table>", out);
    row(out, "Commitments, one for each second with digests", "%" PRIu32, anchor->commitments);
    row(out, "wait for a transaction", "%" PRIu32, anchor->waiting);
    row(out, "in a transaction, waiting for blocks", "%" PRIu32, anchor->sent);
    row(out, "in a block", "%" PRIu32, anchor->done);
    row(out, "Oldest that is in no block", "%s",
        view->oldest_ms ? span(view->now_ms - view->oldest_ms, text) : "–");
    row(out, "Last promise", "%s", since(view->last_ms, view->now_ms, text));
    row(out, "Digests since the start", "%" PRIu64, view->aggregate.digests);
    row(out, "Running since", "%s", since(view->started_ms, view->now_ms, text));
    fputs("</table></section><section><h2>Bitcoin</h2><table>", out);
    row(out, "Network", "%s", view->network);
    cell(out, "Last transaction", "<td class=\"id\">",
         anchor->last_txid[0] ? anchor->last_txid : "–");
    if (anchor->last_height > 0)
        row(out, "Last block with promises", "%" PRIu64 ", %s", anchor->last_height,
            since(anchor->last_done_ms, view->now_ms, text));
    if (anchor->next_ms > view->now_ms)
        row(out, "Next transaction", "in %s", span(anchor->next_ms - view->now_ms, text));
    row(out, "Transactions", "%" PRIu64 ", replaced %" PRIu64 " times", anchor->transactions,
        anchor->replacements);
    row(out, "Fees", "%" PRIu64 " sats", anchor->fees_sat);
    if (anchor->balance_sat >= 0)
        row(out, "In the wallet", "%" PRId64 " sats", anchor->balance_sat);
    fputs("</table></section>", out);
}

static void put_terms(FILE *out, const struct page_view *view)
{
    fputs("<section><h2>What a promise is</h2><p>When this server answers, the promise is on its "
          "disk. A promise proves nothing yet: until your proof is upgraded you depend on this "
          "server, so ask two calendars or more.</p>",
          out);
    if (view->per_minute > 0) {
        fputs("<p>One address may ask ", out);
        put(out, "%u", view->per_minute);
        fputs(" times a minute. Stamp many files together: they need one request.</p>", out);
    }
    fputs("<p class=\"dim\">Numbers: <code>/health</code> (JSON), <code>/metrics</code> "
          "(Prometheus). This page reloads every " RELOAD_S " s.</p></section></body></html>",
          out);
}

char *page_html(const struct page_view *view)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    fputs(head, out);
    put(out, "%s", view->uri);
    fputs("</small></h1>", out);
    if (strcmp(view->network, "main") != 0) {
        fputs("<p class=\"warn\"><b>Test network ", out);
        put(out, "%s", view->network);
        fputs(".</b> Its blocks prove nothing about time.</p>", out);
    }
    put_state(out, view);
    put_use(out, view);
    put_figures(out, view);
    put_terms(out, view);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

/* ---------------------------------------------------------------------------- machines */

static const char *const refusal_names[REFUSALS] = {
    [REFUSED_EMPTY] = "empty",  [REFUSED_LONG] = "too_long", [REFUSED_ADDRESS] = "address_rate",
    [REFUSED_ALL] = "all_rate", [REFUSED_FULL] = "full",     [REFUSED_FAILED] = "failed",
};

static double seconds_of(int64_t ms)
{
    return (double)ms / 1000;
}

static double oldest_s(const struct page_view *view)
{
    int64_t age_ms = view->oldest_ms ? view->now_ms - view->oldest_ms : 0;
    return age_ms > 0 ? seconds_of(age_ms) : 0;
}

static void put_numbers(json_t *json, const struct page_view *view)
{
    const struct aggregate_figures *made = &view->aggregate;
    const struct anchor_figures *anchor = &view->anchor;
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"digests", made->digests},
        {"gathered", made->gathered},
        {"recovered", made->recovered},
        {"commitments", anchor->commitments},
        {"waiting", anchor->waiting},
        {"sent", anchor->sent},
        {"anchored", anchor->done},
        {"oldest_seconds", (uint64_t)oldest_s(view)},
        {"transactions", anchor->transactions},
        {"replacements", anchor->replacements},
        {"fees_sat", anchor->fees_sat},
        {"last_height", anchor->last_height},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(json, numbers[i].name, json_integer((json_int_t)numbers[i].value));
}

json_t *page_json(const struct page_view *view)
{
    const char *failed = view->aggregate.failed;
    json_t *refused = json_object(), *json = json_object();
    json_object_set_new(json, "status", json_string(page_status(view)));
    json_object_set_new(json, "trouble", owm_json_text(failed[0] ? failed : view->anchor.trouble));
    json_object_set_new(json, "uri", json_string(view->uri));
    json_object_set_new(json, "network", json_string(view->network));
    json_object_set_new(json, "last_txid", json_string(view->anchor.last_txid));
    put_numbers(json, view);
    if (view->anchor.balance_sat >= 0)
        json_object_set_new(json, "balance_sat",
                            json_integer((json_int_t)view->anchor.balance_sat));
    for (size_t i = 0; i < REFUSALS; i++)
        json_object_set_new(refused, refusal_names[i], json_integer((json_int_t)view->refused[i]));
    json_object_set_new(json, "refused", refused);
    return json;
}

static void gauge(owm_metrics *metrics, const char *name, const char *help, double value)
{
    owm_gauge_set(owm_metrics_gauge(metrics, name, help, NULL), value);
}

/* The counter becomes `value`, which is counted elsewhere and does not fall. */
static void counter(owm_counter *counter, uint64_t value)
{
    uint64_t before = owm_counter_value(counter);
    if (value > before) owm_counter_add(counter, value - before);
}

static void totals(const struct page_view *view, owm_metrics *metrics)
{
    const struct {
        const char *name, *help;
        uint64_t value;
    } series[] = {
        {"owm_ots_calendar_digests_total", "Digests promised", view->aggregate.digests},
        {"owm_ots_calendar_recovered_total", "Promises of an earlier disk that were taken back",
         view->aggregate.recovered},
        {"owm_ots_calendar_transactions_total", "Transactions sent", view->anchor.transactions},
        {"owm_ots_calendar_replacements_total", "Transactions sent again with a higher fee",
         view->anchor.replacements},
        {"owm_ots_calendar_fees_sats_total", "Fees of all transactions", view->anchor.fees_sat},
    };
    for (size_t i = 0; i < sizeof series / sizeof series[0]; i++)
        counter(owm_metrics_counter(metrics, series[i].name, series[i].help, NULL),
                series[i].value);
    for (size_t i = 0; i < REFUSALS; i++) {
        const char *const labels[] = {"reason", refusal_names[i], NULL};
        counter(owm_metrics_counter(metrics, "owm_ots_calendar_refused_total",
                                    "Requests refused, by reason", labels),
                view->refused[i]);
    }
}

void page_metrics(const struct page_view *view, owm_metrics *metrics)
{
    const struct anchor_figures *anchor = &view->anchor;
    totals(view, metrics);
    gauge(metrics, "owm_ots_calendar_up", "1 while promises are made",
          view->aggregate.failed[0] == 0);
    gauge(metrics, "owm_ots_calendar_anchoring", "1 while promises can be put into blocks",
          anchor->trouble[0] == 0);
    gauge(metrics, "owm_ots_calendar_commitments", "In the journal", anchor->commitments);
    gauge(metrics, "owm_ots_calendar_waiting", "Commitments in no transaction", anchor->waiting);
    gauge(metrics, "owm_ots_calendar_sent", "Commitments in a transaction, not yet confirmed",
          anchor->sent);
    gauge(metrics, "owm_ots_calendar_anchored", "Commitments in a block", anchor->done);
    gauge(metrics, "owm_ots_calendar_oldest_seconds", "Age of the oldest commitment in no block",
          oldest_s(view));
    gauge(metrics, "owm_ots_calendar_last_block", "Height of the last block with promises",
          (double)anchor->last_height);
    if (anchor->balance_sat >= 0)
        gauge(metrics, "owm_ots_calendar_balance_sats", "In the wallet",
              (double)anchor->balance_sat);
    gauge(metrics, "owm_ots_calendar_started_timestamp_seconds", "Unix time of the start",
          seconds_of(view->started_ms));
}
