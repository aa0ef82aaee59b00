/* test_bench.c: the parts of owm-bench that can be wrong without anyone seeing it: figures read
 * from a rival, the median, the chart. */
#include "bench.h"
#include "check.h"

static void reads(const char *text, double value, const char *unit)
{
    double got = 0;
    const char *got_unit = "";
    bool found = bench_rival_read(text, &got, &got_unit);
    CHECK(found == (unit != NULL));
    if (!unit) return;
    CHECK(fabs(got - value) <= 1e-9 * value && strcmp(got_unit, unit) == 0);
}

static void test_rival_read(void)
{
    reads("36.1 MH/s", 36.1, "MH/s");
    reads("[2026-11-21] CPU #0: 9400.5 kH/s\n", 9.4005, "MH/s");
    reads("start 1.5 GH/s\nlater 12 MH/s\n12 shares\n", 12, "MH/s"); /* The last one counts. */
    reads("eval time = 346.0 tok/s", 346, "tok/s");
    reads("pp512 | 1269.12 t/s", 1269.12, "tok/s");
    reads("1.9 TFLOP/s", 1900, "GFLOP/s");
    reads("took 75 us", 0.075, "ms");
    reads("1e3 MB/s", 1, "GB/s");
    reads("", 0, NULL);
    reads("no figure, 3 items", 0, NULL);
    reads("0 MH/s", 0, NULL);
    reads("5 msomething", 0, NULL);
}

static void test_rival_run(void)
{
    struct owm_error error = {""};
    struct bench_options options = {.rival = "echo '1 MH/s'; echo '2.5 GH/s' >&2"};
    CHECK(bench_rival(&options, &error) == OWM_OK && options.rival_value == 2500);
    options.rival = "yes 'noise and more noise' | head -c 300000; echo 7 ms";
    CHECK(bench_rival(&options, &error) == OWM_OK && options.rival_value == 7);
    options.rival = "false";
    CHECK(bench_rival(&options, &error) == OWM_E_IO && strstr(error.text, "no number"));
    options.rival = NULL;
    CHECK(bench_rival(&options, &error) == OWM_OK);
}

static void test_percentile(void)
{
    double values[] = {5, 1, 4, 2, 3};
    CHECK(bench_percentile(values, 5, 0.5) == 3 && values[0] == 1 && values[4] == 5);
    CHECK(bench_percentile(values, 5, 1) == 5 && bench_percentile(values, 0, 0.5) == 0);
}

static void tick(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void test_time(void)
{
    unsigned calls = 0;
    struct bench_span span = bench_time(NULL, tick, &calls);
    CHECK(calls >= 7 && span.low <= span.median && span.median <= span.high);
}

static char *chart_of(const char *rows, owm_status *status, struct owm_error *error)
{
    static char picture[65536];
    FILE *in = tmpfile(), *out = tmpfile();
    CHECK(in && out && fputs(rows, in) >= 0);
    *status = bench_chart(in, out, error);
    rewind(out);
    picture[fread(picture, 1, sizeof picture - 1, out)] = 0;
    fclose(in), fclose(out);
    return picture;
}

static void test_chart(void)
{
    static const char row[] =
        "{\"bench\":\"agg\",\"op\":\"a<b & c\",\"backend\":\"cpu\",\"device\":\"avx512\","
        "\"shape\":\"32 x 25M\",\"value\":43.5,\"unit\":\"GB/s\",\"low\":0,\"high\":0,\"limit\":45,"
        "\"limit_name\":\"read bandwidth\",\"ratio\":0.9667,\"rival\":0,\"rival_name\":\"\","
        "\"rival_ratio\":0,\"commit\":\"x\"}\n\n";
    owm_status status;
    struct owm_error error = {""};
    const char *picture = chart_of(row, &status, &error);
    CHECK(status == OWM_OK && strncmp(picture, "<svg ", 5) == 0 && strstr(picture, "</svg>"));
    CHECK(strstr(picture, "a&lt;b &amp; c") && strstr(picture, "97 % of the limit"));
    CHECK(chart_of("not a row\n", &status, &error) && status == OWM_E_PROTO);
    CHECK(strstr(error.text, "line 1"));
}

int main(void)
{
    test_rival_read();
    test_rival_run();
    test_percentile();
    test_time();
    test_chart();
    return 0;
}
