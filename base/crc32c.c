/* crc32c.c: CRC-32C; see crc32c.h. */
#include "crc32c.h"

#include <pthread.h>
#include <string.h>

#if defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

#define POLYNOMIAL 0x82f63b78u /* Reflected. */

static uint32_t table[256];
static uint32_t (*best)(uint32_t crc, const void *data, size_t bytes);
static pthread_once_t once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t with_instruction(uint32_t crc, const void *data,
                                                                   size_t bytes)
{
    const uint8_t *at = data;
    uint64_t state = ~crc, word;
    for (; bytes >= 8; at += 8, bytes -= 8) {
        memcpy(&word, at, 8);
        state = __builtin_ia32_crc32di(state, word);
    }
    for (; bytes > 0; at++, bytes--) state = __builtin_ia32_crc32qi((uint32_t)state, *at);
    return ~(uint32_t)state;
}

static int has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__)
__attribute__((target("+crc"))) static uint32_t with_instruction(uint32_t crc, const void *data,
                                                                 size_t bytes)
{
    const uint8_t *at = data;
    uint64_t word;
    crc = ~crc;
    for (; bytes >= 8; at += 8, bytes -= 8) {
        memcpy(&word, at, 8);
        crc = __crc32cd(crc, word);
    }
    for (; bytes > 0; at++, bytes--) crc = __crc32cb(crc, *at);
    return ~crc;
}

static int has_instruction(void)
{
    return (getauxval(AT_HWCAP) & (1u << 7)) != 0; /* HWCAP_CRC32 */
}
#else
#define with_instruction owm_crc32c_portable

static int has_instruction(void)
{
    return 0;
}
#endif

static uint32_t by_table(uint32_t crc, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) crc = crc >> 8 ^ table[(crc ^ at[i]) & 0xff];
    return ~crc;
}

static void prepare(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ POLYNOMIAL : value >> 1;
        table[i] = value;
    }
    best = has_instruction() ? with_instruction : by_table;
}

uint32_t owm_crc32c_portable(uint32_t crc, const void *data, size_t bytes)
{
    pthread_once(&once, prepare);
    return by_table(crc, data, bytes);
}

uint32_t owm_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    pthread_once(&once, prepare);
    return best(crc, data, bytes);
}
