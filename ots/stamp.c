/* stamp.c: hash, hide, join, submit, write. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "commands.h"
#include "dataplane/ots/merkle.h"
#include "digest.h"
#include "proof_file.h"
#include "report.h"

#define NEEDED_DEFAULT 2

struct stamping {
    struct digest digest;
    struct owm_ots_proof proof;
    char name[PATH_MAX];
};

static owm_status check_name(const char *file, struct stamping *stamping, struct owm_error *error)
{
    owm_status status = proof_file_name(file, stamping->name, error);
    if (status == OWM_OK && access(stamping->name, F_OK) == 0)
        status = owm_fail(error, OWM_E_EXISTS, "%.300s is there already", stamping->name);
    return status;
}

static owm_status blind(struct stamping *stamping, struct owm_ots_leaf *leaf,
                        struct owm_error *error)
{
    uint8_t nonce[OWM_OTS_NONCE_BYTES];
    if (getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce)
        return owm_fail(error, OWM_E_IO, "the system gives no random bytes");
    const struct owm_ots_bytes digest = {stamping->digest.value, 32};
    owm_status status = owm_ots_proof_init(&stamping->proof, OWM_OTS_SHA256, digest, error);
    *leaf = (struct owm_ots_leaf){&stamping->proof.tree, OWM_OTS_ROOT};
    if (status == OWM_OK) status = owm_ots_blind(leaf, nonce, error);
    return status;
}

static void report_calendars(const struct options *options, const struct owm_ots_told *told,
                             size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (told[i].status == OWM_OK)
            report(options, told[i].url, "promised", "promises to put it into a block", NULL);
        else
            report(options, told[i].url, "silent", told[i].error.text, NULL);
    }
}

/* The first tree gets the promises, and every other one all that hangs below the root there. */
static owm_status submit(const struct options *options, struct owm_ots_leaf *leaves, size_t count,
                         struct owm_error *error)
{
    struct owm_ots_calendars calendars = options_calendars(options);
    struct owm_ots_told told[OWM_OTS_CALENDARS_MAX];
    struct owm_ots_submission submission = {
        .urls = options->own_count ? options->own : owm_ots_aggregators,
        .count = options->own_count ? options->own_count : owm_ots_aggregator_count,
        .told = told,
    };
    submission.needed = options->needed ? options->needed : NEEDED_DEFAULT;
    if (!options->needed && submission.needed > submission.count)
        submission.needed = submission.count;
    struct owm_ots_tree promises;
    struct owm_ots_bytes root = leaves[0].tree->nodes[leaves[0].node].message;
    owm_status status = owm_ots_tree_init(&promises, root, error);
    if (status != OWM_OK) return status;
    const struct owm_ots_leaf at = {&promises, OWM_OTS_ROOT};
    memset(told, 0, sizeof told);
    status = owm_ots_submit(&calendars, &submission, &at, error);
    if (status != OWM_E_ARG) report_calendars(options, told, submission.count);
    for (size_t i = 0; i < count && status == OWM_OK; i++)
        status = owm_ots_merge(leaves[i].tree, leaves[i].node, &promises, NULL, error);
    owm_ots_tree_deinit(&promises);
    return status;
}

static int hash_files(const struct options *options, struct stamping *stampings,
                      struct digest *digests)
{
    struct owm_error error;
    int code = EXIT_DONE;
    for (size_t i = 0; i < options->file_count; i++) {
        digests[i] = (struct digest){.path = options->files[i], .tag = OWM_OTS_SHA256};
        if (check_name(options->files[i], &stampings[i], &error) != OWM_OK)
            code = report_failure(options, options->files[i], &error);
    }
    if (code != EXIT_DONE) return code;
    digest_all(digests, options->file_count);
    for (size_t i = 0; i < options->file_count; i++) {
        stampings[i].digest = digests[i];
        if (digests[i].status != OWM_OK)
            code = report_failure(options, options->files[i], &digests[i].error);
    }
    return code;
}

static int stamp(const struct options *options, struct stamping *stampings,
                 struct owm_ots_leaf *leaves)
{
    struct owm_error error = {.text = ""};
    owm_status status = OWM_OK;
    size_t count = options->file_count;
    for (size_t i = 0; i < count && status == OWM_OK; i++)
        status = blind(&stampings[i], &leaves[i], &error);
    if (status == OWM_OK) status = owm_ots_merkle(leaves, count, &error);
    if (status == OWM_OK) status = submit(options, leaves, count, &error);
    if (status != OWM_OK) return report_failure(options, options->files[0], &error);
    int code = EXIT_DONE;
    for (size_t i = 0; i < count; i++) {
        char sentence[PATH_MAX + 64];
        snprintf(sentence, sizeof sentence, "stamped, pending: %s", stampings[i].name);
        if (proof_file_create(stampings[i].name, &stampings[i].proof, &error) == OWM_OK)
            report(options, options->files[i], "stamped", sentence,
                   json_pack("{s:o}", "proof", json_string(stampings[i].name)));
        else
            code = report_failure(options, options->files[i], &error);
    }
    return code;
}

int command_stamp(const struct options *options)
{
    size_t count = options->file_count;
    struct stamping *stampings = calloc(count, sizeof *stampings);
    struct digest *digests = calloc(count, sizeof *digests);
    struct owm_ots_leaf *leaves = calloc(count, sizeof *leaves);
    int code = EXIT_FAILED;
    if (stampings && digests && leaves) {
        code = hash_files(options, stampings, digests);
        if (code == EXIT_DONE) code = stamp(options, stampings, leaves);
        for (size_t i = 0; i < count; i++) owm_ots_proof_deinit(&stampings[i].proof);
    } else {
        fprintf(stderr, "owm-ots: no memory for %zu files\n", count);
    }
    free(leaves);
    free(digests);
    free(stampings);
    return code;
}
