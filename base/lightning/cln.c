/* cln.c: Core Lightning as a backend: opening, judging the node, signatures. */
#include "cln.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"

#define VERSION_MIN    2311 /* 23.11: checkrune without a node's id, msat as numbers */
#define RUNE_BYTES_MAX 4096
#define RUNE_LETTERS   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="

/* ---------------------------------------------------------------------------- the node */

owm_status cln_info(struct cln *cln, struct owm_lightning_info *info, struct owm_error *error)
{
    struct cln_reply reply;
    owm_status status = cln_call(
        cln, (struct cln_ask){.method = CLN_getinfo, .params = json_object()}, &reply, error);
    if (status == OWM_OK)
        status = cln_nonsense(CLN_getinfo, cln_read_info(reply.result, info), error);
    cln_reply_free(&reply);
    return status;
}

/* "v25.02.1", "24.11-103-gdeadbee" */
static owm_status check_version(const struct cln *cln, const char *version, struct owm_error *error)
{
    unsigned year = 0, month = 0;
    const char *digits = version + strcspn(version, "0123456789");
    if (sscanf(digits, "%2u.%2u", &year, &month) == 2 && year * 100 + month >= VERSION_MIN)
        return OWM_OK;
    return owm_fail(error, OWM_E_UNSUPPORTED,
                    "Core Lightning at %s is %.40s; %d.%d or newer is needed", cln->path,
                    version[0] ? version : "of no known version", VERSION_MIN / 100,
                    VERSION_MIN % 100);
}

static owm_status judge(struct cln *cln, struct owm_error *error)
{
    struct owm_lightning_info info;
    owm_status status = cln_info(cln, &info, error);
    if (status == OWM_OK) status = check_version(cln, info.version, error);
    if (status == OWM_OK && strcmp(info.network, cln->network) != 0)
        status = owm_fail(error, OWM_E_CONFIG,
                          "Core Lightning at %s is on the network '%.20s', not on %s", cln->path,
                          info.network, cln->network);
    return status;
}

static owm_status cln_get_info(owm_lightning *lightning, struct owm_lightning_info *info,
                               struct owm_error *error)
{
    return cln_info((struct cln *)lightning, info, error);
}

static owm_status cln_sign(owm_lightning *lightning, const char *message,
                           char signature[OWM_LIGHTNING_SIGNATURE_TEXT], struct owm_error *error)
{
    struct cln_reply reply;
    struct cln_ask ask = {.method = CLN_signmessage,
                          .params = json_pack("{s:s}", "message", message)};
    owm_status status = cln_call((struct cln *)lightning, ask, &reply, error);
    if (status == OWM_OK) {
        const char *text = cln_text(reply.result, "zbase");
        size_t length = strlen(text);
        if (length > 0 && length < OWM_LIGHTNING_SIGNATURE_TEXT)
            memcpy(signature, text, length + 1);
        else
            status = cln_nonsense(CLN_signmessage, OWM_E_PROTO, error);
    }
    cln_reply_free(&reply);
    return status;
}

/* ------------------------------------------------------------------------ open and close */

/* The file holds the rune alone, maybe with white space around it. */
static owm_status read_rune(struct cln *cln, const char *path, struct owm_error *error)
{
    uint8_t *bytes;
    size_t count;
    if (!path || !path[0]) return OWM_OK;
    owm_status status = owm_fs_read(path, RUNE_BYTES_MAX, &bytes, &count, error);
    if (status != OWM_OK) return status == OWM_E_NOMEM ? status : OWM_E_IO;
    const char *text = (char *)bytes + strspn((char *)bytes, " \t\r\n");
    size_t length = strspn(text, RUNE_LETTERS);
    bool alone = length > 0 && text[length + strspn(text + length, " \t\r\n")] == 0;
    if (alone) cln->rune = strndup(text, length);
    explicit_bzero(bytes, count);
    free(bytes);
    if (!alone)
        return owm_fail(error, OWM_E_CONFIG,
                        "%s: no rune of Core Lightning (the text that lightning-cli createrune "
                        "shows as \"rune\")",
                        path);
    return cln->rune ? OWM_OK : owm_fail(error, OWM_E_NOMEM, "Core Lightning: out of memory");
}

static void cln_close(owm_lightning *lightning)
{
    struct cln *cln = (struct cln *)lightning;
    if (cln->rune) explicit_bzero(cln->rune, strlen(cln->rune));
    free(cln->rune);
    free(cln->path);
    free(cln);
}

static owm_status cln_open(const struct owm_lightning_config *config, owm_lightning **lightning,
                           struct owm_error *error)
{
    struct cln *cln = calloc(1, sizeof *cln);
    if (!cln) return owm_fail(error, OWM_E_NOMEM, "Core Lightning: out of memory");
    cln->role = config->role;
    cln->timeout_ms = config->timeout_ms ? config->timeout_ms : OWM_LIGHTNING_TIMEOUT_MS;
    snprintf(cln->network, sizeof cln->network, "%s", config->network);
    owm_status status = owm_fs_expand(config->address, &cln->path, error);
    if (status == OWM_OK) status = read_rune(cln, config->credential, error);
    /* The rune comes first: each call asks about it, and one of the wrong kind deserves a better
     * sentence than a refused getinfo. */
    if (status == OWM_OK) status = cln_role_judge(cln, error);
    if (status == OWM_OK) status = judge(cln, error);
    if (status == OWM_OK)
        *lightning = &cln->base;
    else
        cln_close(&cln->base);
    return status;
}

const struct owm_lightning_ops owm_lightning_cln_ops = {
    .backend = OWM_LIGHTNING_CLN,
    .name = "Core Lightning",
    .recipe = cln_role_recipe,
    .open = cln_open,
    .close = cln_close,
    .get_info = cln_get_info,
    .sign = cln_sign,
    .channels = cln_channels,
    .force_close = cln_force_close,
    .open_channel = cln_open_channel,
    .get_funds = cln_get_funds,
    .watch_channels = cln_watch_channels,
    .watch_next = cln_watch_next,
    .watch_close = cln_watch_close,
    .pay = cln_pay,
    .track = cln_track,
    .decode = cln_decode,
    .fetch_invoice = cln_fetch_invoice,
    .invoice_add = cln_invoice_add,
    .invoice_find = cln_invoice_find,
    .watch_invoices = cln_watch_invoices,
    .invoices_next = cln_invoices_next,
    .invoices_close = cln_invoices_close,
};
