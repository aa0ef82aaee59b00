/* contact.c: one conversation with the coordinator, for commands beside or before the daemon. */
#include "node/contact.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "node/node.h"

static owm_status read_certificate(const struct owm_node_config *config,
                                   struct node_contact *contact, struct owm_error *error)
{
    uint8_t *pem = NULL;
    size_t bytes = 0;
    if (config->coordinator_cert[0] == '\0')
        return owm_fail(error, OWM_E_CONFIG, "network.coordinator_cert is empty");
    owm_status status = owm_fs_read(config->coordinator_cert, 65536, &pem, &bytes, error);
    contact->coordinator_pem = (char *)pem;
    if (status == OWM_OK
        && owm_cert_public_key((char *)pem, bytes, contact->coordinator_key) != OWM_OK)
        return owm_fail(error, OWM_E_CONFIG, "%s is no certificate with an Ed25519 key",
                        config->coordinator_cert);
    return status;
}

static owm_status open_identity(const struct owm_node_config *config, enum node_contact_who who,
                                struct node_contact *contact, struct owm_error *error)
{
    if (who == NODE_CONTACT_STRANGER) return owm_identity_generate(&contact->identity);
    owm_status status = owm_fs_mkdirs(config->data_dir, 0700, error);
    if (status != OWM_OK) return status;
    return owm_identity_load_or_create(config->identity_key, &contact->identity, NULL, error);
}

owm_status node_contact_open(const struct owm_node_config *config, enum node_contact_who who,
                             struct node_contact *contact, struct owm_error *error)
{
    memset(contact, 0, sizeof *contact);
    owm_status status = owm_node_target(config->coordinator_url, contact->target, error);
    if (status == OWM_OK) status = read_certificate(config, contact, error);
    if (status == OWM_OK) status = open_identity(config, who, contact, error);
    if (status == OWM_OK)
        status = owm_identity_cert(contact->identity, "owm-node", NULL, &contact->cert, error);
    const struct owm_rpc_client_config client = {.target = contact->target,
                                                 .server_certificate_pem = contact->coordinator_pem,
                                                 .certificate_pem = contact->cert.cert_pem,
                                                 .key_pem = contact->cert.key_pem,
                                                 .message_bytes_max = LINK_MESSAGE_BYTES_MAX};
    if (status == OWM_OK) status = owm_rpc_client_open(&contact->rpc, &client, error);
    return status;
}

void node_contact_close(struct node_contact *contact)
{
    owm_rpc_client_close(contact->rpc);
    owm_cert_deinit(&contact->cert);
    owm_identity_close(contact->identity);
    free(contact->coordinator_pem);
    memset(contact, 0, sizeof *contact);
}

owm_status node_contact_hello(struct node_contact *contact, PB(HelloResponse) * *hello,
                              struct owm_error *error)
{
    PB(HelloRequest) request = OWM__COORDINATOR__V1__HELLO_REQUEST__INIT;
    char software[] = NODE_SOFTWARE " command";
    request.protocol_min = NODE_PROTOCOL_MIN;
    request.protocol_max = NODE_PROTOCOL_MAX;
    request.software = software;
    struct owm_error why;
    owm_status status = link_hello(contact->rpc, &request, hello, &why);
    if (status != OWM_OK)
        return owm_fail(error, status, "%s does not answer: %.300s", contact->target, why.text);
    const ProtobufCBinaryData *key = &(*hello)->coordinator_key;
    if (key->len == 32 && memcmp(key->data, contact->coordinator_key, 32) == 0) return OWM_OK;
    link_free(*hello);
    *hello = NULL;
    return owm_fail(error, OWM_E_CRYPTO, "%s has another key than network.coordinator_cert",
                    contact->target);
}
