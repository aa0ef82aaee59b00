/* link.c: pack, call, unpack. */
#include "controlplane/admin/link.h"

#include <coordinator.pb-c.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/rpc/rpc.h"

#define CALL_TIMEOUT_MS 10000
#define READ_TIMEOUT_MS 30000
#define PEM_BYTES_MAX   (64 * 1024)
#define SERVICE         "/owm.internal.v1.InternalService/"
#define DOWNLOAD        "/owm.coordinator.v1.CoordinatorService/DownloadBlob"

struct owm_admin_link {
    struct owm_rpc_client *rpc;
    owm_identity *identity;
    uint8_t coordinator_key[32];
};

static owm_status read_certificate(const struct owm_admin_options *options, uint8_t **pem,
                                   size_t *bytes, struct owm_error *error)
{
    char *path = NULL;
    if (!options->certificate[0])
        return owm_fail(error, OWM_E_CONFIG,
                        "the coordinator's certificate is needed: --certificate coordinator.crt "
                        "(it lies in the coordinator's data_dir)");
    owm_status status = owm_fs_expand(options->certificate, &path, error);
    if (status == OWM_OK) status = owm_fs_read(path, PEM_BYTES_MAX, pem, bytes, error);
    free(path);
    return status;
}

owm_status owm_admin_coordinator_key(const struct owm_admin_options *options, uint8_t key[32],
                                     struct owm_error *error)
{
    uint8_t *pem = NULL;
    size_t bytes = 0;
    if (options->coordinator_key) {
        if (strlen(options->coordinator_key) == 64
            && owm_hex_decode(options->coordinator_key, key, 32) == OWM_OK)
            return OWM_OK;
        return owm_fail(error, OWM_E_CONFIG, "--coordinator-key: 64 hex digits are needed");
    }
    owm_status status = read_certificate(options, &pem, &bytes, error);
    if (status != OWM_OK) return status;
    status = owm_cert_public_key((const char *)pem, bytes, key);
    free(pem);
    return status == OWM_OK ? OWM_OK
                            : owm_fail(error, OWM_E_CONFIG, "%s is no certificate of a coordinator",
                                       options->certificate);
}

owm_status owm_admin_identity(const struct owm_admin_options *options, owm_identity **identity,
                              struct owm_error *error)
{
    char *path = NULL;
    owm_status status = owm_fs_expand(options->key, &path, error);
    if (status == OWM_OK && access(path, F_OK) != 0)
        status = owm_fail(error, OWM_E_CONFIG,
                          "%s: there is no such key file; 'owm-admin key --key %s' makes a new "
                          "identity, whose public key then goes into slashing.maintainers",
                          path, path);
    if (status == OWM_OK) status = owm_identity_load_or_create(path, identity, NULL, error);
    free(path);
    return status;
}

static owm_status open_client(struct owm_admin_link *link, const char *target, const char *pem,
                              struct owm_error *error)
{
    struct owm_cert cert = {0};
    owm_status status = owm_identity_cert(link->identity, "owm-maintainer", NULL, &cert, error);
    if (status != OWM_OK) return status;
    status = owm_rpc_client_open(&link->rpc,
                                 &(struct owm_rpc_client_config){.target = target,
                                                                 .server_certificate_pem = pem,
                                                                 .certificate_pem = cert.cert_pem,
                                                                 .key_pem = cert.key_pem,
                                                                 .reconnect_min_ms = 200,
                                                                 .reconnect_max_ms = 2000},
                                 error);
    owm_cert_deinit(&cert);
    return status;
}

owm_status owm_admin_link_open(const struct owm_admin_options *options, struct owm_admin_link **out,
                               struct owm_error *error)
{
    uint8_t *pem = NULL;
    size_t bytes = 0;
    struct owm_admin_link *link = calloc(1, sizeof(*link));
    owm_status status = link ? read_certificate(options, &pem, &bytes, error) : OWM_E_NOMEM;
    if (status == OWM_OK
        && owm_cert_public_key((const char *)pem, bytes, link->coordinator_key) != OWM_OK)
        status = owm_fail(error, OWM_E_CONFIG, "%s is no certificate of a coordinator",
                          options->certificate);
    if (status == OWM_OK) status = owm_admin_identity(options, &link->identity, error);
    if (status == OWM_OK)
        status = open_client(link, options->coordinator, (const char *)pem, error);
    free(pem);
    if (status == OWM_OK)
        *out = link;
    else
        owm_admin_link_close(link);
    return status;
}

void owm_admin_link_close(struct owm_admin_link *link)
{
    if (!link) return;
    owm_rpc_client_close(link->rpc);
    owm_identity_close(link->identity);
    free(link);
}

const owm_identity *owm_admin_link_identity(const struct owm_admin_link *link)
{
    return link->identity;
}

const uint8_t *owm_admin_link_coordinator(const struct owm_admin_link *link)
{
    return link->coordinator_key;
}

static owm_status call(struct owm_admin_link *link, const char *path,
                       const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                       ProtobufCMessage **out, struct owm_error *error)
{
    struct owm_rpc_reply reply = {0};
    size_t bytes = protobuf_c_message_get_packed_size(request);
    uint8_t *packed = malloc(bytes + 1);
    if (!packed) return OWM_E_NOMEM;
    protobuf_c_message_pack(request, packed);
    owm_status status = owm_rpc_call_unary(link->rpc, path, packed, bytes, CALL_TIMEOUT_MS, &reply);
    free(packed);
    if (status != OWM_OK) {
        status = owm_fail(error, status, "%s: %s: %s", path + strlen(SERVICE),
                          owm_rpc_code_name(reply.code), reply.text);
    } else {
        *out = protobuf_c_message_unpack(type, NULL, reply.length, reply.bytes);
        if (!*out) status = owm_fail(error, OWM_E_PROTO, "%s: unreadable reply", path);
    }
    owm_rpc_reply_free(&reply);
    return status;
}

owm_status owm_admin_link_cases(struct owm_admin_link *link, const char *case_id,
                                Owm__Internal__V1__ListCasesResponse **reply,
                                struct owm_error *error)
{
    Owm__Internal__V1__ListCasesRequest request = OWM__INTERNAL__V1__LIST_CASES_REQUEST__INIT;
    request.case_id = (char *)case_id;
    return call(link, SERVICE "ListCases", &request.base,
                &owm__internal__v1__list_cases_response__descriptor, (ProtobufCMessage **)reply,
                error);
}

owm_status owm_admin_link_decide(struct owm_admin_link *link,
                                 const Owm__Internal__V1__DecideCaseRequest *request,
                                 Owm__Internal__V1__DecideCaseResponse **reply,
                                 struct owm_error *error)
{
    return call(link, SERVICE "DecideCase", &request->base,
                &owm__internal__v1__decide_case_response__descriptor, (ProtobufCMessage **)reply,
                error);
}

/* ---------------------------------------------------------------------------- blobs */

struct arriving {
    uint8_t *data;
    size_t at, total, bytes_max;
};

static owm_status take_chunk(struct arriving *arriving, const struct owm_rpc_reply *reply,
                             struct owm_error *error)
{
    owm_status status = OWM_OK;
    Owm__Coordinator__V1__BlobChunk *chunk =
        owm__coordinator__v1__blob_chunk__unpack(NULL, reply->length, reply->bytes);
    if (!chunk) return owm_fail(error, OWM_E_PROTO, "DownloadBlob: unreadable chunk");
    if (!arriving->data && chunk->total_bytes > arriving->bytes_max)
        status = owm_fail(error, OWM_E_LIMIT, "the file is larger than what was asked for may be");
    if (status == OWM_OK && !arriving->data) {
        arriving->total = (size_t)chunk->total_bytes;
        arriving->data = malloc(arriving->total + 1);
        if (!arriving->data) status = OWM_E_NOMEM;
    }
    if (status == OWM_OK
        && (chunk->offset != arriving->at || chunk->data.len > arriving->total - arriving->at))
        status = owm_fail(error, OWM_E_PROTO, "DownloadBlob: chunks out of order");
    if (status == OWM_OK && chunk->data.len) {
        memcpy(arriving->data + arriving->at, chunk->data.data, chunk->data.len);
        arriving->at += chunk->data.len;
    }
    owm__coordinator__v1__blob_chunk__free_unpacked(chunk, NULL);
    return status;
}

static owm_status read_all(struct owm_rpc_stream *stream, struct arriving *arriving,
                           struct owm_error *error)
{
    for (;;) {
        struct owm_rpc_reply reply = {0};
        owm_status status = owm_rpc_stream_read(stream, READ_TIMEOUT_MS, &reply);
        bool ended = status == OWM_E_NOTFOUND;
        enum owm_rpc_code code = reply.code;
        if (status == OWM_OK) status = take_chunk(arriving, &reply, error);
        if (status == OWM_E_TIMEOUT)
            status = owm_fail(error, status, "DownloadBlob: the coordinator does not answer");
        if (ended && code != OWM_RPC_OK)
            status = owm_fail(error, code == OWM_RPC_NOT_FOUND ? OWM_E_NOTFOUND : OWM_E_NET,
                              "DownloadBlob: %s: %s", owm_rpc_code_name(code), reply.text);
        owm_rpc_reply_free(&reply);
        if (ended && code == OWM_RPC_OK)
            return arriving->data && arriving->at == arriving->total
                       ? OWM_OK
                       : owm_fail(error, OWM_E_PROTO, "DownloadBlob: it ended too early");
        if (status != OWM_OK) return status;
    }
}

owm_status owm_admin_link_fetch(void *ctx, const uint8_t hash[32], size_t bytes_max, uint8_t **data,
                                size_t *bytes, struct owm_error *error)
{
    struct owm_admin_link *link = ctx;
    struct arriving arriving = {.bytes_max = bytes_max};
    struct owm_rpc_stream *stream = NULL;
    uint8_t packed[64];
    Owm__Coordinator__V1__BlobRequest request = OWM__COORDINATOR__V1__BLOB_REQUEST__INIT;
    request.hash = (ProtobufCBinaryData){32, (uint8_t *)hash};
    size_t length = owm__coordinator__v1__blob_request__pack(&request, packed);
    owm_status status = owm_rpc_stream_download(link->rpc, DOWNLOAD, packed, length, 0, &stream);
    if (status == OWM_OK) status = read_all(stream, &arriving, error);
    owm_rpc_stream_close(stream);
    if (status != OWM_OK) {
        free(arriving.data);
        return status;
    }
    *data = arriving.data;
    *bytes = arriving.total;
    return OWM_OK;
}
