/* view.h: what a person sees of the network: a live page on a terminal, lines in a log.
 *
 * Snapshots come from the coordinator's internal service; the view keeps only what it has already
 * told. Thread: one.
 */
#ifndef OWM_DEVNET_VIEW_H
#define OWM_DEVNET_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "figures.h"
#include "paying.h"

/** snapshot: the replies at one moment; NULL before the first answer. */
struct snapshot {
    Owm__Internal__V1__NetworkStatusResponse *network;
    Owm__Internal__V1__ListRoundsResponse *rounds;     /* Oldest first. */
    Owm__Internal__V1__ListVersionsResponse *versions; /* Newest first. */
};

/** snapshot_take: replaces the content; on failure the old content stays. */
owm_status snapshot_take(struct snapshot *snapshot, struct client *client,
                         struct owm_error *error) OWM_MUST_USE;
void snapshot_free(struct snapshot *snapshot);

struct view {
    bool terminal;
    uint32_t round_told; /* Newest round whose end was printed, in a log. */
    uint32_t round_opened;
    uint64_t started_ms;
    const char *page_url;
    struct figures pool; /* Not known: not shown. */
    uint64_t blocks_told, shares_told, pool_told_ms;
    const struct paying_figures *paying; /* NULL, or not known: not shown. */
    unsigned confirmed_told;             /* Versions whose block was told. */
    unsigned payments_told;
    uint64_t payments_told_ms;
};

/** view_update: redraw (terminal) or print what is new (log). `trouble` is a sentence to show, or
 *  NULL. */
void view_update(struct view *view, const struct snapshot *snapshot, const char *trouble);

/** view_leave: give the terminal back. */
void view_leave(const struct view *view);

/** Lines and tables, for the log, the summary and `status`. */
void view_round(const Owm__Internal__V1__Round *round);
void view_rounds(const struct snapshot *snapshot, size_t newest);
void view_nodes(const struct snapshot *snapshot);
void view_versions(const struct snapshot *snapshot, size_t newest);
void view_proven(const struct snapshot *snapshot);
void view_pool(const struct figures *pool);
void view_pool_places(const struct figures *pool);
void view_paying(const struct paying_figures *paying);
void view_stakes(const struct paying_figures *paying);

/** format_sats: "45 sats", "37.500 sats"; text [32]. format_bytes: "612 kB"; text [16]. */
void format_sats(int64_t msat, char text[static 32]);
void format_bytes(uint64_t bytes, char text[static 16]);

#endif
