/* verify.c: attestations against headers, from the lowest block up. */
#include "verify.h"

#include <stdlib.h>
#include <string.h>

static uint32_t count_of(const struct owm_ots_tree *tree, enum owm_ots_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < tree->attestation_count; i++)
        count += tree->attestations[i].kind == kind;
    return count;
}

void owm_ots_outlook(const struct owm_ots_tree *tree, struct owm_ots_verdict *verdict)
{
    *verdict = (struct owm_ots_verdict){.outcome = OWM_OTS_UNPROVEN};
    uint32_t pending = count_of(tree, OWM_OTS_PENDING);
    if (count_of(tree, OWM_OTS_BITCOIN) > 0) {
        (void)owm_fail(&verdict->why, OWM_OK, "no block headers are at hand to check it with");
    } else if (pending > 0) {
        verdict->outcome = OWM_OTS_WAITING;
        (void)owm_fail(&verdict->why, OWM_OK, "%u %s to put it into a block", pending,
                       pending == 1 ? "calendar has promised" : "calendars have promised");
    } else {
        (void)owm_fail(&verdict->why, OWM_OK, "it holds no attestation that can be checked");
    }
}

static int by_height(const void *a, const void *b)
{
    const struct owm_ots_attestation *x = *(const struct owm_ots_attestation *const *)a;
    const struct owm_ots_attestation *y = *(const struct owm_ots_attestation *const *)b;
    return (x->height > y->height) - (x->height < y->height);
}

static bool holds(const uint8_t *header, struct owm_ots_bytes message)
{
    return message.bytes == 32 && memcmp(header + 36, message.data, 32) == 0;
}

static void refute(const struct owm_ots_attestation *attestation, struct owm_ots_bytes message,
                   struct owm_ots_verdict *verdict)
{
    if (verdict->outcome == OWM_OTS_REFUTED) return; /* The first one is told. */
    verdict->outcome = OWM_OTS_REFUTED;
    unsigned long long height = (unsigned long long)attestation->height;
    if (message.bytes == 32)
        (void)owm_fail(&verdict->why, OWM_OK, "block %llu has another merkle root", height);
    else
        (void)owm_fail(&verdict->why, OWM_OK, "it leads to %u bytes for block %llu, not to 32",
                       message.bytes, height);
}

static void accept_block(const struct owm_ots_attestation *attestation, const uint8_t *header,
                         uint64_t tip, struct owm_ots_verdict *verdict)
{
    uint64_t confirmations = tip - attestation->height + 1;
    bool deep = confirmations >= OWM_OTS_CONFIRMATIONS;
    *verdict = (struct owm_ots_verdict){
        .outcome = deep ? OWM_OTS_CONFIRMED : OWM_OTS_WAITING,
        .height = attestation->height,
        .time_s = header[68] | (uint32_t)header[69] << 8 | (uint32_t)header[70] << 16
                  | (uint32_t)header[71] << 24,
        .confirmations = confirmations,
    };
    if (!deep)
        (void)owm_fail(&verdict->why, OWM_OK, "block %llu has %llu of %d confirmations",
                       (unsigned long long)attestation->height, (unsigned long long)confirmations,
                       OWM_OTS_CONFIRMATIONS);
}

static owm_status judge(const struct owm_ots_tree *tree, const struct owm_ots_headers *headers,
                        const struct owm_ots_attestation *const *bitcoin, uint32_t count,
                        struct owm_ots_verdict *verdict, struct owm_error *error)
{
    uint64_t tip;
    owm_status status = headers->tip(headers->ctx, &tip, error);
    if (status != OWM_OK) return status;
    for (uint32_t i = 0; i < count; i++) {
        const struct owm_ots_attestation *attestation = bitcoin[i];
        struct owm_ots_bytes message = tree->nodes[attestation->node].message;
        uint8_t header[OWM_OTS_HEADER_BYTES];
        if (attestation->height > tip) {
            if (verdict->outcome == OWM_OTS_REFUTED) return OWM_OK;
            verdict->outcome = OWM_OTS_WAITING;
            (void)owm_fail(&verdict->why, OWM_OK,
                           "it names block %llu, and the last one known is %llu",
                           (unsigned long long)attestation->height, (unsigned long long)tip);
            return OWM_OK;
        }
        if (i == OWM_OTS_LOOKUPS_MAX)
            return owm_fail(error, OWM_E_LIMIT, "the proof names more than %d blocks",
                            OWM_OTS_LOOKUPS_MAX);
        status = headers->header(headers->ctx, attestation->height, header, error);
        if (status != OWM_OK) return status;
        if (holds(header, message)) {
            accept_block(attestation, header, tip, verdict);
            return OWM_OK;
        }
        refute(attestation, message, verdict);
    }
    return OWM_OK;
}

owm_status owm_ots_verify(const struct owm_ots_tree *tree, const struct owm_ots_headers *headers,
                          struct owm_ots_verdict *verdict, struct owm_error *error)
{
    owm_ots_outlook(tree, verdict);
    uint32_t count = 0;
    if (count_of(tree, OWM_OTS_BITCOIN) == 0) return OWM_OK;
    const struct owm_ots_attestation **bitcoin = calloc(tree->attestation_count, sizeof *bitcoin);
    if (!bitcoin) return owm_fail(error, OWM_E_NOMEM, "no memory to verify a proof");
    for (uint32_t i = 0; i < tree->attestation_count; i++)
        if (tree->attestations[i].kind == OWM_OTS_BITCOIN)
            bitcoin[count++] = &tree->attestations[i];
    qsort(bitcoin, count, sizeof *bitcoin, by_height);
    owm_status status = judge(tree, headers, bitcoin, count, verdict, error);
    free(bitcoin);
    return status;
}
