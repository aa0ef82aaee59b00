/* sv2_test.h: what the tests of dataplane/sv2 share: seeded random bytes, hex, files of vectors. */
#ifndef OWM_SV2_TEST_H
#define OWM_SV2_TEST_H

#include "base/bytes.h"
#include "base/rng.h"
#include "test.h"

static inline uint64_t next_random(void)
{
    static struct owm_rng rng;
    static bool seeded;
    if (!seeded) owm_rng_seed(&rng, 4);
    seeded = true;
    return owm_rng_u64(&rng);
}

static inline size_t random_below(size_t limit)
{
    return (size_t)(next_random() % limit);
}

static inline void random_bytes(void *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)out)[i] = (uint8_t)next_random();
}

static inline void from_hex(const char *text, void *out, size_t bytes)
{
    if (owm_hex_decode(text, out, bytes) != OWM_OK) fail_msg("not %zu bytes: %s", bytes, text);
}

static inline void assert_hex(const void *data, size_t bytes, const char *expected)
{
    char *text = malloc(2 * bytes + 1);
    assert_non_null(text);
    owm_hex_encode(data, bytes, text);
    assert_string_equal(text, expected);
    free(text);
}

/* The line "NAME hex" of a file in vectors/; `bytes` is how many it must be. */
static inline void from_vector(const char *file, const char *name, void *out, size_t bytes)
{
    char path[4096], line[8192];
    size_t name_bytes = strlen(name);
    snprintf(path, sizeof path, "%s/%s", SV2_VECTORS, file);
    FILE *f = fopen(path, "r");
    if (!f) fail_msg("cannot read %s", path);
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, name, name_bytes) != 0 || line[name_bytes] != ' ') continue;
        from_hex(line + name_bytes + 1, out, bytes);
        fclose(f);
        return;
    }
    fail_msg("%s has no %s", path, name);
}

#endif
