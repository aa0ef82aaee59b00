/* test_oracle.c: against python-opentimestamps, both ways: what one writes the other reads and
 * writes with the same bytes, and what one rejects the other rejects. Skipped where it is not
 * installed. argv[1]: oracle.py */
#include <unistd.h>

#include "dataplane/ots/proof.h"
#include "random_tree.h"
#include "test.h"

#define TREES    10000
#define DAMAGED  10000
#define REJECTED 0xffffffffu
#define PYTHON   "/usr/bin/python3"

static const char *script;
static char folder[] = "/tmp/owm-ots-XXXXXX";

static void put_u32(FILE *out, uint32_t value)
{
    for (int i = 0; i < 4; i++) putc((int)(value >> (8 * i) & 0xff), out);
}

static uint32_t get_u32(FILE *in)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) value |= (uint32_t)getc(in) << (8 * i);
    return value;
}

static FILE *file_of(const char *name, const char *mode)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    return file;
}

static void ask(const char *what, const char *in, const char *out)
{
    char command[1024];
    snprintf(command, sizeof command, "%s -B '%s' %s <%s/%s >%s/%s", PYTHON, script, what, folder,
             in, folder, out);
    assert_int_equal(system(command), 0);
}

/* What we make of a file: its bytes as we would write them, or NULL. */
static uint8_t *ours(const uint8_t *data, size_t bytes, size_t *out_bytes, struct owm_error *error)
{
    struct owm_ots_proof proof;
    uint8_t *out = NULL;
    if (owm_ots_proof_read(data, bytes, &proof, error) != OWM_OK) return NULL;
    proof.tree.changed = true; /* Canonical bytes, not those that were read. */
    assert_ok(owm_ots_proof_write(&proof, &out, out_bytes, NULL));
    owm_ots_proof_deinit(&proof);
    return out;
}

static uint8_t *read_block(FILE *in, uint32_t bytes)
{
    uint8_t *data = malloc(bytes ? bytes : 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, bytes, in), bytes);
    return data;
}

static void damage(struct owm_rng *rng, uint8_t *data, size_t *bytes)
{
    static const uint8_t telling[] = {0x00, 0xff, 0x08, 0xf0, 0xf1, 0xf2, 0xf3, 0x67, 0x80, 0x7f};
    for (uint64_t n = 1 + owm_rng_below(rng, 3); n > 0; n--) {
        size_t at = owm_rng_below(rng, *bytes);
        if (owm_rng_below(rng, 4)) at = 65 + owm_rng_below(rng, *bytes - 65);
        data[at] = owm_rng_below(rng, 2) ? telling[owm_rng_below(rng, sizeof telling)]
                                         : (uint8_t)owm_rng_u64(rng);
    }
    if (owm_rng_below(rng, 16) == 0) *bytes -= owm_rng_below(rng, *bytes - 65);
}

static void write_cases(unsigned count, bool damaged)
{
    struct owm_rng rng;
    owm_rng_seed(&rng, damaged ? 2 : 1);
    FILE *cases = file_of("cases", "wb");
    for (unsigned i = 0; i < count; i++) {
        struct owm_ots_proof proof;
        uint8_t *data = NULL;
        size_t bytes = 0;
        random_proof(&rng, &proof);
        assert_ok(owm_ots_proof_write(&proof, &data, &bytes, NULL));
        owm_ots_proof_deinit(&proof);
        if (damaged) damage(&rng, data, &bytes);
        put_u32(cases, (uint32_t)bytes);
        assert_int_equal(fwrite(data, 1, bytes, cases), bytes);
        free(data);
    }
    assert_int_equal(fclose(cases), 0);
}

static void dump(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) fprintf(stderr, "%02x", data[i]);
    fprintf(stderr, "\n");
}

/* Returns: how many both accept. `same`: the bytes are compared too. */
static unsigned compare(unsigned count)
{
    FILE *cases = file_of("cases", "rb"), *answers = file_of("answers", "rb");
    unsigned accepted = 0;
    for (unsigned i = 0; i < count; i++) {
        uint32_t bytes = get_u32(cases), answer_bytes = get_u32(answers);
        uint8_t *data = read_block(cases, bytes);
        bool theirs = answer_bytes != REJECTED;
        uint8_t *answer = read_block(answers, theirs ? answer_bytes : 0);
        size_t out_bytes = 0;
        struct owm_error error = {.text = ""};
        uint8_t *out = ours(data, bytes, &out_bytes, &error);
        if ((out != NULL) != theirs) {
            dump(data, bytes);
            fail_msg("case %u: the reference %s it, we say: %s", i, theirs ? "accepts" : "rejects",
                     error.text);
        }
        if (out) {
            assert_int_equal(out_bytes, answer_bytes);
            assert_memory_equal(out, answer, out_bytes);
            accepted++;
        }
        free(out);
        free(answer);
        free(data);
    }
    fclose(cases);
    fclose(answers);
    return accepted;
}

static void what_we_write_the_reference_reads(void **state)
{
    (void)state;
    write_cases(TREES, false);
    ask("check", "cases", "answers");
    assert_int_equal(compare(TREES), TREES);
}

static void what_we_reject_the_reference_rejects(void **state)
{
    (void)state;
    write_cases(DAMAGED, true);
    ask("check", "cases", "answers");
    unsigned accepted = compare(DAMAGED);
    print_message("%u of %d damaged files are still proofs for both\n", accepted, DAMAGED);
    assert_in_range(accepted, 1, DAMAGED - 1);
}

static void what_the_reference_writes_we_read(void **state)
{
    (void)state;
    char what[64];
    snprintf(what, sizeof what, "make 3 %d", TREES);
    ask(what, "cases", "made");
    FILE *made = file_of("made", "rb");
    for (unsigned i = 0; i < TREES; i++) {
        uint32_t bytes = get_u32(made);
        uint8_t *data = read_block(made, bytes);
        size_t out_bytes = 0;
        struct owm_error error = {.text = ""};
        uint8_t *out = ours(data, bytes, &out_bytes, &error);
        if (!out) fail_msg("case %u: %s", i, error.text);
        assert_int_equal(out_bytes, bytes);
        assert_memory_equal(out, data, bytes);
        free(out);
        free(data);
    }
    assert_int_equal(getc(made), EOF);
    fclose(made);
}

static void remove_files(void)
{
    static const char *names[] = {"cases", "answers", "made"};
    for (size_t i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    script = argv[1];
    if (system(PYTHON " -c 'import opentimestamps' 2>/dev/null") != 0) {
        printf("skipped: python3-opentimestamps is not installed\n");
        return TEST_SKIP;
    }
    if (!mkdtemp(folder)) return 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_we_write_the_reference_reads),
        cmocka_unit_test(what_we_reject_the_reference_rejects),
        cmocka_unit_test(what_the_reference_writes_we_read),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    remove_files();
    return failed;
}
