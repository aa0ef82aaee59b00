/* fuzz_stake_statement.c: a statement and a signature, split by a line break, as a registration
 * brings them: refused, or a statement that is written the same way again; and no proof but for a
 * statement that this coordinator sealed for this node. */
#include <stdlib.h>
#include <string.h>

#include "controlplane/stake/binding.h"

#define TEXT_MAX 1024
#define NOW_MS   INT64_C(1728000000000)

static struct owm_stake_binding binding;
static uint8_t node_key[32] = {9};
static char sealed[OWM_STATEMENT_BYTES];

static void prepare(void)
{
    static const uint8_t seed[32] = {5};
    owm_identity *coordinator = NULL;
    if (owm_identity_from_seed(seed, &coordinator) != OWM_OK
        || owm_stake_binding_init(&binding, coordinator, "fuzz", NULL) != OWM_OK)
        abort();
    owm_stake_statement(&binding, node_key, NOW_MS, sealed);
    owm_identity_close(coordinator);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char text[TEXT_MAX + 1], again[OWM_STATEMENT_BYTES];
    struct owm_statement statement;
    struct owm_error error;
    uint8_t ln_key[OWM_LIGHTNING_KEY_BYTES] = {2};
    if (!sealed[0]) prepare();
    if (count > TEXT_MAX) return 0;
    memcpy(text, bytes, count);
    text[count] = 0;
    char *signature = text + strcspn(text, "\n");
    if (*signature) *signature++ = 0;
    if (owm_statement_parse(text, &statement) == OWM_OK
        && (owm_statement_format(&statement, again) != OWM_OK || strcmp(again, text) != 0))
        abort();
    const struct owm_stake_proof proof = {node_key, text, signature, ln_key};
    owm_status status = owm_stake_prove(&binding, &proof, NOW_MS, &error);
    if (status == OWM_OK) abort(); /* nobody has that key */
    if ((status == OWM_E_STATE || status == OWM_E_TIMEOUT) && strcmp(text, sealed) != 0) abort();
    return 0;
}
