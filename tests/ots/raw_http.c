/* raw_http.c: see raw_http.h. */
#include "raw_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_S 10

static int connect_to(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval wait = {.tv_sec = WAIT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

int raw_send(const struct raw_request *request)
{
    char head[2048], length[64] = "";
    if (request->body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", request->body_bytes);
    int bytes =
        snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%s\r\n",
                 request->method, request->path, request->headers ? request->headers : "", length);
    int fd = connect_to(request->port);
    if (fd < 0) return -1;
    if (send(fd, head, (size_t)bytes, MSG_NOSIGNAL) == bytes
        && (request->body_bytes == 0
            || send(fd, request->body, request->body_bytes, MSG_NOSIGNAL)
                   == (ssize_t)request->body_bytes))
        return fd;
    close(fd);
    return -1;
}

void raw_read(int fd, struct raw_answer *answer)
{
    size_t bytes = 0;
    memset(answer, 0, sizeof *answer);
    answer->body = (const uint8_t *)answer->text;
    while (fd >= 0 && bytes < RAW_BYTES_MAX - 1) {
        ssize_t got = recv(fd, answer->text + bytes, RAW_BYTES_MAX - 1 - bytes, 0);
        if (got <= 0) break;
        bytes += (size_t)got;
    }
    if (fd >= 0) close(fd);
    char *end = strstr(answer->text, "\r\n\r\n");
    if (!end || strncmp(answer->text, "HTTP/1.1 ", 9) != 0) return;
    size_t begins = (size_t)(end - answer->text) + 4, wanted = bytes - begins;
    const char *length = strcasestr(answer->text, "\r\nContent-Length:");
    if (length && length < end) wanted = strtoul(length + 17, NULL, 10);
    if (strncmp(answer->text, "HTTP/1.1 ", 9) == 0 && wanted == bytes - begins)
        answer->status = (unsigned)strtoul(answer->text + 9, NULL, 10);
    *end = 0; /* The head is a string of its own. */
    answer->body = (const uint8_t *)end + 4;
    answer->body_bytes = bytes - begins;
}

void raw_ask(const struct raw_request *request, struct raw_answer *answer)
{
    raw_read(raw_send(request), answer);
}
