/* page.h: what the operator sees on 127.0.0.1 (SRS-NODE-08): a page, /health and /metrics. */
#ifndef OWM_NODE_PAGE_H
#define OWM_NODE_PAGE_H

#include "base/http_server.h"
#include "node/stake_watch.h"

#define PAGE_ROWS_MAX    20
#define PAGE_PAYMENTS    12
#define PAGE_REASONS_MAX 8

/** page_health: the verdict, one sentence per reason why it is not healthy.
 *  Returns how many reasons there are; 0: healthy. */
struct page_health {
    char reason[PAGE_REASONS_MAX][OWM_ERROR_BYTES_MAX];
    size_t count;
    char warning[NODE_STAKE_ALERTS_MAX][OWM_ERROR_BYTES_MAX]; /* worth knowing, and no reason */
    size_t warning_count;
};
size_t page_health(struct node *node, const struct node_view *view, struct page_health *health);

/** page_html / page_health_json: malloc'ed text, the caller frees; NULL without memory. */
char *page_html(struct node *node);
char *page_health_json(struct node *node, bool *healthy);

/** page_model_text, page_refused_text: a line for people: which version, and what its proof is; why
 *  one was refused. */
#define PAGE_MODEL_TEXT_MAX (OWM_ERROR_BYTES_MAX + 200)
void page_model_text(const struct node_model_used *used, char text[static PAGE_MODEL_TEXT_MAX]);
void page_refused_text(const struct node_model_refused *refused,
                       char text[static PAGE_MODEL_TEXT_MAX]);

/** page_serve: the HTTP server on 127.0.0.1 and node.http_port. Close it before the node.
 *  Returns: as owm_http_server_open. */
OWM_MUST_USE owm_status page_serve(struct node *node, owm_http_server **server,
                                   struct owm_error *error);

/** page_host_allowed: only names of this machine, so that a web page that points its own name at
 *  127.0.0.1 (DNS rebinding) reads nothing. */
bool page_host_allowed(const char *host);

#endif
