/* ln_signer.h: the key of a Lightning node, for tests: it signs messages as LND does. */
#ifndef OWM_TESTS_LN_SIGNER_H
#define OWM_TESTS_LN_SIGNER_H

#include "base/lightning/lightning.h"

struct ln_signer {
    uint8_t secret[32], key[OWM_LIGHTNING_KEY_BYTES];
    char uri[OWM_LIGHTNING_TEXT_BYTES]; /* its key at 127.0.0.1:9735 */
};

/** ln_signer_make: one key per number, always the same. */
void ln_signer_make(struct ln_signer *signer, uint32_t number);
void ln_signer_sign(const struct ln_signer *signer, const char *message,
                    char signature[OWM_LIGHTNING_SIGNATURE_TEXT]);

#endif
