/* statement.h: the text by which a Lightning node vouches for an OWM node (stake_statement of
 * Hello; docs/proof-of-stake.md).
 *
 *   owm-stake-1:NETWORK:COORDINATOR:NODE:EXPIRES:SEAL
 *
 * One word of plain ASCII, so that an operator can paste it behind `lncli signmessage`. COORDINATOR
 * is the first 16 hex digits of the coordinator's key, NODE all 64 of the node's, EXPIRES Unix
 * seconds, SEAL 32 hex digits that only the coordinator can make. Before it has it signed, a node
 * looks whether the text names itself: a coordinator that lies could else hand out the statement
 * of another node, and the signature would give that one this Lightning node's stake.
 */
#ifndef OWM_PROTO_STATEMENT_H
#define OWM_PROTO_STATEMENT_H

#include <stdint.h>

#include "base/status.h"

#define OWM_STATEMENT_BYTES         192 /* with its terminator */
#define OWM_STATEMENT_NETWORK_BYTES 33
#define OWM_STATEMENT_SEAL_BYTES    16

struct owm_statement {
    char network[OWM_STATEMENT_NETWORK_BYTES]; /* [A-Za-z0-9._-], at least one */
    uint8_t coordinator[8];                    /* the first bytes of its key */
    uint8_t node_key[32];
    int64_t expires_s;
    uint8_t seal[OWM_STATEMENT_SEAL_BYTES];
};

/** owm_statement_format: OWM_E_ARG: the network's name has other characters, or the time is not
 *  between 0 and 9,999,999,999. */
OWM_MUST_USE owm_status owm_statement_format(const struct owm_statement *statement,
                                             char text[OWM_STATEMENT_BYTES]);

/** owm_statement_parse: exactly what owm_statement_format writes; OWM_E_PROTO: anything else. */
OWM_MUST_USE owm_status owm_statement_parse(const char *text, struct owm_statement *statement);

/** owm_statement_names: whether the text is a statement of this coordinator about this node.
 *  Returns: OWM_OK; OWM_E_PROTO it is no statement; OWM_E_CRYPTO it is about others: do not sign.
 */
OWM_MUST_USE owm_status owm_statement_names(const char *text, const char *network,
                                            const uint8_t coordinator_key[static 32],
                                            const uint8_t node_key[static 32],
                                            struct owm_error *error);

#endif
