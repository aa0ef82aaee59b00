/* bonds.h: what a bond (next to the channel) does when a case is decided or overturned.
 *
 * The bonds part fills the table; a NULL entry, or a NULL table, means that there are no bonds.
 * Each function runs on the slashing manager's thread, inside the transaction that moves the case,
 * on that transaction's connection: it writes rows and nothing else, and whatever has to be said to
 * a Lightning node follows from those rows later, on the bonds part's own thread. If it fails, the
 * case stays where it was and both are tried again. It must be idempotent by case.
 */
#ifndef OWM_SLASHING_BONDS_H
#define OWM_SLASHING_BONDS_H

#include "base/pg/pg.h"

struct owm_bonds_hooks {
    void *ctx;

    /** slash: the node's bonds are forfeited by this case, from now on.
     *  Returns: OWM_OK, also for a node without a bond; as owm_pg_query. */
    owm_status (*slash)(void *ctx, struct owm_pg *pg, const uint8_t node_id[16],
                        const uint8_t case_id[16], struct owm_error *error);

    /** give_back: the case was overturned: what it forfeited is owed to the node (an outbox row
     * with purpose "bond_return"), or was never settled and is released. Returns: as slash. */
    owm_status (*give_back)(void *ctx, struct owm_pg *pg, const uint8_t node_id[16],
                            const uint8_t case_id[16], struct owm_error *error);
};

#endif
