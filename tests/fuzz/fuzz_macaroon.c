/* fuzz_macaroon.c: any bytes as a macaroon: refused, or one whose operations lie inside it, that a
 * role can be judged by, and that is still one with a condition more. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/lightning/lnd.h"

static void narrow(const struct macaroon *macaroon)
{
    static char hex[MACAROON_HEX_BYTES];
    static uint8_t bytes[MACAROON_BYTES_MAX + MACAROON_EXTRA];
    static struct macaroon narrowed;
    macaroon_attenuate(macaroon, "time-before 2030-01-01T00:00:00Z", hex);
    size_t count = strlen(hex) / 2;
    if (count <= macaroon->length || count > sizeof bytes) abort();
    if (owm_hex_decode(hex, bytes, count) != OWM_OK) abort();
    owm_status status = macaroon_parse(bytes, count, &narrowed);
    if (status == OWM_E_LIMIT) return; /* it was the longest, or had the most conditions */
    if (status != OWM_OK || narrowed.caveat_count != macaroon->caveat_count + 1
        || narrowed.op_count != macaroon->op_count)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    static struct macaroon macaroon;
    if (macaroon_parse(bytes, count, &macaroon) != OWM_OK) return 0;
    for (size_t i = 0; i < macaroon.op_count; i++) {
        const struct macaroon_op *op = &macaroon.ops[i];
        if ((size_t)op->entity_at + op->entity_bytes > count
            || (size_t)op->action_at + op->action_bytes > count)
            abort();
    }
    for (int role = OWM_LIGHTNING_STAKE; role <= OWM_LIGHTNING_OPERATOR; role++) {
        uint32_t granted;
        struct owm_error error;
        owm_status status =
            lnd_role_judge((enum owm_lightning_role)role, &macaroon, &granted, &error);
        if (status != OWM_OK && status != OWM_E_CONFIG) abort();
    }
    narrow(&macaroon);
    return 0;
}
