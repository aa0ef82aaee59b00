/* stake.c: what a node has locked, as it was last read (SRS-STAKE-02, 03, 08, 10). */
#include "state.h"

void stake_read(owm_engine *e, const struct owm_stake_event *event)
{
    uint32_t at = node_find(e, event->node_id);
    if (at == NONE || e->config.stake == OWM_ENGINE_STAKE_NONE) return;
    struct node *node = &e->node[at];
    if (event->read_ms < node->row.stake_read_ms) return;
    node->row.stake_read_ms = event->read_ms;
    node->row.stake_sats = event->stake_sats;
    emit_node(e, node);
    node_refresh(e, at);
}
