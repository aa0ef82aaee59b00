/* upgrade.c: what calendars have promised, fetched when it is there. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "proof_file.h"
#include "report.h"
#include "source.h"

static bool has_block(const struct owm_ots_tree *tree)
{
    for (uint32_t i = 0; i < tree->attestation_count; i++)
        if (tree->attestations[i].kind == OWM_OTS_BITCOIN) return true;
    return false;
}

/* An answer whose block does not hold it is worth nothing, and would stay in the file for ever. */
static owm_status not_refuted(void *ctx, const struct owm_ots_tree *answer, struct owm_error *error)
{
    struct owm_ots_verdict verdict;
    owm_status status = owm_ots_verify(answer, ctx, &verdict, error);
    if (status == OWM_OK && verdict.outcome == OWM_OTS_REFUTED)
        return owm_fail(error, OWM_E_PROTO, "the calendar's answer is wrong: %.300s",
                        verdict.why.text);
    return status;
}

static const char *reason(const struct owm_ots_upgraded *upgraded)
{
    if (upgraded->asked == 0) return "it holds no promise of a calendar";
    for (size_t i = 0; i < upgraded->asked; i++)
        if (upgraded->told[i].status != OWM_OK && upgraded->told[i].status != OWM_E_PERM)
            return upgraded->told[i].error.text;
    return upgraded->told[0].error.text;
}

static int conclude(const struct options *options, const char *name,
                    const struct owm_ots_proof *proof, const struct owm_ots_upgraded *upgraded)
{
    struct owm_error error = {.text = ""};
    char sentence[OWM_ERROR_BYTES_MAX + 64];
    if (upgraded->added > 0 && proof_file_replace(name, proof, &error) != OWM_OK)
        return report_failure(options, name, &error);
    if (has_block(&proof->tree)) {
        report(options, name, "complete", "complete: it leads to a block; verify it", NULL);
        return EXIT_DONE;
    }
    snprintf(sentence, sizeof sentence, "pending: %s", reason(upgraded));
    report(options, name, "pending", sentence, NULL);
    return EXIT_PENDING;
}

static int upgrade(const struct options *options, const char *name, struct source *source)
{
    struct owm_ots_proof proof;
    struct owm_error error = {.text = ""};
    if (proof_file_read(name, &proof, &error) != OWM_OK)
        return report_failure(options, name, &error);
    struct owm_ots_upgraded *upgraded = calloc(1, sizeof *upgraded);
    const struct owm_ots_calendars calendars = options_calendars(options);
    const struct owm_ots_check check = {&source->headers, not_refuted};
    owm_status status = OWM_OK;
    if (!upgraded)
        status = owm_fail(&error, OWM_E_NOMEM, "no memory to upgrade it");
    else if (!has_block(&proof.tree))
        status = owm_ots_upgrade(&calendars, &proof.tree, source->given ? &check : NULL, upgraded,
                                 &error);
    int code = status == OWM_OK ? conclude(options, name, &proof, upgraded)
                                : report_failure(options, name, &error);
    free(upgraded);
    owm_ots_proof_deinit(&proof);
    return code;
}

int command_upgrade(const struct options *options)
{
    struct source source;
    struct owm_error error = {.text = ""};
    if (source_open(options, &source, &error) != OWM_OK) {
        fprintf(stderr, "owm-ots: %s\n", error.text);
        return EXIT_FAILED;
    }
    int code = EXIT_DONE;
    for (size_t i = 0; i < options->file_count; i++)
        code = report_worse(code, upgrade(options, options->files[i], &source));
    source_close(&source);
    return code;
}
