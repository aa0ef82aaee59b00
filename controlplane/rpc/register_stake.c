/* register_stake.c: what Hello and RegisterNode have to do with stakes: the statement that a
 * Lightning node signs, the check of its signature, and the treasury's answer (SRS-LN-02,
 * SRS-LN-11, SRS-STAKE-01).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/lightning/address.h"
#include "controlplane/engine/reward.h"
#include "services_internal.h"

#define BECH32_CHARS "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

static void treasury_uri(struct owm_services *services, char uri[OWM_LIGHTNING_TEXT_BYTES])
{
    if (services->config.stake)
        owm_stake_treasury_uri(services->config.stake, uri);
    else
        snprintf(uri, OWM_LIGHTNING_TEXT_BYTES, "%s", services->config.treasury_uri);
}

void stake_hello(struct owm_services *services, const uint8_t key[static 32],
                 PB(HelloResponse) * response, struct stake_hello *memory)
{
    uint8_t ln_key[OWM_LIGHTNING_KEY_BYTES];
    if (!services->config.stake) return;
    for (int i = 0; i < OWM_TIERS; i++) {
        const PB(TierStake) empty = OWM__COORDINATOR__V1__TIER_STAKE__INIT;
        memory->tier[i] = empty;
        memory->tier[i].tier = (char *)owm_tier_name((enum owm_tier)(i + 1));
        memory->tier[i].minimum_sats = services->config.tier_sats[i + 1];
        memory->tiers[i] = &memory->tier[i];
    }
    treasury_uri(services, memory->treasury_uri);
    owm_stake_statement(&services->binding, key, owm_clock_wall_ms(), memory->statement);
    response->tiers = memory->tiers;
    response->n_tiers = OWM_TIERS;
    response->treasury_uri = memory->treasury_uri;
    response->stake_statement = memory->statement;
    response->stake_bound = owm_stake_bound(services->config.stake, key, ln_key);
}

/* ---------------------------------------------------------------------------- the check */

/* "", "keysend", a Lightning address or a BOLT12 offer, by their form: whether they lead anywhere
 * shows when they are paid. */
static bool is_payout(const char *text)
{
    size_t bytes = strlen(text);
    if (bytes == 0 || strcmp(text, "keysend") == 0) return true;
    if (bytes >= OWM_URI_BYTES) return false;
    if (strncmp(text, "lno1", 4) == 0) return strspn(text + 4, BECH32_CHARS) == bytes - 4;
    return owm_lightning_address_valid(text);
}

static const char *check_bound(struct owm_services *services, const uint8_t key[static 32],
                               const uint8_t *ln_key, struct owm_error *error)
{
    uint8_t bound[OWM_LIGHTNING_KEY_BYTES];
    if (!owm_stake_bound(services->config.stake, key, bound)) {
        owm_fail(error, OWM_E_CRYPTO,
                 "this node is not bound to a Lightning node yet; let the Lightning node sign the "
                 "stake_statement of Hello (owm-node stake guides through it)");
        return "BAD_STAKE_SIGNATURE";
    }
    if (memcmp(bound, ln_key, sizeof(bound)) == 0) return NULL;
    owm_fail(error, OWM_E_STATE,
             "this node is bound to another Lightning node than ln_node_uri names; to move to that "
             "one, let it sign the stake_statement of Hello");
    return "LN_KEY_MISMATCH";
}

const char *stake_check(struct owm_services *services, const uint8_t key[static 32],
                        const PB(RegisterNodeRequest) * request,
                        uint8_t ln_key[static OWM_LIGHTNING_KEY_BYTES], struct owm_error *error)
{
    const char *host = NULL;
    if (!is_payout(request->payout_to)) {
        owm_fail(error, OWM_E_PROTO,
                 "payout_to must be empty, \"keysend\", a Lightning address (name@domain) or a "
                 "BOLT12 offer (lno1…) of less than %d characters",
                 OWM_URI_BYTES);
        return "BAD_PAYOUT";
    }
    if (!services->config.stake) return NULL;
    if (strlen(request->ln_node_uri) >= OWM_URI_BYTES
        || owm_lightning_uri_parse(request->ln_node_uri, ln_key, &host) != OWM_OK) {
        owm_fail(error, OWM_E_PROTO,
                 "ln_node_uri must be pubkey@host:port of the node's Lightning node");
        return "BAD_LN_URI";
    }
    if (!request->stake_statement[0] && !request->stake_signature[0])
        return check_bound(services, key, ln_key, error);
    const struct owm_stake_proof proof = {.node_key = key,
                                          .statement = request->stake_statement,
                                          .signature = request->stake_signature,
                                          .ln_key = ln_key};
    owm_status status = owm_stake_prove(&services->binding, &proof, owm_clock_wall_ms(), error);
    return status == OWM_OK          ? NULL
           : status == OWM_E_TIMEOUT ? "STAKE_STATEMENT_EXPIRED"
           : status == OWM_E_STATE   ? "LN_KEY_MISMATCH"
                                     : "BAD_STAKE_SIGNATURE";
}

/* ---------------------------------------------------------------------------- the treasury */

static void take_reading(struct owm_services *services, struct owm_post *post,
                         const struct owm_stake_reading *reading)
{
    struct owm_register_event *event = &post->event.reg;
    int64_t minimum_sats = services->config.tier_sats[event->capabilities.tier];
    event->stake_sats = reading->stake_sats;
    event->stake_pending = reading->stake_sats < minimum_sats
                           && reading->stake_sats + reading->pending_sats >= minimum_sats;
    post->ask->data = malloc(sizeof(*reading));
    if (!post->ask->data) return;
    memcpy(post->ask->data, reading, sizeof(*reading));
    post->ask->data_bytes = sizeof(*reading);
}

/* SRS-PERF-13. Never "insufficient": what is not known is held against nobody. */
static void refuse_unreadable(struct owm_services *services, struct owm_rpc_call *call,
                              const char *why)
{
    char sentence[OWM_ERROR_BYTES_MAX + 100];
    snprintf(sentence, sizeof(sentence),
             "the treasury's Lightning node does not answer; try again in a minute%s%s",
             why[0] ? ": " : "", why);
    wire_refuse_registration(services, call, "STAKE_UNREADABLE", sentence);
}

static void on_stake_read(void *ctx, owm_status status, const struct owm_stake_reading *reading,
                          const char *why)
{
    struct owm_post *post = ctx;
    struct owm_services *services = post->ask->ctx;
    struct owm_rpc_call *call = post->ask->call;
    owm_rpc_call_ref(call);
    if (status == OWM_OK) {
        take_reading(services, post, reading);
        wire_post(services, call, "RegisterNode", post);
    } else {
        owm_post_free(post);
        if (status == OWM_E_CANCELLED)
            wire_busy(services, call, "RegisterNode");
        else
            refuse_unreadable(services, call, why);
    }
    owm_rpc_call_unref(call);
}

void stake_post(struct owm_services *services, struct owm_rpc_call *call, struct owm_post *post)
{
    post->event.reg.stake_read_ms = owm_clock_wall_ms(); /* not later than it will be read */
    if (owm_stake_ask(services->config.stake, post->event.reg.ln_key, on_stake_read, post)
        == OWM_OK)
        return;
    owm_post_free(post);
    wire_busy(services, call, "RegisterNode");
}

/* ---------------------------------------------------------------------------- the answer */

static void describe_short(const struct owm_registered_output *out,
                           const struct owm_stake_reading *reading, struct stake_answer *memory)
{
    snprintf(memory->message, sizeof(memory->message),
             "tier minimum %" PRId64 " sats, the treasury sees %" PRId64
             " (%s); open a Lightning channel of at least the minimum to %s and register again",
             out->required_stake_sats, reading->stake_sats, reading->note,
             memory->treasury_uri[0] ? memory->treasury_uri
                                     : "the treasury (its address is not published)");
}

static void describe(const struct owm_services *services, const struct owm_registered_output *out,
                     const struct owm_stake_reading *reading, struct stake_answer *memory)
{
    size_t bytes = sizeof(memory->message);
    if (out->code == OWM_CODE_INSUFFICIENT_STAKE)
        describe_short(out, reading, memory);
    else if (out->code != OWM_CODE_NONE)
        snprintf(memory->message, bytes, "%s", owm_code_text(out->code));
    else if (!services->config.stake)
        snprintf(memory->message, bytes,
                 "this is a development network (%s): no stake is asked for",
                 services->config.network);
    else if (out->status == OWM_NODE_PENDING && reading->blocks_to_go)
        snprintf(memory->message, bytes,
                 "the channel of %" PRId64 " sats counts after %u more confirmations; then this "
                 "node becomes active by itself, there is nothing to do",
                 reading->pending_sats, reading->blocks_to_go);
}

void stake_answer(struct owm_services *services, const struct owm_ask *ask,
                  const struct owm_registered_output *out, PB(RegisterNodeResponse) * response,
                  struct stake_answer *memory)
{
    static const struct owm_stake_reading unread = {.note = ""};
    const struct owm_stake_reading *reading = ask->data ? ask->data : &unread;
    memory->message[0] = 0;
    snprintf(memory->note, sizeof(memory->note), "%s", reading->note);
    treasury_uri(services, memory->treasury_uri);
    describe(services, out, reading, memory);
    response->message = memory->message;
    response->treasury_uri = memory->treasury_uri;
    response->stake_sats = reading->stake_sats;
    response->stake_note = memory->note;
    response->stake_bonus =
        owm_stake_bonus_ppm(reading->stake_sats, out->required_stake_sats) / 1e6;
}
