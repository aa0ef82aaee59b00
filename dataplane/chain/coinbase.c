/* coinbase.c: the pool's transaction in two halves, with the extranonce between them.
 *
 * The scriptSig is three pushes: the height (BIP 34), the tag, the extranonce. They are pushes, not
 * bare bytes, because bytes that look like OP_CHECKSIG would count against the block's limit of
 * signature operations. Lock time and sequence are what BIP 54 asks of new coinbases, and what
 * Bitcoin Core makes since 30: locked to the height before, with a sequence that is not final, so
 * that no two coinbases ever have one txid, and the block is valid under today's rules and those.
 */
#include <string.h>

#include "base/bytes.h"
#include "template.h"

#define TRANSACTION_VERSION 2
#define SEQUENCE_NOT_FINAL  0xfffffffe
#define HEIGHT_PUSH_MAX     5  /* A length and four bytes. */
#define DIRECT_PUSH_MAX     75 /* A length byte is the opcode. */
#define ONE_BYTE_COUNT_MAX  252

_Static_assert(HEIGHT_PUSH_MAX + 1 + (sizeof((struct owm_coinbase_plan *)0)->tag - 1) + 1
                       + OWM_EXTRANONCE_BYTES_MAX
                   <= OWM_COINBASE_SCRIPT_BYTES_MAX,
               "every plan fits a scriptSig");
_Static_assert(OWM_SCRIPT_BYTES_MAX <= ONE_BYTE_COUNT_MAX, "a script's length is one byte");
_Static_assert(OWM_EXTRANONCE_BYTES_MAX <= DIRECT_PUSH_MAX, "the extranonce is one direct push");

/* BIP 34: the shortest push of the number. 1 to 16 have opcodes of their own; others are little
 * endian with the sign in the highest bit. */
static void write_height(struct owm_writer *w, uint32_t height)
{
    uint8_t number[4], bytes = 0;
    if (height <= 16) {
        owm_write_u8(w, height ? (uint8_t)(0x50 + height) : 0);
        return;
    }
    for (uint32_t left = height; left; left >>= 8) number[bytes++] = (uint8_t)left;
    if (number[bytes - 1] & 0x80) number[bytes++] = 0;
    owm_write_u8(w, bytes);
    owm_write_bytes(w, number, bytes);
}

static void write_tag(struct owm_writer *w, const char *tag)
{
    size_t bytes = strlen(tag);
    if (bytes == 0) return;
    owm_write_u8(w, (uint8_t)bytes);
    owm_write_bytes(w, tag, bytes);
}

static void write_prefix(struct owm_writer *w, const struct owm_template *block,
                         const struct owm_coinbase_plan *plan)
{
    static const uint8_t no_hash[32];
    uint8_t script[OWM_COINBASE_SCRIPT_BYTES_MAX];
    struct owm_writer s;
    owm_writer_init(&s, script, sizeof script);
    write_height(&s, block->height);
    write_tag(&s, plan->tag);
    owm_write_u8(&s, (uint8_t)plan->extranonce_bytes);

    owm_write_u32_le(w, TRANSACTION_VERSION);
    owm_write_u8(w, 1); /* Inputs. */
    owm_write_bytes(w, no_hash, sizeof no_hash);
    owm_write_u32_le(w, UINT32_MAX);
    owm_write_u8(w, (uint8_t)(s.at + plan->extranonce_bytes));
    owm_write_bytes(w, script, s.at);
}

static void write_output(struct owm_writer *w, uint64_t value_sats, const uint8_t *script,
                         uint32_t bytes)
{
    owm_write_u64_le(w, value_sats);
    owm_write_u8(w, (uint8_t)bytes);
    owm_write_bytes(w, script, bytes);
}

static void write_suffix(struct owm_writer *w, const struct owm_template *block,
                         const struct owm_coinbase_plan *plan)
{
    owm_write_u32_le(w, SEQUENCE_NOT_FINAL);
    owm_write_u8(w, block->commitment_bytes ? 2 : 1); /* Outputs. */
    write_output(w, block->coinbase_value_sats, plan->script, plan->script_bytes);
    if (block->commitment_bytes) write_output(w, 0, block->commitment, block->commitment_bytes);
    owm_write_u32_le(w, block->height - 1); /* Lock time. */
}

static owm_status check_plan(const struct owm_coinbase_plan *plan, struct owm_error *error)
{
    if (plan->script_bytes == 0 || plan->script_bytes > OWM_SCRIPT_BYTES_MAX)
        return owm_fail(error, OWM_E_ARG, "the coinbase's script has %u bytes; 1 to %d are allowed",
                        plan->script_bytes, OWM_SCRIPT_BYTES_MAX);
    if (plan->extranonce_bytes == 0 || plan->extranonce_bytes > OWM_EXTRANONCE_BYTES_MAX)
        return owm_fail(error, OWM_E_ARG, "the extranonce has %u bytes; 1 to %d are allowed",
                        plan->extranonce_bytes, OWM_EXTRANONCE_BYTES_MAX);
    if (!memchr(plan->tag, 0, sizeof plan->tag))
        return owm_fail(error, OWM_E_ARG, "the coinbase's tag is longer than %zu bytes",
                        sizeof plan->tag - 1);
    return OWM_OK;
}

owm_status owm_coinbase_build(const struct owm_template *block,
                              const struct owm_coinbase_plan *plan, struct owm_coinbase *coinbase,
                              struct owm_error *error)
{
    struct owm_writer prefix, suffix;
    owm_status status = check_plan(plan, error);
    if (status != OWM_OK) return status;
    owm_writer_init(&prefix, coinbase->prefix, sizeof coinbase->prefix);
    owm_writer_init(&suffix, coinbase->suffix, sizeof coinbase->suffix);
    write_prefix(&prefix, block, plan);
    write_suffix(&suffix, block, plan);
    OWM_ASSERT(owm_writer_ok(&prefix) && owm_writer_ok(&suffix));
    coinbase->prefix_bytes = (uint32_t)prefix.at;
    coinbase->suffix_bytes = (uint32_t)suffix.at;
    coinbase->extranonce_bytes = plan->extranonce_bytes;
    return OWM_OK;
}
