/* worker_child.c: a worker process behind a socket pair. */
#include "node/worker_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define START_TIMEOUT_MS  20000
#define CANCEL_TIMEOUT_MS 10000 /* from CANCEL to an answer, else it is killed */
#define POLL_MS           100
#define LOG_LINES_MAX     1000 /* of one process: what went wrong is in the first ones */
#define CHILD_SOCKET      3
#define ENV_MAX           12

struct owm_worker {
    struct owm_worker_options options;
    atomic_int pid; /* 0: none */
    atomic_uint starts;
    int socket;     /* -1: none */
    int log;        /* what it writes to its stderr; -1: none */
    unsigned lines; /* of it that were logged since the process began */
    char runs_on[OWM_WORKER_TEXT_BYTES_MAX];
    uint8_t buffer[OWM_WORKER_MESSAGE_BYTES_MAX];
};

owm_status owm_worker_open(const struct owm_worker_options *options, owm_worker **out)
{
    owm_worker *worker = calloc(1, sizeof *worker);
    if (worker == NULL) return OWM_E_NOMEM;
    worker->options = *options;
    worker->socket = worker->log = -1;
    *out = worker;
    return OWM_OK;
}

int owm_worker_pid(const owm_worker *worker)
{
    return atomic_load(&worker->pid);
}

unsigned owm_worker_starts(const owm_worker *worker)
{
    return atomic_load(&worker->starts);
}

const char *owm_worker_runs_on(const owm_worker *worker)
{
    return worker->runs_on;
}

void owm_worker_backend(const owm_worker *worker, char name[static OWM_WORKER_BACKEND_BYTES])
{
    const char *text = *worker->runs_on ? worker->runs_on : "cpu";
    snprintf(name, OWM_WORKER_BACKEND_BYTES, "%.*s", (int)strcspn(text, " ;"), text);
}

int owm_worker_memory(const char *name, const void *data, size_t bytes)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return -1;
    bool ok = ftruncate(fd, (off_t)bytes) == 0;
    for (size_t at = 0; ok && data != NULL && at < bytes;) {
        ssize_t put = pwrite(fd, (const char *)data + at, bytes - at, (off_t)at);
        ok = put > 0;
        if (ok) at += (size_t)put;
    }
    int seals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL | (data ? F_SEAL_WRITE : 0);
    if (ok && fcntl(fd, F_ADD_SEALS, seals) == 0) return fd;
    int code = errno;
    close(fd);
    errno = code;
    return -1;
}

/* ------------------------------------------------------------------------- its stderr */

/** relay: log what the worker wrote, under its name; owm_log escapes what is not text. */
static void relay(owm_worker *worker)
{
    char text[1024];
    ssize_t got = read(worker->log, text, sizeof text - 1);
    if (got <= 0) {
        if (got == 0) {
            close(worker->log);
            worker->log = -1;
        }
        return;
    }
    text[got] = '\0';
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (*line == '\0' || worker->lines > LOG_LINES_MAX) continue;
        if (worker->lines++ < LOG_LINES_MAX)
            owm_log(OWM_LOG_INFO, "worker slot=%u says=\"%s\"", worker->options.slot, line);
        else
            owm_log(OWM_LOG_WARN, "worker slot=%u note=\"it says too much: the rest is dropped\"",
                    worker->options.slot);
    }
}

/* ------------------------------------------------------------------------ start, stop */

/** describe_end: how the process ended, as words. */
static void describe_end(int state, char *text, size_t bytes)
{
    if (WIFSIGNALED(state))
        snprintf(text, bytes, "killed by signal %d (%s)", WTERMSIG(state),
                 sigdescr_np(WTERMSIG(state)));
    else
        snprintf(text, bytes, "exit code %d", WEXITSTATUS(state));
}

/** stop: end the process whatever it does. `how` [64] may be NULL. */
static void stop(owm_worker *worker, bool kill_it, char *how)
{
    int pid = atomic_load(&worker->pid);
    if (worker->socket >= 0) close(worker->socket);
    worker->socket = -1;
    int state = 0;
    if (pid > 0) {
        if (kill_it) kill(pid, SIGKILL);
        uint64_t deadline = owm_clock_mono_ms() + 2000;
        pid_t done;
        while ((done = waitpid(pid, &state, WNOHANG)) == 0 && owm_clock_mono_ms() < deadline)
            owm_clock_sleep_ms(5);
        if (done == 0) {
            kill(pid, SIGKILL);
            waitpid(pid, &state, 0);
        }
    }
    if (how != NULL) describe_end(state, how, 64);
    if (worker->log >= 0) {
        relay(worker);
        if (worker->log >= 0) close(worker->log);
    }
    worker->log = -1;
    atomic_store(&worker->pid, 0);
}

/** environment: nothing of ours but what the worker's libraries need. */
struct environment {
    char text[ENV_MAX][256];
    char *list[ENV_MAX + 1];
    size_t count;
};

static void environment_add(struct environment *env, const char *name, const char *value)
{
    if (value == NULL || env->count == ENV_MAX) return;
    snprintf(env->text[env->count], sizeof env->text[0], "%s=%s", name, value);
    env->list[env->count] = env->text[env->count];
    env->list[++env->count] = NULL;
}

static void environment_fill(struct environment *env, const struct owm_worker_options *options)
{
    static const char *const passed[] = {
        "LD_LIBRARY_PATH", "ASAN_OPTIONS",         "TSAN_OPTIONS",        "UBSAN_OPTIONS",
        "OWM_PLUGIN_DIR",  "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"};
    memset(env, 0, sizeof *env);
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++)
        environment_add(env, passed[i], getenv(passed[i]));
    if (options->vram_percent == 0) return;
    char value[64];
    snprintf(value, sizeof value, "0=%lluM",
             (unsigned long long)(options->vram_bytes / 100 * options->vram_percent >> 20));
    environment_add(env, "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT", value);
    snprintf(value, sizeof value, "%u", options->vram_percent);
    environment_add(env, "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", value);
}

static int spawn(const owm_worker *worker, int socket, int log, pid_t *pid)
{
    const struct owm_worker_options *o = &worker->options;
    char sock[32], threads[32], memory[48], backend[32], device[32];
    snprintf(sock, sizeof sock, "--socket=%d", CHILD_SOCKET);
    snprintf(threads, sizeof threads, "--threads=%u", o->threads);
    snprintf(memory, sizeof memory, "--memory-mb=%llu", (unsigned long long)o->memory_mb);
    snprintf(backend, sizeof backend, "--backend=%s", o->backend ? o->backend : "cpu");
    snprintf(device, sizeof device, "--device=%u", o->device);
    char name[] = "owm-worker";
    char *argv[] = {name, sock, threads, memory, backend, device, NULL};
    struct environment env;
    environment_fill(&env, o);

    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&files, log, 2);
    posix_spawn_file_actions_adddup2(&files, socket, CHILD_SOCKET);
    /* Ctrl-C in a terminal is for the node, which drains; signals are as at a fresh start. */
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
                                        | POSIX_SPAWN_SETPGROUP);
    int failed = posix_spawn(pid, o->path, &files, &attr, argv, env.list);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return failed;
}

static owm_status start(owm_worker *worker, struct owm_error *error)
{
    int pair[2], pipe_fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return owm_fail(error, OWM_E_IO, "socketpair: %s", strerror(errno));
    if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        close(pair[0]);
        close(pair[1]);
        return owm_fail(error, OWM_E_IO, "pipe: %s", strerror(errno));
    }
    pid_t pid = 0;
    int failed = spawn(worker, pair[1], pipe_fds[1], &pid);
    close(pair[1]);
    close(pipe_fds[1]);
    worker->socket = pair[0];
    worker->log = pipe_fds[0];
    worker->lines = 0;
    if (failed) {
        stop(worker, true, NULL);
        return owm_fail(error, OWM_E_IO,
                        "%s could not be started: %s; set node.worker_path to owm-worker",
                        worker->options.path, strerror(failed));
    }
    atomic_store(&worker->pid, pid);
    atomic_fetch_add(&worker->starts, 1);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- receive */

/** next: wait at most POLL_MS for a message, logging what comes on stderr meanwhile. */
static owm_status next(owm_worker *worker, struct owm_worker_message *message,
                       struct owm_error *error)
{
    struct pollfd wait[2] = {{.fd = worker->socket, .events = POLLIN},
                             {.fd = worker->log, .events = POLLIN}};
    int ready = poll(wait, 2, POLL_MS);
    if (ready <= 0) return OWM_E_TIMEOUT;
    if (wait[1].revents) relay(worker);
    if (!wait[0].revents) return OWM_E_TIMEOUT;
    int fds[OWM_WORKER_FDS_MAX];
    owm_status status = owm_worker_take(worker->socket, worker->buffer, 0, message, fds, error);
    /* A worker never sends descriptors: one with them is of a node's kind, so refuse it. */
    if (status == OWM_OK && owm_worker_fds(message->kind) > 0) {
        for (unsigned i = 0; i < owm_worker_fds(message->kind); i++) close(fds[i]);
        status = owm_fail(error, OWM_E_PROTO, "the worker sent a request");
    }
    return status;
}

/** gone: the process ended or must; say how, in place of a bare "closed". */
static owm_status gone(owm_worker *worker, owm_status status, struct owm_error *error)
{
    char how[64];
    stop(worker, status == OWM_E_PROTO, how);
    if (status == OWM_E_PROTO) return status;
    return owm_fail(error, OWM_E_IO, "the worker ended in the middle of the task: %s", how);
}

owm_status owm_worker_warm(owm_worker *worker, struct owm_error *error)
{
    if (worker->socket >= 0) return OWM_OK;
    owm_status status = start(worker, error);
    if (status != OWM_OK) return status;
    uint64_t deadline = owm_clock_mono_ms() + START_TIMEOUT_MS;
    struct owm_worker_message message;
    while ((status = next(worker, &message, error)) == OWM_E_TIMEOUT)
        if (owm_clock_mono_ms() > deadline) {
            stop(worker, true, NULL);
            return owm_fail(error, OWM_E_TIMEOUT, "the worker was not ready after %d s",
                            START_TIMEOUT_MS / 1000);
        }
    if (status != OWM_OK) return gone(worker, status, error);
    if (message.kind == OWM_WORKER_READY) {
        memcpy(worker->runs_on, message.text, sizeof worker->runs_on);
        owm_log(OWM_LOG_INFO, "worker_ready slot=%u pid=%d runs_on=\"%s\"", worker->options.slot,
                owm_worker_pid(worker), message.text);
        return OWM_OK;
    }
    if (message.kind == OWM_WORKER_FAILED)
        owm_fail(error, OWM_E_IO, "%s", message.text);
    else
        owm_fail(error, OWM_E_IO, "the worker's first message is of kind %u", message.kind);
    stop(worker, true, NULL);
    return OWM_E_IO;
}

/** watch: when this run must end, and why. */
struct watch {
    uint64_t heard_ms;
    uint64_t cancelled_ms; /* CANCEL was sent then; 0: not */
};

/** overdue: OWM_OK to go on waiting; otherwise the worker was killed. */
static owm_status overdue(owm_worker *worker, const struct owm_worker_call *call,
                          struct watch *watch, struct owm_error *error)
{
    uint64_t now = owm_clock_mono_ms();
    bool late = call->deadline_ms && now > call->deadline_ms;
    bool cancel = call->cancel != NULL && atomic_load(call->cancel);
    if ((late || cancel) && watch->cancelled_ms == 0) {
        const struct owm_worker_message stop_it = {.kind = OWM_WORKER_CANCEL};
        if (owm_worker_post(worker->socket, &stop_it, NULL) != OWM_OK)
            return gone(worker, OWM_E_IO, error);
        watch->cancelled_ms = now;
    }
    if (watch->cancelled_ms && now - watch->cancelled_ms > CANCEL_TIMEOUT_MS) {
        stop(worker, true, NULL);
        return owm_fail(error, late ? OWM_E_TIMEOUT : OWM_E_CANCELLED,
                        "the worker did not stop when told to and was killed");
    }
    if (now - watch->heard_ms > worker->options.silence_ms) {
        stop(worker, true, NULL);
        return owm_fail(error, OWM_E_TIMEOUT,
                        "the worker gave no sign of life for %u s and was killed",
                        worker->options.silence_ms / 1000);
    }
    return OWM_OK;
}

/** heard: one message. OWM_E_TIMEOUT: the run goes on. */
static owm_status heard(owm_worker *worker, const struct owm_worker_call *call,
                        const struct owm_worker_message *message, struct owm_worker_done *done,
                        struct owm_error *error)
{
    switch (message->kind) {
    case OWM_WORKER_CHUNK:
        if (call->on_chunk) call->on_chunk(call->ctx, message->chunk.bytes, message->chunk.count);
        return OWM_E_TIMEOUT;
    case OWM_WORKER_PROGRESS:
        if (call->on_progress) call->on_progress(call->ctx, &message->progress);
        return OWM_E_TIMEOUT;
    case OWM_WORKER_DONE:
        *done = message->done;
        return OWM_OK;
    case OWM_WORKER_FAILED:
        return owm_fail(error, OWM_E_STATE, "%s", message->text);
    default:
        stop(worker, true, NULL);
        return owm_fail(error, OWM_E_PROTO, "the worker sent a message of kind %u", message->kind);
    }
}

owm_status owm_worker_run(owm_worker *worker, const struct owm_worker_call *call,
                          struct owm_worker_done *done, struct owm_error *error)
{
    owm_status status = owm_worker_warm(worker, error);
    if (status != OWM_OK) return status;
    status = owm_worker_post(worker->socket, call->request, call->fds);
    if (status != OWM_OK) return gone(worker, OWM_E_IO, error);
    struct watch watch = {.heard_ms = owm_clock_mono_ms()};
    for (;;) {
        struct owm_worker_message message;
        status = next(worker, &message, error);
        if (status == OWM_OK) {
            watch.heard_ms = owm_clock_mono_ms();
            status = heard(worker, call, &message, done, error);
            if (status != OWM_E_TIMEOUT) break;
        } else if (status != OWM_E_TIMEOUT) {
            return gone(worker, status, error);
        }
        status = overdue(worker, call, &watch, error);
        if (status != OWM_OK) return status;
    }
    if (watch.cancelled_ms == 0) return status;
    if (call->deadline_ms && owm_clock_mono_ms() > call->deadline_ms)
        return owm_fail(error, OWM_E_TIMEOUT, "the task's deadline passed");
    return owm_fail(error, OWM_E_CANCELLED, "the coordinator took the task back");
}

void owm_worker_close(owm_worker *worker)
{
    if (worker == NULL) return;
    if (worker->socket >= 0) stop(worker, false, NULL);
    free(worker);
}
