/* lnd.c: LND as a backend: opening, judging the node, what it says of itself, signatures. */
#include "lnd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fs.h"

#define VERSION_MINOR_MIN 18 /* 0.18: the oldest that we have read and tried */

/* -------------------------------------------------------------------------- the node */

static owm_status check_state(struct lnd *lnd, struct owm_error *error)
{
    static const char *const words[] = {
        [LNRPC__WALLET_STATE__NON_EXISTING] = "it has no wallet yet: lncli create",
        [LNRPC__WALLET_STATE__LOCKED] = "its wallet is locked: lncli unlock",
        [LNRPC__WALLET_STATE__UNLOCKED] = "it is starting (the wallet is open)",
        [LNRPC__WALLET_STATE__RPC_ACTIVE] = "it is starting",
    };
    Lnrpc__GetStateRequest request = LNRPC__GET_STATE_REQUEST__INIT;
    ProtobufCMessage *reply;
    owm_status status = lnd_call(lnd, LND_GetState, &request.base, &reply, error);
    if (status != OWM_OK) return status;
    unsigned state = (unsigned)((Lnrpc__GetStateResponse *)reply)->state;
    lnd_free(reply);
    if (state == LNRPC__WALLET_STATE__SERVER_ACTIVE) return OWM_OK;
    return owm_fail(error, OWM_E_AGAIN, "LND at %s: %s", lnd->address,
                    state < sizeof words / sizeof words[0] ? words[state] : "it waits to start");
}

owm_status lnd_info(struct lnd *lnd, Lnrpc__GetInfoResponse **info, struct owm_error *error)
{
    Lnrpc__GetInfoRequest request = LNRPC__GET_INFO_REQUEST__INIT;
    ProtobufCMessage *reply;
    owm_status status = lnd_call(lnd, LND_GetInfo, &request.base, &reply, error);
    *info = (Lnrpc__GetInfoResponse *)reply;
    return status;
}

/* "0.21.2-beta commit=v0.21.2-beta" */
static owm_status check_version(const struct lnd *lnd, const char *version, struct owm_error *error)
{
    unsigned major = 0, minor = 0;
    if (sscanf(version, "%3u.%3u", &major, &minor) == 2
        && (major > 0 || minor >= VERSION_MINOR_MIN))
        return OWM_OK;
    return owm_fail(error, OWM_E_UNSUPPORTED, "LND at %s is %.40s; 0.%d or newer is needed",
                    lnd->address, version[0] ? version : "of no known version", VERSION_MINOR_MIN);
}

static const char *network_of(const Lnrpc__GetInfoResponse *info)
{
    return info->n_chains > 0 ? info->chains[0]->network : "";
}

static owm_status judge(struct lnd *lnd, const char *network, struct owm_error *error)
{
    Lnrpc__GetInfoResponse *info;
    owm_status status = check_state(lnd, error);
    if (status != OWM_OK) return status;
    status = lnd_info(lnd, &info, error);
    if (status != OWM_OK) return status;
    status = check_version(lnd, info->version, error);
    if (status == OWM_OK && strcmp(network_of(info), network) != 0)
        status = owm_fail(error, OWM_E_CONFIG, "LND at %s is on the network '%.20s', not on %s",
                          lnd->address, network_of(info), network);
    lnd_free(&info->base);
    return status;
}

static owm_status lnd_get_info(owm_lightning *lightning, struct owm_lightning_info *out,
                               struct owm_error *error)
{
    struct lnd *lnd = (struct lnd *)lightning;
    Lnrpc__GetInfoResponse *info;
    owm_status status = lnd_info(lnd, &info, error);
    if (status != OWM_OK) return status;
    snprintf(out->alias, sizeof out->alias, "%s", info->alias);
    snprintf(out->version, sizeof out->version, "%s", info->version);
    snprintf(out->network, sizeof out->network, "%s", network_of(info));
    if (info->n_uris > 0 && strlen(info->uris[0]) < sizeof out->uri)
        snprintf(out->uri, sizeof out->uri, "%s", info->uris[0]);
    out->block_height = info->block_height;
    out->synced_to_chain = info->synced_to_chain;
    out->synced_to_graph = info->synced_to_graph;
    if (owm_hex_decode(info->identity_pubkey, out->key, sizeof out->key) != OWM_OK)
        status = lnd_nonsense(LND_GetInfo, "identity_pubkey", error);
    lnd_free(&info->base);
    return status;
}

static owm_status lnd_sign(owm_lightning *lightning, const char *message,
                           char signature[OWM_LIGHTNING_SIGNATURE_TEXT], struct owm_error *error)
{
    Lnrpc__SignMessageRequest request = LNRPC__SIGN_MESSAGE_REQUEST__INIT;
    ProtobufCMessage *reply;
    request.msg = (ProtobufCBinaryData){.len = strlen(message), .data = (uint8_t *)message};
    owm_status status =
        lnd_call((struct lnd *)lightning, LND_SignMessage, &request.base, &reply, error);
    if (status != OWM_OK) return status;
    const char *text = ((Lnrpc__SignMessageResponse *)reply)->signature;
    if (strlen(text) < OWM_LIGHTNING_SIGNATURE_TEXT)
        memcpy(signature, text, strlen(text) + 1);
    else
        status = lnd_nonsense(LND_SignMessage, "signature", error);
    lnd_free(reply);
    return status;
}

/* ------------------------------------------------------------------------ open and close */

static owm_status read_macaroon(struct lnd *lnd, const char *path, struct owm_error *error)
{
    uint8_t *bytes;
    size_t length;
    if (!path) return owm_fail(error, OWM_E_CONFIG, "LND: no macaroon is configured");
    owm_status status = owm_fs_read(path, 2 * MACAROON_BYTES_MAX, &bytes, &length, error);
    if (status != OWM_OK) return status == OWM_E_NOMEM ? status : OWM_E_IO;
    status = macaroon_parse(bytes, length, &lnd->macaroon);
    explicit_bzero(bytes, length);
    free(bytes);
    if (status == OWM_OK) return lnd_role_judge(lnd->role, &lnd->macaroon, &lnd->granted, error);
    return owm_fail(error, OWM_E_CONFIG,
                    "%s: no macaroon of LND (the binary file that lncli bakemacaroon writes)",
                    path);
}

static void lnd_close(owm_lightning *lightning)
{
    struct lnd *lnd = (struct lnd *)lightning;
    OWM_ASSERT(!lnd->link || lnd->link->users == 1); /* its watches are closed */
    lnd_link_drop(lnd, lnd->link);
    pthread_mutex_destroy(&lnd->lock);
    free(lnd->address);
    free(lnd->certificate);
    explicit_bzero(lnd, sizeof *lnd);
    free(lnd);
}

static owm_status lnd_open(const struct owm_lightning_config *config, owm_lightning **lightning,
                           struct owm_error *error)
{
    if (!config->certificate)
        return owm_fail(error, OWM_E_CONFIG, "LND: no certificate; give the path of its tls.cert");
    struct lnd *lnd = calloc(1, sizeof *lnd);
    if (!lnd) return owm_fail(error, OWM_E_NOMEM, "LND: out of memory");
    pthread_mutex_init(&lnd->lock, NULL);
    lnd->role = config->role;
    lnd->timeout_ms = config->timeout_ms ? config->timeout_ms : OWM_LIGHTNING_TIMEOUT_MS;
    lnd->address = strdup(config->address);
    lnd->certificate = strdup(config->certificate);
    owm_status status = OWM_OK;
    if (!lnd->address || !lnd->certificate)
        status = owm_fail(error, OWM_E_NOMEM, "LND: out of memory");
    if (status == OWM_OK) status = read_macaroon(lnd, config->credential, error);
    if (status == OWM_OK) status = lnd_link_open(lnd, error);
    if (status == OWM_OK) status = judge(lnd, config->network, error);
    if (status == OWM_OK)
        *lightning = &lnd->base;
    else
        lnd_close(&lnd->base);
    return status;
}

const struct owm_lightning_ops owm_lightning_lnd_ops = {
    .backend = OWM_LIGHTNING_LND,
    .name = "LND",
    .recipe = lnd_role_recipe,
    .open = lnd_open,
    .close = lnd_close,
    .get_info = lnd_get_info,
    .sign = lnd_sign,
    .channels = lnd_channels,
    .force_close = lnd_force_close,
    .open_channel = lnd_open_channel,
    .get_funds = lnd_get_funds,
    .watch_channels = lnd_watch_channels,
    .watch_next = lnd_watch_next,
    .watch_close = lnd_watch_close,
    .pay = lnd_pay,
    .track = lnd_track,
    .decode = lnd_decode,
    .invoice_add = lnd_invoice_add,
    .invoice_find = lnd_invoice_find,
    .invoice_settle = lnd_invoice_settle,
    .invoice_cancel = lnd_invoice_cancel,
    .watch_invoices = lnd_watch_invoices,
    .invoices_next = lnd_invoices_next,
    .invoices_close = lnd_invoices_close,
};
