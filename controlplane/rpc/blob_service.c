/* blob_service.c: UploadBlob and DownloadBlob.
 *
 * An upload belongs to a lease: the first chunk names it, the engine's thread says whether it still
 * counts, and only then does the next chunk leave the network. Downloads are of what was published:
 * checkpoints, certificates, evidence. Packages of others are nobody's business, but for those who
 * judge evidence, on the internal listener.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/uuid.h"
#include "services_internal.h"

/* ---------------------------------------------------------------------------- upload */

/** upload: shared by the call and, for the first chunk, the post that asks the engine. */
struct upload {
    pthread_mutex_t lock;
    int refs;
    struct owm_services *services;
    struct owm_peer *peer;
    struct owm_blob_upload *blob; /* NULL until admitted */
    uint8_t hash[32], task_id[16];
    uint64_t lease_token, total_bytes, have_bytes;
    bool ended, answered;
};

static void upload_unref(struct upload *upload)
{
    pthread_mutex_lock(&upload->lock);
    bool last = --upload->refs == 0;
    pthread_mutex_unlock(&upload->lock);
    if (!last) return;
    owm_blob_suspend(upload->blob);
    pthread_mutex_destroy(&upload->lock);
    free(upload);
}

static void acknowledge(struct upload *upload, struct owm_rpc_call *call, const char *reason)
{
    PB(BlobAck) ack = OWM__COORDINATOR__V1__BLOB_ACK__INIT;
    if (upload->answered) return;
    upload->answered = true;
    if (reason[0]) wire_refuse(upload->services, "UploadBlob", reason, call);
    ack.accepted = reason[0] == 0;
    ack.reason = (char *)reason;
    ack.bytes = upload->have_bytes;
    wire_reply(call, &ack.base);
}

/* Chunks may repeat what is there already (a resumed upload), but leave no gap. */
static void append(struct upload *upload, struct owm_rpc_call *call, uint64_t offset,
                   const uint8_t *data, size_t bytes)
{
    if (!upload->blob || upload->answered) return;
    if (offset > upload->have_bytes || bytes > upload->total_bytes
        || offset > upload->total_bytes - bytes) {
        acknowledge(upload, call, "OUT_OF_ORDER");
        return;
    }
    if (offset + bytes <= upload->have_bytes) return;
    size_t skip = (size_t)(upload->have_bytes - offset);
    struct owm_error error = {""};
    if (owm_blob_append(upload->blob, data + skip, bytes - skip, &error) != OWM_OK) {
        owm_log(OWM_LOG_WARN, "upload_failed reason=\"%s\"", error.text);
        acknowledge(upload, call, "STORAGE");
        return;
    }
    upload->have_bytes += bytes - skip;
}

static const char *admit(struct upload *upload, owm_engine *engine)
{
    const struct owm_task_row *task = owm_engine_find_task(engine, upload->task_id);
    if (!task) return "UNKNOWN_TASK";
    if (task->state != OWM_TASK_STATE_RUNNING || task->lease_token != upload->lease_token
        || memcmp(task->assigned_node, upload->peer->node_id, 16) != 0)
        return "STALE_LEASE";
    struct owm_error error = {""};
    owm_status status =
        owm_blob_begin(upload->services->config.store, upload->hash, upload->total_bytes,
                       &upload->blob, &upload->have_bytes, &error);
    if (status == OWM_OK) return NULL;
    if (status == OWM_E_EXISTS) return ""; /* here already: nothing to do */
    if (status == OWM_E_STATE) return "UPLOADING";
    owm_log(OWM_LOG_WARN, "upload_not_begun reason=\"%s\"", error.text);
    return "STORAGE";
}

/* Engine's thread. post->ctx is the upload, ask->data the first chunk's bytes. */
static bool admit_first(struct owm_post *post, owm_engine *engine)
{
    struct upload *upload = post->ctx;
    struct owm_ask *ask = post->ask;
    pthread_mutex_lock(&upload->lock);
    const char *reason = upload->ended ? "CANCELLED" : admit(upload, engine);
    if (reason && !reason[0]) upload->have_bytes = upload->total_bytes;
    if (reason)
        acknowledge(upload, ask->call, reason);
    else
        append(upload, ask->call, 0, ask->data, ask->data_bytes);
    pthread_mutex_unlock(&upload->lock);
    owm_rpc_resume(ask->call);
    upload_unref(upload);
    return false;
}

static void stopped(struct owm_ask *ask, const struct owm_output *output)
{
    (void)output;
    owm_rpc_fail(ask->call, OWM_RPC_UNAVAILABLE, "the coordinator is stopping");
    owm_ask_free(ask);
}

static const char *check_first(const struct owm_services *services, const PB(BlobChunk) * chunk,
                               struct upload *upload)
{
    if (chunk->hash.len != 32 || chunk->offset != 0) return "MALFORMED";
    if (owm_uuid_parse(chunk->task_id, upload->task_id) != OWM_OK) return "UNKNOWN_TASK";
    if (chunk->total_bytes == 0 || chunk->total_bytes > services->config.orders.package_bytes_max)
        return "TOO_LARGE";
    memcpy(upload->hash, chunk->hash.data, 32);
    upload->lease_token = chunk->lease_token;
    upload->total_bytes = chunk->total_bytes;
    return NULL;
}

static void first_chunk(struct owm_services *services, struct owm_rpc_call *call,
                        const PB(BlobChunk) * chunk)
{
    struct owm_peer *peer = wire_peer(services, call, "UploadBlob", NULL);
    struct upload *upload = peer ? calloc(1, sizeof(*upload)) : NULL;
    if (!upload) {
        if (peer) wire_busy(services, call, "UploadBlob");
        return;
    }
    pthread_mutex_init(&upload->lock, NULL);
    upload->refs = 1;
    upload->services = services;
    upload->peer = peer;
    owm_rpc_call_set_user(call, upload);
    const char *reason = check_first(services, chunk, upload);
    if (reason) {
        acknowledge(upload, call, reason);
        return;
    }
    struct owm_post *post = calloc(1, sizeof(*post));
    if (post) post->ask = owm_ask_new(stopped, services, call);
    if (post && post->ask) post->ask->data = malloc(chunk->data.len + 1);
    if (!post || !post->ask || !post->ask->data) {
        owm_post_free(post);
        wire_busy(services, call, "UploadBlob");
        return;
    }
    memcpy(post->ask->data, chunk->data.data ? chunk->data.data : (const uint8_t *)"",
           chunk->data.len);
    post->ask->data_bytes = chunk->data.len;
    post->ctx = upload;
    post->prepare = admit_first;
    upload->refs++;
    owm_rpc_pause(call);
    if (owm_inbox_put(services->config.inbox, post) == OWM_OK) return;
    upload->refs--;
    owm_rpc_resume(call);
    wire_busy(services, call, "UploadBlob");
}

void on_upload(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    struct owm_services *services = app;
    PB(BlobChunk) *chunk = wire_unpack(
        services, call, "UploadBlob", &owm__coordinator__v1__blob_chunk__descriptor, bytes, length);
    struct upload *upload = owm_rpc_call_user(call);
    if (!chunk) return;
    if (!upload) {
        first_chunk(services, call, chunk);
    } else {
        pthread_mutex_lock(&upload->lock);
        append(upload, call, chunk->offset, chunk->data.data, chunk->data.len);
        pthread_mutex_unlock(&upload->lock);
    }
    owm__coordinator__v1__blob_chunk__free_unpacked(chunk, NULL);
}

/* Hash check and fsync, on a worker. */
static void finish_upload(void *ctx, void *arg)
{
    struct upload *upload = ctx;
    struct owm_rpc_call *call = arg;
    struct owm_error error = {""};
    pthread_mutex_lock(&upload->lock);
    struct owm_blob_upload *blob = upload->blob;
    upload->blob = NULL;
    if (blob && !upload->answered && upload->have_bytes == upload->total_bytes) {
        owm_status status = owm_blob_finish(blob, NULL, &error);
        if (status != OWM_OK) owm_log(OWM_LOG_WARN, "upload_failed reason=\"%s\"", error.text);
        acknowledge(upload, call,
                    status == OWM_OK         ? ""
                    : status == OWM_E_CRYPTO ? "HASH_MISMATCH"
                                             : "STORAGE");
    } else {
        owm_blob_suspend(blob);
        acknowledge(upload, call, "TRUNCATED");
    }
    pthread_mutex_unlock(&upload->lock);
    owm_rpc_call_unref(call);
    upload_unref(upload);
}

void on_upload_half_close(void *app, struct owm_rpc_call *call)
{
    struct owm_services *services = app;
    struct upload *upload = owm_rpc_call_user(call);
    if (!upload) {
        wire_fail(services, call, "UploadBlob", OWM_RPC_INVALID_ARGUMENT, "MALFORMED",
                  "no chunk came");
        return;
    }
    pthread_mutex_lock(&upload->lock);
    upload->refs++;
    pthread_mutex_unlock(&upload->lock);
    owm_rpc_call_ref(call);
    if (owm_workers_run(services->config.workers, finish_upload, upload, call) == OWM_OK) return;
    owm_rpc_call_unref(call);
    upload_unref(upload);
    wire_busy(services, call, "UploadBlob");
}

void on_upload_end(void *app, struct owm_rpc_call *call, bool cancelled)
{
    (void)app;
    (void)cancelled;
    struct upload *upload = owm_rpc_call_user(call);
    if (!upload) return;
    owm_rpc_call_set_user(call, NULL);
    pthread_mutex_lock(&upload->lock);
    upload->ended = true;
    pthread_mutex_unlock(&upload->lock);
    upload_unref(upload);
}

/* ---------------------------------------------------------------------------- download */

struct download {
    struct owm_services *services;
    int fd;
    uint64_t offset, bytes;
    uint8_t *chunk;
};

static bool is_public(struct owm_services *services, const uint8_t hash[32])
{
    bool found = false;
    pthread_mutex_lock(&services->public_lock);
    uint64_t count = services->public_count < OWM_PUBLIC_BLOBS_MAX ? services->public_count
                                                                   : OWM_PUBLIC_BLOBS_MAX;
    for (uint64_t i = 0; i < count && !found; i++)
        found = memcmp(services->public_blobs[i], hash, 32) == 0;
    pthread_mutex_unlock(&services->public_lock);
    return found;
}

void owm_services_publish(struct owm_services *services, const uint8_t hash[static 32])
{
    if (is_public(services, hash)) return;
    pthread_mutex_lock(&services->public_lock);
    memcpy(services->public_blobs[services->public_count++ % OWM_PUBLIC_BLOBS_MAX], hash, 32);
    pthread_mutex_unlock(&services->public_lock);
}

/* Send until the queue is full; on_writable goes on. */
static void pump(struct owm_rpc_call *call, struct download *download)
{
    while (download->offset < download->bytes) {
        ssize_t got =
            pread(download->fd, download->chunk, OWM_BLOB_CHUNK_BYTES, (off_t)download->offset);
        if (got <= 0) {
            owm_rpc_fail(call, OWM_RPC_DATA_LOSS, "the blob could not be read to its end");
            return;
        }
        PB(BlobChunk) chunk = OWM__COORDINATOR__V1__BLOB_CHUNK__INIT;
        chunk.offset = download->offset;
        chunk.total_bytes = download->bytes;
        chunk.data = (ProtobufCBinaryData){(size_t)got, download->chunk};
        owm_status status = wire_send(call, &chunk.base);
        if (status != OWM_OK) return; /* full: on_writable follows; ended: on_end follows */
        download->offset += (uint64_t)got;
        atomic_fetch_add(&download->services->bytes_down, (uint64_t)got);
    }
    owm_rpc_finish(call);
}

static void start_download(struct owm_services *services, struct owm_rpc_call *call,
                           const PB(BlobRequest) * request, bool any)
{
    int fd = -1;
    uint64_t bytes = 0;
    if (request->hash.len != 32 || !(any || is_public(services, request->hash.data))
        || owm_blob_open(services->config.store, request->hash.data, &fd, &bytes) != OWM_OK) {
        wire_fail(services, call, "DownloadBlob", OWM_RPC_NOT_FOUND, "UNKNOWN_BLOB",
                  "there is no file with this hash for you");
        return;
    }
    struct download *download = calloc(1, sizeof(*download));
    if (download) download->chunk = malloc(OWM_BLOB_CHUNK_BYTES);
    if (!download || !download->chunk || request->offset > bytes) {
        free(download ? download->chunk : NULL);
        free(download);
        close(fd);
        wire_fail(services, call, "DownloadBlob", OWM_RPC_OUT_OF_RANGE, "OUT_OF_RANGE",
                  "the offset is behind the end");
        return;
    }
    download->services = services;
    download->fd = fd;
    download->offset = request->offset;
    download->bytes = bytes;
    owm_rpc_call_set_user(call, download);
    pump(call, download);
}

void on_download(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    PB(BlobRequest) *request = wire_unpack(
        app, call, "DownloadBlob", &owm__coordinator__v1__blob_request__descriptor, bytes, length);
    if (!request) return;
    if (wire_peer(app, call, "DownloadBlob", NULL)) start_download(app, call, request, false);
    owm__coordinator__v1__blob_request__free_unpacked(request, NULL);
}

void on_any_download(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    PB(BlobRequest) *request = wire_unpack(
        app, call, "DownloadBlob", &owm__coordinator__v1__blob_request__descriptor, bytes, length);
    if (!request) return;
    start_download(app, call, request, true);
    owm__coordinator__v1__blob_request__free_unpacked(request, NULL);
}

void on_download_writable(void *app, struct owm_rpc_call *call)
{
    (void)app;
    struct download *download = owm_rpc_call_user(call);
    if (download) pump(call, download);
}

void on_download_end(void *app, struct owm_rpc_call *call, bool cancelled)
{
    (void)app;
    (void)cancelled;
    struct download *download = owm_rpc_call_user(call);
    if (!download) return;
    owm_rpc_call_set_user(call, NULL);
    close(download->fd);
    free(download->chunk);
    free(download);
}
