/* world.h: a coordinator's database and store, three calendars and a Bitcoin node: what the
 * stamping of versions meets, for the tests of this folder. */
#ifndef OWM_TESTS_PROVENANCE_WORLD_H
#define OWM_TESTS_PROVENANCE_WORLD_H

#include <pthread.h>

#include "base/pg/pg.h"
#include "calendar_double.h"
#include "controlplane/provenance/provenance.h"
#include "dataplane/ots/proof.h"
#include "node_double.h"
#include "pg_fixture.h"
#include "test.h"

#define WORLD_CALENDARS 3
#define WORLD_TOLD_MAX  64

extern struct pg_fixture server;

struct world {
    char url[256], folder[64], blobs[96], calendars[256];
    struct owm_pg *pg;
    struct owm_blob_store *store;
    owm_identity *identity;
    owm_metrics *metrics;
    struct calendar calendar[WORLD_CALENDARS];
    struct node_double node;
    struct owm_provenance_options options;
    struct owm_provenance *provenance;

    pthread_mutex_t lock;
    char note[512];                         /* the last one */
    struct owm_proven told[WORLD_TOLD_MAX]; /* under lock */
    size_t told_count;
};

/** world_open: all three calendars promise, two must; the node has 5 blocks; pauses of a second. */
void world_open(struct world *world, const char *name);
void world_close(struct world *world);

/** world_version: version n of round n (0: none), as the engine writes it; hash written. */
void world_version(struct world *world, uint32_t n, uint8_t hash[32]);

/** world_start, world_stop: the thread under test. */
void world_start(struct world *world);
void world_stop(struct world *world);

/** world_text: the first value of a query, in a static buffer. world_until: until it is this text,
 *  or the test fails after `seconds`. world_sql: without a result. */
const char *world_text(struct world *world, const char *query);
void world_until(struct world *world, const char *query, const char *wanted, unsigned seconds);
void world_sql(struct world *world, const char *statement);

/** world_noted: until the note holds this text; "": until it is empty. */
void world_noted(struct world *world, const char *text, unsigned seconds);

/** world_told: until what was told last of a hash is this. */
void world_told(struct world *world, const uint8_t hash[32], bool training, bool serving);

/** world_path: of the proof. world_proof: what is in it; deinit it. */
void world_path(struct world *world, const uint8_t hash[32], char path[static 256]);
void world_proof(struct world *world, const uint8_t hash[32], struct owm_ots_proof *proof);

/** world_bytes: of the proof's file; free it. */
uint8_t *world_bytes(struct world *world, const uint8_t hash[32], size_t *bytes);

/** world_mine: the calendars' answers come true in block `height`, and the node has `blocks`. */
void world_mine(struct world *world, const uint8_t hash[32], uint64_t height, size_t blocks);

/** world_metric: whether the page of metrics holds this text before ten seconds are over. */
bool world_metric(struct world *world, const char *line);

#endif
