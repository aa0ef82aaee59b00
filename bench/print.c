/* print.c: rows for people and for programs. */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

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

void bench_print(const struct bench_options *options, const struct bench_row *row)
{
    double ratio = 0;
    if (row->limit > 0 && row->value > 0)
        ratio = row->lower_is_better ? row->limit / row->value : row->value / row->limit;
    if (options->json) {
        printf("{\"bench\":\"%s\",\"op\":\"%s\",\"shape\":\"%s\",\"value\":%.6g,\"unit\":\"%s\","
               "\"low\":%.6g,\"high\":%.6g,\"limit\":%.6g,\"limit_name\":\"%s\",\"ratio\":%.4g}\n",
               row->bench, row->op, row->shape, row->value, row->unit, row->low, row->high,
               row->limit, row->limit_name ? row->limit_name : "", ratio);
    } else {
        printf("%-10s %-26s %-22s %12.2f %-14s", row->bench, row->op, row->shape, row->value,
               row->unit);
        if (row->high > 0) printf("  (%.2f to %.2f)", row->low, row->high);
        if (ratio > 0) printf("  %.2fx of %s (%g)", ratio, row->limit_name, row->limit);
        putchar('\n');
    }
    fflush(stdout);
}
