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
    "SELECT n.alias, n.stake_sats,"
    " coalesce(sum(p.settled_msat) FILTER (WHERE p.state = 'settled'), 0)::bigint,"
    " coalesce(sum(p.amount_msat) FILTER (WHERE p.state IN ('owed', 'in_flight', 'failed')),"
    " 0)::bigint, count(*) FILTER (WHERE p.state = 'settled')"
    " FROM nodes n LEFT JOIN payments p ON p.node_id = n.node_id GROUP BY n.node_id ORDER BY "
    "n.alias LIMIT 16";

static const char newest_sql[] =
    "SELECT n.alias, p.settled_msat, encode(p.preimage, 'hex') FROM payments p"
    " JOIN nodes n ON n.node_id = p.node_id WHERE p.state = 'settled'"
    " ORDER BY p.updated_at DESC LIMIT 1";

double paying_bonus(int64_t stake_sats)
{
    double more = (double)(stake_sats - PAYING_MINIMUM_SATS) / PAYING_MINIMUM_SATS;
    return more <= 0 ? 1 : more >= 2 ? 2 : 1 + more / 2;
}

static int64_t stake_of(unsigned index)
{
    return PAYING_MINIMUM_SATS + PAYING_STEP_SATS * (int64_t)(index % (PAYING_STEPS + 1));
}

static owm_status lock_stakes(struct rig *rig, struct owm_error *error)
{
    owm_status status = OWM_OK;
    for (unsigned i = 0; status == OWM_OK && i < rig->operator_count; i++) {
        const struct rig_channel stake = {&rig->operators[i], &rig->treasury, stake_of(i), 0};
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
    if (status == OWM_OK) status = lock_stakes(&paying->rig, error);
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
    *figures = (struct paying_figures){.known = true};
    for (size_t i = 0; i < owm_pg_rows_count(rows) && i < RIG_OPERATORS_MAX; i++) {
        struct paying_node *node = &figures->nodes[figures->node_count++];
        snprintf(node->alias, sizeof node->alias, "%s", owm_pg_get_text(rows, i, 0));
        node->stake_sats = owm_pg_get_i64(rows, i, 1);
        node->settled_msat = owm_pg_get_i64(rows, i, 2);
        node->owed_msat = owm_pg_get_i64(rows, i, 3);
        figures->settled += (unsigned)owm_pg_get_i64(rows, i, 4);
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

bool paying_agree(struct network *network, char sentence[static 256])
{
    struct paying *paying = &network->paying;
    struct owm_error error = {""};
    struct books theirs;
    char sats[32];
    uint64_t give_up_ms = owm_clock_mono_ms() + AGREE_MS;
    owm_status status;
    while ((status = paying_look(network, &error)) == OWM_OK && paying->figures.owed_msat
           && owm_clock_mono_ms() < give_up_ms) {
        paying_tend(network);
        owm_clock_sleep_ms(300);
    }
    if (status == OWM_OK) status = received(&paying->rig, &theirs, &error);
    if (status) {
        snprintf(sentence, 256, "both sides of the payments: %.200s", error.text);
        return false;
    }
    const struct paying_figures *ours = &paying->figures;
    bool equal = ours->settled_msat == theirs.msat && ours->settled == theirs.count;
    format_sats(ours->settled_msat, sats);
    snprintf(sentence, 256,
             equal
                 ? "%u payments, %s, have arrived: the nodes' own Lightning nodes say the same, to "
                   "the millisat"
                 : "%u payments, %s, are settled here, but the nodes received %u, %lld millisats",
             ours->settled, sats, theirs.count, (long long)theirs.msat);
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
