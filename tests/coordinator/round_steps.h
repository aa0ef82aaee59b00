/* round_steps.h: one network of four node doubles, and the steps of a round. */
#ifndef OWM_TESTS_ROUND_STEPS_H
#define OWM_TESTS_ROUND_STEPS_H

#include "dataplane/model/config.h"
#include "network.h"

#define NODES 4

/* What the held-out text consists of, and what find_gradient reads. */
#define HELDOUT_LINE "The quick brown fox jumps over the lazy dog, and no node saw it. "

extern struct pg_fixture database;
extern struct coordinator network;
extern struct fake_node node[NODES];

/** open_all: database, coordinator with these options (NULL-terminated), nodes with their streams.
 *  false: there is no PostgreSQL here. close_all: a cmocka group teardown. */
bool open_all(const char *name, const char *const *options);
int close_all(void **state);

/** work: wait for the task of node i and do it; the code of the refusal, "" when accepted. */
const char *work(int i, struct wrong wrong);

/** model_shape: of this network's model. */
struct owm_model_config model_shape(void);

/** find_gradient: into fake_node_gradient: the gradient of HELDOUT_LINE at the first checkpoint,
 *  which the coordinator makes from the same seed. */
void find_gradient(void);

/** next_task: the next task of node i; the caller frees both. Fails the test if none comes. */
PB(Task) * next_task(int i, uint8_t **plain, size_t *bytes);

/** beat: everyone says that it is there: who is silent for three periods is not invited. */
void beat(void);
void reconnect_all(void); /* after a restart */

int64_t rounds_complete(void);
void wait_for_rounds(int64_t complete);

/** assert_sound: the audit finds nothing; each included package is paid once, and nothing else is;
 *  one checkpoint per complete round, and one before the first. */
void assert_sound(void);

#endif
