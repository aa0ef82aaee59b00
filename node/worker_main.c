/* worker_main.c: owm-worker, the sandboxed child of owm-node in which tasks run (SRS-NODE-05).
 *
 *     owm-worker --socket=FD --threads=N --memory-mb=N --backend=auto|cuda|hip|cpu --device=N
 *
 * Started by owm-node, never by hand. It fences itself before it reads anything, then serves one
 * request after the other until the node closes the socket. What it computes on: worker_device.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/worker_device.h"
#include "node/worker_job.h"

struct settings {
    long socket, threads, memory_mb, device;
    const char *backend;
};

/** word: "--name=text" → text; false if it is another flag. */
static bool word(const char *arg, const char *name, const char **text)
{
    size_t bytes = strlen(name);
    if (strncmp(arg, name, bytes) != 0) return false;
    *text = arg + bytes;
    return true;
}

/** number: "--name=123" → value; false if it is another flag or no number. */
static bool number(const char *arg, const char *name, long max, long *value)
{
    size_t bytes = strlen(name);
    if (strncmp(arg, name, bytes) != 0) return false;
    char *end = NULL;
    *value = strtol(arg + bytes, &end, 10);
    return *end == '\0' && end != arg + bytes && *value >= 0 && *value <= max;
}

static bool read_settings(int argc, char **argv, struct settings *s)
{
    *s = (struct settings){.socket = -1, .threads = 1, .backend = "cpu"};
    for (int i = 1; i < argc; i++)
        if (!number(argv[i], "--socket=", 1023, &s->socket)
            && !number(argv[i], "--threads=", OWM_POOL_THREADS_MAX, &s->threads)
            && !number(argv[i], "--memory-mb=", 1L << 30, &s->memory_mb)
            && !number(argv[i], "--device=", 1023, &s->device)
            && !word(argv[i], "--backend=", &s->backend))
            return false;
    int type = 0;
    socklen_t bytes = sizeof type;
    return s->socket > 2 && getsockopt((int)s->socket, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0
           && type == SOCK_SEQPACKET;
}

void worker_say(struct worker *worker, const struct owm_worker_message *message)
{
    owm_status status = owm_worker_post(worker->socket, message, NULL);
    if (status != OWM_OK) _exit(status == OWM_E_IO ? 0 : 1);
    worker->said_ms = owm_clock_mono_ms();
}

void worker_listen(struct worker *worker)
{
    struct owm_worker_message message;
    int fds[OWM_WORKER_FDS_MAX];
    struct owm_error error;
    owm_status status = owm_worker_take(worker->socket, worker->poll, 0, &message, fds, &error);
    if (status == OWM_E_TIMEOUT) return;
    if (status == OWM_OK && message.kind == OWM_WORKER_CANCEL)
        worker->cancel = true;
    else
        _exit(status == OWM_E_NOTFOUND ? 0 : 1);
}

static void fail(struct worker *worker, const struct owm_error *error)
{
    struct owm_worker_message m = {.kind = OWM_WORKER_FAILED};
    snprintf(m.text, sizeof m.text, "%.*s", (int)sizeof m.text - 1, error->text);
    worker_say(worker, &m);
}

static owm_status do_request(struct worker *worker, const struct owm_worker_message *request,
                             const int *fds, struct owm_error *error)
{
    worker->cancel = false;
    switch (request->kind) {
    case OWM_WORKER_INFER:
        return worker_infer(worker, &request->infer, fds, error);
    case OWM_WORKER_TRAIN:
        return worker_train(worker, &request->train, fds, error);
    case OWM_WORKER_CANCEL: /* It crossed our last answer. */
        return OWM_OK;
    default:
        return owm_fail(error, OWM_E_PROTO, "a request of kind %u", (unsigned)request->kind);
    }
}

static void serve(struct worker *worker)
{
    for (;;) {
        struct owm_worker_message request;
        int fds[OWM_WORKER_FDS_MAX];
        struct owm_error error = {""};
        owm_status status =
            owm_worker_take(worker->socket, worker->request, -1, &request, fds, &error);
        if (status == OWM_E_TIMEOUT) continue;
        if (status == OWM_E_NOTFOUND) return;
        if (status == OWM_OK) {
            status = do_request(worker, &request, fds, &error);
            for (unsigned i = 0; i < owm_worker_fds(request.kind); i++) close(fds[i]);
        }
        if (status != OWM_OK) fail(worker, &error);
    }
}

int main(int argc, char **argv)
{
    static struct worker worker; /* Two datagrams in it: too large for a stack. */
    struct settings settings;
    struct owm_error error = {""};
    owm_log_program_set("owm-worker");
    if (!read_settings(argc, argv, &settings)) {
        fprintf(stderr, "owm-worker is started by owm-node, not by hand: run `owm-node start`\n");
        return 2;
    }
    worker.socket = (int)settings.socket;
    struct owm_sandbox_report report;
    const struct worker_device_options options = {
        .backend = settings.backend,
        .device = (int)settings.device,
        .threads = (unsigned)settings.threads,
        .memory_bytes_max = (uint64_t)settings.memory_mb << 20,
    };
    owm_status status = worker_device_open(&worker, &options, &report, &error);
    if (status != OWM_OK) {
        owm_log(OWM_LOG_ERROR, "worker_start_failed reason=\"%s\"", error.text);
        fail(&worker, &error);
        _exit(1);
    }
    if (!report.namespaces) owm_log(OWM_LOG_WARN, "sandbox_reduced reason=\"%s\"", report.text);
    struct owm_worker_message ready = {.kind = OWM_WORKER_READY};
    worker_device_describe(&worker, &report, ready.text);
    worker_say(&worker, &ready);
    serve(&worker);
    _exit(0); /* No atexit handlers: a sanitizer's leak check needs what the fence forbids. */
}
