/* test_program.c: owm-ots itself, from a file to a block and all that can be wrong on the way.
 * argv[1]: the program */
#include <errno.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/sha256.h"
#include "calendar_double.h"
#include "dataplane/ots/proof.h"
#include "node_double.h"
#include "test.h"

static const char *program;
static char folder[] = "/tmp/owm-ots-XXXXXX";
static char output[65536];
static struct calendar calendars[2];
static struct node_double node;

/* Run in the folder with both streams taken; returns the exit code. */
static int run(const char *arguments)
{
    char command[2048];
    snprintf(command, sizeof command, "cd %s && '%s' %s 2>&1", folder, program, arguments);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t bytes = fread(output, 1, sizeof output - 1, pipe);
    output[bytes] = 0;
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void assert_run(int code, const char *arguments, const char *says)
{
    int got = run(arguments);
    if (got != code || !strstr(output, says))
        fail_msg("owm-ots %s: exit code %d, not %d; wanted \"%s\" in:\n%s", arguments, got, code,
                 says, output);
}

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *content)
{
    assert_ok(owm_fs_write_atomic(path_of(name), content, strlen(content), 0644, NULL));
}

/* The merkle root to which the calendars' answers will lead. */
static void root_of(const char *name, uint8_t root[32])
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    struct owm_ots_proof proof;
    assert_ok(owm_fs_read(path_of(name), OWM_OTS_FILE_BYTES_MAX, &data, &bytes, NULL));
    assert_ok(owm_ots_proof_read(data, bytes, &proof, NULL));
    assert_int_equal(proof.tree.attestation_count, 2);
    struct owm_ots_bytes commitment = proof.tree.nodes[proof.tree.attestations[0].node].message;
    owm_sha256(commitment.data, commitment.bytes, root);
    owm_ots_proof_deinit(&proof);
    free(data);
}

static const char *with_calendars(const char *command)
{
    static char text[1024];
    snprintf(text, sizeof text, "%s --calendar %s --calendar %s --timeout 1", command,
             calendars[0].url, calendars[1].url);
    return text;
}

static void a_stamp_is_pending_and_never_overwritten(void **state)
{
    (void)state;
    write_file("a", "one");
    write_file("b", "two");
    write_file("c", "");
    assert_run(0, with_calendars("stamp a b c"), "a: stamped, pending: a.ots");
    assert_run(1, with_calendars("stamp a"), "a.ots is there already");
    assert_run(3, "verify a.ots b.ots c.ots",
               "b.ots: pending: 2 calendars have promised to put it into a block");
    assert_run(3, with_calendars("upgrade a.ots"), "Pending confirmation in Bitcoin blockchain");
    assert_run(3, "upgrade a.ots", "is no calendar of the list");
    assert_run(0, "info a.ots", "=> promise of http://127.0.0.1");
    assert_run(0, "info --json a.ots", "\"kind\":\"pending\"");
}

static void a_stamp_that_too_few_promise_is_not_written(void **state)
{
    (void)state;
    write_file("lonely", "x");
    calendars[0].mood = CALENDAR_GARBAGE;
    assert_run(1, with_calendars("stamp lonely"), "1 of 2 calendars answered and 2 must");
    assert_int_not_equal(access(path_of("lonely.ots"), F_OK), 0);
    calendars[0].mood = CALENDAR_SILENT;
    assert_run(0, with_calendars("stamp --needed 1 lonely"), "lonely: stamped");
    calendars[0].mood = CALENDAR_PROMISES;
}

static void headers_are_built_extended_and_bound_to_a_network(void **state)
{
    (void)state;
    char text[512];
    uint8_t root[32];
    root_of("a.ots", root);
    node_mine(&node, 20, 10, root);
    snprintf(text, sizeof text, "headers --network regtest --headers h --bitcoin-rpc %s", node.url);
    assert_run(1, text, "refuses user and password");
    snprintf(text, sizeof text, "headers --headers h --bitcoin-rpc %s", node.url_with_password);
    assert_run(1, text, "is of another network");
    assert_null(strstr(output, "secret"));
    snprintf(text, sizeof text, "headers --network regtest --headers h --bitcoin-rpc %s",
             node.url_with_password);
    assert_run(0, text, "h: block headers 0 to 19");
    node_cut(&node, 18); /* A reorganisation, and more blocks. */
    const uint8_t other[32] = {7};
    node_mine(&node, 25, 18, other);
    assert_run(0, text, "h: block headers 0 to 24");
    assert_run(1, "verify --headers h a.ots", "is not the first block of the main network");
}

static void a_lie_of_a_calendar_is_not_merged(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        calendars[i].height = 10;
        calendars[i].mood = CALENDAR_LIES;
    }
    assert_run(3, with_calendars("upgrade --network regtest --headers h a.ots"),
               "the calendar's answer is wrong: block 10 has another merkle root");
    assert_int_not_equal(access(path_of("a.ots.bak"), F_OK), 0);
}

static void an_upgraded_proof_is_confirmed_by_the_block(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) calendars[i].mood = CALENDAR_MINED;
    assert_run(0, with_calendars("upgrade --network regtest --headers h a.ots b.ots c.ots"),
               "a.ots: complete");
    assert_int_equal(access(path_of("a.ots.bak"), F_OK), 0);
    assert_run(0, "verify --network regtest --headers h a.ots b.ots c.ots",
               "b.ots: confirmed in block 10 at 2011-03-13T08:46:40Z");
    assert_run(0, "verify --json --network regtest --headers h a.ots", "\"height\":10");
    char text[512];
    snprintf(text, sizeof text, "verify --network regtest --bitcoin-rpc %s a.ots",
             node.url_with_password);
    assert_run(0, text, "a.ots: confirmed in block 10");
    assert_run(1, "verify a.ots", "fails because no block headers are at hand");
}

/* On a terminal of its own, as a person sees it. */
static int run_on_terminal(const char *arguments)
{
    char command[2048];
    int terminal, status = 0;
    size_t bytes = 0;
    snprintf(command, sizeof command, "cd %s && exec '%s' %s", folder, program, arguments);
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    assert_true(child >= 0);
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    while (bytes < sizeof output - 1) {
        ssize_t got = read(terminal, output + bytes, sizeof output - 1 - bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break; /* EIO: the child has closed its end. */
        bytes += (size_t)got;
    }
    output[bytes] = 0;
    close(terminal);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The first is the last that is read, and still the first that is spoken of. */
static void large_files_are_read_at_once_and_answered_in_order(void **state)
{
    static const char *const names[] = {"large", "small", "larger"};
    static const off_t bytes[] = {200 << 20, 10, 100 << 20};
    (void)state;
    for (int i = 0; i < 3; i++) {
        write_file(names[i], names[i]);
        assert_int_equal(truncate(path_of(names[i]), bytes[i]), 0);
    }
    assert_run(0, with_calendars("stamp large small larger"), "larger: stamped");
    assert_null(strstr(output, "read:")); /* No terminal. */
    assert_int_equal(run_on_terminal("verify large.ots small.ots larger.ots"), 3);
    const char *progress = strstr(output, "read: 0.1 of 0.3 GB\r");
    const char *end = strstr(output, "read: 0.3 GB");
    const char *first = strstr(output, "large.ots: pending");
    const char *second = strstr(output, "small.ots: pending");
    const char *third = strstr(output, "larger.ots: pending");
    if (!progress || !end || !first || !second || !third || progress > end || end > first
        || first > second || second > third)
        fail_msg("not in order:\n%s", output);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    write_file("a", "another one");
    assert_run(1, "verify --network regtest --headers h a.ots",
               "a.ots: fails because 'a' is not the file that is proven");
    assert_run(1, "verify --network regtest --headers h --file b a.ots",
               "'b' is not the file that is proven");
    write_file("a", "one");
    assert_run(0, "verify --network regtest --headers h --file a a.ots", "confirmed");
    write_file("broken.ots", "no proof");
    assert_run(1, "verify --network regtest --headers h a.ots broken.ots",
               "broken.ots: fails because the proof ends inside the first bytes");
    assert_run(1, "info nothing.ots", "nothing.ots");
    assert_run(2, "", "which command");
    assert_run(2, "dance", "'dance' is no command");
    assert_run(2, "stamp", "needs the name of a file");
    assert_run(2, "stamp --calendar ftp://x a", "is no calendar");
    assert_run(0, "--help", "owm-ots stamp FILE");
}

/* The reference's own words on what we wrote, where it is installed. */
static void the_reference_reads_our_files(void **state)
{
    (void)state;
    char command[1024];
    snprintf(command, sizeof command,
             "cd %s && /usr/bin/python3 -c 'import sys\n"
             "try: from opentimestamps.core import timestamp, serialize\n"
             "except ImportError: sys.exit(0)\n"
             "d = timestamp.DetachedTimestampFile.deserialize(\n"
             "    serialize.BytesDeserializationContext(open(\"a.ots\", \"rb\").read()))\n"
             "heights = {a.height for m, a in d.timestamp.all_attestations()\n"
             "           if hasattr(a, \"height\")}\n"
             "sys.exit(heights != {10})'",
             folder);
    assert_int_equal(system(command), 0);
}

int main(int argc, char **argv)
{
    if (argc < 2 || !mkdtemp(folder)) return 2;
    program = argv[1];
    for (int i = 0; i < 2; i++) calendar_open(&calendars[i], CALENDAR_PROMISES);
    node_open(&node);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stamp_is_pending_and_never_overwritten),
        cmocka_unit_test(a_stamp_that_too_few_promise_is_not_written),
        cmocka_unit_test(large_files_are_read_at_once_and_answered_in_order),
        cmocka_unit_test(headers_are_built_extended_and_bound_to_a_network),
        cmocka_unit_test(a_lie_of_a_calendar_is_not_merged),
        cmocka_unit_test(an_upgraded_proof_is_confirmed_by_the_block),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(the_reference_reads_our_files),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    node_close(&node);
    for (int i = 0; i < 2; i++) calendar_close(&calendars[i]);
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? failed : 1;
}
