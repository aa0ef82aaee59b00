/* evidence_replay.c: a whole round once more, in a folder of its own, by the coordinator's own
 * code: the same packages, policy and held-out text give the same certificate, byte for byte. */
#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/admin/evidence_internal.h"
#include "controlplane/coordinator/lab.h"

#define PACKAGE_BYTES_MAX ((size_t)1 << 32)

struct replay {
    const struct owm_evidence_source *source;
    const struct certificate *certificate;
    char folder[40];
    struct owm_blob_store *store;
    struct owm_lab *lab;
    struct owm_lab_entry *entries;
};

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about;
    (void)type;
    (void)where;
    return remove(path);
}

static void clear(struct replay *r)
{
    owm_lab_close(r->lab);
    owm_blob_store_close(r->store);
    free(r->entries);
    if (r->folder[0]) (void)nftw(r->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Fetch a blob into our own store; header: where a package's is wanted. */
static owm_status bring(struct replay *r, const uint8_t hash[32], size_t bytes_max,
                        struct owm_delta_header *header, struct owm_error *error)
{
    uint8_t *data = NULL, stored[32];
    size_t bytes = 0;
    enum owm_delta_reason why = OWM_DELTA_NONE;
    owm_status status = owm_evidence_fetch(r->source, hash, bytes_max, &data, &bytes, error);
    if (status == OWM_OK && header) {
        status = owm_delta_peek(data, bytes, header, &why);
        if (status != OWM_OK) status = owm_fail(error, status, "%s", owm_delta_reason_text(why));
    }
    if (status == OWM_OK) status = owm_blob_put(r->store, data, bytes, stored, error);
    free(data);
    return status;
}

static owm_status bring_packages(struct replay *r, struct owm_error *error)
{
    const struct certificate *c = r->certificate;
    owm_status status = OWM_OK;
    r->entries = calloc(c->count, sizeof(*r->entries));
    if (!r->entries) return OWM_E_NOMEM;
    for (uint32_t i = 0; status == OWM_OK && i < c->count; i++) {
        struct owm_lab_entry *entry = &r->entries[i];
        struct owm_delta_header header;
        status = bring(r, c->packages[i].sha256, PACKAGE_BYTES_MAX, &header, error);
        if (status != OWM_OK) break;
        entry->order.round = (uint32_t)c->round;
        memcpy(entry->order.base_hash, c->base_sha256, 32);
        memcpy(entry->order.node_key, c->packages[i].node_key, 32);
        memcpy(entry->order.nonce, header.nonce, 16);
        entry->order.topk_permille = 1000;
        entry->order.package_bytes_max = PACKAGE_BYTES_MAX;
        memcpy(entry->package_hash, c->packages[i].sha256, 32);
        entry->prior = c->packages[i].prior;
        entry->arrival_ms = c->packages[i].arrival_ms;
    }
    return status;
}

static owm_status open_lab(struct replay *r, struct owm_error *error)
{
    snprintf(r->folder, sizeof(r->folder), "/tmp/owm-evidence-XXXXXX");
    if (!mkdtemp(r->folder)) {
        r->folder[0] = 0;
        return owm_fail(error, OWM_E_IO, "no folder can be made in /tmp");
    }
    owm_status status = owm_blob_store_open(r->folder, &r->store, error);
    const struct owm_lab_options options = {.store = r->store,
                                            .momentum_dir = r->folder,
                                            .heldout_file = r->source->heldout_file,
                                            .heldout_bytes_max = r->source->heldout_bytes,
                                            .model = owm_model_config_default(),
                                            .policy = r->certificate->policy,
                                            .loss_screen = true};
    return status == OWM_OK ? owm_lab_open(&options, &r->lab, error) : status;
}

owm_status replay_round(const struct owm_evidence_source *source,
                        const struct certificate *certificate, const uint8_t certificate_hash[32],
                        bool *same, struct owm_error *error)
{
    struct replay r = {.source = source, .certificate = certificate};
    struct owm_lab_result result = {0};
    if (certificate->policy.momentum > 0) return OWM_E_UNSUPPORTED;
    owm_status status = open_lab(&r, error);
    if (status == OWM_OK)
        status = bring(&r, certificate->base_sha256, OWM_LAB_CHECKPOINT_BYTES_MAX, NULL, error);
    if (status == OWM_OK) status = bring_packages(&r, error);
    if (status == OWM_OK)
        status = owm_lab_aggregate(r.lab, certificate->base_sha256, (uint32_t)certificate->round,
                                   r.entries, certificate->count, &result, error);
    if (status == OWM_E_STATE) status = OWM_OK; /* no package was included: that has one, too */
    if (status == OWM_OK) *same = memcmp(result.certificate_hash, certificate_hash, 32) == 0;
    clear(&r);
    return status;
}
