/* checkpoint.c: the weights a task names, from the cache or the coordinator. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"
#include "node/manifest.h"
#include "node/node.h"

#define DOWNLOAD_TRIES 5

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
    if (removed > 0) owm_log(OWM_LOG_INFO, "cache_trimmed checkpoints=%u", removed);
}

/** check_manifest: only weights that a manifest signed by the coordinator names (promise 3). */
static owm_status check_manifest(struct node *node, const uint8_t sha256[32], uint64_t bytes,
                                 struct owm_error *error)
{
    char hex[65];
    owm_hex_encode(sha256, 32, hex);
    PB(GetModelVersionRequest) request = OWM__COORDINATOR__V1__GET_MODEL_VERSION_REQUEST__INIT;
    request.version_id = hex;
    PB(ModelVersion) *version = NULL;
    owm_status status = link_version(node->rpc, &request, &version, error);
    if (status == OWM_OK)
        status = manifest_check(version->manifest, node->coordinator_key, sha256, bytes, error);
    link_free(version);
    return status;
}

static owm_status fetch(struct node_slot *slot, const uint8_t sha256[32], uint64_t bytes,
                        struct owm_error *error)
{
    struct node *node = slot->node;
    const struct link_transfer transfer = {.sha256 = sha256,
                                           .bytes = bytes,
                                           .cancel = &slot->cancel,
                                           .deadline_ms = slot->task.deadline_ms};
    node_slot_doing(slot, "downloading a checkpoint of %.1f MB", (double)bytes / 1e6);
    owm_status status = OWM_E_NET;
    /* A coordinator that restarts comes back within seconds; what is here already stays. The
     * manifest first: whatever is in the cache was named by one, also after a crash in between and
     * for another slot that looks there. */
    for (unsigned try = 0; try < DOWNLOAD_TRIES && status == OWM_E_NET; try++) {
        uint64_t received = 0;
        if (try > 0) node_slot_pause(slot);
        status = check_manifest(node, sha256, bytes, error);
        if (status == OWM_OK)
            status = link_download(node->rpc, node->store, &transfer, &received, error);
        owm_counter_add(node->count.bytes_down, received);
    }
    if (status != OWM_OK) return status;
    char hex[65];
    owm_hex_encode(sha256, 32, hex);
    owm_log(OWM_LOG_INFO, "checkpoint_downloaded sha256=%s bytes=%llu", hex,
            (unsigned long long)bytes);
    make_room(node, sha256);
    return OWM_OK;
}

owm_status node_checkpoint(struct node_slot *slot, const uint8_t sha256[static 32], uint64_t bytes,
                           int *fd, struct owm_error *error)
{
    struct node_view view;
    node_look(slot->node, &view);
    owm_status status = node_weights_allowed(view.network, error);
    if (status != OWM_OK) return status;
    /* Two slots may want the same one: the second waits for the first's download. */
    while (!owm_blob_exists(slot->node->store, sha256)) {
        status = fetch(slot, sha256, bytes, error);
        if (status == OWM_OK) break;
        if (status != OWM_E_STATE || atomic_load(&slot->cancel)) return status;
        node_slot_pause(slot);
    }
    uint64_t size = 0;
    status = owm_blob_open(slot->node->store, sha256, fd, &size);
    if (status != OWM_OK)
        return owm_fail(error, status, "the checkpoint could not be opened in the cache: %s",
                        owm_status_text(status));
    return OWM_OK;
}
