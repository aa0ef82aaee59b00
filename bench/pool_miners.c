/* pool_miners.c: starting the process of miners, and talking with it. */
#include "pool_miners.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SAMPLES_MAX (64u << 20)

owm_status miners_start(struct miners *miners, const struct miners_plan *plan,
                        struct owm_error *error)
{
    int pair[2];
    *miners = (struct miners){.fd = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return owm_fail(error, OWM_E_IO, "no socket pair");
    miners->pid = fork();
    if (miners->pid == 0) {
        close(pair[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        miners_main(pair[1], plan);
        _exit(0);
    }
    close(pair[1]);
    miners->fd = pair[0];
    return miners->pid > 0 ? OWM_OK : owm_fail(error, OWM_E_IO, "no process for the miners");
}

/** The process ends when its socket does. */
void miners_stop(struct miners *miners)
{
    if (miners->fd >= 0) close(miners->fd);
    if (miners->pid > 0) waitpid(miners->pid, NULL, 0);
    free(miners->sample);
}

static owm_status take(struct miners *miners, void *out, size_t bytes, struct owm_error *error)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t got = recv(miners->fd, (char *)out + at, bytes - at, 0);
        if (got <= 0) return owm_fail(error, OWM_E_IO, "the process of the miners has died");
        at += (size_t)got;
    }
    return OWM_OK;
}

owm_status miners_begin(struct miners *miners, const struct miners_command *command,
                        struct owm_error *error)
{
    char begun;
    if (send(miners->fd, command, sizeof *command, MSG_NOSIGNAL) != sizeof *command)
        return owm_fail(error, OWM_E_IO, "the process of the miners has died");
    return take(miners, &begun, 1, error);
}

owm_status miners_end(struct miners *miners, struct miners_report *report, struct owm_error *error)
{
    owm_status status = take(miners, report, sizeof *report, error);
    if (status != OWM_OK) return status;
    free(miners->sample);
    miners->sample = NULL;
    if (report->samples > SAMPLES_MAX) return OWM_E_LIMIT;
    if (report->samples) {
        miners->sample = calloc(report->samples, sizeof *miners->sample);
        if (!miners->sample) return OWM_E_NOMEM;
        status = take(miners, miners->sample, report->samples * sizeof *miners->sample, error);
    }
    if (status == OWM_OK && (report->failed || report->refused))
        return owm_fail(
            error, OWM_E_STATE, "%llu connections failed (the first: %s), %llu shares were refused",
            (unsigned long long)report->failed, report->why, (unsigned long long)report->refused);
    return status;
}
