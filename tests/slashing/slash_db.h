/* slash_db.h: a coordinator's database with nodes and signals, for the tests of this folder. */
#ifndef OWM_TESTS_SLASH_DB_H
#define OWM_TESTS_SLASH_DB_H

#include "base/pg/pg.h"
#include "pg_fixture.h"
#include "slash_test.h"

/** slash_db_open: a fresh database with the schema; url [256] written. */
struct owm_pg *slash_db_open(struct pg_fixture *server, const char *name, char *url);

/** sql: run it, fail the test if it does not work. number: its first value. text_of: the same as
 *  text, in a static buffer. */
void sql(struct owm_pg *pg, const char *statement);
int64_t number(struct owm_pg *pg, const char *query);
const char *text_of(struct owm_pg *pg, const char *query);

/** add_node: node `n` (1…99): node_id 00…n, some keys; ln: with a Lightning key. */
void add_node(struct owm_pg *pg, int n, const char *tier, bool ln);

/** add_signal: signal `s` of node n, with its own evidence and task. */
void add_signal(struct owm_pg *pg, int n, int s);

/** add_payment: what the task of signal s of node n earned, in this state; payment_of: its state.
 */
void add_payment(struct owm_pg *pg, int n, int s, const char *state);
const char *payment_of(struct owm_pg *pg, int n, int s);

/** node_id_of, case_of: the id of node n; of its newest case (false: it has none). */
void node_id_of(int n, uint8_t id[16]);
bool case_of(struct owm_pg *pg, int n, uint8_t case_id[16]);

/** state_of: of the newest case of node n; "" if there is none. */
const char *state_of(struct owm_pg *pg, int n);

/** vote: maintainer m says this of node n's newest case, properly signed. */
enum owm_act_code vote(struct owm_pg *pg, int n, const owm_identity *who, enum owm_act act);

#endif
