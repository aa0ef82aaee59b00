/* page_world.h: for tests of the pool's page: two loops' counters and tables as loops write them, a
 * database with miners, blocks and payments, and the page over both. Every number is known. */
#ifndef OWM_TESTS_PAGE_WORLD_H
#define OWM_TESTS_PAGE_WORLD_H

#include <jansson.h>

#include "base/http_client.h"
#include "pool/page.h"
#include "pool_database.h"

#define WORLD_LOOPS       2
#define WORLD_PAYMENTS    120 /* Of 100 to 219 sats, the newest first 100. */
#define WORLD_SETTLED_MOD 3   /* Each third is settled. */
#define WORLD_NODE        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define WORLD_HOSTILE     "<script>alert(1)</script>"
#define WORLD_HOSTILE_RIG "\"><img src=x onerror=alert(2)>"

struct page_world {
    struct owm_pool_stats *stats[WORLD_LOOPS];
    struct owm_workers *workers[WORLD_LOOPS];
    struct owm_report_loop loops[WORLD_LOOPS];
    struct owm_metrics *metrics;
    struct owm_pg *pg;
    char url[256];
    int64_t filled_ms;
    struct owm_pool_page *page;
    char base[64]; /* "http://127.0.0.1:PORT" */
};

/** page_world_open: filled, and its page open. options: what differs; NULL: nothing. */
void page_world_open(struct page_world *world, const char *name,
                     const struct owm_report_options *options);
void page_world_close(struct page_world *world);

/** page_world_work: the page is told a work of these bits. */
void page_world_work(struct page_world *world, uint32_t bits);

/** page_world_await: until the page has read the database. */
void page_world_await(struct page_world *world);

/** page_get: a GET; *body malloc'ed, terminated. Returns the status. */
unsigned page_get(const struct page_world *world, const char *path, char **body);

/** page_json: a GET of JSON with this status, or the test fails. New reference. */
json_t *page_json(const struct page_world *world, const char *path, unsigned status);

/** page_at: "live.shares.accepted" in a value; the test fails where there is nothing. */
const json_t *page_at(const json_t *value, const char *path);

#endif
