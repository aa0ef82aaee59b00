/* test_safetensors.c: the file format: what is accepted, every refusal with its own reason, and the
 * same bytes for the same weights (SRS-MODEL-09). */
#include "test.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/sha256.h"
#include "dataplane/model/checkpoint.h"

/** file_of: a file with this header and `data_bytes` of data; returns its size. */
static size_t file_of(uint8_t *out, size_t room, const char *header, size_t data_bytes)
{
    size_t count = strlen(header);
    assert_true(8 + count + data_bytes <= room);
    memset(out, 0, room);
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)((uint64_t)count >> 8 * i);
    memcpy(out + 8, header, count);
    return 8 + count + data_bytes;
}

static void refused(const char *header, size_t data_bytes, owm_status want, const char *reason)
{
    uint8_t bytes[4096];
    struct owm_error error = {""};
    owm_safetensors *file;
    size_t count = file_of(bytes, sizeof bytes, header, data_bytes);
    owm_status status = owm_safetensors_open_bytes(&file, bytes, count, &error);
    if (status != want || !strstr(error.text, reason))
        fail_msg("%s: %s: '%s' (wanted '%s')", header, owm_status_text(status), error.text, reason);
    assert_null(file);
}

/* SRS-MODEL-09: a checkpoint from elsewhere is checked before it is used. */
static void test_malformed_headers_each_have_their_reason(void **state)
{
    (void)state;
    refused("", 0, OWM_E_PROTO, "begin with '{'");
    refused(" {}", 0, OWM_E_PROTO, "begin with '{'");
    refused("{", 0, OWM_E_PROTO, "header: ");
    refused("{}", 1, OWM_E_PROTO, "belong to no tensor");
    refused("{\"a\":1}", 0, OWM_E_PROTO, "no object");
    refused("{\"a\":{}}", 0, OWM_E_PROTO, "must have dtype, shape and data_offsets");
    refused("{\"__metadata__\":1}", 0, OWM_E_PROTO, "__metadata__ is no object");
    refused("{\"__metadata__\":{\"a\":1}}", 0, OWM_E_PROTO, "is no string");
    refused("{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, OWM_E_PROTO,
            "no dtype");
    refused("{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8,
            OWM_E_UNSUPPORTED, "I64");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, OWM_E_PROTO,
            "no shape");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
            OWM_E_LIMIT, "dimensions");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, OWM_E_PROTO,
            "no positive integer");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, OWM_E_PROTO,
            "no positive integer");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, OWM_E_PROTO,
            "no positive integer");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}",
            4, OWM_E_PROTO, "overflows");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, OWM_E_PROTO,
            "two integers");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 4, OWM_E_PROTO,
            "outside");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, OWM_E_PROTO,
            "outside");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, OWM_E_PROTO,
            "its shape needs 8");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, OWM_E_PROTO,
            "hole");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
            "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
            8, OWM_E_PROTO, "but the tensor before it ends");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
            "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
            8, OWM_E_PROTO, "header: ");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} x", 4, OWM_E_PROTO,
            "header: ");
}

static void test_length_field_is_checked(void **state)
{
    (void)state;
    uint8_t bytes[16] = {0};
    struct owm_error error;
    owm_safetensors *file;
    for (size_t count = 0; count < 8; count++)
        assert_int_equal(owm_safetensors_open_bytes(&file, bytes, count, &error), OWM_E_PROTO);
    bytes[0] = 9;
    assert_int_equal(owm_safetensors_open_bytes(&file, bytes, 16, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "9 bytes, 8 are left"));
    memset(bytes, 0xff, 8);
    assert_int_equal(owm_safetensors_open_bytes(&file, bytes, 16, &error), OWM_E_LIMIT);
}

static void test_round_trip_of_both_dtypes(void **state)
{
    (void)state;
    const float x[4] = {1, -2.5f, 3e-8f, 1.00390625f}, y[2] = {0.1f, -7};
    struct owm_tensor tensors[] = {
        {.name = "z", .dtype = OWM_DTYPE_F32, .rank = 2, .shape = {2, 2}, .count = 4, .data = x},
        {.name = "b", .dtype = OWM_DTYPE_BF16, .rank = 1, .shape = {2}, .count = 2, .data = y},
    };
    struct owm_metadata metadata[] = {{"k", "v"}, {"a", "1"}};
    struct owm_safetensors_content content = {tensors, 2, metadata, 2};
    uint8_t *bytes, *again;
    size_t count, again_count;
    assert_ok(owm_safetensors_encode(&content, &bytes, &count, NULL));
    struct owm_tensor swapped[] = {tensors[1], tensors[0]};
    struct owm_metadata turned[] = {metadata[1], metadata[0]};
    content = (struct owm_safetensors_content){swapped, 2, turned, 2};
    assert_ok(owm_safetensors_encode(&content, &again, &again_count, NULL));
    assert_int_equal(count, again_count);
    assert_memory_equal(bytes, again, count); /* SRS-MODEL-09: the order given does not matter. */
    assert_int_equal(bytes[0] % 8, 0);

    owm_safetensors *file;
    assert_ok(owm_safetensors_open_bytes(&file, bytes, count, NULL));
    assert_string_equal(owm_safetensors_at(file, 0)->name, "b");
    assert_null(owm_safetensors_at(file, 2));
    assert_string_equal(owm_safetensors_metadata(file, "k"), "v");
    assert_null(owm_safetensors_metadata(file, "none"));
    float got[4];
    owm_tensor_read_f32(owm_safetensors_find(file, "z"), got);
    assert_memory_equal(got, x, sizeof x);
    owm_tensor_read_f32(owm_safetensors_find(file, "b"), got);
    assert_true(got[0] == 0.10009765625f && got[1] == -7);
    owm_safetensors_close(file);
    free(bytes);
    free(again);
}

static void test_writer_refuses_what_it_could_not_read(void **state)
{
    (void)state;
    float x = 1;
    uint8_t *bytes;
    size_t count;
    struct owm_tensor t[2] = {{.name = "a\"", .rank = 1, .shape = {1}, .count = 1, .data = &x}};
    struct owm_safetensors_content content = {t, 1, NULL, 0};
    assert_int_equal(owm_safetensors_encode(&content, &bytes, &count, NULL), OWM_E_ARG);
    strncpy(t[0].name, "a", sizeof t[0].name);
    t[1] = t[0];
    content.tensor_count = 2;
    assert_int_equal(owm_safetensors_encode(&content, &bytes, &count, NULL), OWM_E_ARG);
}

static const struct owm_model_config tiny = {
    .vocab = 256,
    .dim = 8,
    .layers = 2,
    .heads = 2,
    .kv_heads = 1,
    .ffn_dim = 12,
    .context = 16,
    .rope_theta = 10000,
    .norm_eps = 1e-5f,
};

/* SRS-MODEL-09: the SHA-256 of the file names the checkpoint. The digest is fixed here: weights
 * from seed 1 are the same bits on every machine, and the format does not drift. */
static void test_checkpoint_bytes_are_fixed(void **state)
{
    (void)state;
    uint64_t params = owm_model_config_params(&tiny);
    float *w = malloc(params * sizeof *w);
    assert_non_null(w);
    owm_model_init_params(&tiny, 1, w);
    uint8_t *bytes, digest[32];
    size_t count;
    assert_ok(owm_checkpoint_encode(&tiny, w, &bytes, &count, NULL));
    owm_sha256(bytes, count, digest);
    char hex[65];
    for (int i = 0; i < 32; i++) (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(hex, "df04b32749f28bb49fb9ff51e38a13a7e91af4ad12692189178fce0a52d07929");
    owm_safetensors *file;
    assert_ok(owm_safetensors_open_bytes(&file, bytes, count, NULL));
    struct owm_model_config config;
    float *back = malloc(params * sizeof *back);
    assert_non_null(back);
    assert_ok(owm_checkpoint_config(file, &config, NULL));
    assert_memory_equal(&config, &tiny, sizeof tiny);
    assert_ok(owm_checkpoint_params(file, &config, back, NULL));
    assert_memory_equal(back, w, params * sizeof *w);
    owm_safetensors_close(file);

    uint64_t header = 8 + bytes[0] + 256u * bytes[1];
    struct owm_error error;
    memset(bytes + header + 4 * 100, 0xff, 4); /* A NaN among the weights. */
    assert_ok(owm_safetensors_open_bytes(&file, bytes, count, NULL));
    assert_int_equal(owm_checkpoint_params(file, &config, back, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "weight 100 of 'embed' is not finite"));
    owm_safetensors_close(file);

    char *dim = memmem(bytes, header, "\"dim\":\"8\"", 9);
    assert_non_null(dim);
    dim[7] = '4';
    assert_ok(owm_safetensors_open_bytes(&file, bytes, count, NULL));
    assert_int_equal(owm_checkpoint_config(file, &config, &error), OWM_E_PROTO);
    assert_non_null(strstr(error.text, "'embed' is not that of the config"));
    owm_safetensors_close(file);
    dim[7] = 'x';
    assert_ok(owm_safetensors_open_bytes(&file, bytes, count, NULL));
    assert_int_equal(owm_checkpoint_config(file, &config, &error), OWM_E_PROTO);
    owm_safetensors_close(file);
    free(w), free(back), free(bytes);
}

static void test_files_and_descriptors(void **state)
{
    (void)state;
    char path[] = "/tmp/owm-model-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    uint64_t params = owm_model_config_params(&tiny);
    float *w = malloc(params * sizeof *w), *back;
    assert_non_null(w);
    owm_model_init_params(&tiny, 7, w);
    assert_ok(owm_checkpoint_save(path, &tiny, w, NULL));
    struct owm_model_config config;
    assert_ok(owm_checkpoint_load(path, &config, &back, NULL));
    assert_memory_equal(back, w, params * sizeof *w);
    (void)unlink(path);

    owm_safetensors *file;
    struct owm_error error;
    assert_int_equal(owm_safetensors_open_file(&file, path, &error), OWM_E_NOTFOUND);
    assert_non_null(strstr(error.text, path));
    assert_int_equal(owm_safetensors_open_file(&file, "/tmp", &error), OWM_E_IO);
    assert_int_equal(owm_safetensors_open_fd(&file, fd, &error), OWM_E_PROTO); /* Empty. */
    (void)close(fd);
    free(w), free(back);
}

static void test_config_refusals(void **state)
{
    (void)state;
    struct owm_error error;
    struct owm_model_config c = owm_model_config_default();
    assert_ok(owm_model_config_check(&c, &error));
    assert_true(owm_model_config_params(&c) >= 1000000);
    struct {
        uint32_t *field, value;
        const char *reason;
    } cases[] = {
        {&c.vocab, 0, "vocab"},       {&c.dim, 0, "dim"},         {&c.dim, 130, "multiple"},
        {&c.kv_heads, 3, "multiple"}, {&c.layers, 100, "layers"}, {&c.context, 5000, "context"},
        {&c.heads, 1, "dim / heads"}, {&c.ffn_dim, 0, "ffn_dim"},
    };
    c = (struct owm_model_config){.vocab = 256,
                                  .dim = 256,
                                  .layers = 6,
                                  .heads = 8,
                                  .kv_heads = 1,
                                  .ffn_dim = 352,
                                  .context = 128,
                                  .rope_theta = 1e4f,
                                  .norm_eps = 1e-5f};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t was = *cases[i].field;
        *cases[i].field = cases[i].value;
        assert_int_equal(owm_model_config_check(&c, &error), OWM_E_CONFIG);
        assert_non_null(strstr(error.text, cases[i].reason));
        *cases[i].field = was;
    }
    c.norm_eps = 0;
    assert_int_equal(owm_model_config_check(&c, &error), OWM_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_headers_each_have_their_reason),
        cmocka_unit_test(test_length_field_is_checked),
        cmocka_unit_test(test_round_trip_of_both_dtypes),
        cmocka_unit_test(test_writer_refuses_what_it_could_not_read),
        cmocka_unit_test(test_checkpoint_bytes_are_fixed),
        cmocka_unit_test(test_files_and_descriptors),
        cmocka_unit_test(test_config_refusals),
    };
    return cmocka_run_group_tests_name("SRS-MODEL-09 safetensors", tests, NULL, NULL);
}
