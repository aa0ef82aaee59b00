/* test_metrics_json.c: the exposition text and its cap; JSON limits, errors and canonical form. */
#include <pthread.h>

#include "base/json.h"
#include "base/metrics.h"
#include "test.h"

static void *add_many(void *counter)
{
    for (int i = 0; i < 10000; i++) owm_counter_add(counter, 1);
    return NULL;
}

static void exposition_text(void **state)
{
    (void)state;
    static const double bounds[] = {0.1, 1};
    owm_metrics *metrics;
    char *text;
    pthread_t ids[2];
    assert_ok(owm_metrics_open(4, &metrics));
    owm_counter *late = owm_metrics_counter(metrics, "owm_results_total", "Results\\\nseen.",
                                            (const char *const[]){"result", "la\"te\n\\", NULL});
    for (int i = 0; i < 2; i++) pthread_create(&ids[i], NULL, add_many, late);
    for (int i = 0; i < 2; i++) pthread_join(ids[i], NULL);
    assert_ptr_equal(late,
                     owm_metrics_counter(metrics, "owm_results_total", "",
                                         (const char *const[]){"result", "la\"te\n\\", NULL}));
    owm_gauge *nodes = owm_metrics_gauge(metrics, "owm_nodes", "Nodes.", NULL);
    owm_gauge_set(nodes, 3);
    owm_gauge_add(nodes, 0.5);
    owm_histogram *time = owm_metrics_histogram(metrics, "owm_time_s", "Time.", NULL, bounds, 2);
    owm_histogram_observe(time, 0.1);
    owm_histogram_observe(time, 0.5);
    owm_histogram_observe(time, 7);
    owm_metrics_counter(metrics, "owm_results_total", "", NULL);
    owm_counter_add(owm_metrics_counter(metrics, "owm_fifth_total", "", NULL), 9);
    assert_ok(owm_metrics_text(metrics, &text, NULL));
    assert_string_equal(
        text, "# HELP owm_results_total Results\\\\\\nseen.\n"
              "# TYPE owm_results_total counter\n"
              "owm_results_total{result=\"la\\\"te\\n\\\\\"} 20000\n"
              "owm_results_total 0\n"
              "# HELP owm_nodes Nodes.\n"
              "# TYPE owm_nodes gauge\n"
              "owm_nodes 3.5\n"
              "# HELP owm_time_s Time.\n"
              "# TYPE owm_time_s histogram\n"
              "owm_time_s_bucket{le=\"0.1\"} 1\n"
              "owm_time_s_bucket{le=\"1\"} 2\n"
              "owm_time_s_bucket{le=\"+Inf\"} 3\n"
              "owm_time_s_sum 7.6\n"
              "owm_time_s_count 3\n"
              "# HELP owm_metrics_dropped_series_total Look-ups beyond the limit of series.\n"
              "# TYPE owm_metrics_dropped_series_total counter\n"
              "owm_metrics_dropped_series_total 1\n");
    free(text);
    owm_metrics_close(metrics);
}

static void json_errors_and_canonical_form(void **state)
{
    (void)state;
    struct owm_error error;
    json_t *value;
    const char *string,
        *text = "{\"b\":[1,2.5],\"a\":{\"s\":\"x\\u00e9\",\"n\":7,\"t\":true,\"z\":null}}";
    const json_t *object;
    int64_t number = 5;
    double real;
    bool flag;
    char *canonical, deep[200];
    assert_ok(owm_json_parse(text, strlen(text), 1000, &value, &error));
    assert_ok(owm_json_canonical(value, &canonical, NULL));
    assert_string_equal(canonical,
                        "{\"a\":{\"n\":7,\"s\":\"xé\",\"t\":true,\"z\":null},\"b\":[1,2.5]}");
    free(canonical);
    assert_ok(owm_json_object(value, "", "a", &object, &error));
    assert_ok(owm_json_string(object, "a", "s", &string, &error));
    assert_ok(owm_json_int(object, "a", "n", (struct owm_json_range){0, 7}, &number, &error));
    assert_int_equal(number, 7);
    assert_ok(owm_json_real(object, "a", "n", &real, &error));
    assert_ok(owm_json_bool(object, "a", "t", &flag, &error));
    assert_ok(owm_json_string_or(object, "a", "z", "none", &string, &error));
    assert_string_equal(string, "none");
    assert_ok(owm_json_int_or(object, "a", "q", (struct owm_json_range){0, 9}, &number, &error));
    assert_int_equal(number, 7);
    assert_int_equal(owm_json_int(object, "a", "n", (struct owm_json_range){8, 9}, &number, &error),
                     OWM_E_PROTO);
    assert_string_equal(error.text, "field 'a.n': 7 is not within 8 to 9");
    assert_int_equal(owm_json_string(object, "a", "n", &string, &error), OWM_E_PROTO);
    assert_string_equal(error.text, "field 'a.n': expected a string, found an integer");
    assert_int_equal(owm_json_array(value, "", "c", &object, &error), OWM_E_PROTO);
    assert_string_equal(error.text, "field 'c' is missing: expected an array");
    json_decref(value);
    assert_int_equal(owm_json_parse("{\n \"a\":}", 8, 100, &value, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "line 2, column"));
    assert_int_equal(owm_json_parse("{\"a\":1,\"a\":2}", 13, 100, &value, &error), OWM_E_PROTO);
    assert_int_equal(owm_json_parse("1 2", 3, 100, &value, &error), OWM_E_PROTO);
    assert_int_equal(owm_json_parse("\"\xff\"", 3, 100, &value, &error), OWM_E_PROTO);
    assert_int_equal(owm_json_parse(text, strlen(text), 10, &value, &error), OWM_E_LIMIT);
    memset(deep, '[', sizeof deep);
    assert_int_equal(owm_json_parse(deep, sizeof deep, 1000, &value, &error), OWM_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exposition_text),
        cmocka_unit_test(json_errors_and_canonical_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
