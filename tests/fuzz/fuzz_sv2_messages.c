/* fuzz_sv2_messages.c: every reader of Stratum v2, and the TLVs, on hostile bytes.
 *
 * The first byte picks the message. What a reader took, the writer must write again in as many
 * bytes, and the reader must then read the same bytes from it.
 */
#include <stdlib.h>
#include <string.h>

#include "dataplane/sv2/messages.h"

#define BYTES_MAX (1 << 20)

static uint8_t first[BYTES_MAX], second[BYTES_MAX];

#define JUDGE(name, fields, extension, number, channel)                                            \
    static void judge_##name(const uint8_t *payload, size_t bytes)                                 \
    {                                                                                              \
        struct owm_sv2_##name m;                                                                   \
        size_t used = owm_sv2_read_##name(payload, bytes, &m);                                     \
        if (used == 0) return;                                                                     \
        if (used > bytes || owm_sv2_write_##name(first, sizeof first, &m) != used) abort();        \
        if (owm_sv2_read_##name(first, used, &m) != used) abort();                                 \
        if (owm_sv2_write_##name(second, used, &m) != used) abort();                               \
        if (memcmp(first, second, used) != 0) abort();                                             \
        if (owm_sv2_read_##name(first, used - 1, &m) != 0) abort();                                \
    }
OWM_SV2_MESSAGES(JUDGE)

static void judge_worker_name(const uint8_t *tlv, size_t bytes)
{
    struct owm_sv2_view name;
    if (!owm_sv2_worker_name(tlv, bytes, &name)) return;
    if (name.count > 32 || name.data < tlv || name.data + name.count > tlv + bytes) abort();
}

#define ROW(name, fields, extension, number, channel) judge_##name,
static void (*const judges[])(const uint8_t *payload,
                              size_t bytes) = {OWM_SV2_MESSAGES(ROW) judge_worker_name};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > BYTES_MAX / 2) return 0;
    judges[data[0] % (sizeof judges / sizeof *judges)](data + 1, size - 1);
    return 0;
}
