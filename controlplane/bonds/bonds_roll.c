/* bonds_roll.c: hold bonds that end soon: who is told so, and how many there are. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "bonds_internal.h"

/* The first one of each node, and how many there are of all. */
static const char select_ending[] =
    "SELECT DISTINCT ON (node_id) node_id, expiry_height, amount_msat, count(*) OVER () FROM bonds"
    " WHERE kind = 'hold' AND state = 'held' AND expiry_height BETWEEN 1 AND $1"
    " ORDER BY node_id, expiry_height LIMIT $2";

static void keep(struct bonds_rolls *rolls, const struct owm_pg_rows *rows, uint32_t height)
{
    pthread_mutex_lock(&rolls->lock);
    rolls->height = height;
    rolls->count = owm_pg_rows_count(rows);
    for (size_t i = 0; i < rolls->count; i++) {
        struct bonds_ending *ending = &rolls->ending[i];
        owm_pg_get_uuid(rows, i, 0, ending->node_id);
        ending->block = owm_pg_get_i64(rows, i, 1);
        ending->amount_sats = owm_pg_get_i64(rows, i, 2) / 1000;
    }
    pthread_mutex_unlock(&rolls->lock);
    atomic_store(&rolls->any, rolls->count > 0);
}

/* Whoever looks after the coordinator learns it, too: bonds are the security of its network. */
static void tell(struct owm_bonds *bonds, int64_t count, int64_t first_block)
{
    char text[200] = "";
    if (count > 0)
        snprintf(text, sizeof(text),
                 "%" PRId64 " hold bonds end within %u blocks, the first at block %" PRId64
                 "; their nodes are told with each heartbeat to roll them",
                 count, bonds->options.roll_blocks, first_block);
    if (bonds->options.note) bonds->options.note(bonds->options.note_ctx, text);
    if (count > bonds->rolls.told)
        owm_log(OWM_LOG_WARN, "bonds_end_soon count=%" PRId64 " first_block=%" PRId64, count,
                first_block);
    bonds->rolls.told = count;
    owm_gauge_set(bonds->to_roll, (double)count);
}

owm_status bonds_roll_look(struct owm_bonds *bonds, uint32_t height, struct owm_error *error)
{
    struct owm_pg_args args;
    struct owm_pg_rows *rows = NULL;
    if (height == 0) return OWM_OK; /* The treasury's node has not said it yet. */
    owm_pg_begin_args(&args);
    owm_pg_i64(&args, (int64_t)height + bonds->options.roll_blocks);
    owm_pg_i64(&args, BONDS_ENDING_MAX);
    owm_status status = owm_pg_query(bonds->pg, select_ending, &args, &rows, error);
    if (status != OWM_OK) return status;
    int64_t first_block = 0, count = owm_pg_rows_count(rows) ? owm_pg_get_i64(rows, 0, 3) : 0;
    for (size_t i = 0; i < owm_pg_rows_count(rows); i++) {
        int64_t block = owm_pg_get_i64(rows, i, 1);
        if (i == 0 || block < first_block) first_block = block;
    }
    keep(&bonds->rolls, rows, height);
    owm_pg_rows_free(rows);
    tell(bonds, count, first_block);
    return OWM_OK;
}

static void say(const struct bonds_ending *ending, uint32_t height, char *notice)
{
    int64_t left = ending->block - height;
    snprintf(notice, OWM_BOND_NOTICE_BYTES,
             "the hold bond of %" PRId64 " sats ends at block %" PRId64 ", in %" PRId64
             " blocks: 'owm-node stake bond hold %" PRId64 "' puts a new one in its place",
             ending->amount_sats, ending->block, left > 0 ? left : 0, ending->amount_sats);
}

bool owm_bonds_notice(struct owm_bonds *bonds, const uint8_t node_id[16],
                      char notice[OWM_BOND_NOTICE_BYTES])
{
    struct bonds_rolls *rolls = &bonds->rolls;
    notice[0] = 0;
    if (!atomic_load_explicit(&rolls->any, memory_order_relaxed)) return false;
    pthread_mutex_lock(&rolls->lock);
    for (size_t i = 0; i < rolls->count && !notice[0]; i++)
        if (memcmp(rolls->ending[i].node_id, node_id, 16) == 0)
            say(&rolls->ending[i], rolls->height, notice);
    pthread_mutex_unlock(&rolls->lock);
    return notice[0] != 0;
}
