/* raw_http.h: one HTTP exchange over a plain socket, for tests that look at headers, send what no
 * client library sends, or send first and read later. */
#ifndef OWM_TEST_RAW_HTTP_H
#define OWM_TEST_RAW_HTTP_H

#include <stddef.h>
#include <stdint.h>

#define RAW_BYTES_MAX 65536

struct raw_answer {
    unsigned status; /* 0: none came. */
    char text[RAW_BYTES_MAX];
    const uint8_t *body; /* In text, behind the head; terminated. */
    size_t body_bytes;
};

struct raw_request {
    uint16_t port; /* Of 127.0.0.1. */
    const char *method, *path;
    const char *headers; /* Each with its line's end; NULL: none. */
    const void *body;
    size_t body_bytes;
};

/** raw_send: "Content-Length" is added where there is a body. Returns: a socket; -1. */
int raw_send(const struct raw_request *request);

/** raw_read: until the peer closes; closes the socket. */
void raw_read(int fd, struct raw_answer *answer);

/** raw_ask: both. */
void raw_ask(const struct raw_request *request, struct raw_answer *answer);

#endif
