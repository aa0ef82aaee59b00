/* print.c: rows for people, for documents and for programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

const char *bench_commit(void); /* From git, at build time. */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_percentile(double *values, size_t count, double p)
{
    if (count == 0) return 0;
    qsort(values, count, sizeof *values, ascending);
    size_t index = (size_t)(p * (double)(count - 1) + 0.5);
    return values[index < count ? index : count - 1];
}

static double over(double value, double other, bool lower_is_better)
{
    if (other <= 0 || value <= 0) return 0;
    return lower_is_better ? other / value : value / other;
}

static const char *text_or(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

/* The names come from drivers and command lines: whatever JSON forbids in a string is left out. */
static void json_text(const char *key, const char *text)
{
    printf("\"%s\":\"", key);
    for (const char *c = text_or(text, ""); *c; c++)
        if (*c != '"' && *c != '\\' && (unsigned char)*c >= ' ') putchar(*c);
    printf("\",");
}

static void print_json(const struct bench_row *row, double ratio, double rival_ratio)
{
    putchar('{');
    json_text("bench", row->bench);
    json_text("op", row->op);
    json_text("backend", row->backend);
    json_text("device", row->device);
    json_text("shape", row->shape);
    printf("\"value\":%.6g,", row->value);
    json_text("unit", row->unit);
    printf("\"low\":%.6g,\"high\":%.6g,\"limit\":%.6g,", row->low, row->high, row->limit);
    json_text("limit_name", row->limit_name);
    printf("\"ratio\":%.4g,\"rival\":%.6g,", ratio, row->rival);
    json_text("rival_name", row->rival_name);
    printf("\"rival_ratio\":%.4g,", rival_ratio);
    printf("\"commit\":\"%s\"}\n", bench_commit());
}

static void print_markdown(const struct bench_row *row, double ratio, double rival_ratio)
{
    static bool headed;
    if (!headed)
        puts("| bench | op | on | shape | value | spread | limit | ratio | rival | ratio |\n"
             "|---|---|---|---|---|---|---|---|---|---|");
    headed = true;
    printf("| %s | %s | %s | %s | %.4g %s |", row->bench, row->op, text_or(row->device, ""),
           row->shape, row->value, row->unit);
    if (row->high > 0)
        printf(" %.4g to %.4g |", row->low, row->high);
    else
        printf(" |");
    if (ratio > 0)
        printf(" %.4g (%s) | %.2f |", row->limit, row->limit_name, ratio);
    else
        printf(" | |");
    if (rival_ratio > 0)
        printf(" %.4g (%s) | %.2f |\n", row->rival, row->rival_name, rival_ratio);
    else
        puts(" | |");
}

static void print_text(const struct bench_row *row, double ratio, double rival_ratio)
{
    printf("%-8s %-24s %-8s %-24s %10.4g %-12s", row->bench, row->op, text_or(row->device, ""),
           row->shape, row->value, row->unit);
    if (row->high > 0) printf("  (%.4g to %.4g)", row->low, row->high);
    if (ratio > 0) printf("  %.2fx of %s (%.4g)", ratio, row->limit_name, row->limit);
    if (rival_ratio > 0) printf("  %.2fx %s (%.4g)", rival_ratio, row->rival_name, row->rival);
    putchar('\n');
}

static size_t printed;

size_t bench_printed(void)
{
    return printed;
}

bool bench_wants(const struct bench_options *options, const char *op)
{
    return !options->op || strstr(op, options->op);
}

void bench_print(const struct bench_options *options, const struct bench_row *measured)
{
    if (!bench_wants(options, measured->op)) return;
    struct bench_row row = *measured;
    if (row.rival <= 0 && options->rival_value > 0
        && strncmp(row.unit, options->rival_unit, strlen(options->rival_unit)) == 0) {
        row.rival = options->rival_value;
        row.rival_name = options->rival;
    }
    double ratio = over(row.value, row.limit, row.lower_is_better);
    double rival_ratio = over(row.value, row.rival, row.lower_is_better);
    if (options->json)
        print_json(&row, ratio, rival_ratio);
    else if (options->markdown)
        print_markdown(&row, ratio, rival_ratio);
    else
        print_text(&row, ratio, rival_ratio);
    fflush(stdout);
    printed++;
}
