/* tasks.c: what a node does later: payments that take their time, answers that wait. */
#include <stdlib.h>

#include "base/clock.h"
#include "double.h"

void task_add(struct lnd_double *node, int64_t due_ms,
              void (*run)(struct lnd_double *node, void *arg, bool dropped), void *arg)
{
    struct task *task = malloc(sizeof *task);
    OWM_ASSERT(task);
    *task = (struct task){.due_ms = due_ms, .run = run, .arg = arg};
    struct task **at = &node->tasks;
    while (*at && (*at)->due_ms <= due_ms) at = &(*at)->next;
    task->next = *at;
    *at = task;
    pthread_cond_signal(&node->tasks_changed);
}

static void task_take(struct lnd_double *node, bool dropped)
{
    struct task *task = node->tasks;
    node->tasks = task->next;
    task->run(node, task->arg, dropped);
    free(task);
}

void tasks_drop(struct lnd_double *node)
{
    while (node->tasks) task_take(node, true);
}

void *tasks_run(void *arg)
{
    struct lnd_double *node = arg;
    double_lock();
    while (!node->closing) {
        if (node->tasks && node->tasks->due_ms <= owm_clock_wall_ms())
            task_take(node, false);
        else
            double_lock_wait(&node->tasks_changed, node->tasks ? node->tasks->due_ms : 0);
    }
    double_unlock();
    return NULL;
}
