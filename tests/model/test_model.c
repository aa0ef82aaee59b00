/* test_model.c: the whole decoder: its gradient by finite differences, decoding against the batch
 * forward, bits per byte, and generation (SRS-MODEL-04). */
#include "test.h"

#include <math.h>

#include "dataplane/model/generate.h"
#include "kernels/backend.h"

static const struct owm_model_config tiny = {
    .vocab = 256,
    .dim = 16,
    .layers = 2,
    .heads = 4,
    .kv_heads = 2,
    .ffn_dim = 20,
    .context = 24,
    .rope_theta = 10000,
    .norm_eps = 1e-5f,
};

static struct owm_device *device_of(const char *backend)
{
    struct owm_device *device;
    /* A plug-in's file takes the place of the cpu: its memory is not the host's. */
    const char *plugin = getenv("OWM_TEST_BACKEND");
    const struct owm_backend *b = owm_backend_pick(backend, NULL);
    if (plugin && strcmp(backend, "cpu") == 0) assert_ok(owm_backend_load(plugin, &b, NULL));
    assert_non_null(b);
    assert_ok(b->open(&device, &(struct owm_device_config){0}, NULL));
    return device;
}

/** model_of: tiny, with weights wide enough that every part of it matters. */
static owm_model *model_of(struct owm_device *device, uint32_t batch, uint32_t seq, bool train)
{
    owm_model *model;
    struct owm_model_options options = {device, batch, seq, train};
    assert_ok(owm_model_open(&model, &tiny, &options, NULL));
    float *w = malloc(owm_model_param_count(model) * sizeof *w);
    assert_non_null(w);
    owm_model_init_params(&tiny, 3, w);
    for (uint32_t i = 0; i < tiny.vocab * tiny.dim; i++) w[i] *= 20;
    assert_ok(owm_model_put_params(model, w));
    free(w);
    return model;
}

static void tokens_of(uint16_t *tokens, size_t count)
{
    for (size_t i = 0; i < count; i++) tokens[i] = (uint16_t)((i * i * 7 + 13 * i) % 61 + 40);
}

/* Differences along random directions: every weight takes part, f32 noise averages out. */
static void test_gradient_by_differences(void **state)
{
    (void)state;
    struct owm_device *device = device_of("cpu");
    owm_model *model = model_of(device, 2, 9, true);
    uint64_t n = owm_model_param_count(model);
    float *w = malloc(n * sizeof *w), *g = malloc(n * sizeof *g), *moved = malloc(n * sizeof *w);
    assert_true(w && g && moved);
    uint16_t tokens[2 * 10];
    tokens_of(tokens, 20);
    double loss, norm, up, down;
    assert_ok(owm_model_get_params(model, w));
    assert_ok(owm_model_grad(model, tokens, 2, 9, &loss, &norm, NULL));
    assert_ok(owm_model_get_grad(model, g));
    struct owm_tensor_range tensors[OWM_MODEL_TENSORS_MAX];
    uint32_t count = owm_model_tensors(&tiny, tensors);
    for (uint32_t t = 0; t < count; t++) { /* Along the gradient of one tensor at a time. */
        double squares = 0;
        const float *part = g + tensors[t].offset;
        for (uint64_t i = 0; i < tensors[t].count; i++)
            squares += (double)part[i] * (double)part[i];
        double step = 2e-3 / sqrt(squares);
        for (int sign = -1; sign <= 1; sign += 2) {
            memcpy(moved, w, n * sizeof *w);
            for (uint64_t i = 0; i < tensors[t].count; i++)
                moved[tensors[t].offset + i] += (float)(sign * step) * part[i];
            assert_ok(owm_model_put_params(model, moved));
            assert_ok(owm_model_loss(model, tokens, 2, 9, sign > 0 ? &up : &down, NULL));
        }
        double slope = (up - down) / (2 * step);
        if (fabs(slope - squares) > 0.02 * squares + 1e-6)
            fail_msg("%s: slope %g, gradient %g", tensors[t].name, slope, squares);
    }
    free(w), free(g), free(moved);
    owm_model_close(model);
    device->backend->close(device);
}

/* The fast backend and the reference agree on loss and gradient of the whole model. */
static void test_backends_agree(void **state)
{
    (void)state;
    uint16_t tokens[3 * 25];
    tokens_of(tokens, 75);
    double loss[2], norm[2];
    float *g[2];
    uint64_t n = owm_model_config_params(&tiny);
    const char *names[] = {"cpu", "reference"};
    for (int i = 0; i < 2; i++) {
        struct owm_device *device = device_of(names[i]);
        owm_model *model = model_of(device, 3, 24, true);
        g[i] = malloc(n * sizeof *g[i]);
        assert_non_null(g[i]);
        assert_ok(owm_model_grad(model, tokens, 3, 24, &loss[i], &norm[i], NULL));
        assert_ok(owm_model_get_grad(model, g[i]));
        owm_model_close(model);
        device->backend->close(device);
    }
    assert_true(fabs(loss[0] - loss[1]) < 1e-5 && fabs(norm[0] - norm[1]) < 1e-4 * norm[1]);
    for (uint64_t i = 0; i < n; i++)
        assert_true(fabs((double)(g[0][i] - g[1][i])) < 1e-4 * norm[1]);
    free(g[0]), free(g[1]);
}

/** next_by_batch: the most likely byte after text, by the batch forward: the loss of each candidate
 *  as a target is -log p, so the least one wins. */
static uint8_t next_by_batch(owm_model *model, const uint8_t *text, uint32_t count)
{
    uint16_t tokens[32];
    uint32_t best = 0;
    double least = INFINITY;
    for (uint32_t i = 0; i < count; i++) tokens[i] = text[i];
    for (uint32_t byte = 0; byte < 256; byte++) {
        double loss;
        tokens[count] = (uint16_t)byte;
        assert_ok(owm_model_loss(model, tokens, 1, count, &loss, NULL));
        if (loss < least) least = loss, best = byte;
    }
    return (uint8_t)best;
}

/* SRS-MODEL-04: one token per call, and the cache gives what a pass over the whole text gives. */
static void test_decode_agrees_with_forward(void **state)
{
    (void)state;
    struct owm_device *device = device_of("cpu");
    owm_model *model = model_of(device, 1, 24, false);
    owm_session *session;
    uint8_t text[24] = "prompt";
    assert_ok(owm_session_open(&session, model, &(struct owm_sampling){0}, NULL));
    uint8_t byte;
    assert_int_equal(owm_session_next(session, &byte), OWM_E_STATE);
    assert_ok(owm_session_feed(session, text, 6));
    for (uint32_t count = 6; count < 14; count++) {
        assert_ok(owm_session_next(session, &text[count]));
        assert_int_equal(text[count], next_by_batch(model, text, count));
    }
    owm_session_close(session);
    owm_model_close(model);
    device->backend->close(device);
}

static void generate(owm_model *model, const struct owm_sampling *sampling, uint8_t out[100])
{
    owm_session *session;
    assert_ok(owm_session_open(&session, model, sampling, NULL));
    assert_ok(
        owm_session_feed(session, (const uint8_t *)"a prompt longer than the context is", 35));
    for (int i = 0; i < 100; i++) assert_ok(owm_session_next(session, &out[i]));
    owm_session_close(session);
}

/* Beyond the context a stream goes on; a seed repeats it, another seed does not; top_k 1 is greedy.
 */
static void test_generation_is_deterministic(void **state)
{
    (void)state;
    struct owm_device *device = device_of("cpu");
    owm_model *model = model_of(device, 1, 0, false);
    uint8_t a[100], b[100];
    generate(model, &(struct owm_sampling){.temperature = 1, .top_k = 40, .seed = 5}, a);
    generate(model, &(struct owm_sampling){.temperature = 1, .top_k = 40, .seed = 5}, b);
    assert_memory_equal(a, b, 100);
    generate(model, &(struct owm_sampling){.temperature = 1, .top_k = 40, .seed = 6}, b);
    assert_memory_not_equal(a, b, 100);
    generate(model, &(struct owm_sampling){.temperature = 1, .top_k = 1, .seed = 6}, a);
    generate(model, &(struct owm_sampling){0}, b);
    assert_memory_equal(a, b, 100);
    owm_session *session;
    assert_int_equal(
        owm_session_open(&session, model, &(struct owm_sampling){.temperature = -1}, NULL),
        OWM_E_ARG);
    owm_model_close(model);
    device->backend->close(device);
}

/* Bits per byte: a model that knows nothing says 8, and windows of any size cover all of the text.
 */
static void test_bits_per_byte(void **state)
{
    (void)state;
    struct owm_device *device = device_of("cpu");
    owm_model *model;
    struct owm_model_options options = {device, 3, 10, false};
    assert_ok(owm_model_open(&model, &tiny, &options, NULL)); /* Weights zero: logits zero. */
    uint8_t text[77];
    double bits;
    memset(text, 'x', sizeof text);
    assert_ok(owm_model_bits_per_byte(model, text, sizeof text, &bits, NULL));
    assert_true(fabs(bits - 8) < 1e-5);
    assert_ok(owm_model_bits_per_byte(model, text, 2, &bits, NULL));
    assert_true(fabs(bits - 8) < 1e-5);
    assert_int_equal(owm_model_bits_per_byte(model, text, 1, &bits, NULL), OWM_E_ARG);
    owm_model_close(model);
    device->backend->close(device);
}

static void test_refusals(void **state)
{
    (void)state;
    struct owm_device *device = device_of("cpu");
    struct owm_error error;
    owm_model *model;
    struct owm_model_options too_long = {device, 1, 25, false},
                             too_wide = {device, 9999, 24, false};
    assert_int_equal(owm_model_open(&model, &tiny, &too_long, &error), OWM_E_LIMIT);
    assert_int_equal(owm_model_open(&model, &tiny, &too_wide, &error), OWM_E_LIMIT);
    assert_null(model);
    model = model_of(device, 1, 8, false);
    uint16_t tokens[10] = {0};
    double loss, norm;
    assert_int_equal(owm_model_grad(model, tokens, 1, 8, &loss, &norm, &error), OWM_E_STATE);
    assert_int_equal(owm_model_loss(model, tokens, 1, 9, &loss, &error), OWM_E_ARG);
    assert_int_equal(owm_model_loss(model, tokens, 0, 8, &loss, &error), OWM_E_ARG);
    tokens[4] = 256;
    assert_int_equal(owm_model_loss(model, tokens, 1, 8, &loss, &error), OWM_E_ARG);
    assert_int_equal(owm_model_step(model, &(struct owm_optimizer){.lr = 1}), OWM_E_STATE);
    owm_model_close(model);
    device->backend->close(device);
}

/* SRS-MODEL-09: what was saved is what is opened, and saving it again gives the same bytes. */
static void test_checkpoint_round_trip(void **state)
{
    (void)state;
    struct owm_device *device = device_of("cpu");
    owm_model *model = model_of(device, 1, 0, false), *back;
    uint8_t *bytes, *again;
    size_t count, again_count;
    assert_ok(owm_model_encode(model, &bytes, &count, NULL));
    struct owm_model_options options = {device, 0, 0, false};
    assert_ok(owm_model_open_bytes(&back, bytes, count, &options, NULL));
    assert_memory_equal(owm_model_config(back), &tiny, sizeof tiny);
    assert_ok(owm_model_encode(back, &again, &again_count, NULL));
    assert_int_equal(count, again_count);
    assert_memory_equal(bytes, again, count);
    owm_model_close(back);
    assert_int_equal(owm_model_open_bytes(&back, bytes, count - 4, &options, NULL), OWM_E_PROTO);
    assert_null(back);
    free(bytes), free(again);
    owm_model_close(model);
    device->backend->close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient_by_differences),
        cmocka_unit_test(test_backends_agree),
        cmocka_unit_test(test_decode_agrees_with_forward),
        cmocka_unit_test(test_generation_is_deterministic),
        cmocka_unit_test(test_bits_per_byte),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_checkpoint_round_trip),
    };
    /* Loss, gradient and decoding; the others take an emulated device minutes. */
    if (getenv("OWM_TEST_BACKEND")) cmocka_set_test_filter("*agree*");
    return cmocka_run_group_tests_name("SRS-MODEL-04 model", tests, NULL, NULL);
}
