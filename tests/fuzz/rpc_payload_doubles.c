/* rpc_payload_doubles.c: base/rpc, the blob store and the worker threads without network, disk and
 * threads, so that a fuzzer can call the services' handlers. They keep the promises of their
 * headers and abort where the services break theirs. */
#include <stdlib.h>
#include <string.h>

#include "controlplane/rpc/workers.h"
#include "dataplane/store/blob_store.h"
#include "rpc_payload.h"

struct owm_rpc_method fuzz_methods[METHODS_MAX];
size_t fuzz_method_count;

/* --- base/rpc ------------------------------------------------------------------------------- */

owm_status owm_rpc_server_open(struct owm_rpc_server **server,
                               const struct owm_rpc_server_config *config, struct owm_error *error)
{
    (void)error;
    for (size_t i = 0; i < config->method_count && fuzz_method_count < METHODS_MAX; i++)
        fuzz_methods[fuzz_method_count++] = config->methods[i];
    *server = NULL;
    return OWM_OK;
}

int owm_rpc_server_port(const struct owm_rpc_server *server, size_t index)
{
    (void)server;
    (void)index;
    return 0;
}

void owm_rpc_server_close(struct owm_rpc_server *server, unsigned drain_ms)
{
    (void)server;
    (void)drain_ms;
}

void owm_rpc_call_ref(struct owm_rpc_call *call)
{
    call->refs++;
}

void owm_rpc_call_unref(struct owm_rpc_call *call)
{
    if (--call->refs < 1) abort(); /* the fuzzer's own is the last */
}

void owm_rpc_call_set_user(struct owm_rpc_call *call, void *user)
{
    call->user = user;
}

void *owm_rpc_call_user(const struct owm_rpc_call *call)
{
    return call->user;
}

void owm_rpc_peer_key(const struct owm_rpc_call *call, uint8_t key[OWM_RPC_KEY_BYTES])
{
    memcpy(key, call->key, OWM_RPC_KEY_BYTES);
}

const char *owm_rpc_peer_address(const struct owm_rpc_call *call)
{
    (void)call;
    return "192.0.2.1";
}

owm_status owm_rpc_send(struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    if (length && !bytes) abort();
    if (call->method->kind != OWM_RPC_SERVER_STREAM || call->answered) return OWM_E_STATE;
    call->sent++;
    return OWM_OK;
}

static owm_status answer(struct owm_rpc_call *call)
{
    if (call->answered) return OWM_E_STATE;
    call->answered = true;
    return OWM_OK;
}

owm_status owm_rpc_reply(struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    if (length && !bytes) abort();
    return call->method->kind == OWM_RPC_SERVER_STREAM ? OWM_E_STATE : answer(call);
}

owm_status owm_rpc_finish(struct owm_rpc_call *call)
{
    return call->method->kind == OWM_RPC_SERVER_STREAM ? answer(call) : OWM_E_STATE;
}

owm_status owm_rpc_fail(struct owm_rpc_call *call, enum owm_rpc_code code, const char *text)
{
    if (code == OWM_RPC_OK || !text || !text[0]) abort(); /* every refusal says why */
    return answer(call);
}

void owm_rpc_pause(struct owm_rpc_call *call)
{
    call->paused = true;
}

void owm_rpc_resume(struct owm_rpc_call *call)
{
    call->paused = false;
}

/* --- worker threads: always busy ------------------------------------------------------------ */

owm_status owm_workers_open(unsigned threads, size_t jobs_max, struct owm_workers **workers)
{
    (void)threads;
    (void)jobs_max;
    *workers = NULL;
    return OWM_OK;
}

void owm_workers_close(struct owm_workers *workers)
{
    (void)workers;
}

owm_status owm_workers_run(struct owm_workers *workers, owm_work_fn *fn, void *ctx, void *arg)
{
    (void)workers;
    (void)fn;
    (void)ctx;
    (void)arg;
    return OWM_E_LIMIT;
}

/* --- blob store: counts --------------------------------------------------------------------- */

struct owm_blob_upload {
    uint64_t bytes, bytes_max;
};

owm_status owm_blob_begin(struct owm_blob_store *store, const uint8_t *sha256, uint64_t bytes_max,
                          struct owm_blob_upload **out, uint64_t *offset, struct owm_error *error)
{
    (void)store;
    (void)error;
    if (sha256[0] == 0) return OWM_E_EXISTS;
    *out = calloc(1, sizeof(**out));
    if (!*out) return OWM_E_NOMEM;
    (*out)->bytes_max = bytes_max;
    (*out)->bytes = *offset = sha256[0] % 2 ? 0 : bytes_max / 2; /* half is here from before */
    return OWM_OK;
}

owm_status owm_blob_append(struct owm_blob_upload *upload, const void *data, size_t bytes,
                           struct owm_error *error)
{
    (void)error;
    if (!data || bytes > upload->bytes_max - upload->bytes) abort();
    upload->bytes += bytes;
    return OWM_OK;
}

owm_status owm_blob_finish(struct owm_blob_upload *upload, uint8_t *sha256, struct owm_error *error)
{
    (void)sha256;
    (void)error;
    free(upload);
    return OWM_OK;
}

void owm_blob_suspend(struct owm_blob_upload *upload)
{
    free(upload);
}

owm_status owm_blob_put(struct owm_blob_store *store, const void *data, size_t bytes,
                        uint8_t sha256[32], struct owm_error *error)
{
    (void)store;
    (void)error;
    if (bytes && !data) abort();
    memset(sha256, 7, 32);
    return OWM_OK;
}

owm_status owm_blob_open(struct owm_blob_store *store, const uint8_t sha256[32], int *fd,
                         uint64_t *bytes)
{
    (void)store;
    (void)sha256;
    (void)fd;
    (void)bytes;
    return OWM_E_NOTFOUND;
}

bool owm_blob_exists(struct owm_blob_store *store, const uint8_t sha256[32])
{
    (void)store;
    (void)sha256;
    return false;
}

owm_status owm_blob_path(const struct owm_blob_store *store, const uint8_t sha256[32], char *path,
                         size_t capacity)
{
    (void)store;
    (void)sha256;
    (void)path;
    (void)capacity;
    return OWM_E_LIMIT;
}
