/* block_maker.h: blocks for a regtest node that mines none itself, by its templates, for tests. */
#ifndef OWM_TEST_BLOCK_MAKER_H
#define OWM_TEST_BLOCK_MAKER_H

#include <stdbool.h>

#include "dataplane/ots/bitcoin_rpc.h"

/** block_make: one block with all that waits. Returns: false: the node gave no template, or took
 *  another block first. */
bool block_make(owm_ots_bitcoin_rpc *node);

#endif
