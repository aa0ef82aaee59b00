/* postgres.c: initdb, postgres, createdb. */
#include "postgres.h"

#include <errno.h>
#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"

#define START_TIMEOUT_MS 30000
#define SOCKET_PATH_MAX  90 /* sun_path holds 108, and PostgreSQL adds "/.s.PGSQL.5432". */

static const char *account(void)
{
    return geteuid() == 0 ? "postgres" : NULL;
}

/* The newest installed major version. */
static owm_status find_programs(char bin[static DEVNET_PATH_MAX], struct owm_error *error)
{
    glob_t found;
    int newest = -1;
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            int version = (int)strtol(found.gl_pathv[i] + strlen("/usr/lib/postgresql/"), NULL, 10);
            if (version <= newest) continue;
            newest = version;
            snprintf(bin, DEVNET_PATH_MAX, "/usr/lib/postgresql/%d/bin", version);
        }
    }
    globfree(&found);
    if (newest < 0)
        return owm_fail(error, OWM_E_NOTFOUND,
                        "no PostgreSQL server in /usr/lib/postgresql: run `./owm setup`, or set "
                        "DATABASE_URL to a server of your own");
    return OWM_OK;
}

/* Whether `other` users may pass every folder on the way. */
static bool reachable(const char *path)
{
    char part[DEVNET_PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    for (;;) {
        struct stat info;
        if (stat(part, &info) || !(info.st_mode & S_IXOTH)) return false;
        char *slash = strrchr(part, '/');
        if (!slash || slash == part) return true;
        *slash = 0;
    }
}

static owm_status choose_folder(struct postgres *postgres, const char *run_folder,
                                struct owm_error *error)
{
    const char *user = account();
    snprintf(postgres->folder, sizeof postgres->folder, "%s/postgres", run_folder);
    if ((user && !reachable(run_folder)) || strlen(postgres->folder) > SOCKET_PATH_MAX) {
        unsigned long mark = 5381;
        for (const char *c = run_folder; *c; c++) mark = mark * 33 + (unsigned char)*c;
        snprintf(postgres->folder, sizeof postgres->folder, "/var/tmp/owm-devnet-%u-%lx",
                 (unsigned)geteuid(), mark & 0xffffffffUL);
    }
    if (mkdir(postgres->folder, 0700) && errno != EEXIST)
        return owm_fail(error, OWM_E_IO, "%s: %s", postgres->folder, strerror(errno));
    struct stat info;
    if (lstat(postgres->folder, &info) || !S_ISDIR(info.st_mode))
        return owm_fail(error, OWM_E_IO, "%s is not a folder of ours", postgres->folder);
    const struct passwd *owner = user ? getpwnam(user) : NULL;
    if (user && !owner)
        return owm_fail(error, OWM_E_NOTFOUND,
                        "the account 'postgres' is missing: run `./owm setup`");
    if (owner ? info.st_uid != 0 && info.st_uid != owner->pw_uid : info.st_uid != geteuid())
        return owm_fail(error, OWM_E_PERM, "%s belongs to another user; remove it",
                        postgres->folder);
    if (owner && lchown(postgres->folder, owner->pw_uid, owner->pw_gid))
        return owm_fail(error, OWM_E_IO, "%s: %s", postgres->folder, strerror(errno));
    return OWM_OK;
}

static owm_status make_cluster(const char *bin, const char *data,
                               const struct process_options *options, struct owm_error *error)
{
    char mark[DEVNET_PATH_MAX + 64], initdb[DEVNET_PATH_MAX + 64];
    snprintf(mark, sizeof mark, "%s/PG_VERSION", data);
    if (access(mark, F_OK) == 0) return OWM_OK;
    snprintf(initdb, sizeof initdb, "%s/initdb", bin);
    const char *const argv[] = {initdb,  "-D", data,   "-U",         "owm", "-A",
                                "trust", "-E", "UTF8", "--locale=C", "-N",  NULL};
    return process_run("initdb", argv, options, error);
}

/* The database may be there already: then createdb would fail, so psql asks first. */
static bool have_database(const char *bin, struct postgres *postgres, const char *name,
                          const struct process_options *options)
{
    char psql[DEVNET_PATH_MAX + 16], sql[96];
    snprintf(psql, sizeof psql, "%s/psql", bin);
    snprintf(sql, sizeof sql, "CREATE DATABASE %.64s", name);
    const char *const ask[] = {psql, "-h", postgres->folder, "-U", "owm", "-d",
                               name, "-c", "SELECT 1",       NULL};
    const char *const make[] = {psql, "-h", postgres->folder, "-U", "owm", "-d", "postgres", "-c",
                                sql,  NULL};
    return process_run("psql", ask, options, NULL) == OWM_OK
           || process_run("psql", make, options, NULL) == OWM_OK;
}

static owm_status wait_for_database(const char *bin, struct postgres *postgres, const char *name,
                                    const struct process_options *options, struct owm_error *error)
{
    uint64_t give_up_ms = owm_clock_mono_ms() + START_TIMEOUT_MS;
    while (owm_clock_mono_ms() < give_up_ms) {
        if (!process_alive(&postgres->process))
            return owm_fail(error, OWM_E_IO, "PostgreSQL ended with %s; its log is %s",
                            process_end_text(&postgres->process), options->log_path);
        if (have_database(bin, postgres, name, options)) return OWM_OK;
        owm_clock_sleep_ms(100);
    }
    return owm_fail(error, OWM_E_TIMEOUT, "PostgreSQL did not answer within %d s; its log is %s",
                    START_TIMEOUT_MS / 1000, options->log_path);
}

static void url_of(const struct postgres *postgres, const char *name, char *url)
{
    snprintf(url, sizeof postgres->url, "host=%s user=owm dbname=%s", postgres->folder, name);
}

owm_status postgres_database(struct postgres *postgres, const char *run_folder, const char *name,
                             char *url, struct owm_error *error)
{
    char bin[DEVNET_PATH_MAX], log_path[DEVNET_PATH_MAX + 32];
    owm_status status = find_programs(bin, error);
    if (status) return status;
    snprintf(log_path, sizeof log_path, "%s/logs/postgres.log", run_folder);
    struct process_options options = {.log_path = log_path, .user = account()};
    url_of(postgres, name, url);
    return wait_for_database(bin, postgres, name, &options, error);
}

owm_status postgres_start(struct postgres *postgres, const char *run_folder,
                          struct owm_error *error)
{
    char bin[DEVNET_PATH_MAX], data[DEVNET_PATH_MAX + 16], server[DEVNET_PATH_MAX + 16];
    char log_path[DEVNET_PATH_MAX + 32];
    *postgres = (struct postgres){0};

    owm_status status = find_programs(bin, error);
    if (status == OWM_OK) status = choose_folder(postgres, run_folder, error);
    if (status) return status;

    snprintf(data, sizeof data, "%s/data", postgres->folder);
    snprintf(server, sizeof server, "%s/postgres", bin);
    snprintf(log_path, sizeof log_path, "%s/logs/postgres.log", run_folder);
    url_of(postgres, "owm", postgres->url);
    struct process_options options = {.log_path = log_path, .user = account()};

    status = make_cluster(bin, data, &options, error);
    if (status) return status;
    const char *const argv[] = {server,
                                "-D",
                                data,
                                "-k",
                                postgres->folder,
                                "-c",
                                "listen_addresses=",
                                "-c",
                                "max_connections=50",
                                NULL};
    status = process_start(&postgres->process, "postgres", argv, &options, error);
    if (status) return status;
    status = wait_for_database(bin, postgres, "owm", &options, error);
    if (status) postgres_stop(postgres);
    return status;
}

unsigned postgres_rounds(const char *url, const char *run_folder)
{
    char bin[DEVNET_PATH_MAX], psql[DEVNET_PATH_MAX + 16], answer[DEVNET_PATH_MAX + 32];
    char log_path[DEVNET_PATH_MAX + 32];
    uint8_t *text = NULL;
    size_t bytes;
    unsigned rounds = 0;
    if (find_programs(bin, NULL)) return 0;
    snprintf(psql, sizeof psql, "%s/psql", bin);
    snprintf(answer, sizeof answer, "%s/rounds.txt", run_folder);
    snprintf(log_path, sizeof log_path, "%s/logs/psql.log", run_folder);
    const char *const argv[] = {
        psql, "-d",   url,  "-At",
        "-o", answer, "-c", "SELECT count(*) FROM fl_rounds WHERE status = 'complete'",
        NULL};
    struct process_options options = {.log_path = log_path};
    if (process_run("psql", argv, &options, NULL) == OWM_OK
        && owm_fs_read(answer, 64, &text, &bytes, NULL) == OWM_OK)
        rounds = (unsigned)strtoul((const char *)text, NULL, 10);
    free(text);
    unlink(answer);
    return rounds;
}

void postgres_stop(struct postgres *postgres)
{
    process_stop(&postgres->process, SIGINT, 20000); /* SIGINT is PostgreSQL's fast shutdown. */
}
