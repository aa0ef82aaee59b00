/* template.h: what getblocktemplate answers with: a block on the tip, with what waits in the pool
 * and with transactions of our own. */
#ifndef OWM_DEVNET_BLOCKS_TEMPLATE_H
#define OWM_DEVNET_BLOCKS_TEMPLATE_H

#include <jansson.h>

#include "chain.h"
#include "mempool.h"

#define TEMPLATE_SPENDS_MAX 50

/** template_make: new reference; NULL without memory. It holds the whole pool (NULL: none), and
 *  transactions that spend premined coins, with and without a witness, one of them out of another;
 *  height % (spends_max + 1) of them, so that all sizes of a tree come by. */
json_t *template_make(struct chain *chain, const struct mempool *pool, uint32_t spends_max,
                      uint32_t now_s);

/** template_longpoll_id: of the tip and what was sent; it changes when the template does. */
#define TEMPLATE_LONGPOLL_BYTES 80
void template_longpoll_id(const struct chain *chain, const struct mempool *pool,
                          char id[TEMPLATE_LONGPOLL_BYTES]);

/** hash_text: as people read it. */
void template_hash_text(const uint8_t hash[32], char text[65]);

#endif
