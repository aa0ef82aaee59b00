/* lnd_link.c: connections to LND: the pinned certificate, the macaroon on each call, answers and
 * refusals. */
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "lnd.h"

#define CERTIFICATE_BYTES_MAX 65536
#define MESSAGE_BYTES_MAX     ((size_t)200 << 20) /* as lncli: ListChannels of a large node */
#define LOOK_MS               1000 /* how often at most the certificate's file is looked at */
#define LIFE_S                60   /* of the macaroon on one call, as lncli */
#define RECONNECT_MIN_MS      500
#define RECONNECT_MAX_MS      5000

/* ------------------------------------------------------------------------- certificates */

static void expiry_text(const X509 *certificate, char text[32])
{
    struct tm end = {0};
    text[0] = 0;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end))
        strftime(text, 32, "%Y-%m-%d %H:%M UTC", &end);
}

owm_status lnd_certificate_check(const char *pem, const char *path, struct owm_error *error)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!certificate)
        return owm_fail(error, OWM_E_CRYPTO,
                        "%s: no certificate in PEM; give the path of LND's tls.cert", path);
    char end[32];
    expiry_text(certificate, end);
    int left = X509_cmp_current_time(X509_get0_notAfter(certificate));
    X509_free(certificate);
    if (left > 0) return OWM_OK;
    return owm_fail(error, OWM_E_CRYPTO,
                    "%s: the certificate has expired (%s); on the node, remove tls.cert and "
                    "tls.key and restart lnd, then copy the new tls.cert here",
                    path, end);
}

/* ------------------------------------------------------------------------------- links */

/* What a call carries. Without a macaroon only the state can be asked for. */
static void add_macaroon(void *user, const char *path, struct owm_rpc_metadata *metadata)
{
    const struct lnd *lnd = user;
    if (strcmp(path, lnd_method_path(LND_GetState)) == 0) return;
    char hex[MACAROON_HEX_BYTES], caveat[MACAROON_CAVEAT_MAX], when[32];
    time_t until = (time_t)(owm_clock_wall_ms() / 1000 + LIFE_S);
    struct tm utc;
    gmtime_r(&until, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    snprintf(caveat, sizeof caveat, "time-before %s", when);
    macaroon_attenuate(&lnd->macaroon, caveat, hex);
    owm_status status = owm_rpc_metadata_add(metadata, "macaroon", hex);
    OWM_ASSERT(status == OWM_OK);
    explicit_bzero(hex, sizeof hex);
}

static owm_status client_open(struct lnd *lnd, const char *pem, struct owm_rpc_client **client,
                              struct owm_error *error)
{
    struct owm_rpc_client_config config = {
        .target = lnd->address,
        .server_certificate_pem = pem,
        .server_name = "localhost", /* stands in each of LND's own certificates */
        .message_bytes_max = MESSAGE_BYTES_MAX,
        .reconnect_min_ms = RECONNECT_MIN_MS,
        .reconnect_max_ms = RECONNECT_MAX_MS,
        .metadata = add_macaroon,
        .metadata_user = lnd,
    };
    owm_status status = owm_rpc_client_open(client, &config, error);
    return status == OWM_E_ARG ? OWM_E_CONFIG : status;
}

static owm_status certificate_read(const char *path, char **pem, struct owm_error *error)
{
    size_t bytes;
    owm_status status = owm_fs_read(path, CERTIFICATE_BYTES_MAX, (uint8_t **)pem, &bytes, error);
    if (status == OWM_OK) return lnd_certificate_check(*pem, path, error);
    return status == OWM_E_NOMEM ? status : OWM_E_IO;
}

owm_status lnd_link_open(struct lnd *lnd, struct owm_error *error)
{
    char *pem = NULL;
    struct stat file = {0};
    stat(lnd->certificate, &file); /* before reading: a change in between is seen next time */
    owm_status status = certificate_read(lnd->certificate, &pem, error);
    struct lnd_link *link = status == OWM_OK ? calloc(1, sizeof *link) : NULL;
    if (status == OWM_OK && !link) status = owm_fail(error, OWM_E_NOMEM, "LND: out of memory");
    if (status == OWM_OK) status = client_open(lnd, pem, &link->client, error);
    free(pem);
    if (status != OWM_OK) {
        free(link);
        return status;
    }
    link->users = 1;
    pthread_mutex_lock(&lnd->lock);
    struct lnd_link *old = lnd->link;
    lnd->link = link;
    lnd->file = file;
    pthread_mutex_unlock(&lnd->lock);
    lnd_link_drop(lnd, old);
    return OWM_OK;
}

void lnd_link_drop(struct lnd *lnd, struct lnd_link *link)
{
    if (!link) return;
    pthread_mutex_lock(&lnd->lock);
    bool last = --link->users == 0;
    pthread_mutex_unlock(&lnd->lock);
    if (!last) return;
    owm_rpc_client_close(link->client);
    free(link);
}

/* One thread a second looks; only a file that is there and differs counts. */
static bool certificate_changed(struct lnd *lnd)
{
    struct stat file;
    uint64_t now_ms = owm_clock_mono_ms();
    pthread_mutex_lock(&lnd->lock);
    bool look = now_ms - lnd->looked_ms >= LOOK_MS;
    if (look) lnd->looked_ms = now_ms;
    bool changed = look && stat(lnd->certificate, &file) == 0
                   && (file.st_ino != lnd->file.st_ino || file.st_size != lnd->file.st_size
                       || file.st_mtim.tv_sec != lnd->file.st_mtim.tv_sec
                       || file.st_mtim.tv_nsec != lnd->file.st_mtim.tv_nsec);
    pthread_mutex_unlock(&lnd->lock);
    return changed;
}

static struct lnd_link *link_take(struct lnd *lnd)
{
    struct owm_error error;
    if (certificate_changed(lnd)) {
        if (lnd_link_open(lnd, &error) == OWM_OK)
            owm_log(OWM_LOG_INFO, "lnd_certificate_changed path=%s", lnd->certificate);
        else
            owm_log(OWM_LOG_WARN, "lnd_certificate_unusable %s", error.text);
    }
    pthread_mutex_lock(&lnd->lock);
    struct lnd_link *link = lnd->link;
    link->users++;
    pthread_mutex_unlock(&lnd->lock);
    return link;
}

/* ---------------------------------------------------------------------------- refusals */

/* LND says most of what is wrong in words, with the code UNKNOWN. */
static owm_status status_of_words(const char *text)
{
    static const struct {
        const char *words;
        owm_status status;
    } table[] = {
        {"wallet locked", OWM_E_AGAIN},
        {"wallet not created", OWM_E_AGAIN},
        {"waiting to start", OWM_E_AGAIN},
        {"starting up", OWM_E_AGAIN},
        {"still in the process of starting", OWM_E_AGAIN},
        {"server is shutting down", OWM_E_NET},
        {"verification failed", OWM_E_PERM},
        {"permission denied", OWM_E_PERM},
        {"cannot retrieve macaroon", OWM_E_PERM}, /* its root key is deleted */
        {"cannot get macaroon", OWM_E_PERM},
        {"expected 1 macaroon", OWM_E_PERM},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strstr(text, table[i].words)) return table[i].status;
    return OWM_E_STATE;
}

static owm_status status_of(const struct owm_rpc_reply *reply)
{
    switch (reply->code) {
    case OWM_RPC_OK:
        return OWM_OK;
    case OWM_RPC_NOT_FOUND:
        return OWM_E_NOTFOUND;
    case OWM_RPC_ALREADY_EXISTS:
        return OWM_E_EXISTS;
    case OWM_RPC_DEADLINE_EXCEEDED:
        return OWM_E_TIMEOUT;
    case OWM_RPC_UNIMPLEMENTED:
        return OWM_E_UNSUPPORTED;
    case OWM_RPC_CANCELLED:
        return OWM_E_NET;
    case OWM_RPC_PERMISSION_DENIED:
    case OWM_RPC_UNAUTHENTICATED:
        return OWM_E_PERM;
    case OWM_RPC_RESOURCE_EXHAUSTED: /* an answer too big for us, or for our memory */
    case OWM_RPC_INTERNAL:
    case OWM_RPC_DATA_LOSS:
        return OWM_E_PROTO;
    case OWM_RPC_UNAVAILABLE:
        return strcasestr(reply->text, "certificate verify failed") ? OWM_E_PERM : OWM_E_NET;
    default:
        return status_of_words(reply->text);
    }
}

/* The build tag of a sub-server that LND may have been built without. */
static const char *build_tag(enum lnd_method method)
{
    return strstr(lnd_method_path(method), "/invoicesrpc.") ? "invoicesrpc" : "routerrpc";
}

static owm_status refuse(const struct lnd *lnd, enum lnd_method method,
                         const struct owm_rpc_reply *reply, struct owm_error *error)
{
    owm_status status = status_of(reply);
    const char *name = lnd_method_name(method);
    if (status == OWM_E_PERM && reply->code == OWM_RPC_UNAVAILABLE)
        return owm_fail(error, status,
                        "LND at %s: its certificate is not the one in %s, or has expired; copy "
                        "the node's tls.cert there",
                        lnd->address, lnd->certificate);
    if (status == OWM_E_PERM && strstr(reply->text, "expired"))
        return owm_fail(error, status,
                        "LND at %s: %s: %s (each call's macaroon lives for %d s: do the clocks of "
                        "both machines agree?)",
                        lnd->address, name, reply->text, LIFE_S);
    if (status == OWM_E_UNSUPPORTED)
        return owm_fail(error, status,
                        "LND at %s has no %s: it was built without the tag %s, or is too old",
                        lnd->address, name, build_tag(method));
    return owm_fail(error, status, "LND at %s: %s: %s", lnd->address, name,
                    reply->text[0] ? reply->text : owm_rpc_code_name((int)reply->code));
}

/* What the macaroon does not grant is not asked for: LND's own refusal would not say what to do. */
static owm_status check_granted(const struct lnd *lnd, enum lnd_method method,
                                struct owm_error *error)
{
    if (lnd->granted & 1u << method) return OWM_OK;
    return owm_fail(error, OWM_E_PERM, "LND: the macaroon lacks uri:%s; bake: %s",
                    lnd_method_path(method), lnd_role_recipe(lnd->role));
}

owm_status lnd_nonsense(enum lnd_method method, const char *what, struct owm_error *error)
{
    return owm_fail(error, OWM_E_PROTO, "LND: %s: the answer makes no sense: %s",
                    lnd_method_name(method), what);
}

/* ------------------------------------------------------------------------------- calls */

static uint8_t *pack(const ProtobufCMessage *request, size_t *bytes)
{
    *bytes = protobuf_c_message_get_packed_size(request);
    uint8_t *packed = malloc(*bytes ? *bytes : 1);
    if (packed) protobuf_c_message_pack(request, packed);
    return packed;
}

static owm_status unpack(enum lnd_method method, const struct owm_rpc_reply *from,
                         ProtobufCMessage **reply, struct owm_error *error)
{
    *reply = protobuf_c_message_unpack(lnd_method_answer(method), NULL, from->length, from->bytes);
    return *reply ? OWM_OK : lnd_nonsense(method, "it does not parse", error);
}

void lnd_free(ProtobufCMessage *message)
{
    if (message) protobuf_c_message_free_unpacked(message, NULL);
}

owm_status lnd_call(struct lnd *lnd, enum lnd_method method, const ProtobufCMessage *request,
                    ProtobufCMessage **reply, struct owm_error *error)
{
    *reply = NULL;
    owm_status status = check_granted(lnd, method, error);
    if (status != OWM_OK) return status;
    size_t bytes;
    uint8_t *packed = pack(request, &bytes);
    if (!packed) return owm_fail(error, OWM_E_NOMEM, "LND: out of memory");
    struct lnd_link *link = link_take(lnd);
    struct owm_rpc_reply answer;
    status = owm_rpc_call_unary(link->client, lnd_method_path(method), packed, bytes,
                                lnd->timeout_ms, &answer);
    lnd_link_drop(lnd, link);
    free(packed);
    if (status == OWM_OK)
        status = unpack(method, &answer, reply, error);
    else if (status == OWM_E_NOMEM)
        owm_fail(error, status, "LND: out of memory");
    else
        status = refuse(lnd, method, &answer, error);
    owm_rpc_reply_free(&answer);
    return status;
}

owm_status lnd_stream_open(struct lnd *lnd, enum lnd_method method, const ProtobufCMessage *request,
                           struct lnd_stream *stream, struct owm_error *error)
{
    *stream = (struct lnd_stream){.lnd = lnd, .method = method};
    owm_status status = check_granted(lnd, method, error);
    if (status != OWM_OK) return status;
    size_t bytes;
    uint8_t *packed = pack(request, &bytes);
    if (!packed) return owm_fail(error, OWM_E_NOMEM, "LND: out of memory");
    stream->link = link_take(lnd);
    status = owm_rpc_stream_download(stream->link->client, lnd_method_path(method), packed, bytes,
                                     0, &stream->rpc);
    free(packed);
    if (status == OWM_OK) return OWM_OK;
    lnd_stream_close(stream);
    return owm_fail(error, OWM_E_NOMEM, "LND: out of memory");
}

owm_status lnd_stream_read(struct lnd_stream *stream, unsigned wait_ms, ProtobufCMessage **reply,
                           struct owm_error *error)
{
    *reply = NULL;
    struct owm_rpc_reply answer;
    owm_status status = owm_rpc_stream_read(stream->rpc, wait_ms, &answer);
    if (status == OWM_E_TIMEOUT)
        return owm_fail(error, status, "LND at %s: %s: nothing within %u ms", stream->lnd->address,
                        lnd_method_name(stream->method), wait_ms);
    if (status == OWM_OK) {
        status = unpack(stream->method, &answer, reply, error);
        owm_rpc_reply_free(&answer);
        return status;
    }
    if (answer.code == OWM_RPC_OK || answer.code == OWM_RPC_DEADLINE_EXCEEDED)
        return owm_fail(error, OWM_E_NET, "LND at %s: %s: the node ended the stream",
                        stream->lnd->address, lnd_method_name(stream->method));
    return refuse(stream->lnd, stream->method, &answer, error);
}

void lnd_stream_close(struct lnd_stream *stream)
{
    owm_rpc_stream_close(stream->rpc);
    lnd_link_drop(stream->lnd, stream->link);
    stream->rpc = NULL;
    stream->link = NULL;
}
