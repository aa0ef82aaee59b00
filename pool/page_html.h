/* page_html.h: the pool's pages as HTML; each malloc'ed and terminated, NULL without memory. */
#ifndef OWM_POOL_PAGE_HTML_H
#define OWM_POOL_PAGE_HTML_H

#include <stdio.h>

#include "report.h"

/** web/page.css and web/page.js, which stand in every page. */
extern const char owm_page_css[];
extern const char owm_page_js[];

/** owm_page_overview: the front page. address: what miners copy. */
char *owm_page_overview(struct owm_report *report, const char *address);

/** owm_page_miner: one miner, everything about it. */
char *owm_page_miner(struct owm_report *report, const struct owm_report_view *view);

/** owm_page_sorry: why there is no page about this miner; name as it was asked for. */
char *owm_page_sorry(struct owm_report *report, const char *name, const char *reason);

/* Pieces of both pages. */

/** owm_html_begin: head, title, and the line that says what is live. */
void owm_html_begin(FILE *out, const struct owm_report_now *now, const char *title);
void owm_html_end(FILE *out, const struct owm_report_now *now);
void owm_html_lookup(FILE *out); /* The form. */

/** owm_html_cell: one cell of a table.list; an empty one disappears on a phone. */
void owm_html_cell(FILE *out, const char *label, const char *text);

/** owm_html_miner_cell: a name with the link to its page. */
void owm_html_miner_cell(FILE *out, const struct owm_miner *miner);
void owm_html_miner_link(FILE *out, const struct owm_miner *miner);
void owm_html_name_cell(FILE *out, const char *label, const char *name); /* Text of any origin. */

void owm_html_blocks(FILE *out, const struct owm_block_line *lines, size_t count);
void owm_html_payouts(FILE *out, const struct owm_payout_line *lines, size_t count);

#endif
