/* bitcoin_node.c: is a node fit to mine with, and the templates it gives. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "bitcoin_internal.h"

static owm_status call_simple(const struct bitcoin_node *node, struct owm_bitcoin_rpc *rpc,
                              const char *method, struct owm_bitcoin_answer *answer,
                              struct owm_error *error)
{
    const struct owm_bitcoin_call call = {
        .method = method, .params = "[]", .deadline_ms = node->owner->timeout_ms};
    return owm_bitcoin_rpc_call(rpc, &call, answer, error);
}

static owm_status malformed(const struct bitcoin_node *node, owm_status status, const char *cause,
                            struct owm_error *error)
{
    return owm_fail(error, status, "the node at %s answers what no Bitcoin node would: %s",
                    node->name, cause);
}

/* A custom signet or regtest chain starts with an old genesis block, so "initial block download"
 * alone says nothing there: only headers without their blocks do. */
static bool behind(enum owm_network network, const struct owm_bitcoin_chain *chain)
{
    if (network == OWM_REGTEST || !chain->downloading) return false;
    return network != OWM_SIGNET || chain->blocks < chain->headers;
}

static owm_status check_chain(const struct bitcoin_node *node, struct owm_bitcoin_rpc *rpc,
                              struct owm_error *error)
{
    struct owm_bitcoin_answer answer;
    struct owm_bitcoin_chain chain;
    struct owm_error cause = {""};
    enum owm_network network = node->owner->network;
    owm_status status = call_simple(node, rpc, "getblockchaininfo", &answer, error);
    if (status != OWM_OK) return status;
    status = owm_bitcoin_chain_read(answer.reply.result, answer.reply.result_bytes, &chain, &cause);
    owm_bitcoin_answer_deinit(&answer);
    if (status != OWM_OK) return malformed(node, status, cause.text, error);
    if (!owm_bitcoin_network_fits(network, chain.name))
        return owm_fail(error, OWM_E_STATE,
                        "the node at %s is on chain \"%s\", but this pool is set up for \"%s\"; "
                        "correct the network or the URL",
                        node->name, chain.name, owm_bitcoin_network_name(network));
    if (behind(network, &chain))
        return owm_fail(error, OWM_E_STATE,
                        "the node at %s is still downloading blocks (%u of %u); wait until it has "
                        "all",
                        node->name, chain.blocks, chain.headers);
    return OWM_OK;
}

/* Only Core and its descendants number versions alike; a test chain may have other software. */
static owm_status judge_peer(const struct bitcoin_node *node, const struct owm_bitcoin_peer *peer,
                             struct owm_error *error)
{
    enum owm_network network = node->owner->network;
    bool core = strstr(peer->subversion, "/Satoshi:") != NULL;
    if (!core && network == OWM_REGTEST) return OWM_OK;
    if (!core)
        return owm_fail(error, OWM_E_UNSUPPORTED,
                        "the node at %s calls itself \"%s\"; this pool needs Bitcoin Core or Knots "
                        "27 or newer",
                        node->name, peer->subversion);
    if (peer->version < BITCOIN_VERSION_MIN)
        return owm_fail(error, OWM_E_UNSUPPORTED,
                        "the node at %s is too old (%s); this pool needs Bitcoin Core or Knots 27 "
                        "or newer",
                        node->name, peer->subversion);
    if (peer->connections == 0 && (network == OWM_MAINNET || network == OWM_TESTNET4))
        return owm_fail(error, OWM_E_STATE,
                        "the node at %s has no peers, so nobody would hear of a block; check its "
                        "network connection",
                        node->name);
    return OWM_OK;
}

static owm_status check_peer(const struct bitcoin_node *node, struct owm_bitcoin_rpc *rpc,
                             char version[static 64], struct owm_error *error)
{
    struct owm_bitcoin_answer answer;
    struct owm_bitcoin_peer peer = {0};
    struct owm_error cause = {""};
    owm_status status = call_simple(node, rpc, "getnetworkinfo", &answer, error);
    if (status == OWM_E_UNSUPPORTED) { /* btcd has no such call. */
        snprintf(version, 64, "of unknown version");
        snprintf(peer.subversion, sizeof peer.subversion, "without getnetworkinfo");
        return judge_peer(node, &peer, error);
    }
    if (status != OWM_OK) return status;
    status = owm_bitcoin_peer_read(answer.reply.result, answer.reply.result_bytes, &peer, &cause);
    owm_bitcoin_answer_deinit(&answer);
    if (status != OWM_OK) return malformed(node, status, cause.text, error);
    snprintf(version, 64, "%s", peer.subversion);
    return judge_peer(node, &peer, error);
}

owm_status bitcoin_check(const struct bitcoin_node *node, struct owm_bitcoin_rpc *rpc,
                         char version[static 64], struct owm_error *error)
{
    version[0] = 0;
    owm_status status = check_chain(node, rpc, error);
    return status == OWM_OK ? check_peer(node, rpc, version, error) : status;
}

/* [{"rules": […], "longpollid": "…"}]; the id is the node's text. NULL: no memory. */
static char *template_params(enum owm_network network, const char *longpoll_id)
{
    json_t *rules =
        network == OWM_SIGNET ? json_pack("[ss]", "segwit", "signet") : json_pack("[s]", "segwit");
    json_t *params = json_pack("[{so}]", "rules", rules);
    if (params && longpoll_id
        && json_object_set_new(json_array_get(params, 0), "longpollid", owm_json_text(longpoll_id))
               != 0) {
        json_decref(params);
        return NULL;
    }
    char *text = params ? json_dumps(params, JSON_COMPACT) : NULL;
    json_decref(params);
    return text;
}

owm_status bitcoin_fetch(const struct bitcoin_node *node, struct owm_bitcoin_rpc *rpc,
                         const char *longpoll_id, struct owm_template **block,
                         struct owm_error *error)
{
    uint32_t timeout_ms = node->owner->timeout_ms;
    struct owm_bitcoin_answer answer;
    struct owm_error cause = {""};
    char *params = template_params(node->owner->network, longpoll_id);
    *block = NULL;
    if (!params) return owm_fail(error, OWM_E_NOMEM, "no memory for getblocktemplate");
    const struct owm_bitcoin_call call = {.method = "getblocktemplate",
                                          .params = params,
                                          .deadline_ms =
                                              longpoll_id ? BITCOIN_LONGPOLL_MS : timeout_ms,
                                          .finish_ms = timeout_ms};
    owm_status status = owm_bitcoin_rpc_call(rpc, &call, &answer, error);
    free(params);
    if (status != OWM_OK) return status;
    status = owm_template_parse(answer.reply.result, answer.reply.result_bytes, block, &cause);
    owm_bitcoin_answer_deinit(&answer);
    if (status == OWM_OK) return OWM_OK;
    return owm_fail(error, status, "the node at %s gives a template that cannot be mined: %s",
                    node->name, cause.text);
}

owm_status bitcoin_try(struct bitcoin_node *node, enum bitcoin_client client,
                       struct owm_template **block, struct owm_error *error)
{
    struct owm_bitcoin_rpc *rpc = node->clients[client];
    char version[64];
    *block = NULL;
    owm_status status = bitcoin_check(node, rpc, version, error);
    if (status == OWM_OK) status = bitcoin_fetch(node, rpc, NULL, block, error);
    if (status == OWM_OK)
        bitcoin_node_good(node, version);
    else if (status != OWM_E_CANCELLED)
        bitcoin_node_bad(node, error->text);
    return status;
}

void bitcoin_node_good(struct bitcoin_node *node, const char *version)
{
    struct owm_bitcoin *bitcoin = node->owner;
    pthread_mutex_lock(&bitcoin->lock);
    bool news = !node->usable;
    node->usable = true;
    node->trouble[0] = 0;
    snprintf(node->version, sizeof node->version, "%s", version);
    node->check_ms = owm_clock_mono_ms() + BITCOIN_STANDBY_MS;
    pthread_cond_broadcast(&bitcoin->changed);
    pthread_mutex_unlock(&bitcoin->lock);
    if (news) owm_log(OWM_LOG_INFO, "bitcoin_node_usable node=%s version=%s", node->name, version);
}

void bitcoin_node_bad(struct bitcoin_node *node, const char *trouble)
{
    struct owm_bitcoin *bitcoin = node->owner;
    char shown[BITCOIN_TROUBLE_BYTES];
    snprintf(shown, sizeof shown, "%s", trouble);
    pthread_mutex_lock(&bitcoin->lock);
    bool news = node->usable || strcmp(node->trouble, shown) != 0;
    node->usable = false;
    memcpy(node->trouble, shown, sizeof shown);
    node->check_ms = owm_clock_mono_ms() + BITCOIN_RECHECK_MS;
    pthread_cond_broadcast(&bitcoin->changed);
    pthread_mutex_unlock(&bitcoin->lock);
    if (node->failures) owm_counter_add(node->failures, 1);
    if (news)
        owm_log(OWM_LOG_WARN, "bitcoin_node_not_usable node=%s why=\"%s\"", node->name, shown);
}
