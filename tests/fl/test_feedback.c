/* test_feedback.c: nothing learned is lost: sent + residual = gradients, through drops and crashes
 * (SRS-MODEL 4.2.3 step 4; facts 5: conservation). */
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "fl_test.h"

#define N      5000u
#define ROUNDS 30

static struct owm_device *device;
static owm_identity *node;
static char folder[] = "/tmp/owm-feedback-XXXXXX";
static char path[64];

static uint8_t *make_package(float *residual, const float *gradient, uint64_t round,
                             const struct owm_feedback_config *config, size_t *bytes)
{
    struct owm_delta_header header = {
        .round = round, .parameter_count = N, .values = config->values};
    uint8_t *package;
    memcpy(header.node_key, owm_identity_public_key(node), 32);
    assert_ok(owm_feedback_package(device, config, &header, residual, gradient, &package, bytes));
    assert_ok(owm_delta_sign(package, *bytes, node));
    return package;
}

static void decode(const uint8_t *package, size_t bytes, struct owm_delta *delta)
{
    struct owm_delta_header header;
    enum owm_delta_reason reason;
    assert_ok(owm_delta_peek(package, bytes, &header, &reason));
    struct owm_delta_expect expect = {.round = header.round, .parameter_count = N, .k_max = N};
    memcpy(expect.node_key, header.node_key, 32);
    assert_ok(owm_delta_decode(package, bytes, &expect, delta, &reason, NULL));
}

static float ulp(float x)
{
    x = fabsf(x);
    return nextafterf(x, INFINITY) - x;
}

static void sent_plus_residual_is_the_sum_of_gradients(void **state)
{
    (void)state;
    for (int type = 0; type < 2; type++) {
        struct owm_feedback_config config = owm_feedback_defaults();
        config.values = type ? OWM_DELTA_BF16 : OWM_DELTA_INT8;
        static float residual[N], gradient[N], before[N];
        static double total[N], sent[N], slack[N];
        struct owm_rng rng;
        owm_rng_seed(&rng, 11);
        memset(residual, 0, sizeof residual);
        memset(total, 0, sizeof total);
        memset(sent, 0, sizeof sent);
        memset(slack, 0, sizeof slack);
        for (int round = 0; round < ROUNDS; round++) {
            struct owm_delta delta;
            size_t bytes;
            fill_normal(&rng, gradient, N, 1e-3);
            memcpy(before, residual, sizeof before);
            uint8_t *package = make_package(residual, gradient, 1, &config, &bytes);
            decode(package, bytes, &delta);
            assert_int_equal(delta.sparse.count, N / 10);
            for (uint32_t i = 0; i < N; i++) {
                float sum = before[i] + gradient[i];
                total[i] += (double)gradient[i];
                slack[i] += (double)ulp(sum); /* one rounding per addition, no other */
                before[i] = sum;
            }
            for (uint32_t i = 0; i < delta.sparse.count; i++) {
                uint32_t c = delta.index[i];
                sent[c] += (double)delta.value[i];
                assert_true(residual[c] + delta.value[i] == before[c]);
                before[c] = residual[c];
            }
            assert_memory_equal(before, residual, sizeof before);
            owm_delta_free(&delta);
            free(package);
        }
        for (uint32_t i = 0; i < N; i++)
            assert_true(fabs(sent[i] + (double)residual[i] - total[i]) <= slack[i]);
    }
}

static void a_bad_gradient_sends_and_loses_nothing(void **state)
{
    (void)state;
    struct owm_feedback_config config = owm_feedback_defaults();
    static float residual[N], gradient[N];
    uint32_t index[N];
    float value[N];
    struct owm_sparse sparse;
    static const float bad[] = {NAN, INFINITY, 3e38f};
    for (int i = 0; i < 3; i++) {
        for (uint32_t c = 0; c < N; c++) residual[c] = (float)c;
        for (uint32_t c = 0; c < N; c++) gradient[c] = 0.5f;
        gradient[7] = bad[i];
        if (i == 2) residual[7] = 3e38f; /* overflows only in the sum */
        assert_int_equal(
            owm_feedback_pick(device, &config, residual, gradient, N, index, value, &sparse),
            OWM_E_ARG);
        for (uint32_t c = 0; c < N; c++)
            assert_true(residual[c] == (c != 7 ? (float)c + 0.5f : i == 2 ? 3e38f : 7));
    }
}

static void the_file_follows_sent_included_and_dropped(void **state)
{
    (void)state;
    struct owm_feedback_config config = owm_feedback_defaults();
    static float residual[N], gradient[N], whole[N];
    struct owm_feedback *feedback;
    struct owm_feedback_inflight flight;
    struct owm_error error = {""};
    struct owm_rng rng;
    size_t bytes;
    owm_rng_seed(&rng, 5);
    (void)unlink(path);
    assert_ok(owm_feedback_open(path, N, &feedback, &error));
    fill_normal(&rng, gradient, N, 1);
    memcpy(whole, gradient, sizeof whole);
    memset(residual, 0, sizeof residual);
    uint8_t *package = make_package(residual, gradient, 3, &config, &bytes);
    assert_ok(owm_feedback_sent(feedback, residual, package, bytes, &error));
    assert_int_equal(owm_feedback_sent(feedback, residual, package, bytes, &error), OWM_E_EXISTS);
    owm_feedback_close(feedback);

    assert_ok(owm_feedback_open(path, N, &feedback, &error)); /* a restart */
    assert_int_equal(owm_feedback_pending(feedback), 1);
    assert_ok(owm_feedback_inflight(feedback, 0, &flight));
    assert_true(flight.round == 3 && flight.bytes == bytes);
    assert_memory_equal(flight.package, package, bytes);
    assert_memory_equal(owm_feedback_residual(feedback), residual, sizeof residual);
    uint8_t hash[32];
    memcpy(hash, flight.sha256, 32);
    assert_ok(owm_feedback_resolve(feedback, hash, 0, &error)); /* not included */
    assert_memory_equal(owm_feedback_residual(feedback), whole, sizeof whole);
    assert_int_equal(owm_feedback_resolve(feedback, hash, 0, &error), OWM_E_NOTFOUND);
    owm_feedback_close(feedback);

    assert_ok(owm_feedback_open(path, N, &feedback, &error));
    assert_memory_equal(owm_feedback_residual(feedback), whole, sizeof whole);
    assert_ok(owm_feedback_sent(feedback, residual, package, bytes, &error));
    assert_ok(owm_feedback_resolve(feedback, hash, 1, &error)); /* included */
    assert_memory_equal(owm_feedback_residual(feedback), residual, sizeof residual);
    assert_int_equal(owm_feedback_pending(feedback), 0);
    owm_feedback_close(feedback);
    free(package);
    assert_int_equal(owm_feedback_open(path, N + 1, &feedback, &error), OWM_E_STATE);
    assert_non_null(strstr(error.text, "5001"));
}

static void at_most_eight_packages_wait(void **state)
{
    (void)state;
    struct owm_feedback_config config = owm_feedback_defaults();
    static float residual[N], gradient[N];
    struct owm_feedback *feedback;
    struct owm_error error;
    struct owm_rng rng;
    owm_rng_seed(&rng, 6);
    (void)unlink(path);
    memset(residual, 0, sizeof residual);
    assert_ok(owm_feedback_open(path, N, &feedback, &error));
    for (uint64_t round = 0; round <= OWM_FEEDBACK_INFLIGHT_MAX; round++) {
        size_t bytes;
        fill_normal(&rng, gradient, N, 1);
        uint8_t *package = make_package(residual, gradient, round, &config, &bytes);
        assert_int_equal(owm_feedback_sent(feedback, residual, package, bytes, &error),
                         round < OWM_FEEDBACK_INFLIGHT_MAX ? OWM_OK : OWM_E_LIMIT);
        free(package);
    }
    owm_feedback_close(feedback);
}

/* A crash leaves the old file, the new one, or either beside a part of a temporary file; a part in
 * place of the file (a broken disk) must be seen, at any length and for any flipped byte. */
static void a_file_cut_or_changed_anywhere_is_noticed(void **state)
{
    (void)state;
    struct owm_feedback_config config = owm_feedback_defaults();
    static float residual[N], gradient[N];
    struct owm_feedback *feedback;
    struct owm_error error;
    struct owm_rng rng;
    uint8_t *file;
    size_t bytes, package_bytes;
    owm_rng_seed(&rng, 8);
    (void)unlink(path);
    memset(residual, 0, sizeof residual);
    fill_normal(&rng, gradient, N, 1);
    assert_ok(owm_feedback_open(path, N, &feedback, &error));
    uint8_t *package = make_package(residual, gradient, 1, &config, &package_bytes);
    assert_ok(owm_feedback_sent(feedback, residual, package, package_bytes, &error));
    owm_feedback_close(feedback);
    free(package);
    assert_ok(owm_fs_read(path, 1 << 20, &file, &bytes, &error));
    for (size_t cut = 0; cut < bytes; cut += cut < 64 ? 1 : 97) {
        FILE *out = fopen(path, "wb");
        assert_non_null(out);
        assert_int_equal(fwrite(file, 1, cut, out), cut);
        (void)fclose(out);
        assert_int_equal(owm_feedback_open(path, N, &feedback, &error), OWM_E_PROTO);
    }
    for (size_t at = 0; at < bytes; at += at < 64 ? 1 : 97) {
        file[at] ^= 4;
        FILE *out = fopen(path, "wb");
        assert_non_null(out);
        assert_int_equal(fwrite(file, 1, bytes, out), bytes);
        (void)fclose(out);
        assert_int_not_equal(owm_feedback_open(path, N, &feedback, &error), OWM_OK);
        file[at] ^= 4;
    }
    free(file);
}

static void a_failed_write_keeps_the_old_state(void **state)
{
    (void)state;
    struct owm_feedback_config config = owm_feedback_defaults();
    static float residual[N], gradient[N];
    char gone[64], lost[64];
    struct owm_feedback *feedback;
    struct owm_error error;
    size_t bytes;
    (void)snprintf(gone, sizeof gone, "%s/sub", folder);
    (void)snprintf(lost, sizeof lost, "%s/sub/state", folder);
    assert_int_equal(mkdir(gone, 0700), 0);
    assert_ok(owm_feedback_open(lost, N, &feedback, &error));
    assert_int_equal(rmdir(gone), 0);
    gradient[1] = 1;
    memset(residual, 0, sizeof residual);
    uint8_t *package = make_package(residual, gradient, 1, &config, &bytes);
    residual[0] = 5;
    assert_int_not_equal(owm_feedback_sent(feedback, residual, package, bytes, &error), OWM_OK);
    assert_int_equal(owm_feedback_pending(feedback), 0);
    assert_true(owm_feedback_residual(feedback)[0] == 0);
    owm_feedback_close(feedback);
    free(package);
}

/* A process killed while it wrote leaves a part as large as the model beside the file. */
static void parts_of_killed_writers_are_removed(void **state)
{
    (void)state;
    char part[96], other[96];
    struct owm_error error;
    struct owm_feedback *feedback;
    (void)unlink(path);
    (void)snprintf(part, sizeof part, "%s.tmp.a1B2c3", path);
    (void)snprintf(other, sizeof other, "%s.tmp.mine", path);
    assert_ok(owm_fs_write_atomic(part, "half", 4, 0600, &error));
    assert_ok(owm_fs_write_atomic(other, "kept", 4, 0600, &error));
    assert_ok(owm_feedback_open(path, N, &feedback, &error));
    owm_feedback_close(feedback);
    assert_int_not_equal(access(part, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
    (void)unlink(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sent_plus_residual_is_the_sum_of_gradients),
        cmocka_unit_test(a_bad_gradient_sends_and_loses_nothing),
        cmocka_unit_test(the_file_follows_sent_included_and_dropped),
        cmocka_unit_test(at_most_eight_packages_wait),
        cmocka_unit_test(a_file_cut_or_changed_anywhere_is_noticed),
        cmocka_unit_test(a_failed_write_keeps_the_old_state),
        cmocka_unit_test(parts_of_killed_writers_are_removed),
    };
    if (!mkdtemp(folder)) return 1;
    (void)snprintf(path, sizeof path, "%s/feedback", folder);
    device = test_device(NULL);
    node = test_identity(1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    owm_identity_close(node);
    device->backend->close(device);
    (void)unlink(path);
    (void)rmdir(folder);
    return failed;
}
