/* test_authority.c: the authority key: its text, its file, what it certifies (SRS-SEC-16). */
#include "dataplane/sv2/authority.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "sv2_test.h"

#define NOW      1800000000u
#define KEY_FILE SCRATCH "/authority.key"

/* The vector of the specification, section 4.7.1, and the example pair that the reference
 * implementation publishes (its secret, without base58check, is the first field). */
static void texts_are_those_that_others_print(void **state)
{
    (void)state;
    static const char spec_key[] = "7663700097"
                                   "9c1c11af0c300bcd8c7fe48610fce9b9c11e3daee35ae0b08a7455";
    static const char spec_text[] = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh";
    static const char sri_text[] = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";
    uint8_t key[32], secret[32];
    char text[OWM_SV2_AUTHORITY_TEXT_BYTES];
    struct owm_error error;
    from_hex(spec_key, key, 32);
    owm_sv2_authority_text(key, text);
    assert_string_equal(text, spec_text);
    memset(key, 0, sizeof key);
    assert_ok(owm_sv2_authority_parse(spec_text, key, &error));
    assert_hex(key, 32, spec_key);

    struct owm_sv2_authority *authority;
    from_hex("65995eb19631f478a46ffa5cf1e545091efe950eaeac7482ffdc06eb6a89f697", secret, 32);
    assert_ok(owm_sv2_authority_from_secret(secret, &authority));
    owm_sv2_authority_public(authority, key);
    owm_sv2_authority_text(key, text);
    assert_string_equal(text, sri_text);
    owm_sv2_authority_close(authority);
}

static void bad_text(const char *text, const char *sentence)
{
    uint8_t key[32];
    struct owm_error error = {""};
    assert_int_equal(owm_sv2_authority_parse(text, key, &error), OWM_E_PROTO);
    if (!strstr(error.text, sentence)) fail_msg("'%s' does not say '%s'", error.text, sentence);
}

static void mistyped_texts_are_refused(void **state)
{
    (void)state;
    static const char good[] = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh";
    char text[sizeof good + 8];
    for (size_t at = 0; at < sizeof good - 1; at++) {
        memcpy(text, good, sizeof good);
        text[at] = text[at] == 'z' ? 'y' : 'z';
        bad_text(text, at == 0 ? "" : "mistyped or cut");
    }
    for (size_t cut = 0; cut < sizeof good - 1; cut++) {
        memcpy(text, good, sizeof good);
        text[cut] = 0;
        bad_text(text, "mistyped or cut");
    }
    bad_text("9bXiEd0", "base58 does not have, at position 7");
    bad_text("9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh\n", "base58 does not have");
    bad_text("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "too long");
    snprintf(text, sizeof text, "1%s", good);
    bad_text(text, "too long");
}

static void senseless_keys_are_refused(void **state)
{
    (void)state;
    uint8_t key[32];
    char text[OWM_SV2_AUTHORITY_TEXT_BYTES];
    struct owm_sv2_authority *authority;
    memset(key, 0xff, sizeof key); /* Not below the field's prime, nor the group's order. */
    owm_sv2_authority_text(key, text);
    bad_text(text, "no point of the curve");
    assert_int_equal(owm_sv2_authority_from_secret(key, &authority), OWM_E_ARG);
    assert_null(authority);
    memset(key, 0, sizeof key);
    assert_int_equal(owm_sv2_authority_from_secret(key, &authority), OWM_E_ARG);
    /* Version 2, otherwise right: base58check made with Python's hashlib. */
    bad_text("JBAHPz2mxKdgM8HBhdW2bZpLLBd8uXGnum2FVdm5rH2Kt8nBY8G", "only 1 is known");
}

static void random_keys_go_there_and_back(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        uint8_t secret[32], key[32], back[32];
        char text[OWM_SV2_AUTHORITY_TEXT_BYTES];
        struct owm_sv2_authority *authority;
        struct owm_error error;
        random_bytes(secret, sizeof secret);
        assert_ok(owm_sv2_authority_from_secret(secret, &authority));
        owm_sv2_authority_public(authority, key);
        owm_sv2_authority_close(authority);
        owm_sv2_authority_text(key, text);
        assert_ok(owm_sv2_authority_parse(text, back, &error));
        assert_memory_equal(key, back, 32);
    }
}

static void the_key_file_is_made_once_and_kept(void **state)
{
    (void)state;
    struct owm_sv2_authority *authority;
    struct owm_error error;
    uint8_t first[32], second[32];
    struct stat info;
    bool created;
    unlink(KEY_FILE);
    assert_ok(owm_sv2_authority_load_or_create(KEY_FILE, &authority, &created, &error));
    assert_true(created);
    owm_sv2_authority_public(authority, first);
    owm_sv2_authority_close(authority);
    assert_int_equal(stat(KEY_FILE, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_ok(owm_sv2_authority_load_or_create(KEY_FILE, &authority, &created, &error));
    assert_false(created);
    owm_sv2_authority_public(authority, second);
    owm_sv2_authority_close(authority);
    assert_memory_equal(first, second, 32);
    assert_ok(owm_sv2_authority_load_or_create(KEY_FILE, &authority, NULL, &error));
    owm_sv2_authority_close(authority);
}

static void assert_file_refused(owm_status expected, const char *sentence)
{
    struct owm_sv2_authority *authority;
    struct owm_error error = {""};
    bool created;
    assert_int_equal(owm_sv2_authority_load_or_create(KEY_FILE, &authority, &created, &error),
                     expected);
    assert_null(authority);
    assert_false(created);
    if (!strstr(error.text, sentence)) fail_msg("'%s' does not say '%s'", error.text, sentence);
}

static void bad_key_files_are_refused_and_left_alone(void **state)
{
    (void)state;
    static const char *bad[] = {
        "",
        "hello\n",
        "owm-sv2-authority-1 00\n",
        "owm-ed25519-seed-1 0101010101010101010101010101010101010101010101010101010101010101\n",
        "owm-sv2-authority-1 0000000000000000000000000000000000000000000000000000000000000000\n",
        "owm-sv2-authority-1 010101010101010101010101010101010101010101010101010101010101010g\n",
        "owm-sv2-authority-1 0101010101010101010101010101010101010101010101010101010101010101",
        "owm-sv2-authority-1 0101010101010101010101010101010101010101010101010101010101010101\n\n",
    };
    struct owm_error error;
    uint8_t *content;
    size_t bytes;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_ok(owm_fs_write_atomic(KEY_FILE, bad[i], strlen(bad[i]), 0600, &error));
        assert_file_refused(OWM_E_PROTO, "not an authority key");
        assert_ok(owm_fs_read(KEY_FILE, 1000, &content, &bytes, &error));
        assert_string_equal((const char *)content, bad[i]);
        free(content);
    }
    assert_int_equal(chmod(KEY_FILE, 0640), 0);
    assert_file_refused(OWM_E_PERM, "chmod 600 " KEY_FILE);
    unlink(KEY_FILE);
    assert_int_equal(symlink("elsewhere", KEY_FILE), 0);
    assert_file_refused(OWM_E_PERM, "symbolic link");
    unlink(KEY_FILE);
    assert_int_equal(mkdir(KEY_FILE, 0700), 0);
    assert_file_refused(OWM_E_PROTO, "not a regular file");
    rmdir(KEY_FILE);
}

static void certificates_are_dated_back(void **state)
{
    (void)state;
    struct owm_sv2_authority *authority;
    struct owm_sv2_credentials made;
    static const struct owm_sv2_credentials wiped;
    assert_ok(owm_sv2_authority_from_secret((uint8_t[32]){3}, &authority));
    assert_ok(owm_sv2_credentials_make(authority, NOW, 7200, &made));
    struct owm_reader from;
    owm_reader_init(&from, made.certificate, sizeof made.certificate);
    assert_int_equal(owm_read_u16_le(&from), 0);
    assert_int_equal(owm_read_u32_le(&from), NOW - 3600);
    assert_int_equal(owm_read_u32_le(&from), NOW + 7200);
    assert_int_equal(made.not_valid_after_s, NOW + 7200);
    assert_int_equal(owm_sv2_credentials_make(authority, NOW, 0, &made), OWM_E_ARG);
    assert_int_equal(owm_sv2_credentials_make(authority, UINT32_MAX, 1, &made), OWM_E_ARG);
    assert_int_equal(owm_sv2_credentials_make(authority, UINT64_MAX, 1, &made), OWM_E_ARG);
    assert_ok(owm_sv2_credentials_make(authority, UINT32_MAX - 1u, 1, &made));
    assert_ok(owm_sv2_credentials_make(authority, 5, 1, &made)); /* A clock near 1970. */
    owm_sv2_credentials_wipe(&made);
    assert_memory_equal(&made, &wiped, sizeof wiped);
    owm_sv2_authority_close(authority);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_those_that_others_print),
        cmocka_unit_test(mistyped_texts_are_refused),
        cmocka_unit_test(senseless_keys_are_refused),
        cmocka_unit_test(random_keys_go_there_and_back),
        cmocka_unit_test(the_key_file_is_made_once_and_kept),
        cmocka_unit_test(bad_key_files_are_refused_and_left_alone),
        cmocka_unit_test(certificates_are_dated_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
