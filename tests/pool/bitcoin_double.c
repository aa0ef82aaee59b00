/* bitcoin_double.c: a thread that accepts, one for each connection, one state. */
#include "pool/bitcoin_double.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/json.h"
#include "test.h"

#define CONNECTIONS_MAX 64
#define REQUEST_BYTES   (256 * 1024)
#define HUGE_BYTES      (40 * 1024 * 1024)

struct connection {
    struct bitcoin_double *node;
    pthread_t thread;
    int fd;
    bool used, over;
};

struct bitcoin_double {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct double_state state;
    bool dead;
    int listener;
    uint16_t port;
    pthread_t acceptor;
    struct connection connections[CONNECTIONS_MAX];
};

/* --- replies --------------------------------------------------------------------------------- */

static bool send_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        data += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

static bool send_reply(int fd, unsigned status, const char *body)
{
    char head[160];
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 %u X\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n",
                          status, strlen(body));
    return send_all(fd, head, (size_t)length) && send_all(fd, body, strlen(body));
}

static bool send_result(int fd, const char *result)
{
    char *body = NULL;
    if (asprintf(&body, "{\"result\":%s,\"error\":null,\"id\":1}\n", result) < 0) return false;
    bool sent = send_reply(fd, 200, body);
    free(body);
    return sent;
}

static bool send_error(int fd, int code, const char *message)
{
    char body[256];
    snprintf(body, sizeof body,
             "{\"result\":null,\"error\":{\"code\":%d,\"message\":\"%s\"},\"id\":1}\n", code,
             message);
    return send_reply(fd, code == -32601 ? 404 : 500, body);
}

static bool send_huge(int fd)
{
    char head[96], *block = malloc(1 << 20);
    int length =
        snprintf(head, sizeof head, "HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n", HUGE_BYTES);
    bool sent = send_all(fd, head, (size_t)length);
    memset(block, ' ', 1 << 20);
    for (int i = 0; sent && i < HUGE_BYTES >> 20; i++) sent = send_all(fd, block, 1 << 20);
    free(block);
    return sent;
}

static bool send_endless(struct bitcoin_double *node, int fd)
{
    bool sent = send_all(fd, "HTTP/1.1 200 X\r\n\r\n{", 20);
    while (sent) {
        pthread_mutex_lock(&node->lock);
        sent = !node->dead;
        pthread_mutex_unlock(&node->lock);
        sent = sent && send_all(fd, " ", 1);
        owm_clock_sleep_ms(20);
    }
    return false;
}

static bool wait_for_end(struct bitcoin_double *node)
{
    pthread_mutex_lock(&node->lock);
    while (!node->dead) pthread_cond_wait(&node->changed, &node->lock);
    pthread_mutex_unlock(&node->lock);
    return false;
}

/* What a mood other than well answers; false: the connection is over. */
static bool misbehave(struct bitcoin_double *node, int fd, enum double_mood mood)
{
    switch (mood) {
    case DOUBLE_SILENT:
        return wait_for_end(node);
    case DOUBLE_GARBAGE:
        return send_reply(fd, 200, "\x01\xff<html>hello</html>");
    case DOUBLE_CUT_SHORT:
        return send_reply(fd, 200, "{\"result\":{\"chain\":\"regtest\"");
    case DOUBLE_HUGE:
        return send_huge(fd);
    case DOUBLE_ENDLESS:
        return send_endless(node, fd);
    case DOUBLE_BUSY:
        return send_reply(fd, 503, "Work queue depth exceeded");
    case DOUBLE_WARMING_UP:
        return send_error(fd, -28, "Loading block index...");
    default:
        return false;
    }
}

/* --- calls ----------------------------------------------------------------------------------- */

void bitcoin_double_tip(uint32_t height, uint32_t branch, uint8_t hash[static 32])
{
    memset(hash, 0, 32);
    memcpy(hash, &height, sizeof height);
    memcpy(hash + 8, &branch, sizeof branch);
}

static void longpoll_id(const struct double_state *state, char id[static 64])
{
    snprintf(id, 64, "%u-%u-%u", state->height, state->branch, state->block_version);
}

/* The template of BIP 22 and 145 for a block without transactions: its commitment is a constant. */
static void write_template(const struct double_state *state, char *out, size_t room)
{
    uint8_t tip[32], printed[32];
    char hex[65], id[64];
    bitcoin_double_tip(state->height, state->branch, tip);
    for (int i = 0; i < 32; i++) printed[i] = tip[31 - i];
    owm_hex_encode(printed, 32, hex);
    longpoll_id(state, id);
    snprintf(out, room,
             "{\"capabilities\":[\"proposal\"],\"version\":%u,\"rules\":[\"csv\",\"!segwit\"],"
             "\"vbavailable\":{},\"vbrequired\":0,\"previousblockhash\":\"%s\","
             "\"transactions\":[],\"coinbaseaux\":{},\"coinbasevalue\":5000000000,"
             "\"longpollid\":\"%s\",\"target\":\"7fffff%058d\",\"mintime\":1700000001,"
             "\"mutable\":[\"time\",\"transactions\",\"prevblock\"],"
             "\"noncerange\":\"00000000ffffffff\",\"sigoplimit\":80000,\"sizelimit\":4000000,"
             "\"weightlimit\":4000000,\"curtime\":1700000100,\"bits\":\"207fffff\",\"height\":%u,"
             "\"default_witness_commitment\":\"6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689"
             "799962b48bebd836974e8cf9\"}",
             state->block_version, hex, id, 0, state->height);
}

static void note_rules(struct double_state *state, const json_t *request)
{
    size_t length = 0;
    state->rules[0] = 0;
    for (size_t i = 0; i < json_array_size(json_object_get(request, "rules")); i++) {
        const char *rule = json_string_value(json_array_get(json_object_get(request, "rules"), i));
        length += (size_t)snprintf(state->rules + length, sizeof state->rules - length, "%s ",
                                   rule ? rule : "?");
        if (length >= sizeof state->rules) return;
    }
}

/* Waits as long as the template is the one of this id. Under lock. False: the node died. */
static bool wait_for_news(struct bitcoin_double *node, const char *id)
{
    char now[64];
    node->state.longpolls++;
    node->state.longpolling++;
    for (;;) {
        longpoll_id(&node->state, now);
        if (node->dead || strcmp(now, id) != 0) break;
        pthread_cond_wait(&node->changed, &node->lock);
    }
    node->state.longpolling--;
    return !node->dead;
}

static bool get_template(struct bitcoin_double *node, int fd, const json_t *params)
{
    char text[2048];
    const json_t *request = json_array_get(params, 0);
    const char *id = json_string_value(json_object_get(request, "longpollid"));
    pthread_mutex_lock(&node->lock);
    bool alive = !id || wait_for_news(node, id);
    enum double_mood mood = id ? node->state.longpoll_mood : DOUBLE_WELL;
    node->state.templates++;
    note_rules(&node->state, request);
    write_template(&node->state, text, sizeof text);
    pthread_mutex_unlock(&node->lock);
    if (!alive) return false;
    return mood == DOUBLE_WELL ? send_result(fd, text) : misbehave(node, fd, mood);
}

static bool submit_block(struct bitcoin_double *node, int fd)
{
    char text[128];
    const char *verdict = NULL;
    pthread_mutex_lock(&node->lock);
    struct double_state *state = &node->state;
    state->submits++;
    if (state->verdict_count > 0) {
        verdict = state->verdicts[0];
        state->verdict_count--;
        memmove(state->verdicts, state->verdicts + 1,
                state->verdict_count * sizeof state->verdicts[0]);
    }
    pthread_mutex_unlock(&node->lock);
    if (!verdict) return send_result(fd, "null");
    if (strcmp(verdict, "!silent") == 0) return misbehave(node, fd, DOUBLE_SILENT);
    if (strcmp(verdict, "!busy") == 0) return misbehave(node, fd, DOUBLE_BUSY);
    if (strcmp(verdict, "!error") == 0) return send_error(fd, -22, "Block decode failed");
    if (strcmp(verdict, "!full") == 0) return send_error(fd, -25, "Disk space is too low!");
    snprintf(text, sizeof text, "\"%s\"", verdict);
    return send_result(fd, text);
}

static bool get_header(int fd, const struct double_state *state)
{
    char text[128];
    if (state->btcd_orphan) return send_error(fd, -32603, "block 00 is not in the main chain");
    if (state->confirmations == 0) return send_error(fd, -5, "Block not found");
    snprintf(text, sizeof text, "{\"confirmations\":%lld}", (long long)state->confirmations);
    return send_result(fd, text);
}

static bool get_chain(int fd, const struct double_state *state)
{
    char text[256];
    snprintf(text, sizeof text,
             "{\"chain\":\"%s\",\"blocks\":%u,\"headers\":%u,\"initialblockdownload\":%s}",
             state->chain, state->height - 1, state->height - 1 + state->ahead,
             state->downloading ? "true" : "false");
    return send_result(fd, text);
}

static bool get_network(int fd, const struct double_state *state)
{
    char text[256];
    if (state->no_networkinfo) return send_error(fd, -1, "Command unimplemented");
    snprintf(text, sizeof text, "{\"version\":%u,\"subversion\":\"%s\",\"connections\":%u}",
             state->version, state->subversion, state->connections);
    return send_result(fd, text);
}

static bool dispatch(struct bitcoin_double *node, int fd, const char *method, const json_t *params)
{
    pthread_mutex_lock(&node->lock);
    struct double_state state = node->state;
    node->state.calls++;
    pthread_mutex_unlock(&node->lock);
    if (state.mood != DOUBLE_WELL) return misbehave(node, fd, state.mood);
    if (strcmp(method, "getblocktemplate") == 0) return get_template(node, fd, params);
    if (strcmp(method, "submitblock") == 0) return submit_block(node, fd);
    if (strcmp(method, "getblockheader") == 0) return get_header(fd, &state);
    if (strcmp(method, "getblockchaininfo") == 0) return get_chain(fd, &state);
    if (strcmp(method, "getnetworkinfo") == 0) return get_network(fd, &state);
    return send_error(fd, -32601, "Method not found");
}

/* --- HTTP ------------------------------------------------------------------------------------ */

static bool allowed(struct bitcoin_double *node, const char *head)
{
    char wanted[256] = "Authorization: Basic ";
    pthread_mutex_lock(&node->lock);
    const char *secret = node->state.secret;
    owm_base64_encode(secret, strlen(secret), wanted + strlen(wanted));
    bool good = !*secret || strstr(head, wanted);
    if (!good) node->state.refused++;
    pthread_mutex_unlock(&node->lock);
    return good;
}

static bool answer(struct bitcoin_double *node, int fd, const char *head, const char *body,
                   size_t bytes)
{
    json_t *request = NULL;
    if (!allowed(node, head)) return send_reply(fd, 401, "");
    if (owm_json_parse(body, bytes, REQUEST_BYTES, &request, NULL) != OWM_OK) return false;
    const char *method = json_string_value(json_object_get(request, "method"));
    bool alive = dispatch(node, fd, method ? method : "", json_object_get(request, "params"));
    json_decref(request);
    return alive;
}

/* One request; buffer [REQUEST_BYTES]. False: the connection is over. */
static bool serve_one(struct bitcoin_double *node, int fd, char *buffer)
{
    size_t bytes = 0, wanted = REQUEST_BYTES;
    char *body = NULL;
    while (bytes < wanted) {
        ssize_t got = recv(fd, buffer + bytes, REQUEST_BYTES - 1 - bytes, 0);
        if (got <= 0) return false;
        bytes += (size_t)got;
        buffer[bytes] = 0;
        char *end = strstr(buffer, "\r\n\r\n");
        if (!end || body) continue;
        const char *length = strstr(buffer, "Content-Length: ");
        body = end + 4;
        wanted = (size_t)(body - buffer) + (length ? strtoul(length + 16, NULL, 10) : 0);
    }
    body[-1] = 0;
    return answer(node, fd, buffer, body, wanted - (size_t)(body - buffer));
}

static void *serve(void *argument)
{
    struct connection *connection = argument;
    char *buffer = malloc(REQUEST_BYTES);
    while (serve_one(connection->node, connection->fd, buffer)) continue;
    free(buffer);
    shutdown(connection->fd, SHUT_RDWR);
    pthread_mutex_lock(&connection->node->lock);
    connection->over = true;
    pthread_mutex_unlock(&connection->node->lock);
    return NULL;
}

static void reap(struct connection *connection)
{
    pthread_join(connection->thread, NULL);
    close(connection->fd);
    connection->used = false;
}

static void start_serving(struct bitcoin_double *node, int fd)
{
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        struct connection *connection = &node->connections[i];
        pthread_mutex_lock(&node->lock);
        bool over = connection->over;
        pthread_mutex_unlock(&node->lock);
        if (connection->used && over) reap(connection);
        if (connection->used) continue;
        *connection = (struct connection){.node = node, .fd = fd, .used = true};
        if (pthread_create(&connection->thread, NULL, serve, connection) == 0) return;
        connection->used = false;
    }
    close(fd);
}

static void *accept_all(void *argument)
{
    struct bitcoin_double *node = argument;
    for (;;) {
        int fd = accept4(node->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno == EINTR) continue;
        if (fd < 0) return NULL;
        int on = 1; /* Head and body are two writes. */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        pthread_mutex_lock(&node->lock);
        node->state.connections_made++;
        pthread_mutex_unlock(&node->lock);
        start_serving(node, fd);
    }
}

/* --- life ------------------------------------------------------------------------------------ */

void bitcoin_double_live(struct bitcoin_double *node)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(node->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int on = 1;
    node->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(node->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(node->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(node->listener, 16), 0);
    assert_int_equal(getsockname(node->listener, (struct sockaddr *)&address, &length), 0);
    node->port = ntohs(address.sin_port);
    node->dead = false;
    assert_int_equal(pthread_create(&node->acceptor, NULL, accept_all, node), 0);
}

void bitcoin_double_die(struct bitcoin_double *node)
{
    shutdown(node->listener, SHUT_RDWR);
    pthread_join(node->acceptor, NULL);
    close(node->listener);
    pthread_mutex_lock(&node->lock);
    node->dead = true;
    pthread_cond_broadcast(&node->changed);
    pthread_mutex_unlock(&node->lock);
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        if (!node->connections[i].used) continue;
        shutdown(node->connections[i].fd, SHUT_RDWR);
        reap(&node->connections[i]);
    }
}

struct bitcoin_double *bitcoin_double_open(void)
{
    struct bitcoin_double *node = calloc(1, sizeof *node);
    assert_non_null(node);
    pthread_mutex_init(&node->lock, NULL);
    pthread_cond_init(&node->changed, NULL);
    node->state = (struct double_state){.secret = "",
                                        .chain = "regtest",
                                        .subversion = "/Satoshi:27.1.0/",
                                        .version = 270100,
                                        .connections = 8,
                                        .ahead = 100,
                                        .height = 101,
                                        .block_version = 0x20000000};
    bitcoin_double_live(node);
    return node;
}

void bitcoin_double_close(struct bitcoin_double *node)
{
    if (!node->dead) bitcoin_double_die(node);
    pthread_cond_destroy(&node->changed);
    pthread_mutex_destroy(&node->lock);
    free(node);
}

void bitcoin_double_url(const struct bitcoin_double *node, char url[static 64])
{
    snprintf(url, 64, "http://127.0.0.1:%u", node->port);
}

struct double_state *bitcoin_double_lock(struct bitcoin_double *node)
{
    pthread_mutex_lock(&node->lock);
    return &node->state;
}

void bitcoin_double_unlock(struct bitcoin_double *node)
{
    pthread_cond_broadcast(&node->changed);
    pthread_mutex_unlock(&node->lock);
}

void bitcoin_double_new_tip(struct bitcoin_double *node)
{
    bitcoin_double_lock(node)->height++;
    bitcoin_double_unlock(node);
}
