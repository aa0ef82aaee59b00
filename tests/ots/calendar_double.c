/* calendar_double.c: one connection after another, over a plain socket. */
#include "calendar_double.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "dataplane/ots/proof.h"

#define FLOOD_BYTES (1ull << 30)

static void send_all(struct calendar *calendar, int fd, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL);
        if (sent <= 0) return;
        calendar->sent_bytes += (uint64_t)sent;
        at += sent;
        bytes -= (size_t)sent;
    }
}

static void answer(struct calendar *calendar, int fd, const char *head, const void *body,
                   size_t bytes)
{
    char text[512];
    int length =
        snprintf(text, sizeof text,
                 "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", head, bytes);
    send_all(calendar, fd, text, (size_t)length);
    send_all(calendar, fd, body, bytes);
}

static void flood(struct calendar *calendar, int fd)
{
    static const char block[65536];
    char head[128];
    int length = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    send_all(calendar, fd, head, (size_t)length);
    for (uint64_t sent = 0; sent < FLOOD_BYTES; sent += sizeof block) {
        uint64_t before = calendar->sent_bytes;
        send_all(calendar, fd, block, sizeof block);
        if (calendar->sent_bytes - before < sizeof block) return; /* The peer has left. */
    }
}

static void add_op(struct owm_ots_tree *tree, uint32_t *node, uint8_t tag, const char *argument)
{
    const struct owm_ots_op op = {tag, {(const uint8_t *)argument, (uint32_t)strlen(argument)}};
    owm_status status = owm_ots_add_op(tree, *node, op, node, NULL);
    OWM_ASSERT(status == OWM_OK);
}

static void send_tree(struct calendar *calendar, int fd, struct owm_ots_tree *tree, uint32_t node,
                      const struct owm_ots_attestation *attestation)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    owm_status status = owm_ots_add_attestation(tree, node, attestation, NULL, NULL);
    OWM_ASSERT(status == OWM_OK);
    status = owm_ots_serialise(tree, &data, &bytes, NULL);
    OWM_ASSERT(status == OWM_OK);
    answer(calendar, fd, "200 OK", data, bytes);
    free(data);
    owm_ots_tree_deinit(tree);
}

/* What stands beside the promise of a calendar that wants more than its share. */
static void add_more(const struct calendar *calendar, struct owm_ots_tree *tree, uint32_t node)
{
    struct owm_ots_attestation more = owm_ots_bitcoin(1);
    owm_status status = OWM_OK;
    if (calendar->mood == CALENDAR_BOASTS)
        status = owm_ots_pending("https://bob.btc.calendar.opentimestamps.org", &more, NULL);
    if (calendar->mood == CALENDAR_BOASTS || calendar->mood == CALENDAR_FORGES)
        status = owm_ots_add_attestation(tree, node, &more, NULL, NULL);
    OWM_ASSERT(status == OWM_OK);
    const struct owm_ots_attestation odd = {.kind = OWM_OTS_UNKNOWN, .tag = {9}};
    for (int i = 0; calendar->mood == CALENDAR_CROWDS && i < 10; i++) {
        uint32_t at = node;
        add_op(tree, &at, OWM_OTS_APPEND, &"0123456789"[i]);
        for (int deep = 0; deep < 100; deep++) add_op(tree, &at, OWM_OTS_SHA256, "");
        status = owm_ots_add_attestation(tree, at, &odd, NULL, NULL);
        OWM_ASSERT(status == OWM_OK);
    }
}

/* As a calendar does: a nonce, a hash, the second and a keyed hash around it. */
static void promise(struct calendar *calendar, int fd, const uint8_t *digest, uint32_t bytes)
{
    struct owm_ots_tree tree;
    struct owm_ots_attestation attestation = {.kind = OWM_OTS_UNKNOWN, .tag = {9}};
    uint32_t node = OWM_OTS_ROOT;
    owm_status status = owm_ots_tree_init(&tree, (struct owm_ots_bytes){digest, bytes}, NULL);
    OWM_ASSERT(status == OWM_OK);
    add_op(&tree, &node, OWM_OTS_APPEND, "sixteen bytes...");
    add_op(&tree, &node, OWM_OTS_SHA256, "");
    add_op(&tree, &node, OWM_OTS_PREPEND, "time");
    add_op(&tree, &node, OWM_OTS_APPEND, "8 bytes.");
    if (calendar->mood != CALENDAR_UNKNOWN) {
        status = owm_ots_pending(calendar->url, &attestation, NULL);
        OWM_ASSERT(status == OWM_OK);
    }
    add_more(calendar, &tree, node);
    send_tree(calendar, fd, &tree, node, &attestation);
}

static void timestamp(struct calendar *calendar, int fd, const char *hex)
{
    struct owm_ots_tree tree;
    uint32_t node = OWM_OTS_ROOT;
    static const char pending[] = "Pending confirmation in Bitcoin blockchain";
    size_t bytes = strlen(hex) / 2;
    if (calendar->mood == CALENDAR_PROMISES || bytes > sizeof calendar->commitment
        || owm_hex_decode(hex, calendar->commitment, bytes) != OWM_OK) {
        answer(calendar, fd, "404 Not Found", pending, sizeof pending - 1);
        return;
    }
    const struct owm_ots_bytes commitment = {calendar->commitment, (uint32_t)bytes};
    owm_status status = owm_ots_tree_init(&tree, commitment, NULL);
    OWM_ASSERT(status == OWM_OK);
    if (calendar->mood == CALENDAR_LIES) add_op(&tree, &node, OWM_OTS_APPEND, "another");
    add_op(&tree, &node, OWM_OTS_SHA256, "");
    const struct owm_ots_attestation block = owm_ots_bitcoin(calendar->height);
    send_tree(calendar, fd, &tree, node, &block);
}

static void obey(struct calendar *calendar, int fd, char *request, size_t head, size_t bytes)
{
    static const char broken[] = "\x1b[2Jno; \r\nfake: line";
    if (calendar->mood == CALENDAR_GARBAGE) {
        answer(calendar, fd, "200 OK", "garbage", 7);
    } else if (calendar->mood == CALENDAR_FLOODS) {
        flood(calendar, fd);
    } else if (calendar->mood == CALENDAR_BROKEN) {
        answer(calendar, fd, "500 Broken", broken, sizeof broken - 1);
    } else if (calendar->mood == CALENDAR_REDIRECTS) {
        answer(calendar, fd, "302 Found\r\nLocation: http://127.0.0.1:1/", "", 0);
    } else if (calendar->mood == CALENDAR_SILENT) {
        while (!calendar->closing && recv(fd, request, 1, 0) > 0) {
        }
    } else if (strncmp(request, "GET /timestamp/", 15) == 0) {
        request[15 + strcspn(request + 15, " ")] = 0;
        timestamp(calendar, fd, request + 15);
    } else if (strncmp(request, "POST /digest ", 13) == 0 && bytes - head <= 64) {
        memcpy(calendar->digest, request + head, bytes - head);
        promise(calendar, fd, (const uint8_t *)request + head, (uint32_t)(bytes - head));
    } else {
        answer(calendar, fd, "400 Bad Request", "", 0);
    }
}

static void serve(struct calendar *calendar, int fd)
{
    char request[8192];
    size_t bytes = 0, head = 0, wanted = SIZE_MAX;
    while (bytes < wanted && bytes < sizeof request - 1) {
        ssize_t got = recv(fd, request + bytes, sizeof request - 1 - bytes, 0);
        if (got <= 0) return;
        bytes += (size_t)got;
        request[bytes] = 0;
        const char *end = head ? NULL : strstr(request, "\r\n\r\n");
        if (!end) continue;
        head = (size_t)(end - request) + 4;
        const char *length = strcasestr(request, "Content-Length:");
        wanted = head + (length ? strtoul(length + 15, NULL, 10) : 0);
    }
    calendar->requests++;
    obey(calendar, fd, request, head, bytes);
}

static void *run(void *ctx)
{
    struct calendar *calendar = ctx;
    for (;;) {
        int fd = accept(calendar->listener, NULL, NULL);
        if (fd < 0) return NULL;
        calendar->open = fd;
        if (!calendar->closing) serve(calendar, fd);
        calendar->open = -1;
        close(fd);
    }
}

void calendar_open(struct calendar *calendar, enum calendar_mood mood)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    memset(calendar, 0, sizeof *calendar);
    calendar->mood = mood;
    calendar->open = -1;
    calendar->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ready = bind(calendar->listener, (struct sockaddr *)&address, length) == 0
                 && listen(calendar->listener, 16) == 0
                 && getsockname(calendar->listener, (struct sockaddr *)&address, &length) == 0;
    OWM_ASSERT(ready);
    snprintf(calendar->url, sizeof calendar->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    ready = pthread_create(&calendar->thread, NULL, run, calendar) == 0;
    OWM_ASSERT(ready);
}

void calendar_close(struct calendar *calendar)
{
    calendar->closing = 1;
    shutdown(calendar->listener, SHUT_RDWR);
    if (calendar->open >= 0) shutdown(calendar->open, SHUT_RDWR);
    pthread_join(calendar->thread, NULL);
    close(calendar->listener);
}
