/* test_conf.c: precedence, suggestions, allowed values, secrets, example file. */
#include <unistd.h>

#include "base/conf.h"
#include "base/fs.h"
#include "test.h"

struct values {
    char *name, *dir, *token;
    int64_t port;
    double rate;
    bool on;
    int level;
};

#define AT(field) offsetof(struct values, field)
static const struct owm_conf_row rows[] = {
    {"node.name", OWM_CONF_STRING, AT(name), "a\"b", 1, 8, NULL, NULL, "Name."},
    {"node.http_port", OWM_CONF_INT, AT(port), "8080", 1, 65535, NULL, "OWM_T_PORT", "Port."},
    {"log.level", OWM_CONF_CHOICE, AT(level), "info", 0, 0, "debug|info|warn", "OWM_T_LEVEL",
     "Level."},
    {"node.dir", OWM_CONF_PATH, AT(dir), "~/.owm", 0, 0, NULL, NULL, "Folder."},
    {"train.rate", OWM_CONF_REAL, AT(rate), "0.5", 0, 1, NULL, NULL, "Rate."},
    {"train.on", OWM_CONF_BOOL, AT(on), NULL, 0, 0, NULL, NULL, "Switch."},
    {"lnd.token", OWM_CONF_SECRET, AT(token), NULL, 4, 10, NULL, "OWM_T_TOKEN", "Secret."},
};
static const struct owm_conf_table table = {"owm-t", "A test.", NULL, NULL, rows, 7};

static void refused(const char *text, const char *part)
{
    struct values values;
    struct owm_error error = {""};
    assert_int_equal(owm_conf_parse(&table, "f.toml", text, strlen(text), &values, &error),
                     OWM_E_CONFIG);
    if (!strstr(error.text, part)) fail_msg("'%s' lacks '%s'", error.text, part);
    assert_null(strstr(error.text, "hunter"));
}

static void errors_name_place_and_fix(void **state)
{
    (void)state;
    refused("[node]\nhtp_port = 1",
            "f.toml:2: unknown key 'node.htp_port'; did you mean 'node.http_port'?");
    refused("[nod]\nx=1", "f.toml:1: unknown section 'nod'; did you mean 'node'?");
    refused("[log]\nhttp_port = 1", "did you mean 'node.http_port'?");
    refused("zzzzzzzzzzzz = 1", "--help lists all keys");
    refused(
        "[node]\nhttp_port = 70000",
        "f.toml:2: '70000' is not allowed for 'node.http_port': give an integer from 1 to 65535");
    refused("[node]\nhttp_port = '80'", "an integer from 1 to 65535");
    refused("[node]\nhttp_port = 1.5", "an integer from 1 to 65535");
    refused("[node]\nname = 5", "a text of 1 to 8 bytes");
    refused("[node]\nname = ['x']", "a text of 1 to 8 bytes");
    refused("[log]\nlevel = 'loud'", "one of debug|info|warn");
    refused("[train]\nrate = nan", "a number from 0 to 1");
    refused("[lnd]\ntoken = 'hunter2hunter2'", "'lnd.token' is not allowed");
    refused("[node\n", "f.toml:1: ");
    refused("node = 3", "unknown key 'node'");
    refused("[node]\nname = \"a\\u0000b\"", "zero byte");
    struct values values;
    struct owm_error error;
    /* Found by fuzzing: this ended the program inside toml++. */
    assert_int_equal(owm_conf_parse(&table, "f", "\n[\0a]", 5, &values, &error), OWM_E_CONFIG);
    assert_string_equal(error.text, "f:2: a control character; is this a text file?");
    char dots[10000];
    memset(dots, '.', sizeof dots);
    for (size_t i = 0; i < sizeof dots; i += 2) dots[i] = 'a';
    memcpy(dots + sizeof dots - 4, "a=1", 4);
    refused(dots, "dots");
}

/* Found by fuzzing: toml++ runs into undefined behaviour on such letters, so it gets ASCII only. */
static void letters_beyond_ascii_live_in_strings(void **state)
{
    (void)state;
    struct values values;
    struct owm_error error = {""};
    const char *text = "# \xc3\xa4 in a comment\n[node]\nname = \"m\xc3\xbc\xe2\x82\xac\"\n";
    assert_ok(owm_conf_parse(&table, "f", text, strlen(text), &values, &error));
    assert_string_equal(values.name, "m\xc3\xbc\xe2\x82\xac");
    owm_conf_deinit(&table, &values);
    refused("0\xef\xb9\xbf", "f.toml:1: a letter beyond ASCII");
    refused("[node]\nname = 'm\xc3\xbc'", "f.toml:2: a letter beyond ASCII");
    refused("[node]\nname = \"m\xc3\"", "must be UTF-8");
}

static void flag_before_environment_before_file(void **state)
{
    (void)state;
    struct values values;
    struct owm_error error = {""};
    enum owm_conf_action action;
    char path[] = "/tmp/owm-conf-XXXXXX";
    const char *text =
        "[node]\nhttp_port = 1\nname = 'file'\n[log]\nlevel = 'warn'\n[train]\nrate = 1\n";
    close(mkstemp(path));
    assert_ok(owm_fs_write_atomic(path, text, strlen(text), 0644, &error));
    setenv("OWM_T_PORT", "2", 1);
    setenv("OWM_T_LEVEL", "DEBUG", 1);
    setenv("HOME", "/h", 1);
    char flag[] = "--node.http_port=3", on[] = "--train.on", config[] = "--config";
    char *argv[] = {"owm-t", flag, config, path, on, NULL};
    assert_ok(owm_conf_load(&table, 5, argv, &values, &action, NULL, &error));
    assert_int_equal(action, OWM_CONF_RUN);
    assert_int_equal(values.port, 3);
    assert_int_equal(values.level, 0);
    assert_string_equal(values.name, "file");
    assert_string_equal(values.dir, "/h/.owm");
    assert_string_equal(values.token, "");
    assert_true(values.on && values.rate == 1);
    owm_conf_deinit(&table, &values);
    owm_conf_deinit(&table, &values);
    assert_ok(owm_conf_load(&table, 1, argv, &values, &action, NULL, &error));
    assert_int_equal(values.port, 2);
    owm_conf_deinit(&table, &values);

    /* SRS-SEC-07: a file that holds a secret is for its owner only. */
    text = "[lnd]\ntoken = 'hunter2'\n";
    assert_ok(owm_fs_write_atomic(path, text, strlen(text), 0644, &error));
    assert_int_equal(owm_conf_load(&table, 5, argv, &values, &action, NULL, &error), OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "chmod 600"));
    assert_ok(owm_fs_write_atomic(path, text, strlen(text), 0600, &error));
    assert_ok(owm_conf_load(&table, 5, argv, &values, &action, NULL, &error));
    assert_string_equal(values.token, "hunter2");
    owm_conf_deinit(&table, &values);
    unlink(path);
    assert_int_equal(owm_conf_load(&table, 5, argv, &values, &action, NULL, &error), OWM_E_CONFIG);
    unsetenv("OWM_T_PORT");
    unsetenv("OWM_T_LEVEL");
}

static owm_status load_one(char *flag, char *value, struct owm_error *error)
{
    struct values values;
    enum owm_conf_action action;
    char *argv[] = {"owm-t", flag, value, NULL};
    owm_status status = owm_conf_load(&table, value ? 3 : 2, argv, &values, &action, NULL, error);
    if (status == OWM_OK) owm_conf_deinit(&table, &values);
    return status;
}

static void flags_are_checked(void **state)
{
    (void)state;
    struct owm_error error = {""};
    char typo[] = "--lnd.tokem=hunter2", secret[] = "--lnd.token=hunter2";
    char port[] = "--node.http_port", low[] = "0", good[] = "9", operand[] = "run";
    assert_int_equal(load_one(typo, NULL, &error), OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "did you mean 'lnd.token'?"));
    assert_null(strstr(error.text, "hunter"));
    assert_int_equal(load_one(secret, NULL, &error), OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "OWM_T_TOKEN"));
    assert_null(strstr(error.text, "hunter"));
    assert_int_equal(load_one(port, NULL, &error), OWM_E_CONFIG);
    assert_int_equal(load_one(port, low, &error), OWM_E_CONFIG);
    assert_ok(load_one(port, good, &error));
    assert_int_equal(load_one(operand, NULL, &error), OWM_E_CONFIG);
}

static void example_file_reads_back(void **state)
{
    (void)state;
    char *text = NULL, file[4096];
    size_t bytes, at = 0;
    struct values values;
    struct owm_error error = {""};
    FILE *out = open_memstream(&text, &bytes);
    owm_conf_print(&table, OWM_CONF_PRINT, out);
    fclose(out);
    for (size_t i = 0; i < bytes; i++) /* activate "#key = …" */
        if (!(text[i] == '#' && text[i + 1] != ' ')) file[at++] = text[i];
    file[at] = 0;
    char *secret =
        strstr(file, "token = \"\""); /* an empty secret is not valid here, as min is 4 */
    assert_non_null(secret);
    *secret = '#';
    if (owm_conf_parse(&table, "example", file, at, &values, &error) != OWM_OK)
        fail_msg("%s\n%s", error.text, file);
    assert_int_equal(values.port, 8080);
    assert_string_equal(values.name, "a\"b");
    owm_conf_deinit(&table, &values);
    free(text);
    out = open_memstream(&text, &bytes);
    owm_conf_print(&table, OWM_CONF_HELP, out);
    fclose(out);
    assert_non_null(
        strstr(text, "an integer from 1 to 65535; default 8080; environment OWM_T_PORT"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_name_place_and_fix),
        cmocka_unit_test(letters_beyond_ascii_live_in_strings),
        cmocka_unit_test(flag_before_environment_before_file),
        cmocka_unit_test(flags_are_checked),
        cmocka_unit_test(example_file_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
