/* slots.c: the task slots: a thread and a worker process each, kept from task to task. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "node/node.h"

void node_slot_doing(struct node_slot *slot, const char *format, ...)
{
    char text[sizeof slot->doing];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&slot->node->lock);
    memcpy(slot->doing, text, sizeof text);
    pthread_mutex_unlock(&slot->node->lock);
}

void node_slot_pause(struct node_slot *slot)
{
    struct node *node = slot->node;
    uint64_t until = owm_clock_mono_ms() + node->timing.resend;
    pthread_mutex_lock(&node->lock);
    while (!atomic_load(&slot->cancel) && owm_clock_mono_ms() < until) node_wait(node, 100);
    pthread_mutex_unlock(&node->lock);
}

/** run: do the slot's task and log the outcome. */
static void run(struct node_slot *slot)
{
    struct node *node = slot->node;
    struct node_task *task = &slot->task;
    struct owm_error error = {""};
    uint8_t *output = NULL;
    size_t bytes = 0;
    uint64_t begin_ms = owm_clock_mono_ms();
    owm_status status = task->type == TASK_INFERENCE
                            ? node_run_inference(slot, &output, &bytes, &error)
                            : node_run_round(slot, &output, &bytes, &error);
    int64_t took_ms = (int64_t)(owm_clock_mono_ms() - begin_ms);
    if (status == OWM_OK) {
        owm_counter_add(node->count.tasks_done[task->type], 1);
        owm_log(OWM_LOG_INFO, "task_done task=%s type=%s ms=%lld", task->id,
                task_type_name(task->type), (long long)took_ms);
    } else {
        if (error.text[0] == '\0') owm_fail(&error, status, "%s", owm_status_text(status));
        owm_counter_add(node->count.tasks_failed[task->type], 1);
        node_trouble(node, "%s task %.8s failed: %.400s", task_type_name(task->type), task->id,
                     error.text);
    }
    const struct node_outcome outcome = {output, bytes, status == OWM_OK ? "" : error.text,
                                         took_ms};
    if (node_result(node, task, &outcome) != OWM_OK)
        node_trouble(node,
                     "the result of task %.8s could not be logged; the coordinator will give "
                     "it to another node when its lease ends",
                     task->id);
    free(output);
}

static void *slot_main(void *ctx)
{
    struct node_slot *slot = ctx;
    struct node *node = slot->node;
    pthread_mutex_lock(&node->lock);
    while (!atomic_load(&node->stop)) {
        if (!slot->busy) {
            node_wait(node, 1000);
            continue;
        }
        pthread_mutex_unlock(&node->lock);
        run(slot);
        pthread_mutex_lock(&node->lock);
        node_task_deinit(&slot->task);
        slot->busy = false;
        slot->doing[0] = '\0';
        node->beat_now = true; /* Tell of the free slot. */
        pthread_cond_broadcast(&node->changed);
    }
    if (slot->busy) node_task_deinit(&slot->task);
    slot->busy = false;
    pthread_mutex_unlock(&node->lock);
    return NULL;
}

/** worker_options: the machine's cores and memory shared evenly among the slots. */
static struct owm_worker_options worker_options(const struct node *node, unsigned index)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = (unsigned)node->config.threads;
    if (threads == 0)
        threads = cores > (long)node->slot_count ? (unsigned)cores / node->slot_count : 1;
    uint64_t memory_mb = (uint64_t)node->config.memory_max_mb;
    if (memory_mb == 0) memory_mb = (node->machine.ram_bytes >> 20) * 3 / 4 / node->slot_count;
    bool gpu = strcmp(node->machine.backend, "cuda") == 0;
    return (struct owm_worker_options){
        .path = node->config.worker_path,
        .slot = index,
        .threads = threads,
        .memory_mb = memory_mb,
        .silence_ms = (unsigned)node->config.silence_s * 1000,
        .vram_percent = gpu ? (unsigned)node->config.max_vram_percent : 0,
        .vram_bytes = node->machine.vram_bytes,
        .backend = owm_node_backend(&node->config),
        .device = (unsigned)node->config.device,
    };
}

/** try_worker: what tasks will run on, known before the coordinator is told. Only a backend that
 *  was named and does not work stops the start; other troubles are told with the first task. */
static owm_status try_worker(struct node *node, owm_worker *worker, struct owm_error *error)
{
    const char *wanted = owm_node_backend(&node->config);
    bool named = strcmp(wanted, "cuda") == 0 || strcmp(wanted, "hip") == 0;
    struct owm_error why = {""};
    owm_status status = owm_worker_warm(worker, &why);
    owm_worker_backend(worker, node->backend);
    if (status == OWM_OK)
        owm_log(OWM_LOG_INFO, "device backend=%s wanted=%s runs_on=\"%s\"", node->backend, wanted,
                owm_worker_runs_on(worker));
    if (status == OWM_OK || !named) return OWM_OK;
    return owm_fail(error, OWM_E_DEVICE, "worker.backend is '%s', device %lld: %.400s", wanted,
                    (long long)node->config.device, why.text);
}

owm_status node_slots_start(struct node *node, struct owm_error *error)
{
    for (unsigned i = 0; i < node->slot_count; i++) {
        struct node_slot *slot = &node->slots[i];
        slot->node = node;
        slot->index = i;
        const struct owm_worker_options options = worker_options(node, i);
        if (owm_worker_open(&options, &slot->worker) != OWM_OK)
            return owm_fail(error, OWM_E_NOMEM, "no memory for task slot %u", i);
        if (i == 0 && try_worker(node, slot->worker, error) != OWM_OK) return OWM_E_DEVICE;
        if (pthread_create(&slot->thread, NULL, slot_main, slot) != 0)
            return owm_fail(error, OWM_E_NOMEM, "no thread for task slot %u", i);
        slot->started = true;
    }
    return OWM_OK;
}

void node_slots_stop(struct node *node)
{
    for (unsigned i = 0; i < node->slot_count; i++) atomic_store(&node->slots[i].cancel, true);
    for (unsigned i = 0; i < node->slot_count; i++) {
        struct node_slot *slot = &node->slots[i];
        if (slot->started) pthread_join(slot->thread, NULL);
        owm_worker_close(slot->worker);
    }
}

owm_status node_slots_give(struct node *node, struct node_task *task)
{
    owm_status status = OWM_E_LIMIT;
    pthread_mutex_lock(&node->lock);
    for (unsigned i = 0; i < node->slot_count && status != OWM_OK; i++) {
        struct node_slot *slot = &node->slots[i];
        if (slot->busy || !slot->started) continue;
        slot->task = *task;
        task->payload = NULL;
        slot->started_ms = owm_clock_wall_ms();
        atomic_store(&slot->cancel, false);
        snprintf(slot->doing, sizeof slot->doing, "starting");
        slot->busy = true;
        status = OWM_OK;
    }
    pthread_cond_broadcast(&node->changed);
    pthread_mutex_unlock(&node->lock);
    return status;
}

void node_slots_lost(struct node *node, const char *task_id, uint64_t lease_token)
{
    pthread_mutex_lock(&node->lock);
    for (unsigned i = 0; i < node->slot_count; i++) {
        struct node_slot *slot = &node->slots[i];
        if (!slot->busy || strcmp(slot->task.id, task_id) != 0) continue;
        if (lease_token != 0 && slot->task.lease_token != lease_token) continue;
        atomic_store(&slot->cancel, true);
        owm_log(OWM_LOG_INFO, "lease_lost task=%s", task_id);
    }
    pthread_mutex_unlock(&node->lock);
}

unsigned node_slots_busy(struct node *node)
{
    unsigned busy = 0;
    pthread_mutex_lock(&node->lock);
    for (unsigned i = 0; i < node->slot_count; i++) busy += node->slots[i].busy;
    pthread_mutex_unlock(&node->lock);
    return busy;
}
