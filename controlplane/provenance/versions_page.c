/* versions_page.c: /models: every version, what proves it, and where to get it. Plain HTML. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/html.h"
#include "versions_internal.h"

#define REFRESH_S "30"

static const char head[] =
    "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=" REFRESH_S
    "><meta name=viewport content=\"width=device-width,initial-scale=1\"><title>OWM model versions"
    "</title><style>body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:80em;"
    "padding:0 1em;color:#222;background:#fff}h1{font-size:1.5em}table{border-collapse:collapse;"
    "width:100%}td,th{text-align:left;vertical-align:top;padding:.35em .9em .35em 0;"
    "border-bottom:1px solid #ddd;overflow-wrap:anywhere}.hash{font:12px/1.5 "
    "ui-monospace,monospace;"
    "overflow-wrap:anywhere;min-width:17em}.warn{background:#fff3cd;padding:.6em 1em;"
    "border-left:4px solid #d39e00}.how,.age{color:#555;font-size:.9em}.confirmed{color:#176b2c}"
    ".pending{color:#8a5a00}.none{color:#a02020}.age{white-space:nowrap}"
    "@media(max-width:60em){th{display:none}td{display:block;border:0;padding:.1em 0}"
    "tr{display:block;border-bottom:1px solid #ddd;padding:.6em 0}.hash{min-width:0}"
    "td:before{content:attr(data-label)\": \";color:#777;font:13px system-ui,sans-serif}}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#111}td,th,tr{border-color:#333}"
    ".warn{background:#332b00}.how,.age,td:before{color:#aaa}a{color:#9cf}.confirmed{color:#7fd694}"
    ".pending{color:#f0c060}.none{color:#f09090}}</style><h1>OWM model versions</h1>";

static const char foot[] =
    "<p class=how>Nobody has to trust this page. A version is its SHA-256. The manifest says it "
    "with "
    "the coordinator's signature; the proof leads from it into a Bitcoin block and is checked with "
    "<code>ots</code> or <code>owm-ots</code> (docs/ots-verification.md). <i>Pending</i>: "
    "calendars "
    "have promised a block, nothing is proven so far. Held-out loss: bits per byte of text that no "
    "node trains on; lower is better, 8 is guessing. <a href=/v1/model/versions>As JSON</a> "
    "&middot; "
    "<a href=/>Network</a></p>";

static void put_time(FILE *out, int64_t wall_ms)
{
    time_t second = (time_t)(wall_ms / 1000);
    struct tm utc;
    char text[32];
    gmtime_r(&second, &utc);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &utc);
    fputs(text, out);
}

/* In the largest unit of which there are at least two. A clock may be behind another. */
static void put_age(FILE *out, int64_t then_ms, int64_t now_ms)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "days"}, {3600, "hours"}, {60, "minutes"}, {1, "seconds"}};
    int64_t seconds = now_ms > then_ms ? (now_ms - then_ms) / 1000 : 0;
    size_t unit = 0;
    while (unit < 3 && seconds < 2 * units[unit].seconds) unit++;
    fprintf(out, " <span class=age>(%lld %s ago)</span>",
            (long long)(seconds / units[unit].seconds), units[unit].name);
}

static void put_moment(FILE *out, int64_t then_ms, int64_t now_ms)
{
    put_time(out, then_ms);
    put_age(out, then_ms, now_ms);
}

static void put_size(FILE *out, int64_t bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    double size = (double)bytes;
    size_t unit = 0;
    while (unit < 4 && size >= 1000) {
        size /= 1000;
        unit++;
    }
    fprintf(out, unit ? "%.1f %s" : "%.0f %s", size, units[unit]);
}

static void put_proof(FILE *out, const struct version *v, int64_t now_ms)
{
    fprintf(out, "<td data-label=Proof><b class=%s>%s</b>", v->status, v->status);
    if (v->btc_block) {
        fprintf(out, " in Bitcoin block %lld of ", (long long)v->btc_block);
        put_moment(out, v->btc_time_ms, now_ms);
        if (v->confirmed_ms) {
            fputs("<br>checked here ", out);
            put_moment(out, v->confirmed_ms, now_ms);
        }
        return;
    }
    if (v->calendars)
        fprintf(out, ": promised by %lld calendar%s", (long long)v->calendars,
                v->calendars == 1 ? "" : "s");
    if (v->stamped_ms) {
        fputs(" since ", out);
        put_moment(out, v->stamped_ms, now_ms);
    }
    if (!v->note[0]) return;
    fputs("<br><span class=how>", out);
    owm_html_text(out, v->note);
    fputs("</span>", out);
}

/* Version ids are ours, but are escaped all the same. */
static void put_link(FILE *out, const struct version *v, const char *what, const char *text)
{
    fputs("<a href=\"/v1/model/versions/", out);
    owm_html_text(out, v->id);
    fprintf(out, "%s\">", what);
    owm_html_text(out, text);
    fputs("</a>", out);
}

static void put_version(FILE *out, const struct version *v, int64_t now_ms)
{
    fputs("<tr><td data-label=Version>", out);
    put_link(out, v, "", v->id);
    if (v->current) fputs(" <b>current</b>", out);
    fprintf(out, "<td data-label=Round>%lld<td data-label=Created>", (long long)v->round);
    put_moment(out, v->created_ms, now_ms);
    fputs("<td data-label=\"Held-out loss\">", out);
    fprintf(out, isfinite(v->heldout) ? "%.3f" : "–", v->heldout);
    fputs("<td data-label=Size>", out);
    put_size(out, v->bytes);
    fprintf(out, "<td data-label=SHA-256 class=hash>%s", v->hex);
    put_proof(out, v, now_ms);
    fputs("<td data-label=Files>", out);
    put_link(out, v, "/manifest", "manifest");
    if (v->calendars || v->btc_block) {
        fputs(" &middot; ", out);
        put_link(out, v, "/ots", "proof");
    }
}

char *versions_page(const struct owm_pg_rows *rows, const char *policy, int64_t now_ms)
{
    char *html = NULL;
    size_t bytes = 0, count = owm_pg_rows_count(rows);
    struct version version = {0};
    FILE *out = open_memstream(&html, &bytes);
    if (!out) return NULL;
    fputs(head, out);
    fputs("<p class=warn><b>Provenance</b> ", out);
    owm_html_text(out, policy);
    fputs(".</p><p>As of ", out);
    put_time(out, now_ms);
    fputs("<table><tr><th>Version<th>Round<th>Created<th>Held-out loss<th>Size<th>SHA-256"
          "<th>Proof<th>Files",
          out);
    for (size_t i = 0; i < count; i++) {
        version_of(rows, i, &version);
        put_version(out, &version, now_ms);
    }
    fputs("</table>", out);
    if (count == 0) fputs("<p>None here.", out);
    if (count == VERSIONS_ON_PAGE && version.round > 0)
        fprintf(out, "<p><a href=\"/models?before=%lld\">Older</a>", (long long)version.round);
    fputs(foot, out);
    if (fclose(out) == 0) return html;
    free(html);
    return NULL;
}
