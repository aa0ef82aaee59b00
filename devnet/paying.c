/* paying.c: stakes, blocks, and both sides' books. */
#include "paying.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "network.h"
#include "places.h"
#include "view.h"

#define AGREE_MS        60000
#define STOP_TIMEOUT_MS 15000

static const char sql[] =
    "SELECT n.alias, n.stake_sats, n.tier,"
    " coalesce(sum(p.settled_msat) FILTER (WHERE p.state = 'settled'), 0)::bigint,"
    " coalesce(sum(p.amount_msat) FILTER (WHERE p.state IN ('owed', 'in_flight', 'failed')),"
    " 0)::bigint, count(*) FILTER (WHERE p.state = 'settled')"
    " FROM nodes n LEFT JOIN payments p ON p.node_id = n.node_id GROUP BY n.node_id ORDER BY "
    "n.alias LIMIT 16";

static const char newest_sql[] =
    "SELECT n.alias, p.settled_msat, encode(p.preimage, 'hex') FROM payments p"
    " JOIN nodes n ON n.node_id = p.node_id WHERE p.state = 'settled'"
    " ORDER BY p.updated_at DESC LIMIT 1";

static const char pool_sql[] =
    "SELECT count(*) FILTER (WHERE state = 'settled' AND purpose = 'pool_payout'),"
    " coalesce(sum(amount_msat) FILTER (WHERE state = 'settled' AND purpose = 'pool_payout'),"
    " 0)::bigint,"
    " coalesce(sum(amount_msat) FILTER (WHERE state = 'settled' AND purpose = 'pool_treasury'),"
    " 0)::bigint,"
    " coalesce(sum(amount_msat) FILTER (WHERE state IN ('owed', 'in_flight', 'failed')), 0)::bigint"
    " FROM payments";

static int64_t minimum_of(const char *tier)
{
    return strcmp(tier, "t1") == 0   ? PAYING_T1_SATS
           : strcmp(tier, "t2") == 0 ? PAYING_T2_SATS
                                     : PAYING_T3_SATS;
}

static double bonus_of(int64_t stake_sats, int64_t minimum_sats)
{
    double more = (double)(stake_sats - minimum_sats) / (double)minimum_sats;
    return more <= 0 ? 1 : more >= 2 ? 2 : 1 + more / 2;
}

static owm_status lock_stakes(struct network *network, struct owm_error *error)
{
    struct rig *rig = &network->paying.rig;
    owm_status status = OWM_OK;
    for (unsigned i = 0; status == OWM_OK && i < rig->operator_count; i++) {
        int64_t sats = minimum_of(options_tier(&network->options, i)) * (1 + i % PAYING_STEPS);
        const struct rig_channel stake = {&rig->operators[i], &rig->treasury, sats, 0};
        if (!rig_has_channel(stake.from, stake.to)) status = rig_open(rig, &stake, NULL, error);
    }
    return status;
}

owm_status paying_up(struct network *network, struct owm_error *error)
{
    struct paying *paying = &network->paying;
    char folder[DEVNET_PATH_MAX + 16], uri[OWM_LIGHTNING_TEXT_BYTES];
    paying->rig.lock_fd = -1;
    paying->on = network->options.lightning != NULL;
    if (!paying->on) return OWM_OK;
    char *programs = realpath(network->options.lightning, NULL);
    if (!programs)
        return owm_fail(error, OWM_E_NOTFOUND, "--lightning %s: no such folder",
                        network->options.lightning);
    snprintf(folder, sizeof folder, "%s/lightning", network->folder);
    puts("lightning    a btcd on simnet and an lnd for the treasury and for each node: some "
         "seconds");
    fflush(stdout);
    owm_status status = owm_fs_mkdirs(folder, 0755, error);
    if (status == OWM_OK)
        status = rig_up(&paying->rig, folder, programs, network->options.nodes, error);
    if (status == OWM_OK) status = lock_stakes(network, error);
    free(programs);
    if (status) return status;
    daemon_uri(&paying->rig.treasury, uri);
    printf("             the treasury is %s\n             ask it: %s getinfo\n", uri,
           paying->rig.treasury.script);
    return OWM_OK;
}

owm_status paying_start_slasher(struct network *network, unsigned index, struct owm_error *error)
{
    (void)index;
    char program[DEVNET_PATH_MAX + 32], config[DEVNET_PATH_MAX + 64], log[DEVNET_PATH_MAX + 64];
    snprintf(program, sizeof program, "%s/owm-slasher", network->programs);
    snprintf(config, sizeof config, "%s/slasher/slasher.toml", network->folder);
    snprintf(log, sizeof log, "%s/logs/slasher.log", network->folder);
    const char *const argv[] = {program, "--config", config, NULL};
    return process_start(
        &network->paying.slasher, "slasher", argv,
        &(struct process_options){.log_path = log, .database_url = network->database_url}, error);
}

owm_status paying_slasher(struct network *network, struct owm_error *error)
{
    if (!network->paying.on) return OWM_OK;
    owm_status status = places_slasher_config(network, error);
    if (status == OWM_OK) status = paying_start_slasher(network, 0, error);
    if (status == OWM_OK) puts("slasher      closes the channels of those who are slashed");
    return status;
}

bool paying_evicted(struct network *network, unsigned index)
{
    struct rig *rig = &network->paying.rig;
    uint64_t give_up_ms = owm_clock_mono_ms() + AGREE_MS;
    while (rig_has_channel(&rig->operators[index], &rig->treasury)) {
        if (owm_clock_mono_ms() > give_up_ms) return false;
        paying_tend(network);
        owm_clock_sleep_ms(500);
    }
    return true;
}

bool paying_tend(struct network *network)
{
    struct paying *paying = &network->paying;
    if (!paying->on) return false;
    bool any = rig_tend(&paying->rig);
    if (owm_clock_mono_ms() < paying->next_block_ms) return any;
    paying->next_block_ms = owm_clock_mono_ms() + PAYING_BLOCK_MS;
    struct owm_error error = {""};
    return chain_mine(&paying->rig.chain, 1, &error) != OWM_OK || any;
}

static void take_nodes(struct paying_figures *figures, const struct owm_pg_rows *rows)
{
    *figures = (struct paying_figures){.known = true, .pool = figures->pool};
    for (size_t i = 0; i < owm_pg_rows_count(rows) && i < RIG_OPERATORS_MAX; i++) {
        struct paying_node *node = &figures->nodes[figures->node_count++];
        snprintf(node->alias, sizeof node->alias, "%s", owm_pg_get_text(rows, i, 0));
        node->stake_sats = owm_pg_get_i64(rows, i, 1);
        node->bonus = bonus_of(node->stake_sats, minimum_of(owm_pg_get_text(rows, i, 2)));
        node->settled_msat = owm_pg_get_i64(rows, i, 3);
        node->owed_msat = owm_pg_get_i64(rows, i, 4);
        figures->settled += (unsigned)owm_pg_get_i64(rows, i, 5);
        figures->settled_msat += node->settled_msat;
        figures->owed_msat += node->owed_msat;
    }
}

static void take_newest(struct paying_figures *figures, const struct owm_pg_rows *rows)
{
    if (owm_pg_rows_count(rows) == 0) return;
    snprintf(figures->alias, sizeof figures->alias, "%s", owm_pg_get_text(rows, 0, 0));
    figures->newest_msat = owm_pg_get_i64(rows, 0, 1);
    snprintf(figures->preimage, sizeof figures->preimage, "%s", owm_pg_get_text(rows, 0, 2));
}

bool paying_pays_pool(const struct network *network)
{
    return network->paying.on && network->mining.on && source_payable(&network->mining.source);
}

static owm_status look_at_pool(struct network *network, struct owm_error *error)
{
    struct mining *mining = &network->mining;
    struct paying_pool *pool = &network->paying.figures.pool;
    struct owm_pg_rows *rows = NULL;
    owm_status status = OWM_OK;
    if (!mining->database) status = owm_pg_open(mining->database_url, &mining->database, error);
    if (status == OWM_OK) status = owm_pg_query(mining->database, pool_sql, NULL, &rows, error);
    if (status) {
        owm_pg_close(mining->database);
        mining->database = NULL;
        return status;
    }
    pool->settled = (unsigned)owm_pg_get_i64(rows, 0, 0);
    pool->settled_msat = owm_pg_get_i64(rows, 0, 1);
    pool->booked_msat = owm_pg_get_i64(rows, 0, 2);
    pool->owed_msat = owm_pg_get_i64(rows, 0, 3);
    owm_pg_rows_free(rows);
    return OWM_OK;
}

owm_status paying_look(struct network *network, struct owm_error *error)
{
    struct paying *paying = &network->paying;
    struct owm_pg_rows *nodes = NULL, *newest = NULL;
    owm_status status = OWM_OK;
    if (!paying->database) status = owm_pg_open(network->database_url, &paying->database, error);
    if (status == OWM_OK) status = owm_pg_query(paying->database, sql, NULL, &nodes, error);
    if (status == OWM_OK) status = owm_pg_query(paying->database, newest_sql, NULL, &newest, error);
    if (status == OWM_OK) {
        take_nodes(&paying->figures, nodes);
        take_newest(&paying->figures, newest);
    } else {
        owm_pg_close(paying->database);
        paying->database = NULL;
    }
    owm_pg_rows_free(nodes);
    owm_pg_rows_free(newest);
    if (status == OWM_OK && paying_pays_pool(network)) status = look_at_pool(network, error);
    return status;
}

static owm_status received(const struct rig *rig, struct books *all, struct owm_error *error)
{
    const struct books_filter ours = {.owm = true};
    owm_status status = OWM_OK;
    *all = (struct books){0};
    for (unsigned i = 0; status == OWM_OK && i < rig->operator_count; i++) {
        struct books books;
        status = daemon_received(&rig->operators[i], &ours, &books, error);
        all->msat += books.msat;
        all->count += books.count;
    }
    return status;
}

/* Both sides, and whether they agree and nothing is on its way. */
static owm_status compare(struct network *network, struct books *ours, struct books *theirs,
                          bool *done, struct owm_error *error)
{
    const struct paying_figures *figures = &network->paying.figures;
    owm_status status = paying_look(network, error);
    if (status == OWM_OK) status = received(&network->paying.rig, theirs, error);
    *ours = (struct books){.msat = figures->settled_msat + figures->pool.settled_msat,
                           .count = figures->settled + figures->pool.settled};
    *done = status
            || (ours->msat == theirs->msat && ours->count == theirs->count
                && figures->owed_msat + figures->pool.owed_msat == 0);
    return status;
}

bool paying_agree(struct network *network, char sentence[static 256])
{
    struct owm_error error = {""};
    struct books ours, theirs;
    char sats[32];
    bool done = false;
    uint64_t give_up_ms = owm_clock_mono_ms() + AGREE_MS;
    owm_status status = compare(network, &ours, &theirs, &done, &error);
    while (!done && owm_clock_mono_ms() < give_up_ms) {
        paying_tend(network);
        owm_clock_sleep_ms(300);
        status = compare(network, &ours, &theirs, &done, &error);
    }
    if (status) {
        snprintf(sentence, 256, "both sides of the payments: %.200s", error.text);
        return false;
    }
    bool equal = ours.msat == theirs.msat && ours.count == theirs.count;
    format_sats(ours.msat, sats);
    snprintf(sentence, 256,
             equal
                 ? "%u payments, %s, have arrived: the nodes' own Lightning nodes say the same, to "
                   "the millisat"
                 : "%u payments, %s, are settled here, but the nodes received %u, %lld millisats",
             ours.count, sats, theirs.count, (long long)theirs.msat);
    return equal;
}

void paying_down(struct network *network)
{
    struct paying *paying = &network->paying;
    owm_pg_close(paying->database);
    paying->database = NULL;
    process_stop(&paying->slasher, SIGTERM, STOP_TIMEOUT_MS);
    if (paying->on) rig_down(&paying->rig);
}
