/* process.c: fork, become, redirect, exec; and the end of a child. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

/* In the child: nothing here returns on failure; the parent reads errno from `report`. */
static void become_and_exec(const char *const *argv, const struct process_options *options,
                            int log_fd, int report)
{
    const char *user = options->user;
    if (prctl(PR_SET_PDEATHSIG, SIGTERM)) goto failed;
    if (setpgid(0, 0)) goto failed; /* The terminal's Ctrl-C is ours to pass on, in order. */
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null_fd < 0 || dup2(null_fd, 0) < 0) goto failed;
    if (log_fd >= 0 && (dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)) goto failed;
    if (options->database_url && setenv("DATABASE_URL", options->database_url, 1)) goto failed;
    if (user) {
        const struct passwd *account = getpwnam(user);
        if (!account) {
            errno = ENOENT;
            goto failed;
        }
        if (initgroups(user, account->pw_gid) || setgid(account->pw_gid) || setuid(account->pw_uid)
            || prctl(PR_SET_PDEATHSIG, SIGTERM))
            goto failed; /* Changing user clears the death signal, so it is set again. */
    }
    execv(argv[0], (char *const *)argv);
failed:;
    int code = errno;
    ssize_t written = write(report, &code, sizeof code);
    _exit(written == (ssize_t)sizeof code ? 127 : 126);
}

/* Takes log_fd; -1: our own output is the child's. */
static owm_status start(struct process *process, const char *const *argv,
                        const struct process_options *options, int log_fd, struct owm_error *error)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC)) {
        if (log_fd >= 0) close(log_fd);
        return owm_fail(error, OWM_E_IO, "pipe: %s", strerror(errno));
    }
    pid_t pid = fork();
    if (pid == 0) become_and_exec(argv, options, log_fd, report[1]);
    if (log_fd >= 0) close(log_fd);
    close(report[1]);
    int code = pid < 0 ? errno : 0;
    if (pid > 0 && read(report[0], &code, sizeof code) != (ssize_t)sizeof code) code = 0;
    close(report[0]);
    if (code) {
        if (pid > 0) waitpid(pid, NULL, 0);
        return owm_fail(error, OWM_E_IO, "cannot run %s: %s", argv[0], strerror(code));
    }
    process->pid = pid;
    return OWM_OK;
}

owm_status process_start(struct process *process, const char *name, const char *const *argv,
                         const struct process_options *options, struct owm_error *error)
{
    *process = (struct process){0};
    snprintf(process->name, sizeof process->name, "%s", name);

    int log_fd = -1;
    if (options->log_path) {
        log_fd = open(options->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (log_fd < 0)
            return owm_fail(error, OWM_E_IO, "%s: %s", options->log_path, strerror(errno));
    }
    return start(process, argv, options, log_fd, error);
}

bool process_alive(struct process *process)
{
    if (process->pid <= 0) return false;
    int status;
    pid_t ended = waitpid(process->pid, &status, WNOHANG);
    if (ended == 0) return true;
    process->pid = 0;
    process->exit_status = ended > 0 ? status : 0;
    return false;
}

void process_stop(struct process *process, int signal, unsigned timeout_ms)
{
    if (!process_alive(process)) return;
    kill(process->pid, signal);
    uint64_t give_up_ms = owm_clock_mono_ms() + timeout_ms;
    while (process_alive(process)) {
        if (owm_clock_mono_ms() > give_up_ms) kill(process->pid, SIGKILL);
        owm_clock_sleep_ms(10);
    }
}

const char *process_end_text(const struct process *process)
{
    static char text[64];
    if (WIFSIGNALED(process->exit_status)) {
        int number = WTERMSIG(process->exit_status);
        snprintf(text, sizeof text, "signal %d (%s)", number, strsignal(number));
    } else {
        snprintf(text, sizeof text, "exit code %d", WEXITSTATUS(process->exit_status));
    }
    return text;
}

owm_status process_run(const char *name, const char *const *argv,
                       const struct process_options *options, struct owm_error *error)
{
    struct process process;
    owm_status status = process_start(&process, name, argv, options, error);
    if (status) return status;
    while (process_alive(&process)) owm_clock_sleep_ms(5);
    if (process.exit_status == 0) return OWM_OK;
    return owm_fail(error, OWM_E_IO, "%s ended with %s; its log is %s", name,
                    process_end_text(&process), options->log_path ? options->log_path : "above");
}

static owm_status read_all(int fd, char **text, struct owm_error *error)
{
    off_t bytes = lseek(fd, 0, SEEK_END);
    if (bytes > (off_t)PROCESS_TEXT_MAX) bytes = (off_t)PROCESS_TEXT_MAX;
    *text = bytes < 0 ? NULL : calloc(1, (size_t)bytes + 1);
    if (!*text) return owm_fail(error, OWM_E_NOMEM, "no memory for the output of a program");
    for (off_t at = 0; at < bytes;) {
        ssize_t taken = pread(fd, *text + at, (size_t)(bytes - at), at);
        if (taken <= 0)
            return owm_fail(error, OWM_E_IO, "output of a program: %s", strerror(errno));
        at += taken;
    }
    return OWM_OK;
}

static const char *last_line(char *text)
{
    size_t bytes = strlen(text);
    while (bytes && text[bytes - 1] == '\n') text[--bytes] = 0;
    const char *newline = strrchr(text, '\n');
    return newline ? newline + 1 : text;
}

owm_status process_ask(const char *name, const char *const *argv, char **text,
                       struct owm_error *error)
{
    struct process process = {0};
    *text = NULL;
    int fd = memfd_create(name, MFD_CLOEXEC), out = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (out < 0) {
        if (fd >= 0) close(fd);
        return owm_fail(error, OWM_E_IO, "memfd: %s", strerror(errno));
    }
    owm_status status = start(&process, argv, &(struct process_options){NULL}, out, error);
    while (status == OWM_OK && process_alive(&process)) owm_clock_sleep_ms(2);
    if (status == OWM_OK) status = read_all(fd, text, error);
    if (status == OWM_OK && process.exit_status)
        status = owm_fail(error, OWM_E_STATE, "%s: %s", name,
                          **text ? last_line(*text) : process_end_text(&process));
    if (status) {
        free(*text);
        *text = NULL;
    }
    close(fd);
    return status;
}
