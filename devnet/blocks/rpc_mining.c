/* rpc_mining.c: getblocktemplate with long polls and proposals, and submitblock.
 *
 * One thing is stricter than Bitcoin Core: a coinbase that commits to witnesses and shows none is
 * refused here, while Core's submitblock would quietly add it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "rpc_internal.h"
#include "template.h"

#define POLL_MS     10 /* How often a long poll looks. */
#define UNDECODABLE "Block decode failed"

static uint32_t now_s(void)
{
    return (uint32_t)(owm_clock_wall_ms() / 1000);
}

static void answer_reason(struct rpc_reply *reply, const char *reason)
{
    if (reason && !*reason)
        rpc_fail(reply, RPC_DESERIALIZATION, UNDECODABLE);
    else
        reply->result = reason ? json_string(reason) : json_null();
}

static void submit_block(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    const uint8_t *before = chain_tip(rpc->chain)->hash;
    size_t bytes;
    uint8_t *data = rpc_bytes(json_array_get(params, 0), &bytes, UNDECODABLE, reply);
    if (!data) return;
    const char *reason = chain_submit(rpc->chain, data, bytes, now_s());
    free(data);
    answer_reason(reply, reason);
    const struct chain_node *tip = chain_tip(rpc->chain);
    char hash[65];
    template_hash_text(tip->hash, hash);
    if (reason) owm_log(OWM_LOG_WARN, "block_refused reason=%s", *reason ? reason : "undecodable");
    if (tip->hash == before) return;
    mempool_follow(rpc->mempool);
    owm_log(OWM_LOG_INFO, "new_tip height=%u txs=%u hash=%s", tip->height, tip->txs, hash);
    if (rpc->publisher) publish_tip(rpc->publisher, tip->hash);
}

static void propose(struct rpc *rpc, const json_t *request, struct rpc_reply *reply)
{
    size_t bytes;
    uint8_t *data = rpc_bytes(json_object_get(request, "data"), &bytes, UNDECODABLE, reply);
    if (!data) return;
    answer_reason(reply, chain_propose(rpc->chain, data, bytes, now_s()));
    free(data);
}

static bool asks_for_segwit(const json_t *request)
{
    size_t i;
    const json_t *rule;
    json_array_foreach(json_object_get(request, "rules"), i, rule)
    {
        if (json_is_string(rule) && strcmp(json_string_value(rule), "segwit") == 0) return true;
    }
    return false;
}

static void get_block_template(struct rpc *rpc, const json_t *params, struct rpc_reply *reply)
{
    const json_t *request = json_array_get(params, 0);
    const char *mode = json_string_value(json_object_get(request, "mode"));
    const char *seen = json_string_value(json_object_get(request, "longpollid"));
    char current[TEMPLATE_LONGPOLL_BYTES];
    if (mode && strcmp(mode, "proposal") == 0) {
        propose(rpc, request, reply);
        return;
    }
    if (mode && strcmp(mode, "template") != 0) {
        rpc_fail(reply, RPC_PARAMETER, "Invalid mode");
        return;
    }
    if (!asks_for_segwit(request)) {
        rpc_fail(reply, RPC_PARAMETER,
                 "getblocktemplate must be called with the segwit rule set (call with "
                 "{\"rules\": [\"segwit\"]})");
        return;
    }
    template_longpoll_id(rpc->chain, rpc->mempool, current);
    if (seen && strcmp(seen, current) == 0) {
        reply->retry_ms = POLL_MS;
        return;
    }
    reply->result = template_make(rpc->chain, rpc->mempool, rpc->spends_max, now_s());
    if (!reply->result) rpc_fail(reply, RPC_OUT_OF_MEMORY, "out of memory");
}

const struct rpc_method rpc_mining[] = {
    {"getblocktemplate", get_block_template},
    {"submitblock", submit_block},
    {NULL, NULL},
};
