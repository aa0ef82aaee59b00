/* page_figures.h: each number that the page shows and the feed renews, in one table: its key, what
 * it is called, how it is written and how it is computed, so that the page, its live update and its
 * explanation cannot differ. */
#ifndef OWM_POOL_PAGE_FIGURES_H
#define OWM_POOL_PAGE_FIGURES_H

#include "page_format.h"
#include "report.h"

/** owm_figure_group: which section shows it. */
enum owm_figure_group {
    OWM_FIGURES_RATE,
    OWM_FIGURES_PRICE,
    OWM_FIGURES_MONEY,
    OWM_FIGURES_SHARES,
    OWM_FIGURES_HEALTH,
    OWM_FIGURES_AGE,
};

struct owm_figure {
    const char *key;
    enum owm_figure_group group;
    const char *label;
    bool ledger; /* Its age is that of the ledger's part, else that of the live one. */
    const char *how;
    void (*write)(const struct owm_report_now *now, char *text); /* [OWM_FORMAT_BYTES] */
};

extern const struct owm_figure owm_figures[];
extern const size_t owm_figures_count;

/** owm_figure_text: its text; "–" while the part that it comes from has not been read yet. */
const char *owm_figure_text(const struct owm_figure *figure, const struct owm_report_now *now,
                            char *text);

/** owm_report_day_sats: what so many hashes per second earn a miner in a day, at today's price. */
double owm_report_day_sats(const struct owm_report_now *now, double hashes_per_s);

#endif
