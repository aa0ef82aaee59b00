/* test_answers.c: questions over HTTP whose answers take a while: each is looked for once, a crowd
 * of different ones is told so, and a quick walk through many is not taken for a crowd. */
#include "controlplane/rpc/answers.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/http_client.h"
#include "test.h"

enum { CROWD = OWM_ANSWERS_ASKED_MAX + 4 };

static struct owm_answers *answers;
static owm_http_server *http;
static atomic_uint found;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* held: no answer is found */

struct question {
    char text[64];
};

static void find(void *ctx, const void *asked, struct owm_answer *answer)
{
    (void)ctx;
    const struct question *question = asked;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    atomic_fetch_add(&found, 1);
    answer->status = 200;
    answer->content_type = "text/plain";
    answer->body = strdup(question->text);
    answer->bytes = strlen(question->text);
}

static void fail_with(owm_http_response *response, unsigned status, const char *reason)
{
    owm_http_reply_text(response, status, "text/plain", reason);
}

static void serve(void *ctx, const struct owm_http_request *request, owm_http_response *response)
{
    (void)ctx;
    struct question question = {""};
    snprintf(question.text, sizeof(question.text), "%.60s", request->query);
    owm_answers_serve(answers, &question, response);
}

/* The status; a 200 has the question as its answer. */
static unsigned ask(unsigned number)
{
    char url[100], wanted[32];
    struct owm_http_result result;
    snprintf(wanted, sizeof(wanted), "q=%u", number);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/?%s", owm_http_server_port(http), wanted);
    assert_ok(owm_http_fetch(&(struct owm_http_call){.url = url}, &result, NULL));
    unsigned status = result.status;
    if (status == 200) assert_string_equal((char *)result.body, wanted);
    owm_http_result_deinit(&result);
    return status;
}

struct asker {
    pthread_t thread;
    unsigned number, status;
};

static void *ask_alone(void *arg)
{
    struct asker *asker = arg;
    asker->status = ask(asker->number);
    return NULL;
}

static unsigned crowd(unsigned first, unsigned step)
{
    struct asker asker[CROWD];
    unsigned answered = 0;
    pthread_mutex_lock(&gate);
    for (unsigned i = 0; i < CROWD; i++) {
        asker[i].number = first + i * step;
        assert_int_equal(pthread_create(&asker[i].thread, NULL, ask_alone, &asker[i]), 0);
    }
    owm_clock_sleep_ms(300); /* so that all have asked */
    pthread_mutex_unlock(&gate);
    for (unsigned i = 0; i < CROWD; i++) {
        pthread_join(asker[i].thread, NULL);
        answered += asker[i].status == 200;
        if (asker[i].status != 200) assert_int_equal(asker[i].status, 503);
    }
    return answered;
}

static void test_one_question(void **state)
{
    (void)state;
    unsigned before = atomic_load(&found);
    assert_int_equal(crowd(1000, 0), CROWD);
    assert_int_equal(ask(1000), 200);
    assert_int_equal(atomic_load(&found), before + 1);
}

static void test_crowd(void **state)
{
    (void)state;
    owm_clock_sleep_ms(1100); /* what was asked before is forgotten */
    assert_int_equal(crowd(2000, 1), OWM_ANSWERS_ASKED_MAX);
}

static void test_walk(void **state)
{
    (void)state;
    owm_clock_sleep_ms(300);
    for (unsigned i = 0; i < 5 * OWM_ANSWERS_ASKED_MAX; i++) assert_int_equal(ask(3000 + i), 200);
}

int main(void)
{
    static const struct owm_http_route routes[] = {{"GET", "/", serve, NULL}};
    static const struct owm_answers_options options = {
        .question_bytes = sizeof(struct question), .find = find, .fail = fail_with};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_question),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_walk),
    };
    if (owm_answers_open(&options, &answers) != OWM_OK
        || owm_http_server_open(
               &(struct owm_http_server_options){.routes = routes, .route_count = 1}, &http, NULL)
               != OWM_OK)
        return 1;
    int failed = cmocka_run_group_tests_name("answers", tests, NULL, NULL);
    owm_http_server_close(http);
    owm_answers_close(answers);
    return failed;
}
