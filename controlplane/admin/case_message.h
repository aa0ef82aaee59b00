/* case_message.h: a case as the coordinator shows it, back into one whose digest we make ourselves:
 * nobody signs a hash that somebody else computed. */
#ifndef OWM_ADMIN_CASE_MESSAGE_H
#define OWM_ADMIN_CASE_MESSAGE_H

#include <internal.pb-c.h>

#include "controlplane/slashing/case.h"

/** owm_case_from_message: Safe for hostile messages.
 *  Returns: OWM_OK, and the case's subject is the digest that the message names; OWM_E_PROTO
 *  malformed, or its parts do not make its digest; OWM_E_CRYPTO a decision that the coordinator did
 *  not sign. */
OWM_MUST_USE owm_status owm_case_from_message(const Owm__Internal__V1__Case *message,
                                              const uint8_t coordinator_key[32], struct owm_case *c,
                                              struct owm_error *error);

#endif
