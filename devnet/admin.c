/* admin.c: owm-admin in our place. What the user says comes last, and so counts. */
#include "admin.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "places.h"
#include "running.h"

#define WORDS_MAX     64
#define HELDOUT_BYTES "65536" /* rounds.heldout_bytes_max, which the network leaves as it is */

bool admin_is_meant(int argc, char **argv)
{
    static const char *const words[] = {"slash", "evidence", "log", "key"};
    if (argc < 3 || strcmp(argv[1], "admin") != 0) return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(argv[2], words[i]) == 0) return true;
    return false;
}

/* The words behind "admin", without --folder DIR, which is ours. */
static int take_words(int argc, char **argv, char **words, int room, const char **folder)
{
    int count = 0;
    for (int i = 2; i < argc && count < room; i++) {
        if (strcmp(argv[i], "--folder") == 0 && i + 1 < argc)
            *folder = argv[++i];
        else
            words[count++] = argv[i];
    }
    return count;
}

int admin_become(int argc, char **argv)
{
    static char program[DEVNET_PATH_MAX + 32], certificate[DEVNET_PATH_MAX + 64],
        key[DEVNET_PATH_MAX + 64], heldout[DEVNET_PATH_MAX + 64], internal[128];
    char *words[WORDS_MAX + 16] = {program,     "--coordinator",   internal,     "--certificate",
                                   certificate, "--key",           key,          "--heldout",
                                   heldout,     "--heldout-bytes", HELDOUT_BYTES};
    const char *folder = "run";
    struct network network = {.lock_fd = -1};
    struct owm_error error = {""};
    take_words(argc, argv, words + 11, WORDS_MAX, &folder);
    owm_status status = places_programs(&network, &error);
    if (status == OWM_OK) status = network_internal(folder, internal, &error);
    if (status) {
        fprintf(stderr, "owm admin: %s\n", error.text);
        return 1;
    }
    snprintf(program, sizeof program, "%s/owm-admin", network.programs);
    snprintf(certificate, sizeof certificate, "%s/coordinator/coordinator.crt", folder);
    snprintf(key, sizeof key, "%s/operator.key", folder);
    snprintf(heldout, sizeof heldout, "%s/shards/heldout.txt", folder);
    execv(program, words);
    fprintf(stderr, "owm admin: %s cannot be run; build it with ./owm build\n", program);
    return 1;
}
