/* serve.h: our calendar's HTTP: the requests of OpenTimestamps clients, and pages.
 *
 *   POST /digest           1 to 64 bytes; a tree in its bytes that ends in our promise
 *   GET  /timestamp/HEX    a commitment; the tree from it to a block, or 404 with where it stands
 *   GET  /tip              the root in the last transaction that waits for blocks, or 404
 *   GET  /                 a page; with "Accept: application/json" its numbers
 *   GET  /health, /metrics
 *
 * Paths, codes, texts and caching are those of the reference server (opentimestamps-server,
 * otsserver/rpc.py); a body without its length is 411, where the reference says 400.
 */
#ifndef OWM_OTS_CALENDAR_SERVE_H
#define OWM_OTS_CALENDAR_SERVE_H

#include "aggregate.h"
#include "anchor.h"

#define SERVE_CONNECTIONS_MAX 1000
#define SERVE_TIMEOUT_S       10
#define SERVE_BODY_BYTES_MAX  4096 /* A longer one is not even read; up to here it has a text. */

struct serve;

/** serve_options: borrowed until serve_close. */
struct serve_options {
    const char *bind; /* Numeric. */
    uint16_t port;    /* 0: a free one. */
    const char *uri, *network;
    const char *proxy; /* Whose X-Forwarded-For is believed; NULL: nobody's. */
    unsigned per_minute, per_second, interval_s;
    struct journal *journal;
    const struct key *key;
    struct aggregate *aggregate;
    struct anchor *anchor;
};

/** serve_open: Returns: as owm_http_server_open. */
OWM_MUST_USE owm_status serve_open(const struct serve_options *options, struct serve **serve,
                                   struct owm_error *error);
uint16_t serve_port(const struct serve *serve);
void serve_close(struct serve *serve); /**< Drops all connections. NULL is allowed. */

#endif
