/* contact.h: one conversation with the coordinator, for commands beside or before the daemon. */
#ifndef OWM_NODE_CONTACT_H
#define OWM_NODE_CONTACT_H

#include "base/identity.h"
#include "node/config.h"
#include "node/link.h"

/** node_contact_who: ITSELF makes the identity if there is none; STRANGER is a throw-away key, for
 *  questions that change nothing anywhere. */
enum node_contact_who { NODE_CONTACT_ITSELF, NODE_CONTACT_STRANGER };

struct node_contact {
    char target[OWM_NODE_TARGET_MAX];
    uint8_t coordinator_key[32];
    owm_identity *identity;
    struct owm_cert cert;
    char *coordinator_pem;
    struct owm_rpc_client *rpc;
};

/** node_contact_open: nothing is sent yet. Close it also on failure.
 *  Returns: OWM_OK; OWM_E_CONFIG …, with the fix. */
OWM_MUST_USE owm_status node_contact_open(const struct owm_node_config *config,
                                          enum node_contact_who who, struct node_contact *contact,
                                          struct owm_error *error);
void node_contact_close(struct node_contact *contact);

/** node_contact_hello: its answer; link_free it.
 *  Returns: OWM_OK; OWM_E_CRYPTO its key is not the one of network.coordinator_cert; as
 *  link_hello. */
OWM_MUST_USE owm_status node_contact_hello(struct node_contact *contact, PB(HelloResponse) * *hello,
                                           struct owm_error *error);

#endif
