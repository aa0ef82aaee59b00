/* binding.c: see binding.h. */
#include "binding.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/sha256.h"

#define SECRET_CONTEXT "owm stake secret v1"
#define DAY_S          86400

owm_status owm_stake_binding_init(struct owm_stake_binding *binding,
                                  const owm_identity *coordinator, const char *network,
                                  struct owm_error *error)
{
    static const uint8_t node_key[32];
    uint8_t signature[OWM_SIGNATURE_BYTES];
    char text[OWM_STATEMENT_BYTES];
    struct owm_statement probe = {0};
    memset(binding, 0, sizeof(*binding));
    snprintf(probe.network, sizeof(probe.network), "%s", network);
    if (strlen(network) >= sizeof(probe.network) || owm_statement_format(&probe, text) != OWM_OK)
        return owm_fail(error, OWM_E_CONFIG,
                        "policy.network = \"%s\" has other characters than letters, digits, '.', "
                        "'_' and '-'",
                        network);
    memcpy(binding->network, probe.network, sizeof(binding->network));
    memcpy(binding->coordinator_key, owm_identity_public_key(coordinator), 32);
    /* A signature that nobody ever sees is a secret that only the identity can make again. */
    owm_identity_sign(coordinator, SECRET_CONTEXT, node_key, sizeof(node_key), signature);
    owm_sha256(signature, sizeof(signature), binding->secret);
    explicit_bzero(signature, sizeof(signature));
    return OWM_OK;
}

void owm_stake_binding_deinit(struct owm_stake_binding *binding)
{
    explicit_bzero(binding->secret, sizeof(binding->secret));
}

/* The MAC of everything before it. */
static void seal(const struct owm_stake_binding *binding, const struct owm_statement *statement,
                 uint8_t out[OWM_STATEMENT_SEAL_BYTES])
{
    struct owm_statement blank = *statement;
    char text[OWM_STATEMENT_BYTES];
    uint8_t mac[32];
    memset(blank.seal, 0, sizeof(blank.seal));
    owm_status status = owm_statement_format(&blank, text);
    OWM_ASSERT(status == OWM_OK);
    owm_hmac_sha256(binding->secret, sizeof(binding->secret), text, strlen(text), mac);
    memcpy(out, mac, OWM_STATEMENT_SEAL_BYTES);
}

void owm_stake_statement(const struct owm_stake_binding *binding, const uint8_t node_key[static 32],
                         int64_t now_ms, char text[OWM_STATEMENT_BYTES])
{
    struct owm_statement statement = {.expires_s = (now_ms / 1000 / DAY_S + 2) * DAY_S};
    memcpy(statement.network, binding->network, sizeof(statement.network));
    memcpy(statement.coordinator, binding->coordinator_key, sizeof(statement.coordinator));
    memcpy(statement.node_key, node_key, 32);
    seal(binding, &statement, statement.seal);
    owm_status status = owm_statement_format(&statement, text);
    OWM_ASSERT(status == OWM_OK);
}

static owm_status check_statement(const struct owm_stake_binding *binding,
                                  const struct owm_stake_proof *proof, int64_t now_ms,
                                  struct owm_error *error)
{
    struct owm_statement statement;
    uint8_t expected[OWM_STATEMENT_SEAL_BYTES];
    if (owm_statement_parse(proof->statement, &statement) != OWM_OK
        || strcmp(statement.network, binding->network) != 0
        || memcmp(statement.node_key, proof->node_key, 32) != 0)
        return owm_fail(error, OWM_E_CRYPTO,
                        "stake_statement is not the one that Hello gives to this node; sign that "
                        "one with the Lightning node and send both");
    seal(binding, &statement, expected);
    if (!owm_bytes_equal(expected, statement.seal, sizeof(expected)))
        return owm_fail(error, OWM_E_CRYPTO,
                        "stake_statement was not made by this coordinator; take the one that Hello "
                        "gives and sign it with the Lightning node");
    if (statement.expires_s * 1000 <= now_ms)
        return owm_fail(error, OWM_E_TIMEOUT,
                        "the stake statement has expired; take the new one from Hello and sign it "
                        "again, each is good for at least a day");
    return OWM_OK;
}

owm_status owm_stake_prove(const struct owm_stake_binding *binding,
                           const struct owm_stake_proof *proof, int64_t now_ms,
                           struct owm_error *error)
{
    uint8_t signer[OWM_LIGHTNING_KEY_BYTES];
    char signer_hex[2 * OWM_LIGHTNING_KEY_BYTES + 1], named_hex[2 * OWM_LIGHTNING_KEY_BYTES + 1];
    owm_status status = check_statement(binding, proof, now_ms, error);
    if (status != OWM_OK) return status;
    if (owm_lightning_recover(proof->statement, proof->signature, signer) != OWM_OK)
        return owm_fail(error, OWM_E_CRYPTO,
                        "stake_signature is no Lightning signature; make it with `lncli "
                        "signmessage` or `lightning-cli signmessage` and send what that prints");
    if (memcmp(signer, proof->ln_key, sizeof(signer)) == 0) return OWM_OK;
    owm_hex_encode(signer, sizeof(signer), signer_hex);
    owm_hex_encode(proof->ln_key, sizeof(signer), named_hex);
    return owm_fail(error, OWM_E_STATE,
                    "the stake statement was signed by the Lightning node %s, but ln_node_uri "
                    "names %s; sign exactly the text of stake_statement with the node that "
                    "ln_node_uri names",
                    signer_hex, named_hex);
}
