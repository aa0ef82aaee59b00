/* cln_double.c: the double's socket, its connections, and what it does wrong on request. */
#include "cln_double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/cond.h"
#include "base/status.h"
#include "cln_state.h"

#define REQUEST_BYTES 65536
#define HUGE_BYTES    (40 * 1024 * 1024)
#define PIECES        20

/* -------------------------------------------------------------------------- what it sends */

/* False: the other side is gone. */
static bool send_all(int fd, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        ssize_t sent = send(fd, text + at, length - at, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        at += (size_t)sent;
    }
    return true;
}

static void send_huge(int fd)
{
    static const char spaces[65536] = {[0 ... 65535] = ' '};
    for (size_t sent = 0; sent < HUGE_BYTES && send_all(fd, spaces, sizeof spaces);)
        sent += sizeof spaces;
}

static void send_slowly(int fd, const char *text, unsigned ms)
{
    size_t length = strlen(text), piece = length / PIECES + 1;
    for (size_t at = 0; at < length; at += piece) {
        owm_clock_sleep_ms(ms / PIECES);
        if (!send_all(fd, text + at, at + piece < length ? piece : length - at)) return;
    }
}

static void send_reply(int fd, const json_t *reply, const struct cln_fault_row *fault)
{
    char *text = json_dumps(reply, JSON_INDENT(3));
    size_t length = strlen(text);
    char *whole = malloc(length + 3);
    snprintf(whole, length + 3, "%s\n\n", text);
    if (!fault)
        send_all(fd, whole, length + 2);
    else if (fault->fault == CLN_SLOW)
        send_slowly(fd, whole, (unsigned)fault->code);
    else if (fault->fault == CLN_CUT_HALF)
        send_all(fd, whole, length / 2);
    else if (fault->fault == CLN_GARBAGE)
        send_all(fd, "{\"result\": [}\n\n", 15);
    else if (fault->fault == CLN_HUGE)
        send_huge(fd);
    free(whole);
    free(text);
}

/* --------------------------------------------------------------------------- a connection */

static bool take_fault(struct cln_double *node, const char *method, struct cln_fault_row *taken)
{
    for (size_t i = 0; i < CLN_FAULTS_MAX; i++) {
        struct cln_fault_row *row = &node->faults[i];
        if (row->times == 0 || strcmp(row->method, method) != 0) continue;
        row->times--;
        *taken = *row;
        return true;
    }
    return false;
}

static void note(struct cln_double *node, const char *method, const json_t *params)
{
    json_int_t calls = json_integer_value(json_object_get(node->calls, method));
    json_object_set_new(node->calls, method, json_integer(calls + 1));
    json_object_set_new(node->params, method, json_deep_copy(params));
}

/* Keep of `value` what `filter` names; an array's filter has one element, for all of it. */
static json_t *filtered(const json_t *value, const json_t *filter)
{
    const char *key;
    json_t *part, *kept;
    size_t i;
    if (json_is_array(filter) && json_is_array(value)) {
        kept = json_array();
        json_array_foreach(value, i, part)
            json_array_append_new(kept, filtered(part, json_array_get(filter, 0)));
        return kept;
    }
    if (!json_is_object(filter) || !json_is_object(value)) return json_deep_copy(value);
    kept = json_object();
    json_object_foreach((json_t *)filter, key, part)
    {
        const json_t *inner = json_object_get(value, key);
        if (inner) json_object_set_new(kept, key, filtered(inner, part));
    }
    return kept;
}

static json_t *answer(struct cln_double *node, const json_t *request,
                      const struct cln_fault_row *fault)
{
    const char *method = json_string_value(json_object_get(request, "method"));
    const json_t *params = json_object_get(request, "params");
    const json_t *filter = json_object_get(request, "filter");
    json_t *reply = fault && fault->fault == CLN_REFUSE     ? cln_error(fault->code, "as told")
                    : fault && fault->fault == CLN_NONSENSE ? json_pack("{s:{}}", "result")
                                                            : cln_do(node, method, params);
    json_t *result = json_object_get(reply, "result");
    if (result && filter) json_object_set_new(reply, "result", filtered(result, filter));
    json_object_set_new(reply, "jsonrpc", json_string("2.0"));
    json_object_set(reply, "id", json_object_get(request, "id"));
    return reply;
}

static void serve(struct cln_double *node, int fd, const json_t *request)
{
    const char *method = json_string_value(json_object_get(request, "method"));
    struct cln_fault_row fault;
    OWM_ASSERT(method && json_is_object(json_object_get(request, "params")));
    pthread_mutex_lock(&node->lock);
    note(node, method, json_object_get(request, "params"));
    bool faulty = take_fault(node, method, &fault);
    json_t *reply = faulty && fault.fault == CLN_CUT_BEFORE
                        ? NULL
                        : answer(node, request, faulty ? &fault : NULL);
    pthread_mutex_unlock(&node->lock);
    bool cut = faulty && (fault.fault == CLN_CUT_AFTER || fault.fault == CLN_CUT_BEFORE);
    bool plain = !faulty || fault.fault == CLN_REFUSE || fault.fault == CLN_NONSENSE;
    if (!cut) send_reply(fd, reply, plain ? NULL : &fault);
    json_decref(reply);
}

/* One request for each connection, whole when it parses. */
static void *connection_run(void *arg)
{
    struct cln_connection *connection = arg;
    struct cln_double *node = connection->node;
    int fd = connection->fd;
    char *text = malloc(REQUEST_BYTES);
    json_t *request = NULL;
    for (size_t count = 0; !request && count < REQUEST_BYTES - 1;) {
        ssize_t got = recv(fd, text + count, REQUEST_BYTES - 1 - count, 0);
        if (got <= 0) break;
        count += (size_t)got;
        request = json_loadb(text, count, 0, NULL);
    }
    if (request) serve(node, fd, request);
    json_decref(request);
    free(text);
    pthread_mutex_lock(&node->lock);
    shutdown(fd, SHUT_RDWR);
    close(fd);
    connection->fd = -1;
    pthread_mutex_unlock(&node->lock);
    return NULL;
}

/* A place whose thread is over is used again. */
static struct cln_connection *place(struct cln_double *node)
{
    for (size_t i = 0; i < node->connection_count; i++)
        if (node->connections[i].fd < 0) {
            pthread_t over = node->connections[i].thread;
            pthread_mutex_unlock(&node->lock);
            pthread_join(over, NULL);
            pthread_mutex_lock(&node->lock);
            return &node->connections[i];
        }
    OWM_ASSERT(node->connection_count < CLN_CONNECTIONS_MAX);
    return &node->connections[node->connection_count++];
}

static void *run(void *arg)
{
    struct cln_double *node = arg;
    for (;;) {
        int fd = accept(node->fd, NULL, NULL);
        pthread_mutex_lock(&node->lock);
        if (node->closing || fd < 0) {
            if (fd >= 0) close(fd);
            pthread_mutex_unlock(&node->lock);
            return NULL;
        }
        struct cln_connection *connection = place(node);
        *connection = (struct cln_connection){.node = node, .fd = fd};
        OWM_ASSERT(!pthread_create(&connection->thread, NULL, connection_run, connection));
        pthread_mutex_unlock(&node->lock);
    }
}

/* ------------------------------------------------------------------------- open and close */

static void listen_at(struct cln_double *node)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    node->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%.107s", node->path);
    unlink(node->path);
    OWM_ASSERT(node->fd >= 0 && !bind(node->fd, (struct sockaddr *)&address, sizeof address)
               && !listen(node->fd, 64));
}

struct cln_double *cln_double_open(const char *folder)
{
    struct cln_double *node = calloc(1, sizeof *node);
    OWM_ASSERT(snprintf(node->path, sizeof node->path, "%s/lightning-rpc", folder)
               < (int)sizeof node->path);
    snprintf(node->key, sizeof node->key,
             "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
    pthread_mutex_init(&node->lock, NULL);
    owm_cond_init(&node->news);
    node->info =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:[{s:s, s:s, s:i}]}", "id", node->key, "alias",
                  "double", "version", "v25.02", "network", "regtest", "blockheight", 200,
                  "address", "type", "ipv4", "address", "127.0.0.1", "port", 9735);
    node->shown = json_object();
    node->runes = json_object();
    node->calls = json_object();
    node->params = json_object();
    node->pays = json_array();
    node->invoices = json_array();
    listen_at(node);
    OWM_ASSERT(!pthread_create(&node->thread, NULL, run, node));
    return node;
}

static void cut_all(struct cln_double *node)
{
    for (size_t i = 0; i < node->connection_count; i++)
        if (node->connections[i].fd >= 0) shutdown(node->connections[i].fd, SHUT_RDWR);
    pthread_cond_broadcast(&node->news);
}

void cln_double_restart(struct cln_double *node)
{
    pthread_mutex_lock(&node->lock);
    node->generation++;
    cut_all(node);
    pthread_mutex_unlock(&node->lock);
}

void cln_double_close(struct cln_double *node)
{
    pthread_mutex_lock(&node->lock);
    node->closing = true;
    cut_all(node);
    shutdown(node->fd, SHUT_RDWR);
    pthread_mutex_unlock(&node->lock);
    pthread_join(node->thread, NULL);
    for (size_t i = 0; i < node->connection_count; i++)
        pthread_join(node->connections[i].thread, NULL);
    close(node->fd);
    unlink(node->path);
    json_t *all[] = {node->info,   node->shown, node->runes,   node->calls,
                     node->params, node->pays,  node->invoices};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) json_decref(all[i]);
    free(node->last_params);
    pthread_cond_destroy(&node->news);
    pthread_mutex_destroy(&node->lock);
    free(node);
}

bool cln_wait(struct cln_double *node, unsigned ms)
{
    return owm_cond_wait(&node->news, &node->lock, owm_clock_mono_ms() + (uint64_t)ms);
}

/* --------------------------------------------------------------------------- what tests say */

const char *cln_double_path(const struct cln_double *node)
{
    return node->path;
}

const char *cln_double_key(const struct cln_double *node)
{
    return node->key;
}

void cln_double_put(struct cln_double *node, const char *what, const char *json)
{
    json_error_t where;
    json_t *value = json_loads(json, 0, &where), *part;
    const char *key;
    if (!value) fprintf(stderr, "%s: %s\n", json, where.text);
    OWM_ASSERT(value);
    pthread_mutex_lock(&node->lock);
    if (strcmp(what, "getinfo") == 0) {
        json_object_foreach(value, key, part)
        {
            if (json_is_null(part))
                json_object_del(node->info, key);
            else
                json_object_set(node->info, key, part);
        }
    } else {
        json_object_set(node->shown, what, value);
    }
    pthread_mutex_unlock(&node->lock);
    json_decref(value);
}

void cln_double_rune(struct cln_double *node, const char *rune, const char *restrictions)
{
    pthread_mutex_lock(&node->lock);
    json_t *value = restrictions ? json_loads(restrictions, 0, NULL) : json_null();
    OWM_ASSERT(value && !json_object_set_new(node->runes, rune, value));
    pthread_mutex_unlock(&node->lock);
}

void cln_double_fault(struct cln_double *node, const char *method, enum cln_fault fault, int code,
                      unsigned times)
{
    pthread_mutex_lock(&node->lock);
    size_t i = 0;
    while (i < CLN_FAULTS_MAX && node->faults[i].times > 0) i++;
    OWM_ASSERT(i < CLN_FAULTS_MAX);
    node->faults[i] = (struct cln_fault_row){.fault = fault, .code = code, .times = times};
    snprintf(node->faults[i].method, sizeof node->faults[i].method, "%s", method);
    pthread_mutex_unlock(&node->lock);
}

unsigned cln_double_calls(struct cln_double *node, const char *method)
{
    pthread_mutex_lock(&node->lock);
    json_int_t calls = json_integer_value(json_object_get(node->calls, method));
    pthread_mutex_unlock(&node->lock);
    return (unsigned)calls;
}

const char *cln_double_params(struct cln_double *node, const char *method)
{
    pthread_mutex_lock(&node->lock);
    free(node->last_params);
    node->last_params =
        json_dumps(json_object_get(node->params, method), JSON_COMPACT | JSON_SORT_KEYS);
    pthread_mutex_unlock(&node->lock);
    return node->last_params ? node->last_params : "";
}

void cln_double_pays(struct cln_double *node, enum cln_pay_script script, int code,
                     unsigned after_ms)
{
    pthread_mutex_lock(&node->lock);
    node->script = script;
    node->script_code = code;
    node->after_ms = after_ms;
    pthread_mutex_unlock(&node->lock);
}

void cln_double_sell(struct cln_double *node, const uint8_t preimage[32], int64_t msat, bool bolt12,
                     char text[CLN_DOUBLE_INVOICE_BYTES])
{
    char hex[65];
    owm_hex_encode(preimage, 32, hex);
    cln_sell(node->key, hex, msat, 3600, bolt12, text);
}
