/* test_base_core.c: log lines, clock, bytes, generator, files. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/html.h"
#include "base/log.h"
#include "base/rng.h"
#include "test.h"

static char folder[] = "/tmp/owm-base-XXXXXX";

static size_t read_log(int fd, char *text, size_t bytes)
{
    ssize_t got = pread(fd, text, bytes - 1, 0);
    assert_true(got >= 0);
    text[got] = 0;
    return (size_t)got;
}

/* SRS-SEC-06: foreign text in a log cannot forge a line or drive a terminal. */
static void log_text_cannot_forge_a_line(void **state)
{
    (void)state;
    char text[8192];
    FILE *file = tmpfile();
    owm_log_fd_set(fileno(file));
    owm_log_program_set("owm-test");
    owm_log_level_set(OWM_LOG_INFO);
    owm_log(OWM_LOG_DEBUG, "filtered");
    owm_log(OWM_LOG_WARN, "peer name=%s",
            "a\n1.0 ERROR owm-test: forged\r\x1b[2J\x7f\xc2\x9b\xff é");
    read_log(fileno(file), text, sizeof text);
    assert_null(strstr(text, "filtered"));
    assert_non_null(strstr(text, " WARN  owm-test: peer name=a\\n1.0 ERROR"));
    assert_non_null(strstr(text, "\\x0d\\x1b[2J\\x7f\\xc2\\x9b\\xff é\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    fclose(file);
    owm_log_fd_set(2);
}

static void log_long_line_is_cut(void **state)
{
    (void)state;
    char text[8192], longer[4000];
    FILE *file = tmpfile();
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    owm_log_fd_set(fileno(file));
    owm_log(OWM_LOG_ERROR, "%s", longer);
    memset(longer, 1, sizeof longer - 1);
    owm_log(OWM_LOG_ERROR, "%s", longer);
    size_t bytes = read_log(fileno(file), text, sizeof text);
    char *end = strchr(text, '\n');
    assert_true(end - text < OWM_LOG_LINE_BYTES_MAX);
    assert_memory_equal(end - 3, "…", 3);
    assert_true(bytes - (size_t)(end + 1 - text) <= OWM_LOG_LINE_BYTES_MAX);
    assert_memory_equal(text + bytes - 4, "…\n", 4);
    fclose(file);
    owm_log_fd_set(2);
    enum owm_log_level level = OWM_LOG_OFF;
    assert_true(owm_log_level_parse("INFO", &level) && level == OWM_LOG_INFO);
    assert_false(owm_log_level_parse("loud", &level));
}

static void clock_goes_forward(void **state)
{
    (void)state;
    uint64_t before = owm_clock_mono_ns();
    owm_clock_sleep_ms(2);
    assert_true(owm_clock_mono_ns() - before >= 2000000);
    assert_true(owm_clock_wall_ms() > 1700000000000);
}

static void hex_and_base64(void **state)
{
    (void)state;
    /* RFC 4648 section 10. */
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };
    static const char *const bad[] = {
        "Zg=", "Zh==", "Z===", "====", "Zm=v", "Zm9v\n", "Zm 8", "Zg==Zg=="};
    char text[32];
    uint8_t data[16];
    size_t bytes;
    for (size_t i = 0; i < 7; i++) {
        owm_base64_encode(vectors[i][0], strlen(vectors[i][0]), text);
        assert_string_equal(text, vectors[i][1]);
        assert_ok(owm_base64_decode(text, strlen(text), data, sizeof data, &bytes));
        assert_int_equal(bytes, strlen(vectors[i][0]));
        assert_memory_equal(data, vectors[i][0], bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(owm_base64_decode(bad[i], strlen(bad[i]), data, sizeof data, &bytes),
                         OWM_E_PROTO);
    assert_int_equal(owm_base64_decode("Zm9v", 4, data, 2, &bytes), OWM_E_LIMIT);
    owm_hex_encode("\x00\xab\xff", 3, text);
    assert_string_equal(text, "00abff");
    assert_ok(owm_hex_decode("00ABff", data, 3));
    assert_memory_equal(data, "\x00\xab\xff", 3);
    assert_int_equal(owm_hex_decode("00abf", data, 3), OWM_E_PROTO);
    assert_int_equal(owm_hex_decode("00abff0", data, 3), OWM_E_PROTO);
    assert_int_equal(owm_hex_decode("00abfg", data, 3), OWM_E_PROTO);
    assert_true(owm_bytes_equal("abc", "abc", 3));
    assert_false(owm_bytes_equal("abc", "abd", 3));
}

static void cursors_fail_once_and_stay_failed(void **state)
{
    (void)state;
    uint8_t data[64];
    struct owm_writer writer;
    struct owm_reader reader;
    owm_writer_init(&writer, data, sizeof data);
    owm_write_u8(&writer, 1);
    owm_write_u16_le(&writer, 0x0203);
    owm_write_u32_be(&writer, 0x04050607);
    owm_write_u64_le(&writer, 0x1122334455667788);
    owm_write_u64_be(&writer, 0x1122334455667788);
    owm_write_f32_le(&writer, -1.5f);
    owm_write_bytes(&writer, "xy", 2);
    assert_true(owm_writer_ok(&writer));
    assert_memory_equal(data, "\x01\x03\x02\x04\x05\x06\x07\x88", 8);
    owm_reader_init(&reader, data, writer.at);
    assert_int_equal(owm_read_u8(&reader), 1);
    assert_int_equal(owm_read_u16_le(&reader), 0x0203);
    assert_int_equal(owm_read_u32_be(&reader), 0x04050607);
    assert_true(owm_read_u64_le(&reader) == 0x1122334455667788);
    assert_true(owm_read_u64_be(&reader) == 0x1122334455667788);
    assert_true(owm_read_f32_le(&reader) == -1.5f);
    assert_memory_equal(owm_read_view(&reader, 2), "xy", 2);
    assert_true(owm_reader_done(&reader));
    assert_int_equal(owm_read_u16_be(&reader), 0);
    assert_false(owm_reader_ok(&reader));
    assert_null(owm_read_view(&reader, 0));
    assert_int_equal(owm_reader_left(&reader), 0);

    owm_reader_init(&reader, data, 4);
    assert_null(owm_read_view(&reader, SIZE_MAX));
    owm_writer_init(&writer, data, 3);
    owm_write_u32_le(&writer, 1);
    owm_write_u8(&writer, 1);
    assert_false(owm_writer_ok(&writer));
    assert_int_equal(writer.at, 0);
}

static void generator_is_seeded_and_uniform(void **state)
{
    (void)state;
    struct owm_rng a, b;
    unsigned counts[6] = {0};
    double sum = 0, squares = 0;
    owm_rng_seed(&a, 7);
    owm_rng_seed(&b, 7);
    for (int i = 0; i < 100; i++) assert_true(owm_rng_u64(&a) == owm_rng_u64(&b));
    /* xoshiro256** from state {1, 2, 3, 4}: first outputs of the published reference code. */
    struct owm_rng known = {.state = {1, 2, 3, 4}};
    assert_true(owm_rng_u64(&known) == 11520);
    assert_true(owm_rng_u64(&known) == 0);
    assert_true(owm_rng_u64(&known) == 1509978240);
    for (int i = 0; i < 60000; i++) counts[owm_rng_below(&a, 6)]++;
    for (int i = 0; i < 6; i++) assert_in_range(counts[i], 9500, 10500);
    for (int i = 0; i < 50000; i++) {
        double normal = owm_rng_normal(&a);
        float uniform = owm_rng_f32(&a);
        assert_true(uniform >= 0 && uniform < 1);
        sum += normal;
        squares += normal * normal;
    }
    assert_true(sum / 50000 < 0.03 && sum / 50000 > -0.03);
    assert_true(squares / 50000 < 1.03 && squares / 50000 > 0.97);
}

static void files_are_whole_or_absent(void **state)
{
    (void)state;
    struct owm_error error;
    struct stat info;
    char path[160], deep[128], fifo[128];
    uint8_t *data;
    size_t bytes;
    snprintf(deep, sizeof deep, "%s/a/b/c", folder);
    snprintf(path, sizeof path, "%s/file", deep);
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    assert_int_equal(owm_fs_write_atomic(path, "x", 1, 0600, &error), OWM_E_NOTFOUND);
    assert_ok(owm_fs_mkdirs(deep, 0700, &error));
    assert_ok(owm_fs_mkdirs(deep, 0700, &error));
    assert_ok(owm_fs_write_atomic(path, "one", 3, 0640, &error));
    assert_ok(owm_fs_write_atomic(path, "second", 6, 0640, &error));
    assert_int_equal(owm_fs_create_atomic(path, "third", 5, 0600, &error), OWM_E_EXISTS);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_ok(owm_fs_read(path, 6, &data, &bytes, &error));
    assert_string_equal((char *)data, "second");
    assert_int_equal(bytes, 6);
    free(data);
    assert_int_equal(owm_fs_read(path, 5, &data, &bytes, &error), OWM_E_LIMIT);
    assert_int_equal(owm_fs_read("/proc/self/status", 10, &data, &bytes, &error), OWM_E_LIMIT);
    assert_ok(owm_fs_read("/proc/self/status", 65536, &data, &bytes, &error));
    free(data);
    assert_int_equal(owm_fs_read(folder, 10, &data, &bytes, &error), OWM_E_IO);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(owm_fs_read(fifo, 10, &data, &bytes, &error), OWM_E_IO);
    assert_int_equal(owm_fs_mkdirs(path, 0700, &error), OWM_E_EXISTS);
    char *home = NULL;
    setenv("HOME", "/home/someone", 1);
    assert_ok(owm_fs_expand("~/x", &home, &error));
    assert_string_equal(home, "/home/someone/x");
    free(home);
    assert_int_equal(owm_fs_expand("~root/x", &home, &error), OWM_E_ARG);
    char command[160];
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

/* What a peer says is text in a page, not a part of it. */
static void html_is_escaped(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    owm_html_text(out, "<a href=\"x\">&\n\xc3\xa4");
    fclose(out);
    assert_string_equal(text, "&lt;a href=&quot;x&quot;&gt;&amp; \xc3\xa4");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(html_is_escaped),
        cmocka_unit_test(log_text_cannot_forge_a_line),
        cmocka_unit_test(log_long_line_is_cut),
        cmocka_unit_test(clock_goes_forward),
        cmocka_unit_test(hex_and_base64),
        cmocka_unit_test(cursors_fail_once_and_stay_failed),
        cmocka_unit_test(generator_is_seeded_and_uniform),
        cmocka_unit_test(files_are_whole_or_absent),
    };
    if (!mkdtemp(folder)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
