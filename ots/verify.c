/* verify.c: the file against the digest, the digest against the block. */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "digest.h"
#include "proof_file.h"
#include "report.h"
#include "source.h"

struct verifying {
    struct owm_ots_proof proof;
    char target[PATH_MAX];
    bool read;
    struct owm_error error;
};

static void read_proof(const struct options *options, const char *name, struct verifying *v,
                       struct digest *digest)
{
    owm_status status = proof_file_read(name, &v->proof, &v->error);
    if (status != OWM_OK) return;
    if (options->target)
        snprintf(v->target, sizeof v->target, "%s", options->target);
    else
        status = proof_file_target(name, v->target, &v->error);
    if (status != OWM_OK) return;
    v->read = true;
    *digest = (struct digest){.path = v->target, .tag = v->proof.file_op};
}

static int judge(const struct options *options, const char *name, struct source *source,
                 const struct verifying *v, const struct digest *digest)
{
    struct owm_error error = {.text = ""};
    struct owm_ots_verdict verdict;
    if (!v->read) return report_failure(options, name, &v->error);
    if (digest->status != OWM_OK) return report_failure(options, name, &digest->error);
    const struct owm_ots_bytes proven = v->proof.tree.nodes[OWM_OTS_ROOT].message;
    if (memcmp(digest->value, proven.data, proven.bytes) != 0) {
        (void)owm_fail(&error, OWM_E_PROTO, "'%.300s' is not the file that is proven", v->target);
        return report_failure(options, name, &error);
    }
    if (!source->given)
        owm_ots_outlook(&v->proof.tree, &verdict);
    else if (owm_ots_verify(&v->proof.tree, &source->headers, &verdict, &error) != OWM_OK)
        return report_failure(options, name, &error);
    return report_verdict(options, name, &verdict);
}

static int verify(const struct options *options, struct source *source, struct verifying *all,
                  struct digest *digests)
{
    int code = EXIT_DONE;
    for (size_t i = 0; i < options->file_count; i++) {
        digests[i] = (struct digest){.path = "/dev/null", .tag = OWM_OTS_SHA256};
        read_proof(options, options->files[i], &all[i], &digests[i]);
    }
    digest_all(digests, options->file_count);
    for (size_t i = 0; i < options->file_count; i++) {
        code = report_worse(code, judge(options, options->files[i], source, &all[i], &digests[i]));
        owm_ots_proof_deinit(&all[i].proof);
    }
    return code;
}

int command_verify(const struct options *options)
{
    struct source source;
    struct owm_error error = {.text = ""};
    struct verifying *all = calloc(options->file_count, sizeof *all);
    struct digest *digests = calloc(options->file_count, sizeof *digests);
    owm_status status = OWM_OK;
    if (!all || !digests) status = owm_fail(&error, OWM_E_NOMEM, "no memory for so many files");
    if (status == OWM_OK) status = source_open(options, &source, &error);
    int code = EXIT_FAILED;
    if (status == OWM_OK) {
        code = verify(options, &source, all, digests);
        source_close(&source);
    } else {
        fprintf(stderr, "owm-ots: %s\n", error.text);
    }
    free(digests);
    free(all);
    return code;
}
