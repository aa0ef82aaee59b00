/* replay.c: a main for fuzz targets without libFuzzer: replays the corpus, then seeded mutations.
 */
/* Usage: fuzz_<parser> [corpus folder or file …]
 *  Inputs come in three phases: each corpus file as it is; then, for OWM_REPLAY_MS (default 2000),
 *  mutations of them and random buffers. Every input depends on the seed and its number alone, so
 *  OWM_REPLAY_SEED=n runs a failing sequence again. A crash is the failure; there is no other. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    SEEDS_MAX = 4096, /* corpus files read */
    INPUT_BYTES_MAX =
        64 * 1024, /* longest input made; longer corpus files are replayed, not mutated */
    SEED_BYTES_MAX = 16 << 20, /* longest corpus file read */
    EDITS_MAX = 8,             /* changes per mutated input */
};

struct input {
    uint8_t *data;
    size_t bytes;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct input seeds[SEEDS_MAX];
static size_t seed_count;

/* splitmix64: small, seeded, the same on every machine. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t random_below(uint64_t *state, size_t limit)
{
    return limit == 0 ? 0 : (size_t)(next_random(state) % limit);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    if (text == NULL || *text == '\0') return otherwise;
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0') {
        fprintf(stderr, "%s=%s is not a number\n", name, text);
        exit(2);
    }
    return value;
}

static void run_one(const uint8_t *data, size_t bytes)
{
    /* An exact-size copy: a sanitizer sees a read of one byte too many. */
    uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
    if (copy == NULL) {
        fprintf(stderr, "out of memory for an input of %zu bytes\n", bytes);
        exit(2);
    }
    if (bytes > 0) memcpy(copy, data, bytes);
    LLVMFuzzerTestOneInput(copy, bytes);
    free(copy);
}

static void read_seed(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat info;
    if (file == NULL || fstat(fileno(file), &info) != 0 || info.st_size > SEED_BYTES_MAX) {
        fprintf(stderr, "cannot read corpus file %s\n", path);
        exit(2);
    }
    size_t bytes = (size_t)info.st_size;
    uint8_t *data = malloc(bytes == 0 ? 1 : bytes);
    if (data == NULL || fread(data, 1, bytes, file) != bytes) {
        fprintf(stderr, "cannot read corpus file %s\n", path);
        exit(2);
    }
    fclose(file);
    seeds[seed_count++] = (struct input){data, bytes};
}

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void read_seeds(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) return; /* no corpus yet: random buffers alone */
    if (!S_ISDIR(info.st_mode)) {
        if (seed_count < SEEDS_MAX) read_seed(path);
        return;
    }
    struct dirent **entries = NULL;
    int count =
        scandir(path, &entries, not_hidden, alphasort); /* sorted: the order is replayable */
    for (int i = 0; i < count; i++) {
        char file[4096];
        int length = snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name);
        int fits = length > 0 && (size_t)length < sizeof file;
        if (fits && stat(file, &info) == 0 && S_ISREG(info.st_mode) && seed_count < SEEDS_MAX)
            read_seed(file);
        free(entries[i]);
    }
    free(entries);
}

/* One edit of buffer in place: flip, set, interesting integer, cut, insert, or splice of another
 * seed. */
static size_t edit(uint8_t *buffer, size_t bytes, uint64_t *state)
{
    static const uint8_t interesting[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x0a, 0x22, 0x7b};
    size_t at = random_below(state, bytes);
    switch (random_below(state, 6)) {
    case 0:
        if (bytes > 0) buffer[at] ^= (uint8_t)(1u << random_below(state, 8));
        return bytes;
    case 1:
        if (bytes > 0) buffer[at] = interesting[random_below(state, sizeof interesting)];
        return bytes;
    case 2: { /* a run of one value: lengths and counts become huge or zero */
        size_t run = 1 + random_below(state, 8);
        uint8_t value = interesting[random_below(state, sizeof interesting)];
        for (size_t i = 0; i < run && at + i < bytes; i++) buffer[at + i] = value;
        return bytes;
    }
    case 3:
        return at; /* truncate */
    case 4: {
        size_t gap = 1 + random_below(state, 16);
        if (bytes + gap > INPUT_BYTES_MAX) return bytes;
        memmove(buffer + at + gap, buffer + at, bytes - at);
        for (size_t i = 0; i < gap; i++) buffer[at + i] = (uint8_t)next_random(state);
        return bytes + gap;
    }
    default: {
        if (seed_count == 0) return bytes;
        const struct input *other = &seeds[random_below(state, seed_count)];
        size_t from = random_below(state, other->bytes);
        size_t run = random_below(state, other->bytes - from);
        if (run > INPUT_BYTES_MAX - at) run = INPUT_BYTES_MAX - at;
        if (run > 0) memcpy(buffer + at, other->data + from, run);
        return at + run > bytes ? at + run : bytes;
    }
    }
}

static size_t make_input(uint8_t *buffer, uint64_t *state)
{
    size_t bytes = 0;
    if (seed_count > 0 && random_below(state, 8) != 0) {
        const struct input *seed = &seeds[random_below(state, seed_count)];
        bytes = seed->bytes < INPUT_BYTES_MAX ? seed->bytes : INPUT_BYTES_MAX;
        if (bytes > 0) memcpy(buffer, seed->data, bytes);
    } else {
        bytes = random_below(state, random_below(state, 4) == 0 ? 4096 : 64);
        for (size_t i = 0; i < bytes; i++) buffer[i] = (uint8_t)next_random(state);
    }
    size_t edits = random_below(state, EDITS_MAX);
    for (size_t i = 0; i < edits; i++) bytes = edit(buffer, bytes, state);
    return bytes;
}

int main(int argc, char **argv)
{
    static uint8_t buffer[INPUT_BYTES_MAX];
    uint64_t seed = number_from_environment("OWM_REPLAY_SEED", 1);
    int64_t limit_ms = (int64_t)number_from_environment("OWM_REPLAY_MS", 2000);

    for (int i = 1; i < argc; i++) read_seeds(argv[i]);
    printf("replay: seed=%llu corpus=%zu\n", (unsigned long long)seed, seed_count);
    fflush(stdout); /* a crash must not eat the seed */
    run_one(NULL, 0);
    for (size_t i = 0; i < seed_count; i++) run_one(seeds[i].data, seeds[i].bytes);

    uint64_t state = seed;
    uint64_t made = 0;
    for (int64_t end_ms = now_ms() + limit_ms; now_ms() < end_ms; made++)
        run_one(buffer, make_input(buffer, &state));

    printf("replay: %zu corpus files and %llu made inputs, seed=%llu\n", seed_count,
           (unsigned long long)made, (unsigned long long)seed);
    for (size_t i = 0; i < seed_count; i++) free(seeds[i].data);
    return 0;
}
