/* test_proof.c: published proofs byte for byte, and every way in which a file can be wrong.
 * argv: folders of .ots files; those that are not there are left out. */
#include <dirent.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "dataplane/ots/proof.h"
#include "random_tree.h"
#include "test.h"

static const char *const *folders;

static uint8_t *read_file(const char *folder, const char *name, size_t *bytes)
{
    char path[4096];
    uint8_t *data = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(owm_fs_read(path, OWM_OTS_FILE_BYTES_MAX, &data, bytes, NULL));
    return data;
}

static unsigned round_trip_folder(const char *folder)
{
    unsigned count = 0;
    DIR *dir = opendir(folder);
    if (!dir) return 0;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        size_t length = strlen(entry->d_name), bytes = 0, written_bytes = 0;
        if (length < 4 || strcmp(entry->d_name + length - 4, ".ots") != 0) continue;
        uint8_t *data = read_file(folder, entry->d_name, &bytes), *written = NULL;
        struct owm_ots_proof proof;
        assert_ok(owm_ots_proof_read(data, bytes, &proof, NULL));
        assert_true(proof.canonical);
        proof.tree.changed = true;
        assert_ok(owm_ots_proof_write(&proof, &written, &written_bytes, NULL));
        assert_int_equal(written_bytes, bytes);
        assert_memory_equal(written, data, bytes);
        owm_ots_proof_deinit(&proof);
        free(written);
        free(data);
        count++;
    }
    closedir(dir);
    return count;
}

static void published_proofs_are_written_as_they_were_read(void **state)
{
    (void)state;
    unsigned count = 0;
    for (size_t i = 0; folders[i]; i++) count += round_trip_folder(folders[i]);
    assert_true(count >= 7);
}

static const struct owm_ots_attestation *only(const struct owm_ots_proof *proof,
                                              enum owm_ots_kind kind)
{
    const struct owm_ots_attestation *found = NULL;
    for (uint32_t i = 0; i < proof->tree.attestation_count; i++) {
        if (proof->tree.attestations[i].kind != kind) continue;
        assert_null(found);
        found = &proof->tree.attestations[i];
    }
    assert_non_null(found);
    return found;
}

static void assert_message(const struct owm_ots_proof *proof, uint32_t node, const char *hex)
{
    char text[2 * OWM_OTS_MESSAGE_BYTES_MAX + 1];
    struct owm_ots_bytes message = proof->tree.nodes[node].message;
    owm_hex_encode(message.data, message.bytes, text);
    assert_string_equal(text, hex);
}

/* Values by the reference implementation, for the examples of its client. */
static void published_proofs_say_what_they_say(void **state)
{
    (void)state;
    size_t bytes;
    struct owm_ots_proof proof;
    uint8_t *data = read_file(folders[0], "hello-world.ots", &bytes);
    assert_ok(owm_ots_proof_read(data, bytes, &proof, NULL));
    const struct owm_ots_attestation *bitcoin = only(&proof, OWM_OTS_BITCOIN);
    assert_int_equal(bitcoin->height, 358391);
    assert_message(&proof, bitcoin->node,
                   "007ee445d23ad061af4a36b809501fab1ac4f2d7e7a739817dd0cbb7ec661b8a");
    owm_ots_proof_deinit(&proof);
    free(data);

    data = read_file(folders[0], "incomplete.ots", &bytes);
    assert_ok(owm_ots_proof_read(data, bytes, &proof, NULL));
    const struct owm_ots_attestation *pending = only(&proof, OWM_OTS_PENDING);
    assert_int_equal(proof.tree.nodes[pending->node].message.bytes, 44);
    assert_memory_equal(pending->detail.data, "https://alice", 13);
    owm_ots_proof_deinit(&proof);
    free(data);

    data = read_file(folders[0], "unknown-notary.ots", &bytes);
    assert_ok(owm_ots_proof_read(data, bytes, &proof, NULL));
    assert_int_equal(only(&proof, OWM_OTS_UNKNOWN)->detail.bytes, 46);
    owm_ots_proof_deinit(&proof);
    free(data);
}

#define HEAD "004f70656e54696d657374616d7073000050726f6f6600bf89e2e884e8929401"
#define DIGEST                                                                                     \
    "08"                                                                                           \
    "1111111111111111111111111111111111111111111111111111111111111111"
#define BLOCK5      "000588960d73d719010105"
#define PENDING_TAG "0083dfe30d2ef90c8e"

static owm_status read_hex(const char *hex, struct owm_ots_proof *proof, struct owm_error *error)
{
    static uint8_t data[65536];
    size_t bytes = strlen(hex) / 2;
    assert_true(bytes <= sizeof data);
    assert_ok(owm_hex_decode(hex, data, bytes));
    return owm_ots_proof_read(data, bytes, proof, error);
}

static void assert_refused(const char *hex, const char *why)
{
    struct owm_ots_proof proof;
    struct owm_error error = {.text = ""};
    owm_status status = read_hex(hex, &proof, &error);
    if (status == OWM_OK) fail_msg("accepted, though %s", why);
    if (!strstr(error.text, why)) fail_msg("said \"%s\", not \"%s\"", error.text, why);
}

static void each_malformed_file_has_its_own_sentence(void **state)
{
    (void)state;
    assert_refused("", "ends inside the first bytes, at byte 0");
    assert_refused("014f70656e54696d657374616d7073000050726f6f6600bf89e2e884e8929401",
                   "no OpenTimestamps proof");
    assert_refused("004f70656e54696d657374616d7073000050726f6f6600bf89e2e884e89294",
                   "ends inside the version");
    assert_refused("004f70656e54696d657374616d7073000050726f6f6600bf89e2e884e8929402", "version 2");
    assert_refused(HEAD, "ends inside the file's hash");
    assert_refused(HEAD "f3", "0xf3 is no hash");
    assert_refused(HEAD "0811", "ends inside the file's hash");
    assert_refused(HEAD DIGEST, "ends inside an item, at byte 65");
    assert_refused(HEAD DIGEST "ff", "ends inside an item, at byte 66");
    assert_refused(HEAD DIGEST "ffff", "a second 0xff at byte 66");
    assert_refused(HEAD DIGEST "ff" BLOCK5, "ends inside an item");
    assert_refused(HEAD DIGEST "08", "ends inside an item");
    assert_refused(HEAD DIGEST "09" BLOCK5, "unknown operation 0x09");
    assert_refused(HEAD DIGEST "f000" BLOCK5, "append of 0 bytes");
    assert_refused(HEAD DIGEST "f08120", "append at byte 66 is of 4097 bytes; at most 4096");
    assert_refused(HEAD DIGEST "f005aa", "ends inside append");
    assert_refused(HEAD DIGEST "f0ffffffffffffffffffff01",
                   "length of append at byte 66 is over 64");
    assert_refused(HEAD DIGEST BLOCK5 "00", "1 bytes behind the end of the proof");
    assert_refused(HEAD DIGEST "000588960d73", "ends inside an attestation");
    assert_refused(HEAD DIGEST "000588960d73d719018140", "at byte 74 is of 8193 bytes");
    assert_refused(HEAD DIGEST "000588960d73d71901020500", "1 bytes behind its end");
    assert_refused(HEAD DIGEST "000588960d73d7190100", "Bitcoin attestation ends inside");
    assert_refused(HEAD DIGEST "000588960d73d719010bffffffffffffffffffff01", "over 64 bits");
    assert_refused(HEAD DIGEST PENDING_TAG "020541", "pending attestation ends inside");
    assert_refused(HEAD DIGEST PENDING_TAG "02013f", "holds the byte 0x3f");
    assert_refused(HEAD DIGEST PENDING_TAG "020100", "holds the byte 0x00");
    assert_refused(HEAD DIGEST PENDING_TAG "02e907", "URI of 1001 bytes");
    assert_refused(HEAD DIGEST PENDING_TAG "03014141", "1 bytes behind its end");
}

/* A hexlify of 2049 bytes, a message of 4097: through the file, not the op alone. */
static void message_limits_hold_in_files(void **state)
{
    (void)state;
    static char hex[20000];
    struct owm_ots_proof proof;
    struct owm_error error;
    for (unsigned bytes = 4064; bytes <= 4065; bytes++) {
        int at = snprintf(hex, sizeof hex, "%s%sf0%02x%02x", HEAD, DIGEST, (bytes & 0x7f) | 0x80,
                          bytes >> 7);
        memset(hex + at, '7', 2 * bytes);
        snprintf(hex + at + 2 * bytes, sizeof hex - (size_t)at - 2 * bytes, "%s", BLOCK5);
        owm_status status = read_hex(hex, &proof, &error);
        assert_int_equal(status, bytes == 4064 ? OWM_OK : OWM_E_PROTO);
        owm_ots_proof_deinit(&proof);
    }
    assert_string_equal(error.text, "at byte 65: append makes a message of 4097 bytes; at most "
                                    "4096");
}

static void what_is_not_minimal_keeps_its_bytes(void **state)
{
    (void)state;
    static const char hex[] = HEAD DIGEST "000588960d73d71901028500";
    struct owm_ots_proof proof;
    uint8_t *data = NULL;
    size_t bytes = 0;
    char text[sizeof hex];
    assert_ok(read_hex(hex, &proof, NULL));
    assert_false(proof.canonical);
    assert_int_equal(only(&proof, OWM_OTS_BITCOIN)->height, 5);
    assert_ok(owm_ots_proof_write(&proof, &data, &bytes, NULL));
    owm_hex_encode(data, bytes, text);
    assert_string_equal(text, hex);
    owm_ots_proof_deinit(&proof);
    free(data);
}

/* Two forks of one op: the reference keeps the last one alone, and loses an attestation. */
static void the_same_operation_twice_is_merged(void **state)
{
    (void)state;
    struct owm_ots_proof proof;
    assert_ok(
        read_hex(HEAD DIGEST "ff08000588960d73d71901010508000588960d73d719010106", &proof, NULL));
    assert_int_equal(proof.tree.node_count, 2);
    assert_int_equal(proof.tree.attestation_count, 2);
    owm_ots_proof_deinit(&proof);
}

static owm_status read_deep(unsigned ops, struct owm_error *error)
{
    static uint8_t data[65 + 300 + 11];
    struct owm_ots_proof proof;
    assert_ok(owm_hex_decode(HEAD DIGEST, data, 65));
    memset(data + 65, OWM_OTS_SHA256, ops);
    assert_ok(owm_hex_decode(BLOCK5, data + 65 + ops, 11));
    owm_status status = owm_ots_proof_read(data, 65 + ops + 11, &proof, error);
    owm_ots_proof_deinit(&proof);
    return status;
}

static void depth_is_that_of_the_reference(void **state)
{
    (void)state;
    struct owm_error error;
    assert_ok(read_deep(255, &error));
    assert_int_equal(read_deep(256, &error), OWM_E_LIMIT);
    assert_non_null(strstr(error.text, "more than 255 operations in a row"));
}

static void items_and_bytes_have_limits(void **state)
{
    (void)state;
    static uint8_t data[OWM_OTS_FILE_BYTES_MAX + 1];
    struct owm_ots_proof proof;
    struct owm_error error;
    assert_int_equal(owm_ots_proof_read(data, sizeof data, &proof, &error), OWM_E_LIMIT);
    size_t at = 65;
    assert_ok(owm_hex_decode(HEAD DIGEST, data, at));
    for (unsigned i = 0; i < OWM_OTS_ITEMS_MAX; i++) { /* Heights 128 and up: two bytes each. */
        unsigned height = 128 + i % 8000;
        uint8_t item[] = {0xff,
                          0x00,
                          0x05,
                          0x88,
                          0x96,
                          (uint8_t)(i / 8000),
                          0x73,
                          0xd7,
                          0x19,
                          0x01,
                          2,
                          (uint8_t)(height | 0x80),
                          (uint8_t)(height >> 7)};
        memcpy(data + at, item, sizeof item);
        at += sizeof item;
    }
    assert_int_equal(owm_ots_proof_read(data, at, &proof, &error), OWM_E_LIMIT);
    assert_non_null(strstr(error.text, "more than 4096"));
}

static void random_proofs_survive_a_round_trip(void **state)
{
    (void)state;
    struct owm_rng rng;
    owm_rng_seed(&rng, 4);
    for (int i = 0; i < 2000; i++) {
        struct owm_ots_proof proof, again;
        uint8_t *once = NULL, *twice = NULL;
        size_t once_bytes = 0, twice_bytes = 0;
        random_proof(&rng, &proof);
        assert_ok(owm_ots_proof_write(&proof, &once, &once_bytes, NULL));
        assert_ok(owm_ots_proof_read(once, once_bytes, &again, NULL));
        assert_true(again.canonical);
        assert_int_equal(again.tree.node_count, proof.tree.node_count);
        assert_int_equal(again.tree.attestation_count, proof.tree.attestation_count);
        again.tree.changed = true;
        assert_ok(owm_ots_proof_write(&again, &twice, &twice_bytes, NULL));
        assert_int_equal(once_bytes, twice_bytes);
        assert_memory_equal(once, twice, once_bytes);
        for (size_t cut = 0; cut < once_bytes; cut += 1 + once_bytes / 50) { /* Each cut is told. */
            struct owm_ots_proof part;
            assert_int_equal(owm_ots_proof_read(once, cut, &part, NULL), OWM_E_PROTO);
        }
        owm_ots_proof_deinit(&proof);
        owm_ots_proof_deinit(&again);
        free(once);
        free(twice);
    }
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    folders = (const char *const *)argv + 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_proofs_are_written_as_they_were_read),
        cmocka_unit_test(published_proofs_say_what_they_say),
        cmocka_unit_test(each_malformed_file_has_its_own_sentence),
        cmocka_unit_test(message_limits_hold_in_files),
        cmocka_unit_test(what_is_not_minimal_keeps_its_bytes),
        cmocka_unit_test(the_same_operation_twice_is_merged),
        cmocka_unit_test(depth_is_that_of_the_reference),
        cmocka_unit_test(items_and_bytes_have_limits),
        cmocka_unit_test(random_proofs_survive_a_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
