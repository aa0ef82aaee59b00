/* checkpoint.c: the weights a task names: proven first, then from the cache or the coordinator. */
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "node/cached_file.h"
#include "node/provenance.h"

#define DOWNLOAD_TRIES 5
#define FETCHES_MAX    2 /* Of one checkpoint for one task: again after other bytes were found. */

/** make_room: keep the cache within its limit; the new checkpoint itself stays. */
static void make_room(struct node *node, const uint8_t sha256[32])
{
    uint8_t pinned[1][32];
    memcpy(pinned[0], sha256, 32);
    uint32_t removed = 0;
    uint64_t max = (uint64_t)node->config.cache_max_gb * 1000000000u;
    owm_status status = owm_blob_trim(node->store, max, (const uint8_t(*)[32])pinned, 1, &removed);
    if (status == OWM_E_LIMIT)
        node_trouble(node, "the checkpoint alone is larger than model.cache_max_gb = %lld",
                     (long long)node->config.cache_max_gb);
    if (removed == 0) return;
    owm_log(OWM_LOG_INFO, "cache_trimmed checkpoints=%u", removed);
    node_proofs_swept(node);
}

static struct prove prove_of(const struct checkpoint *checkpoint)
{
    return (struct prove){.use = checkpoint->use,
                          .named = {.sha256 = checkpoint->sha256, .bytes = checkpoint->bytes}};
}

/** prove: with patience. A coordinator that restarts comes back within seconds; block headers that
 *  cannot be asked now are no fault of the model, and are waited for as long as the task may. */
static owm_status prove(struct node_slot *slot, const struct checkpoint *checkpoint,
                        struct refusal *refusal, struct owm_error *error)
{
    const struct prove prove = prove_of(checkpoint);
    node_slot_doing(slot, "checking the proof of a model");
    for (unsigned try = 1;; try++) {
        owm_status status = node_prove(slot->node, &prove, refusal, error);
        bool again = status == OWM_E_AGAIN || (status == OWM_E_NET && try < DOWNLOAD_TRIES);
        if (!again || atomic_load(&slot->cancel)
            || owm_clock_mono_ms() + slot->node->timing.resend >= slot->task.deadline_ms)
            return status;
        if (status == OWM_E_AGAIN) node_slot_doing(slot, "waiting: %.80s", error->text);
        node_slot_pause(slot);
    }
}

static owm_status fetch(struct node_slot *slot, const struct checkpoint *checkpoint,
                        struct refusal *refusal, struct owm_error *error)
{
    struct node *node = slot->node;
    const struct link_transfer transfer = {.sha256 = checkpoint->sha256,
                                           .bytes = checkpoint->bytes,
                                           .cancel = &slot->cancel,
                                           .deadline_ms = slot->task.deadline_ms};
    node_slot_doing(slot, "downloading a checkpoint of %.1f MB", (double)checkpoint->bytes / 1e6);
    owm_status status = OWM_E_NET;
    /* A coordinator that restarts comes back within seconds; what is here already stays. */
    for (unsigned try = 0; try < DOWNLOAD_TRIES && status == OWM_E_NET; try++) {
        uint64_t received = 0;
        if (try > 0) node_slot_pause(slot);
        status = link_download(node->rpc, node->store, &transfer, &received, error);
        owm_counter_add(node->count.bytes_down, received);
    }
    if (status == OWM_E_CRYPTO || status == OWM_E_LIMIT) {
        refusal_set(refusal, REFUSAL_TAMPERED_FILE,
                    "the coordinator sent other bytes than the checkpoint that its manifest names: "
                    "%.200s",
                    error->text);
        return OWM_OK;
    }
    if (status != OWM_OK) return status;
    char hex[65];
    owm_hex_encode(checkpoint->sha256, 32, hex);
    owm_log(OWM_LOG_INFO, "checkpoint_downloaded sha256=%s bytes=%llu", hex,
            (unsigned long long)checkpoint->bytes);
    make_room(node, checkpoint->sha256);
    return OWM_OK;
}

/** bring: into the cache, where it may be. Two slots may want the same one: the second waits for
 *  the first's download. */
static owm_status bring(struct node_slot *slot, const struct checkpoint *checkpoint,
                        struct refusal *refusal, struct owm_error *error)
{
    while (!owm_blob_exists(slot->node->store, checkpoint->sha256)) {
        owm_status status = fetch(slot, checkpoint, refusal, error);
        if (status != OWM_E_STATE || atomic_load(&slot->cancel)) return status;
        node_slot_pause(slot);
    }
    return OWM_OK;
}

/** load: bring it and open it; a file that was tampered with is fetched again once. */
static owm_status load(struct node_slot *slot, const struct checkpoint *checkpoint, int *fd,
                       struct refusal *refusal, struct owm_error *error)
{
    const struct prove prove = prove_of(checkpoint);
    for (unsigned fetches = 1;; fetches++) {
        owm_status status = bring(slot, checkpoint, refusal, error);
        if (status != OWM_OK || refusal->code != REFUSAL_NONE) return status;
        status = node_cached_open(slot, checkpoint, fd, refusal, error);
        bool again = status == OWM_E_NOTFOUND || refusal->code == REFUSAL_TAMPERED_FILE;
        if (!again || fetches == FETCHES_MAX) return status;
        if (refusal->code != REFUSAL_NONE) {
            (void)node_refused(slot->node, &prove, refusal, error);
            node_trouble(slot->node, "%.400s", error->text);
        }
        *refusal = (struct refusal){.code = REFUSAL_NONE};
    }
}

owm_status node_checkpoint(struct node_slot *slot, const struct checkpoint *checkpoint, int *fd,
                           struct owm_error *error)
{
    const struct prove used = prove_of(checkpoint);
    struct refusal refusal = {.code = REFUSAL_NONE};
    *fd = -1;
    owm_status status = prove(slot, checkpoint, &refusal, error);
    if (status == OWM_OK && refusal.code == REFUSAL_NONE)
        status = load(slot, checkpoint, fd, &refusal, error);
    if (status == OWM_OK && refusal.code == REFUSAL_NONE)
        status = node_proven_used(slot->node, &used, &refusal, error);
    if (status == OWM_OK && refusal.code == REFUSAL_NONE) return OWM_OK;
    if (*fd >= 0) close(*fd);
    *fd = -1;
    return status == OWM_OK ? node_refused(slot->node, &used, &refusal, error) : status;
}
