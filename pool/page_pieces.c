/* page_pieces.c: what the front page and the page of a miner have in common. */
#include <ctype.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/html.h"
#include "page_format.h"
#include "page_html.h"

#define RELOAD_S "15" /* Without script. */

void owm_html_begin(FILE *out, const struct owm_report_now *now, const char *title)
{
    fputs("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
          "<noscript><meta http-equiv=\"refresh\" content=\"" RELOAD_S "\"></noscript><title>",
          out);
    owm_html_text(out, title);
    fputs("</title><style>", out);
    fputs(owm_page_css, out);
    fputs("</style></head><body><h1>", out);
    owm_html_text(out, title);
    fputs(" <small>", out);
    owm_html_text(out, now->network);
    fputs("</small></h1>", out);
    if (strcmp(now->network, "mainnet") != 0)
        fputs("<p class=\"warn\"><b>Test network.</b> What is earned here is worth nothing.</p>",
              out);
}

void owm_html_end(FILE *out, const struct owm_report_now *now)
{
    char text[OWM_FORMAT_BYTES];
    fputs("<p class=\"dim\">As of <span data-live=\"live_at\">", out);
    owm_put(out, "%s", owm_format_time(now->live->taken_ms, text));
    fputs("</span>, the pool's clock. <span id=\"state\">Reload for newer numbers.</span> "
          "<noscript>This page reloads every " RELOAD_S " s.</noscript></p><script>",
          out);
    fputs(owm_page_js, out);
    fputs("</script></body></html>", out);
}

void owm_html_lookup(FILE *out)
{
    fputs("<form action=\"miner\" method=\"get\"><input name=\"id\" required maxlength=\"255\" "
          "autocapitalize=\"off\" autocomplete=\"on\" spellcheck=\"false\" "
          "aria-label=\"Your miner's name or node key\" placeholder=\"name or node key\">"
          "<button>Look up</button></form>",
          out);
}

void owm_html_cell(FILE *out, const char *label, const char *text)
{
    bool none = text[0] == '\0';
    fprintf(out, "<td%s data-label=\"%s\">", none ? " class=\"none\"" : "", label);
    owm_html_text(out, none ? "–" : text);
    fputs("</td>", out);
}

/* bdi: a name cannot turn the text around it. */
void owm_html_name_cell(FILE *out, const char *label, const char *name)
{
    if (name[0] == '\0') {
        owm_html_cell(out, label, "");
        return;
    }
    fprintf(out, "<td class=\"name\" data-label=\"%s\"><bdi>", label);
    owm_html_text(out, name);
    fputs("</bdi></td>", out);
}

/** As a query's value: all but letters and digits escaped. */
static void put_url(FILE *out, const char *text)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x80 && isalnum(byte))
            fputc(byte, out);
        else
            fprintf(out, "%%%02X", byte);
    }
}

void owm_html_miner_link(FILE *out, const struct owm_miner *miner)
{
    bool node = miner->kind == OWM_MINER_NODE;
    fprintf(out, "<a href=\"miner?kind=%s&amp;id=", node ? "node" : "name");
    put_url(out, miner->text);
    fputs("\"><bdi>", out);
    if (node)
        owm_put(out, "node %.16s…", miner->text);
    else
        owm_put(out, "%s", miner->text);
    fputs("</bdi></a>", out);
}

void owm_html_miner_cell(FILE *out, const struct owm_miner *miner)
{
    fputs("<td class=\"name\" data-label=\"Miner\">", out);
    owm_html_miner_link(out, miner);
    fputs("</td>", out);
}

/* ---------------------------------------------------------------------------- blocks, payouts */

static void block_state(const struct owm_block_line *line, char *text, size_t bytes)
{
    if (line->fate == OWM_BLOCK_ORPHANED)
        snprintf(text, bytes,
                 "orphaned: another block took its place; miners keep what they earned");
    else if (line->fate == OWM_BLOCK_ACTIVE && line->confirmations >= OWM_BLOCK_FINAL)
        snprintf(text, bytes, "final: %u confirmations", line->confirmations);
    else if (line->fate == OWM_BLOCK_ACTIVE)
        snprintf(text, bytes, "in the chain: %u of %d confirmations", line->confirmations,
                 OWM_BLOCK_FINAL);
    else if (line->accepted)
        snprintf(text, bytes, "taken by %u of our nodes", line->accepted);
    else if (line->refused)
        snprintf(text, bytes, "refused: %s", line->reason);
    else
        snprintf(text, bytes, "handed to our nodes");
}

static void put_block(FILE *out, const struct owm_block_line *line)
{
    uint8_t reversed[32];
    char hex[65], text[192];
    for (int i = 0; i < 32; i++) reversed[i] = line->hash[31 - i];
    owm_hex_encode(reversed, 32, hex);
    fputs("<tr>", out);
    owm_html_cell(out, "Found", owm_format_time(line->found_ms, text));
    snprintf(text, sizeof text, "%u", line->height);
    owm_html_cell(out, "Height", line->height ? text : "");
    owm_html_name_cell(out, "By", line->miner);
    owm_html_cell(out, "Reward",
                  line->reward_sats ? owm_format_sats((double)line->reward_sats, text) : "");
    block_state(line, text, sizeof text);
    owm_html_cell(out, "State", text);
    fprintf(out, "<td class=\"hash\" data-label=\"Hash\"><small>%s</small></td></tr>", hex);
}

void owm_html_blocks(FILE *out, const struct owm_block_line *lines, size_t count)
{
    if (count == 0) {
        fputs("<p class=\"dim\">None in the last 30 days.</p>", out);
        return;
    }
    fputs("<table class=\"list\"><thead><tr><th>Found<th>Height<th>By<th>Reward<th>State<th>Hash"
          "</thead>",
          out);
    for (size_t i = 0; i < count; i++) put_block(out, &lines[i]);
    fputs("</table>", out);
}

static const char *payout_state(const char *state)
{
    static const char *const texts[][2] = {
        {"owed", "owed"},           {"in_flight", "on its way"},
        {"settled", "paid"},        {"failed", "failed; the money is still the miner's"},
        {"cancelled", "cancelled"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(state, texts[i][0]) == 0) return texts[i][1];
    return state;
}

void owm_html_payouts(FILE *out, const struct owm_payout_line *lines, size_t count)
{
    char text[OWM_FORMAT_BYTES];
    if (count == 0) {
        fputs("<p class=\"dim\">None yet.</p>", out);
        return;
    }
    fputs("<table class=\"list\"><thead><tr><th>When<th>To<th>Amount<th>State</thead>", out);
    for (size_t i = 0; i < count; i++) {
        fputs("<tr>", out);
        owm_html_cell(out, "When", owm_format_time(lines[i].created_ms, text));
        owm_html_name_cell(out, "To", lines[i].miner);
        owm_html_cell(out, "Amount", owm_format_sats((double)lines[i].amount_msat / 1000, text));
        owm_html_cell(out, "State", payout_state(lines[i].state));
        fputs("</tr>", out);
    }
    fputs("</table>", out);
}
