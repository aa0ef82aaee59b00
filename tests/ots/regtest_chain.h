/* regtest_chain.h: chains of regtest headers for tests, with a merkle root of one's choice. */
#ifndef OWM_TEST_REGTEST_CHAIN_H
#define OWM_TEST_REGTEST_CHAIN_H

#include "dataplane/ots/headers.h"

/** A block every ten minutes, from REGTEST_TIME on. */
#define REGTEST_TIME 1300000000u

/** regtest_first: the header of the network's first block. */
void regtest_first(uint8_t header[OWM_OTS_HEADER_BYTES]);

/** regtest_next: a header that follows, with enough work. */
void regtest_next(const struct owm_ots_chain *chain, uint32_t time, const uint8_t root[32],
                  uint8_t header[OWM_OTS_HEADER_BYTES]);

/** regtest_mine: grow an initialised chain to `blocks`; block `height` holds `root` (NULL: its own
 *  height, as every other one). */
void regtest_mine(struct owm_ots_chain *chain, size_t blocks, uint64_t height, const uint8_t *root);

#endif
