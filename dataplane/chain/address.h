/* address.h: a Bitcoin address to the script that pays it (base58check P2PKH and P2SH, bech32 of
 * BIP 173, bech32m of BIP 350).
 */
#ifndef OWM_CHAIN_ADDRESS_H
#define OWM_CHAIN_ADDRESS_H

#include "template.h"

/** owm_address_script: script [OWM_SCRIPT_BYTES_MAX] written, *bytes of it.
 *  Returns: OWM_OK; OWM_E_PROTO with a sentence: wrong letter, checksum or length, mixed case, or
 *  an address of another network (names both). */
OWM_MUST_USE owm_status owm_address_script(const char *address, enum owm_network network,
                                           uint8_t script[OWM_SCRIPT_BYTES_MAX], uint32_t *bytes,
                                           struct owm_error *error);

#endif
