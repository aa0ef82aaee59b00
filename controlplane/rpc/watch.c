/* watch.c: WatchTask: who waits for news of a task. The list belongs to the engine's thread; other
 * threads reach it by posting. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/uuid.h"
#include "services_internal.h"

struct watcher {
    struct watcher *next;
    uint8_t task_id[16];
    struct owm_rpc_call *call; /* a reference */
};

static void send_event(struct owm_rpc_call *call, const struct owm_task_changed_output *task)
{
    static const uint8_t none[16];
    PBI(TaskEvent) event = OWM__INTERNAL__V1__TASK_EVENT__INIT;
    char node_id[37] = "";
    if (memcmp(task->node_id, none, 16) != 0) owm_uuid_format(task->node_id, node_id);
    event.state = (char *)owm_task_state_name(task->state);
    event.node_id = node_id;
    event.attempt = task->attempt;
    event.reward_msat = task->reward_msat;
    event.reason = (char *)task->reason;
    event.output = (ProtobufCBinaryData){task->output_bytes, (uint8_t *)task->output};
    if (wire_send(call, &event.base) != OWM_OK)
        owm_rpc_fail(call, OWM_RPC_RESOURCE_EXHAUSTED,
                     "SLOW_WATCHER: events were not read in time; watch again");
}

static bool is_final(enum owm_task_state state)
{
    return state == OWM_TASK_STATE_COMPLETED || state == OWM_TASK_STATE_FAILED
           || state == OWM_TASK_STATE_TIMEOUT;
}

static void remove_at(struct owm_services *services, struct watcher **at)
{
    struct watcher *watcher = *at;
    *at = watcher->next;
    owm_rpc_call_unref(watcher->call);
    free(watcher);
    services->watcher_count--;
}

void watch_changed(struct owm_services *services, const struct owm_task_changed_output *task)
{
    for (struct watcher **at = &services->watchers; *at;) {
        if (memcmp((*at)->task_id, task->task_id, 16) != 0) {
            at = &(*at)->next;
            continue;
        }
        send_event((*at)->call, task);
        if (is_final(task->state)) {
            owm_rpc_finish((*at)->call);
            remove_at(services, at);
        } else {
            at = &(*at)->next;
        }
    }
}

void watch_progress(struct owm_services *services, const uint8_t task_id[16], uint32_t attempt,
                    const uint8_t *chunk, size_t bytes)
{
    PBI(TaskEvent) event = OWM__INTERNAL__V1__TASK_EVENT__INIT;
    event.state = (char *)"running";
    event.attempt = attempt;
    event.chunk = (ProtobufCBinaryData){bytes, (uint8_t *)chunk};
    for (struct watcher *w = services->watchers; w; w = w->next)
        if (memcmp(w->task_id, task_id, 16) == 0 && wire_send(w->call, &event.base) != OWM_OK)
            owm_rpc_fail(w->call, OWM_RPC_RESOURCE_EXHAUSTED,
                         "SLOW_WATCHER: events were not read in time; watch again");
}

void watch_close_all(struct owm_services *services)
{
    while (services->watchers) {
        owm_rpc_fail(services->watchers->call, OWM_RPC_UNAVAILABLE, "the coordinator is stopping");
        remove_at(services, &services->watchers);
    }
}

/* ---------------------------------------------------------------------------- WatchTask */

/* A finished task, as the database has it. */
static void read_task(struct owm_services *services, struct owm_ask *ask, struct owm_pg *pg)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    owm_pg_begin_args(&args);
    owm_pg_uuid(&args, ask->data);
    if (owm_pg_query(pg,
                     "SELECT status, assigned_node, attempt, reward_msat, reason, output FROM tasks"
                     " WHERE task_id = $1",
                     &args, &rows, NULL)
        != OWM_OK) {
        wire_away(services, ask->call, "WatchTask");
        return;
    }
    if (owm_pg_rows_count(rows) == 0) {
        wire_fail(services, ask->call, "WatchTask", OWM_RPC_NOT_FOUND, "UNKNOWN_TASK",
                  "there is no such task");
    } else {
        PBI(TaskEvent) event = OWM__INTERNAL__V1__TASK_EVENT__INIT;
        uint8_t *output = NULL;
        size_t bytes = 0;
        event.state = (char *)owm_pg_get_text(rows, 0, 0);
        event.node_id = (char *)owm_pg_get_text(rows, 0, 1);
        event.attempt = (uint32_t)owm_pg_get_i64(rows, 0, 2);
        event.reward_msat = owm_pg_get_i64(rows, 0, 3);
        event.reason = (char *)owm_pg_get_text(rows, 0, 4);
        if (owm_pg_get_bytes(rows, 0, 5, &output, &bytes) == OWM_OK)
            event.output = (ProtobufCBinaryData){bytes, output};
        if (wire_send(ask->call, &event.base) == OWM_OK) owm_rpc_finish(ask->call);
        free(output);
    }
    owm_pg_rows_free(rows);
}

static bool add_watcher(struct owm_post *post, owm_engine *engine)
{
    struct owm_services *services = post->ctx;
    struct owm_ask *ask = post->ask;
    const struct owm_task_row *task = owm_engine_find_task(engine, ask->id);
    struct watcher *watcher = NULL;
    if (!task || is_final(task->state)) {
        wire_read(services, ask->call, "WatchTask", read_task, ask->id, 16);
        return false;
    }
    if (services->watcher_count < OWM_WATCHERS_MAX) watcher = calloc(1, sizeof(*watcher));
    if (!watcher) {
        wire_busy(services, ask->call, "WatchTask");
        return false;
    }
    memcpy(watcher->task_id, ask->id, 16);
    watcher->call = ask->call;
    owm_rpc_call_ref(ask->call);
    watcher->next = services->watchers;
    services->watchers = watcher;
    services->watcher_count++;
    struct owm_task_changed_output now = {.type = task->type,
                                          .state = task->state,
                                          .attempt = task->attempt,
                                          .reward_msat = task->reward_msat};
    memcpy(now.task_id, task->task_id, 16);
    memcpy(now.node_id, task->assigned_node, 16);
    send_event(ask->call, &now);
    return false;
}

static bool drop_watcher(struct owm_post *post, owm_engine *engine)
{
    (void)engine;
    struct owm_services *services = post->ctx;
    for (struct watcher **at = &services->watchers; *at; at = &(*at)->next)
        if ((*at)->call == post->ask->call) {
            remove_at(services, at);
            break;
        }
    return false;
}

static void never_answered(struct owm_ask *ask, const struct owm_output *output)
{
    (void)output;
    owm_rpc_fail(ask->call, OWM_RPC_UNAVAILABLE, "the coordinator is stopping");
    owm_ask_free(ask);
}

static struct owm_post *watch_post(struct owm_services *services, struct owm_rpc_call *call,
                                   bool (*prepare)(struct owm_post *, owm_engine *))
{
    struct owm_post *post = calloc(1, sizeof(*post));
    if (post) post->ask = owm_ask_new(never_answered, services, call);
    if (!post || !post->ask) {
        owm_post_free(post);
        return NULL;
    }
    post->ctx = services;
    post->prepare = prepare;
    return post;
}

void on_watch(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    PBI(WatchTaskRequest) *request =
        owm__internal__v1__watch_task_request__unpack(NULL, length, bytes);
    struct owm_post *post = watch_post(app, call, add_watcher);
    if (!post) {
        wire_busy(app, call, "WatchTask");
    } else if (!request || owm_uuid_parse(request->task_id, post->ask->id) != OWM_OK) {
        owm_post_free(post);
        wire_fail(app, call, "WatchTask", OWM_RPC_INVALID_ARGUMENT, "MALFORMED",
                  "task_id is not a UUID");
    } else {
        owm_rpc_call_set_user(call, app); /* so that its end is told */
        wire_post(app, call, "WatchTask", post);
    }
    if (request) owm__internal__v1__watch_task_request__free_unpacked(request, NULL);
}

void on_watch_end(void *app, struct owm_rpc_call *call, bool cancelled)
{
    (void)cancelled;
    struct owm_services *services = app;
    if (!owm_rpc_call_user(call)) return;
    owm_rpc_call_set_user(call, NULL);
    struct owm_post *post = watch_post(services, call, drop_watcher);
    if (post) owm_inbox_put_own(services->config.inbox, post);
}
