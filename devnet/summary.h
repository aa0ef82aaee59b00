/* summary.h: what a finite run must have shown, checked one by one. */
#ifndef OWM_DEVNET_SUMMARY_H
#define OWM_DEVNET_SUMMARY_H

#include "network.h"
#include "view.h"

/** summary_print: tables, then one line per promise with "ok" or "NOT OK". pool: the newest
 *  figures. Returns true if all of them hold. */
bool summary_print(struct network *network, const struct snapshot *snapshot, struct client *client,
                   const struct figures *pool);

#endif
