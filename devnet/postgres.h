/* postgres.h: a private PostgreSQL cluster from Debian's packages: unix socket only, no port.
 *
 * PostgreSQL refuses to run as root, so root runs it as the `postgres` account that the package
 * made. Data that this account could not reach (a run folder below /root, say) lies in
 * /var/tmp/owm-devnet-… instead; `postgres_place` says where.
 */
#ifndef OWM_DEVNET_POSTGRES_H
#define OWM_DEVNET_POSTGRES_H

#include "process.h"

#define DEVNET_PATH_MAX 512

struct postgres {
    struct process process;
    char folder[DEVNET_PATH_MAX];   /* Holds data/ and the socket. */
    char url[DEVNET_PATH_MAX + 64]; /* For libpq. */
};

/** postgres_start: make the cluster if there is none in run_folder, start it, wait until it
 *  answers, and make database "owm".
 *  Returns: OWM_E_NOTFOUND no server programs (with the package); OWM_E_IO (with the log to read);
 *  OWM_E_TIMEOUT it did not answer within 30 s. */
owm_status postgres_start(struct postgres *postgres, const char *run_folder,
                          struct owm_error *error) OWM_MUST_USE;

/** postgres_database: one more database of the running server; made if it is not there.
 *  url [sizeof postgres->url] written, for libpq.
 *  Returns: as postgres_start. */
owm_status postgres_database(struct postgres *postgres, const char *run_folder, const char *name,
                             char *url, struct owm_error *error) OWM_MUST_USE;

/** postgres_rounds: complete rounds in the database at `url`; 0 where there is no table yet. */
unsigned postgres_rounds(const char *url, const char *run_folder);

/** postgres_stop: fast shutdown; the data stays. */
void postgres_stop(struct postgres *postgres);

#endif
