/* pg_fixture.h: a private PostgreSQL server for one test program: initdb in a temporary folder, a
 * unix socket and nothing else. As root it runs as `nobody`.
 *
 * fsync is off: it is processes that crash here and never the machine, so what was written is
 * there, and a suite with hundreds of databases need not wait for a disk.
 */
#ifndef OWM_TESTS_PG_FIXTURE_H
#define OWM_TESTS_PG_FIXTURE_H

#include <stdbool.h>
#include <sys/types.h>

struct pg_fixture {
    char folder[64]; /* "/tmp/owm-pg-XXXXXX" */
    char bin[256];   /* folder of initdb and postgres */
    char url[256];   /* for owm_pg_open */
    pid_t pid;       /* the postmaster, 0 while stopped */
};

/** pg_fixture_start: false with a sentence on stderr if there are no server programs (a skip). */
bool pg_fixture_start(struct pg_fixture *fixture);

/** pg_fixture_crash: SIGQUIT: the server dies at once, without a checkpoint. pg_fixture_resume
 *  starts it again and waits until it answers. */
void pg_fixture_crash(struct pg_fixture *fixture);
bool pg_fixture_resume(struct pg_fixture *fixture);

/** pg_fixture_database: a fresh empty database; url [256] written. */
bool pg_fixture_database(struct pg_fixture *fixture, const char *name, char *url);

/** pg_fixture_stop: kill the server, remove the folder. */
void pg_fixture_stop(struct pg_fixture *fixture);

#endif
