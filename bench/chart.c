/* chart.c: rows as a picture: how near each op comes to its limit, and to its rival.
 *
 * A bar is value / limit (grey line at 1), a mark is value / rival. The rows are our own output,
 * one flat object a line, so reading them takes no library.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define LINE_BYTES_MAX 4096
#define TEXT_BYTES     96
#define LABEL_WIDTH    360
#define SCALE_WIDTH    400 /* Pixels of ratio 1. */
#define RATIO_MAX      2.0
#define ROW_HEIGHT     22

struct bar {
    char op[TEXT_BYTES], shape[TEXT_BYTES], device[TEXT_BYTES], unit[TEXT_BYTES];
    double value, ratio, rival_ratio;
};

static const char *find(const char *line, const char *key)
{
    char quoted[40];
    (void)snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(line, quoted);
    return at ? at + strlen(quoted) : NULL;
}

static bool read_text(const char *line, const char *key, char out[TEXT_BYTES])
{
    const char *at = find(line, key);
    if (!at || *at != '"') return false;
    size_t length = strcspn(at + 1, "\"");
    if (at[1 + length] != '"') return false;
    (void)snprintf(out, TEXT_BYTES, "%.*s", (int)length, at + 1);
    return true;
}

static bool read_number(const char *line, const char *key, double *out)
{
    const char *at = find(line, key);
    char *end;
    if (!at) return false;
    *out = strtod(at, &end);
    return end != at && isfinite(*out) && *out >= 0;
}

static bool read_bar(const char *line, struct bar *bar)
{
    return read_text(line, "op", bar->op) && read_text(line, "shape", bar->shape)
           && read_text(line, "device", bar->device) && read_text(line, "unit", bar->unit)
           && read_number(line, "value", &bar->value) && read_number(line, "ratio", &bar->ratio)
           && read_number(line, "rival_ratio", &bar->rival_ratio);
}

static void put_escaped(FILE *svg, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", svg);
        else if (*text == '>')
            fputs("&gt;", svg);
        else if (*text == '&')
            fputs("&amp;", svg);
        else
            fputc(*text, svg);
    }
}

static double pixels(double ratio)
{
    return SCALE_WIDTH * (ratio < RATIO_MAX ? ratio : RATIO_MAX);
}

static void put_bar(FILE *svg, const struct bar *bar, int row)
{
    int y = 40 + row * ROW_HEIGHT;
    fprintf(svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", LABEL_WIDTH - 8, y + 14);
    put_escaped(svg, bar->op);
    fputs(" · ", svg);
    put_escaped(svg, bar->shape);
    if (*bar->device) fputs(" · ", svg);
    put_escaped(svg, bar->device);
    fputs("</text>\n", svg);
    if (bar->ratio > 0)
        fprintf(svg, "<rect class=\"bar\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\"/>\n",
                LABEL_WIDTH, y + 3, pixels(bar->ratio), ROW_HEIGHT - 8);
    if (bar->rival_ratio > 0)
        fprintf(svg, "<path class=\"rival\" d=\"M%.1f %dv%d\"/>\n",
                LABEL_WIDTH + pixels(bar->rival_ratio), y + 1, ROW_HEIGHT - 4);
    double end = pixels(fmax(bar->ratio, bar->rival_ratio));
    fprintf(svg, "<text class=\"value\" x=\"%.1f\" y=\"%d\">%.4g ", LABEL_WIDTH + end + 6, y + 14,
            bar->value);
    put_escaped(svg, bar->unit);
    if (bar->ratio > 0) fprintf(svg, ", %.0f %% of the limit", 100 * bar->ratio);
    if (bar->rival_ratio > 0) fprintf(svg, ", %.2f × rival", bar->rival_ratio);
    fputs("</text>\n", svg);
}

static void put_frame(FILE *svg, int rows)
{
    int height = 60 + rows * ROW_HEIGHT, width = LABEL_WIDTH + (int)(SCALE_WIDTH * RATIO_MAX) + 300;
    fprintf(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
        "viewBox=\"0 0 %d %d\">\n<style>text{font:12px sans-serif;fill:#222}"
        ".value{fill:#555}.bar{fill:#4a7fb5}.rival{stroke:#c0392b;stroke-width:3}"
        ".one{stroke:#999;stroke-dasharray:4 3}.back{fill:#fff}</style>\n"
        "<rect class=\"back\" width=\"100%%\" height=\"100%%\"/>\n"
        "<text x=\"%d\" y=\"20\">bar: value / limit; red mark: value / rival; dashed: 1</text>\n"
        "<path class=\"one\" d=\"M%d 32V%d\"/>\n",
        width, height, width, height, LABEL_WIDTH, LABEL_WIDTH + SCALE_WIDTH, height - 16);
}

/* Two passes over the rows: the height stands at the top of the picture. */
static owm_status each_bar(FILE *rows, FILE *svg, int *shown, struct owm_error *error)
{
    char line[LINE_BYTES_MAX];
    int number = 0;
    rewind(rows);
    *shown = 0;
    while (fgets(line, sizeof line, rows)) {
        struct bar bar = {.op = ""};
        number++;
        if (line[strspn(line, " \t\r\n")] == 0) continue;
        if (!read_bar(line, &bar))
            return owm_fail(error, OWM_E_PROTO, "line %d is no row of owm-bench --json: %.60s",
                            number, line);
        if (bar.ratio <= 0 && bar.rival_ratio <= 0) continue;
        if (svg) put_bar(svg, &bar, *shown);
        (*shown)++;
    }
    if (ferror(rows)) return owm_fail(error, OWM_E_IO, "the rows cannot be read");
    return OWM_OK;
}

owm_status bench_chart(FILE *rows, FILE *svg, struct owm_error *error)
{
    int shown;
    owm_status status = each_bar(rows, NULL, &shown, error);
    if (status != OWM_OK) return status;
    put_frame(svg, shown);
    status = each_bar(rows, svg, &shown, error);
    fputs("</svg>\n", svg);
    if (status == OWM_OK && (fflush(svg) != 0 || ferror(svg)))
        status = owm_fail(error, OWM_E_IO, "the picture cannot be written");
    return status;
}
