/* pg_fixture.c: see pg_fixture.h. */
#include "pg_fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pg/pg.h"

#define NOBODY        65534
#define CRASH_LOOKS   300 /* 15 s: its own limit for its children is 5. */
#define CRASH_LOOK_MS 50

static bool find_bin(struct pg_fixture *fixture)
{
    glob_t found = {0};
    bool ok = glob("/usr/lib/postgresql/*/bin/postgres", 0, NULL, &found) == 0;
    if (ok) {
        const char *path = found.gl_pathv[found.gl_pathc - 1];
        snprintf(fixture->bin, sizeof(fixture->bin), "%.*s", (int)(strrchr(path, '/') - path),
                 path);
    }
    globfree(&found);
    return ok;
}

static pid_t spawn(const struct pg_fixture *fixture, char *const argv[])
{
    pid_t pid = fork();
    if (pid != 0) return pid;
    if (geteuid() == 0 && (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))) _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT); /* after setuid, which clears it */
    char log[128];
    snprintf(log, sizeof(log), "%s/log", fixture->folder);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd >= 0) {
        dup2(fd, 1);
        dup2(fd, 2);
    }
    if (chdir(fixture->folder) == 0) execv(argv[0], argv);
    _exit(127);
}

static bool answers(const struct pg_fixture *fixture)
{
    for (int i = 0; i < 300; i++) {
        struct owm_pg *pg = NULL;
        struct owm_error error;
        if (owm_pg_open(fixture->url, &pg, &error) == OWM_OK) {
            owm_pg_close(pg);
            return true;
        }
        int status;
        if (fixture->pid > 0 && waitpid(fixture->pid, &status, WNOHANG) == fixture->pid)
            return false;
        owm_clock_sleep_ms(50);
    }
    return false;
}

bool pg_fixture_resume(struct pg_fixture *fixture)
{
    char binary[300], data[128];
    snprintf(binary, sizeof(binary), "%s/postgres", fixture->bin);
    snprintf(data, sizeof(data), "%s/data", fixture->folder);
    /* The shared memory of a server that was killed may need a moment to go. */
    for (int attempt = 0; attempt < 20; attempt++) {
        fixture->pid =
            spawn(fixture, (char *[]){binary, "-D", data, "-k", fixture->folder, "-c",
                                      "listen_addresses=", "-c", "max_connections=40", "-c",
                                      "shared_buffers=32MB", "-c", "fsync=off", NULL});
        if (answers(fixture)) return true;
        owm_clock_sleep_ms(250);
    }
    fixture->pid = 0;
    return false;
}

bool pg_fixture_start(struct pg_fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    if (!find_bin(fixture)) {
        fprintf(stderr, "skipped: no PostgreSQL server programs; apt-get install postgresql\n");
        return false;
    }
    snprintf(fixture->folder, sizeof(fixture->folder), "/tmp/owm-pg-XXXXXX");
    if (!mkdtemp(fixture->folder)) return false;
    if (geteuid() == 0 && chown(fixture->folder, NOBODY, NOBODY) != 0) return false;
    snprintf(fixture->url, sizeof(fixture->url), "host=%s dbname=postgres user=owm",
             fixture->folder);
    char binary[300], data[128];
    snprintf(binary, sizeof(binary), "%s/initdb", fixture->bin);
    snprintf(data, sizeof(data), "%s/data", fixture->folder);
    pid_t pid = spawn(fixture, (char *[]){binary, "-D", data, "-U", "owm", "-A", "trust", "-E",
                                          "UTF8", "--locale=C", "--no-sync", NULL});
    int status = -1;
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        fprintf(stderr, "initdb failed; see %s/log\n", fixture->folder);
        return false;
    }
    return pg_fixture_resume(fixture);
}

void pg_fixture_crash(struct pg_fixture *fixture)
{
    if (fixture->pid <= 0) return;
    kill(fixture->pid, SIGQUIT);
    pid_t ended = 0;
    for (int i = 0; ended == 0 && i < CRASH_LOOKS; i++) {
        ended = waitpid(fixture->pid, NULL, WNOHANG);
        if (ended == 0) owm_clock_sleep_ms(CRASH_LOOK_MS);
    }
    if (ended == 0) { /* A server that does not even crash when it is told to. */
        kill(fixture->pid, SIGKILL);
        waitpid(fixture->pid, NULL, 0);
    }
    fixture->pid = 0;
}

bool pg_fixture_database(struct pg_fixture *fixture, const char *name, char *url)
{
    struct owm_pg *pg = NULL;
    struct owm_error error = {""};
    if (owm_pg_open(fixture->url, &pg, &error) != OWM_OK) return false;
    char sql[128];
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
    bool ok = owm_pg_exec(pg, sql, &error) == OWM_OK;
    if (!ok) fprintf(stderr, "%s\n", error.text);
    owm_pg_close(pg);
    snprintf(url, 256, "host=%s dbname=%s user=owm", fixture->folder, name);
    return ok;
}

void pg_fixture_stop(struct pg_fixture *fixture)
{
    pg_fixture_crash(fixture);
    if (strncmp(fixture->folder, "/tmp/owm-pg-", 12) != 0) return;
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", fixture->folder, (char *)NULL);
        _exit(127);
    }
    if (pid > 0) waitpid(pid, NULL, 0);
    fixture->folder[0] = 0;
}
