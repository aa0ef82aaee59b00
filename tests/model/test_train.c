/* test_train.c: local training: it learns, repeats itself bit for bit, stops when told, and says so
 * when it diverges. */
#include "test.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/pool.h"
#include "dataplane/model/train.h"
#include "kernels/backend.h"

static const struct owm_model_config small = {
    .vocab = 256,
    .dim = 32,
    .layers = 2,
    .heads = 2,
    .kv_heads = 1,
    .ffn_dim = 64,
    .context = 32,
    .rope_theta = 10000,
    .norm_eps = 1e-5f,
};

static uint8_t shard[8192];

static void fill_shard(void)
{
    static const char line[] = "the quick brown fox jumps over the lazy dog. ";
    for (size_t i = 0; i < sizeof shard; i++) shard[i] = (uint8_t)line[i % (sizeof line - 1)];
}

static owm_status run(unsigned threads, const struct owm_train_options *options, float *params,
                      const atomic_bool *cancel, struct owm_train_result *result,
                      struct owm_error *error)
{
    struct owm_pool *pool = NULL;
    struct owm_device *device;
    owm_model *model;
    struct owm_text text;
    if (threads > 1) assert_ok(owm_pool_open(threads, &pool));
    assert_ok(owm_backend_cpu.open(&device, &(struct owm_device_config){.pool = pool}, NULL));
    struct owm_model_options model_options = {device, options->batch, options->seq, true};
    assert_ok(owm_model_open(&model, &small, &model_options, NULL));
    float *start = malloc(owm_model_param_count(model) * sizeof *start);
    assert_non_null(start);
    owm_model_init_params(&small, 1, start);
    assert_ok(owm_model_put_params(model, start));
    free(start);
    owm_text_from_bytes(&text, shard, sizeof shard);
    owm_status status = owm_train_run(model, &text, options, NULL, NULL, cancel, result, error);
    assert_ok(owm_model_get_params(model, params));
    owm_text_close(&text);
    owm_model_close(model);
    device->backend->close(device);
    owm_pool_close(pool);
    return status;
}

static struct owm_train_options options_of(uint32_t steps)
{
    struct owm_train_options o = owm_train_options_default();
    o.steps = steps;
    o.seq = 32;
    o.lr = 3e-3f;
    o.seed = 9;
    return o;
}

static float *weights(void)
{
    float *w = malloc(owm_model_config_params(&small) * sizeof *w);
    assert_non_null(w);
    return w;
}

static void test_it_learns(void **state)
{
    (void)state;
    struct owm_train_options o = options_of(150);
    struct owm_train_result r;
    float *w = weights();
    assert_ok(run(1, &o, w, NULL, &r, NULL));
    assert_int_equal(r.steps_done, 150);
    assert_int_equal(r.tokens, 150 * 4 * 32);
    assert_true(r.loss_first_nats > 3.5);
    assert_true(r.loss_last_nats < 0.5);
    assert_true(r.loss_mean_nats < r.loss_first_nats && r.loss_mean_nats > r.loss_last_nats);
    free(w);
}

/* The same seed gives the same bits, on one thread and on three; another seed does not. */
static void test_it_repeats_itself(void **state)
{
    (void)state;
    struct owm_train_options o = options_of(6);
    struct owm_train_result r;
    float *a = weights(), *b = weights();
    size_t bytes = owm_model_config_params(&small) * sizeof *a;
    assert_ok(run(1, &o, a, NULL, &r, NULL));
    assert_ok(run(1, &o, b, NULL, &r, NULL));
    assert_memory_equal(a, b, bytes);
    assert_ok(run(3, &o, b, NULL, &r, NULL));
    assert_memory_equal(a, b, bytes);
    o.seed++;
    assert_ok(run(1, &o, b, NULL, &r, NULL));
    assert_memory_not_equal(a, b, bytes);
    free(a), free(b);
}

static void test_it_stops(void **state)
{
    (void)state;
    struct owm_train_options o = options_of(1000000);
    struct owm_train_result r;
    struct owm_error error;
    float *w = weights();
    atomic_bool cancel = true;
    assert_int_equal(run(1, &o, w, &cancel, &r, &error), OWM_E_CANCELLED);
    assert_int_equal(r.steps_done, 0);
    o.time_ms_max = 30;
    assert_ok(run(1, &o, w, NULL, &r, &error));
    assert_in_range(r.steps_done, 1, 100000);
    free(w);
}

/* Weights that are not numbers are never trained on in silence: OWM_E_STATE names the step. */
static void test_divergence_is_an_error(void **state)
{
    (void)state;
    struct owm_device *device;
    owm_model *model;
    struct owm_text text;
    struct owm_error error;
    struct owm_train_result r;
    struct owm_train_options o = options_of(5);
    assert_ok(owm_backend_cpu.open(&device, &(struct owm_device_config){0}, NULL));
    struct owm_model_options model_options = {device, o.batch, o.seq, true};
    assert_ok(owm_model_open(&model, &small, &model_options, NULL));
    float *w = weights();
    owm_model_init_params(&small, 1, w);
    w[owm_model_config_params(&small) - 1] = NAN;
    assert_ok(owm_model_put_params(model, w));
    owm_text_from_bytes(&text, shard, sizeof shard);
    assert_int_equal(owm_train_run(model, &text, &o, NULL, NULL, NULL, &r, &error), OWM_E_STATE);
    assert_non_null(strstr(error.text, "step 1"));
    assert_non_null(strstr(error.text, "not finite"));
    free(w);
    owm_model_close(model);
    device->backend->close(device);
}

static void test_bad_options(void **state)
{
    (void)state;
    struct owm_error error;
    struct owm_train_result r;
    float *w = weights();
    struct owm_train_options o = options_of(0);
    assert_int_equal(run(1, &o, w, NULL, &r, &error), OWM_E_ARG);
    o = options_of(1), o.lr = -1;
    assert_int_equal(run(1, &o, w, NULL, &r, &error), OWM_E_ARG);
    o = options_of(1), o.beta2 = 1;
    assert_int_equal(run(1, &o, w, NULL, &r, &error), OWM_E_ARG);
    free(w);
}

/* A shard as files, as one block, and as a descriptor: the same bytes, the same batches. */
static void test_text_sources(void **state)
{
    (void)state;
    struct owm_text files, block, mapped;
    uint16_t a[2 * 9], b[2 * 9];
    int fd = memfd_create("shard", MFD_CLOEXEC);
    assert_true(fd >= 0 && write(fd, shard, 100) == 100);
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const char *paths[] = {path, path};
    assert_ok(owm_text_from_files(&files, paths, 2, 0, NULL));
    assert_int_equal(files.count, 200);
    assert_memory_equal(files.bytes + 100, shard, 100);
    owm_text_close(&files);
    assert_ok(owm_text_from_files(&files, paths, 1, 50, NULL));
    assert_int_equal(files.count, 50);
    assert_ok(owm_text_from_fd(&mapped, fd, NULL));
    (void)close(fd);
    owm_text_from_bytes(&block, shard, 100);
    assert_ok(owm_text_batch(&mapped, 4, 7, 2, 8, a));
    assert_ok(owm_text_batch(&block, 4, 7, 2, 8, b));
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(owm_text_batch(&block, 4, 7, 2, 100, a), OWM_E_ARG);
    assert_ok(owm_text_batch(&block, 4, 8, 2, 8, b));
    assert_memory_not_equal(a, b, sizeof a);
    owm_text_close(&files), owm_text_close(&mapped), owm_text_close(&block);

    struct owm_error error;
    paths[0] = "/nonexistent/shard";
    assert_int_equal(owm_text_from_files(&files, paths, 1, 0, &error), OWM_E_IO);
    assert_non_null(strstr(error.text, "/nonexistent/shard"));
    paths[0] = "/tmp";
    assert_int_equal(owm_text_from_files(&files, paths, 1, 0, &error), OWM_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_learns),   cmocka_unit_test(test_it_repeats_itself),
        cmocka_unit_test(test_it_stops),    cmocka_unit_test(test_divergence_is_an_error),
        cmocka_unit_test(test_bad_options), cmocka_unit_test(test_text_sources),
    };
    fill_shard();
    return cmocka_run_group_tests_name("local training", tests, NULL, NULL);
}
