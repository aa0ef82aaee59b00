/* stake.c: how a node proves which Lightning node stands for it. */
#include "node/stake.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "node/lightning.h"

#define KEY_STATEMENT "stake_statement"
#define KEY_SIGNATURE "stake_signature"

static owm_status next_step(struct owm_error *error)
{
    return owm_fail(error, OWM_E_PERM,
                    "this network asks for a stake, and no Lightning node vouches for this node "
                    "yet: set lightning.node_uri and lightning.backend, or run `owm-node stake`, "
                    "which says what to sign by hand");
}

owm_status node_stake_kept(owm_task_log *log, int64_t now_s, struct node_stake_proof *proof)
{
    struct owm_statement statement;
    owm_status status =
        owm_task_log_get(log, KEY_STATEMENT, proof->statement, sizeof proof->statement);
    if (status == OWM_OK)
        status = owm_task_log_get(log, KEY_SIGNATURE, proof->signature, sizeof proof->signature);
    if (status == OWM_OK
        && (owm_statement_parse(proof->statement, &statement) != OWM_OK
            || statement.expires_s <= now_s))
        status = OWM_E_NOTFOUND;
    if (status != OWM_OK) memset(proof, 0, sizeof *proof);
    return status;
}

static owm_status signed_by_hand(struct node *node, const PB(HelloResponse) * hello,
                                 struct node_stake_proof *proof, struct owm_error *error)
{
    int64_t now_ms = hello->server_time_ms > 0 ? hello->server_time_ms : owm_clock_wall_ms();
    if (node_stake_kept(node->log, now_ms / 1000, proof) != OWM_OK) return next_step(error);
    return owm_statement_names(proof->statement, hello->network, node->coordinator_key,
                               owm_identity_public_key(node->identity), error);
}

/* The statement of Hello, signed by the Lightning node of the settings. */
static owm_status sign(const struct node *node, owm_lightning *lightning,
                       const PB(HelloResponse) * hello, struct node_stake_proof *proof,
                       struct owm_error *error)
{
    owm_status status =
        owm_statement_names(hello->stake_statement, hello->network, node->coordinator_key,
                            owm_identity_public_key(node->identity), error);
    if (status == OWM_OK)
        status = owm_lightning_sign(lightning, hello->stake_statement, proof->signature, error);
    if (status == OWM_OK)
        snprintf(proof->statement, sizeof proof->statement, "%s", hello->stake_statement);
    return status;
}

/* NET and TIMEOUT of a registration are the coordinator's. */
static owm_status not_the_coordinator(owm_status status, struct owm_error *error)
{
    struct owm_error why = *error;
    if (status != OWM_E_NET && status != OWM_E_TIMEOUT) return status;
    return owm_fail(error, OWM_E_AGAIN,
                    "your Lightning node has to sign the proof of the stake, and cannot be "
                    "reached: %.400s; it is tried again",
                    why.text);
}

owm_status node_stake_prove(struct node *node, const PB(HelloResponse) * hello,
                            struct node_stake_proof *proof, struct owm_error *error)
{
    owm_lightning *lightning = NULL;
    memset(proof, 0, sizeof *proof);
    if (strcmp(hello->stake_policy, "lightning") != 0) return OWM_OK;
    if (hello->stake_bound && !node->rebind) return OWM_OK;
    owm_status status = node_lightning_open(&node->config, hello->network, &lightning, error);
    if (status == OWM_E_NOTFOUND) return signed_by_hand(node, hello, proof, error);
    if (status == OWM_OK) status = sign(node, lightning, hello, proof, error);
    owm_lightning_close(lightning);
    return status == OWM_OK ? OWM_OK : not_the_coordinator(status, error);
}

owm_status node_stake_keep(owm_task_log *log, const struct owm_node_config *config,
                           const struct node_stake_proof *proof, struct owm_error *error)
{
    uint8_t named[OWM_LIGHTNING_KEY_BYTES], signer[OWM_LIGHTNING_KEY_BYTES];
    const char *host;
    if (owm_lightning_uri_parse(config->node_uri, named, &host) != OWM_OK)
        return owm_fail(error, OWM_E_CONFIG,
                        "lightning.node_uri is '%.150s'; set it to pubkey@host:port of the "
                        "Lightning node that signed",
                        config->node_uri);
    if (owm_lightning_recover(proof->statement, proof->signature, signer) != OWM_OK
        || memcmp(named, signer, sizeof named) != 0)
        return owm_fail(error, OWM_E_CRYPTO,
                        "this is not the signature of that statement by the node in "
                        "lightning.node_uri; sign exactly the text that `owm-node stake statement` "
                        "prints, with that node");
    if (owm_task_log_set(log, KEY_STATEMENT, proof->statement) != OWM_OK
        || owm_task_log_set(log, KEY_SIGNATURE, proof->signature) != OWM_OK)
        return owm_fail(error, OWM_E_IO, "the task log in %s cannot be written", config->data_dir);
    return OWM_OK;
}
