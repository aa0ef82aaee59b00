/* fake_world.h: a world whose payer pays through the double of the Lightning library. */
#ifndef TESTS_PAYMENTS_FAKE_WORLD_H
#define TESTS_PAYMENTS_FAKE_WORLD_H

#include "fake_node.h"
#include "world.h"

/** world_open: fresh databases named after the test, a fresh fake node. */
void world_open(struct world *world, const char *name);

/** world_key_node: world_node with the n-th key of the fake node's. */
void world_key_node(struct world *world, unsigned n, uint8_t id[16]);

/** world_sound: the invariants of promise 1, over database and node. */
void world_sound(struct world *world);

#endif
