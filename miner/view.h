/* view.h: what a person sees while it mines: a table on a terminal, a line every ten seconds in a
 * log, or JSON.
 */
#ifndef OWM_MINER_VIEW_H
#define OWM_MINER_VIEW_H

#include "options.h"
#include "telemetry.h"

struct view {
    const struct options *options;
    struct owm_mine *mine;
    struct telemetry *telemetry; /* May be NULL. */
    bool terminal;
    unsigned lines; /* Of the table that stands on the terminal now. */
};

/** view_show: now; the caller calls about once a second. last: the summary at the end. */
void view_show(struct view *view, bool last);

/** view_rate: "61.2 MH/s" into text [16]. */
void view_rate(double hashes_per_s, char text[static 16]);

#endif
