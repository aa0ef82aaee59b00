/* world.h: a coordinator's and a pool's database with nodes, miners and payments, and a payer. */
#ifndef TESTS_PAYMENTS_WORLD_H
#define TESTS_PAYMENTS_WORLD_H

#include "base/pg/pg.h"
#include "controlplane/payments/payer.h"
#include "pg_fixture.h"
#include "test.h"

extern struct pg_fixture server;

struct world {
    char url[256], pool_url[256], folder[64];
    struct owm_pg *pg, *pool;
    struct owm_payment_secret *secret, *pool_secret;
    struct owm_metrics *metrics;
    struct owm_pay_options options;
    struct owm_pay *pay;
    unsigned nodes, made;
};

/** world_databases: fresh ones named after the test, and options of a payer that still need a
 *  Lightning node. world_start: the payer. */
void world_databases(struct world *world, const char *name);
void world_close(struct world *world);
void world_start(struct world *world);
void world_stop(struct world *world);

/** world_node: a registered, active node with this way to be paid; its id in id. */
void world_node(struct world *world, const char *uri, const char *payout_to, uint8_t id[16]);

/** world_owe: a payment to it, as the coordinator writes them. */
void world_owe(struct world *world, const uint8_t node_id[16], int64_t amount_msat);

/** world_miner: an account of the pool (kind 0 a name, 1 a node's key, 2 the treasury) is owed. */
void world_miner(struct world *world, int kind, const char *name, int64_t amount_msat);

int64_t world_number(struct owm_pg *pg, const char *sql);
void world_text(struct owm_pg *pg, const char *sql, char text[256]);

/** world_until: wait up to thirty seconds until the query gives this number. */
void world_until(struct owm_pg *pg, const char *sql, int64_t wanted);

/** world_ledgers_sound: the invariants of promise 1 that the databases show. */
void world_ledgers_sound(struct world *world);

/** WORLD_MAIN: a test program with a server for all its worlds; a skip where there is none. */
#define WORLD_MAIN(...)                                                                            \
    int main(void)                                                                                 \
    {                                                                                              \
        if (!pg_fixture_start(&server)) return TEST_SKIP;                                          \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
        int failed = cmocka_run_group_tests(tests, NULL, NULL);                                    \
        pg_fixture_stop(&server);                                                                  \
        return failed;                                                                             \
    }

#endif
