/* http_public.c: which addresses belong to the public Internet. */
#include "http_public.h"

#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

/* First bits of blocks that are not for the Internet: RFC 6890 and its registry. */
static const struct {
    uint32_t block;
    unsigned bits;
} special4[] = {
    {0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},  {0xa9fe0000, 16},
    {0xac100000, 12}, {0xc0000000, 24}, {0xc0000200, 24}, {0xc0586300, 24}, {0xc0a80000, 16},
    {0xc6120000, 15}, {0xc6336400, 24}, {0xcb007100, 24}, {0xe0000000, 4},  {0xf0000000, 4},
};

static bool public4(uint32_t address)
{
    for (size_t i = 0; i < sizeof special4 / sizeof *special4; i++)
        if ((address ^ special4[i].block) >> (32 - special4[i].bits) == 0) return false;
    return true;
}

static uint32_t word(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Global unicast is 2000::/3. Of it 2002::/16 (6to4) and 2001::/32 (Teredo) carry IPv4 addresses,
 * 2001:db8::/32 is for documents, and 64:ff9b::/96 lies outside and translates. */
static bool public6(const uint8_t a[16])
{
    static const uint8_t translated[12] = {0x00, 0x64, 0xff, 0x9b};
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (memcmp(a, mapped, 12) == 0 || memcmp(a, translated, 12) == 0) return public4(word(a + 12));
    if (a[0] >> 5 != 1) return false;
    if (a[0] == 0x20 && a[1] == 0x02) return public4(word(a + 2));
    return word(a) != 0x20010000 && word(a) != 0x20010db8;
}

bool owm_http_address_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        return public4(ntohl(in.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, address, sizeof in);
        return public6(in.sin6_addr.s6_addr);
    }
    return false;
}
