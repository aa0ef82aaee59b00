/* regtest_chain.c: half of all nonces are enough on regtest. */
#include "regtest_chain.h"

#include <string.h>

#include "dataplane/chain/hash.h"

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

void regtest_first(uint8_t header[OWM_OTS_HEADER_BYTES])
{
    static const char root[] = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b";
    memset(header, 0, OWM_OTS_HEADER_BYTES);
    put_u32(header, 1);
    owm_status status = owm_hash_parse(root, header + 36);
    OWM_ASSERT(status == OWM_OK);
    put_u32(header + 68, 1296688602);
    put_u32(header + 72, 0x207fffff);
    put_u32(header + 76, 2);
}

void regtest_next(const struct owm_ots_chain *chain, uint32_t time, const uint8_t root[32],
                  uint8_t header[OWM_OTS_HEADER_BYTES])
{
    put_u32(header, 4);
    memcpy(header + 4, chain->tip, 32);
    memcpy(header + 36, root, 32);
    put_u32(header + 68, time);
    put_u32(header + 72, 0x207fffff);
    for (uint32_t nonce = 0;; nonce++) {
        put_u32(header + 76, nonce);
        if (owm_ots_header_work(OWM_REGTEST, header, NULL) == OWM_OK) return;
    }
}

void regtest_mine(struct owm_ots_chain *chain, size_t blocks, uint64_t height, const uint8_t *root)
{
    uint8_t header[OWM_OTS_HEADER_BYTES];
    while (chain->count < blocks) {
        uint8_t own[32] = {(uint8_t)chain->count, (uint8_t)(chain->count >> 8), 1};
        if (chain->count == 0)
            regtest_first(header);
        else
            regtest_next(chain, REGTEST_TIME + 600 * (uint32_t)chain->count,
                         root && chain->count == height ? root : own, header);
        owm_status status = owm_ots_chain_push(chain, header, NULL);
        OWM_ASSERT(status == OWM_OK);
    }
}
