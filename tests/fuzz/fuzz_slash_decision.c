/* fuzz_slash_decision.c: owm-slasher reads signed decisions from a database that it does not trust.
 * What decodes is encoded again to the same bytes, so nothing can hide in a decision. */
#include <stdlib.h>
#include <string.h>

#include "controlplane/slashing/canonical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct owm_case c;
    static uint8_t again[OWM_DECISION_BYTES_MAX];
    uint8_t key[32] = {7}, digest[32];
    struct owm_error error;
    size_t bytes = 0;
    const struct owm_case_policy policy = {.acks_needed = 2, .signals_needed = 3};
    if (owm_decision_decode(data, size, key, &c, &error) != OWM_OK) return 0;
    if (owm_decision_encode(&c, key, again, &bytes) != OWM_OK) abort();
    if (bytes != size || memcmp(again, data, size) != 0) abort();
    owm_case_digest(&c, key, digest);
    if (c.tier != OWM_TIER_T1 && owm_case_proven(&c, &policy)) abort(); /* nobody is listed */
    return 0;
}
