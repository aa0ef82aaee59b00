/* queue.c: tasks that wait, and nodes that are free.
 *
 * A lane is a FIFO of one (type, lowest tier), so a task that no free node can run blocks only
 * those that could not run either. Between lanes the class of the type decides (SRS-SCHED-03), then
 * the order of submission. Ageing: a task that has waited ageing_ms counts one class higher per
 * that time, so a steady stream of urgent tasks delays the others but never starves them. A retried
 * task goes to the front of its lane. fl_round tasks wait at their node, before all lanes.
 */
#include "state.h"

void list_push_back(owm_engine *e, struct list *list, uint32_t slot)
{
    struct task *task = &e->task[slot];
    task->queued_ms = e->now_ms;
    task->next = NONE;
    task->prev = list->tail;
    if (list->tail == NONE)
        list->head = slot;
    else
        e->task[list->tail].next = slot;
    list->tail = slot;
    list->count++;
    e->counters.tasks_pending++;
}

void list_push_front(owm_engine *e, struct list *list, uint32_t slot)
{
    struct task *task = &e->task[slot];
    task->queued_ms = 0;
    task->prev = NONE;
    task->next = list->head;
    if (list->head == NONE)
        list->tail = slot;
    else
        e->task[list->head].prev = slot;
    list->head = slot;
    list->count++;
    e->counters.tasks_pending++;
}

void list_remove(owm_engine *e, struct list *list, uint32_t slot)
{
    struct task *task = &e->task[slot];
    if (task->prev == NONE)
        list->head = task->next;
    else
        e->task[task->prev].next = task->next;
    if (task->next == NONE)
        list->tail = task->prev;
    else
        e->task[task->next].prev = task->prev;
    task->next = task->prev = NONE;
    list->count--;
    e->counters.tasks_pending--;
}

struct list *queue_of(owm_engine *e, const struct task *task)
{
    if (task->row.type == OWM_TASK_FL_ROUND) return &e->node[task->node].pinned;
    return &e->lane[(int)task->row.type * OWM_TIERS + (int)task->row.min_tier - 1];
}

/* The lane whose first task goes next, leaving out those in the bit set `blocked`; NONE: none. */
uint32_t queue_best_lane(const owm_engine *e, uint32_t blocked)
{
    uint32_t best = NONE;
    int64_t best_class = 0;
    for (uint32_t lane = 0; lane < LANES; lane++) {
        if (e->lane[lane].head == NONE || (blocked >> lane & 1)) continue;
        const struct task *task = &e->task[e->lane[lane].head];
        int64_t waited_ms = e->now_ms - task->row.submitted_ms;
        int64_t class = owm_task_type_class(task->row.type) - waited_ms / e->config.ageing_ms;
        if (class < 0) class = 0;
        if (best != NONE && class > best_class) continue;
        if (best != NONE && class == best_class && task->order > e->task[e->lane[best].head].order)
            continue;
        best = lane;
        best_class = class;
    }
    return best;
}

/* Best score first; the lower index of two equals, so that every run is the same. Whose reading was
 * asked for in vain comes last, the one that was asked first before the others. */
bool node_before(const owm_engine *e, uint32_t a, uint32_t b)
{
    const struct node *x = &e->node[a];
    const struct node *y = &e->node[b];
    if (x->place != PLACE_FREE && x->asked_ms != y->asked_ms) return x->asked_ms < y->asked_ms;
    if (x->score != y->score) return x->score > y->score;
    return a < b;
}

static void heap_set(owm_engine *e, struct heap *heap, uint32_t at, uint32_t node)
{
    heap->node[at] = node;
    e->node[node].place_at = at;
}

static void sift(owm_engine *e, struct heap *heap, uint32_t at)
{
    uint32_t node = heap->node[at];
    while (at > 0 && node_before(e, node, heap->node[(at - 1) / 2])) {
        heap_set(e, heap, at, heap->node[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= heap->count) break;
        if (child + 1 < heap->count && node_before(e, heap->node[child + 1], heap->node[child]))
            child++;
        if (!node_before(e, heap->node[child], node)) break;
        heap_set(e, heap, at, heap->node[child]);
        at = child;
    }
    heap_set(e, heap, at, node);
}

static void leave(owm_engine *e, uint32_t node)
{
    struct heap *heap = &e->place[e->node[node].place];
    uint32_t at = e->node[node].place_at;
    uint32_t last = heap->node[--heap->count];
    if (last == node) return;
    heap_set(e, heap, at, last);
    sift(e, heap, at);
}

void node_place(owm_engine *e, uint32_t at, enum place place)
{
    struct node *node = &e->node[at];
    struct heap *heap = &e->place[place];
    if (node->place != place) {
        if (node->place != PLACE_NONE) leave(e, at);
        node->place = place;
        if (place != PLACE_NONE) heap_set(e, heap, heap->count++, at);
    }
    if (place != PLACE_NONE) sift(e, heap, node->place_at);
}
