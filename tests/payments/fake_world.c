/* fake_world.c: see fake_world.h. */
#include "fake_world.h"

void world_open(struct world *world, const char *name)
{
    fake_node_new();
    world_databases(world, name);
    world->options.node = (struct owm_lightning_config){.address = "fake", .network = "regtest"};
}

void world_key_node(struct world *world, unsigned n, uint8_t id[16])
{
    char uri[100], key[67];
    fake_key_text(n, key);
    snprintf(uri, sizeof(uri), "%s@10.0.0.1:9735", key);
    world_node(world, uri, n % 2 ? "" : "keysend", id);
}

void world_sound(struct world *world)
{
    static const char sent[] = "SELECT coalesce(sum(settled_msat) FILTER (WHERE purpose <>"
                               " 'pool_treasury'), 0) FROM payments";
    int64_t paid_msat;
    world_ledgers_sound(world);
    fake_paid(&paid_msat);
    assert_int_equal(paid_msat, world_number(world->pg, sent) + world_number(world->pool, sent));
}
