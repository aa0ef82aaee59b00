/* worker_device.c: choosing a worker's device, between its fences. */
#include "node/worker_device.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "kernels/backend.h"
#include "kernels/selftest.h"

/* Asked before the fences go up: behind them there is no /proc to read a name from. */
static struct owm_device_info device_info;

static owm_status open_on(struct worker *worker, const char *backend,
                          const struct worker_device_options *options, struct owm_error *error)
{
    owm_status status = owm_pool_open(options->threads, &worker->pool);
    if (status != OWM_OK)
        return owm_fail(error, status, "%u threads could not be started", options->threads);
    const struct owm_device_config config = {
        .backend = backend, .index = options->device, .pool = worker->pool};
    return owm_device_open(&worker->device, &config, error);
}

static owm_status open_cpu(struct worker *worker, const struct worker_device_options *options,
                           struct owm_sandbox_report *report, struct owm_error *error)
{
    const struct owm_sandbox_options fences = {.memory_bytes_max = options->memory_bytes_max,
                                               .namespaces = true};
    struct worker_device_options first = *options;
    first.device = 0; /* "device" counts GPUs; the cpu is one. */
    (void)owm_backend_cpu.device_info(0, &device_info);
    owm_status status = owm_sandbox_enter(&fences, worker->socket, report, error);
    return status == OWM_OK ? open_on(worker, "cpu", &first, error) : status;
}

static owm_status open_gpu(struct worker *worker, const char *backend,
                           const struct worker_device_options *options,
                           struct owm_sandbox_report *report, struct owm_error *error)
{
    const struct owm_sandbox_options fences = {.memory_bytes_max = options->memory_bytes_max,
                                               .gpu = true};
    owm_status status = owm_sandbox_begin(worker->socket, error);
    if (status == OWM_OK) status = open_on(worker, backend, options, error);
    if (status != OWM_OK) return status;
    (void)worker->device->backend->device_info(options->device, &device_info);
    status = owm_sandbox_enter(&fences, worker->socket, report, error);
    if (status != OWM_OK) return status;
    struct owm_error why = {""};
    status = owm_selftest(worker->device, &why);
    if (status != OWM_OK)
        return owm_fail(error, status,
                        "behind the worker's fences the device stops working: %.400s", why.text);
    return OWM_OK;
}

/** works: try a backend in a child that ends afterwards; a driver does not survive a fork. */
static bool works(struct worker *worker, const char *backend,
                  const struct worker_device_options *options)
{
    pid_t child = fork();
    if (child == 0) {
        struct owm_sandbox_report report;
        struct owm_error error = {""};
        if (open_gpu(worker, backend, options, &report, &error) == OWM_OK) _exit(0);
        owm_log(OWM_LOG_INFO, "device_refused backend=%s device=%d reason=\"%s\"", backend,
                options->device, error.text);
        _exit(1);
    }
    int state = 0;
    return child > 0 && waitpid(child, &state, 0) == child && WIFEXITED(state)
           && WEXITSTATUS(state) == 0;
}

owm_status worker_device_open(struct worker *worker, const struct worker_device_options *options,
                              struct owm_sandbox_report *report, struct owm_error *error)
{
    static const char *const gpus[] = {"cuda", "hip"}; /* Fastest first; no other opens lower. */
    const char *wanted = options->backend;
    bool automatic = strcmp(wanted, "auto") == 0;
    for (size_t i = 0; i < sizeof gpus / sizeof gpus[0]; i++)
        if (automatic ? works(worker, gpus[i], options) : strcmp(wanted, gpus[i]) == 0)
            return open_gpu(worker, gpus[i], options, report, error);
    if (automatic || strcmp(wanted, "cpu") == 0) return open_cpu(worker, options, report, error);
    return owm_fail(error, OWM_E_ARG,
                    "a worker has no backend '%s'; there are auto, cuda, hip, cpu", wanted);
}

void worker_device_describe(const struct worker *worker, const struct owm_sandbox_report *report,
                            char text[static OWM_WORKER_TEXT_BYTES_MAX])
{
    snprintf(text, OWM_WORKER_TEXT_BYTES_MAX, "%s device %d (%s, %s); %s",
             worker->device->backend->name, worker->device->index, device_info.name,
             device_info.arch, report->text);
}
