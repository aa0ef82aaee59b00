/* anchor_double.h: an anchor (ots/calendar/anchor.h) for tests of the server: no wallet, no chain;
 * each promise stands where the test says. */
#ifndef OWM_TEST_ANCHOR_DOUBLE_H
#define OWM_TEST_ANCHOR_DOUBLE_H

#include "ots/calendar/anchor.h"

#define ANCHOR_DOUBLE_TXID   "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define ANCHOR_DOUBLE_HEIGHT 840000

/** anchor_double_set: where all promises stand. The proof is one sha256 to the block.
 *  trouble  "": none. */
void anchor_double_set(struct anchor *anchor, enum anchor_state state, uint64_t confirmations,
                       const char *trouble);

/** anchor_double_hide: whether anchor_proof finds nothing, as when a block leaves the chain. */
void anchor_double_hide(struct anchor *anchor, bool hidden);

#endif
