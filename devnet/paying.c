/* paying.c: stakes, blocks, and both sides' books. */
#include "paying.h"

#include <assert.h>
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

static_assert(PAYING_NODES_MAX >= RIG_OPERATORS_MAX, "every node that is paid has its figures");

static owm_status lock_stakes(struct network *network, struct owm_error *error)
{
    struct rig *rig = &network->paying.rig;
    owm_status status = OWM_OK;
    for (unsigned i = 0; status == OWM_OK && i < rig->operator_count; i++) {
        int64_t sats =
            paying_minimum_sats(options_tier(&network->options, i)) * (1 + i % PAYING_STEPS);
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

bool paying_pays_pool(const struct network *network)
{
    return network->paying.on && network->mining.on && source_payable(&network->mining.source);
}

owm_status paying_look(struct network *network, struct owm_error *error)
{
    struct paying *paying = &network->paying;
    struct mining *mining = &network->mining;
    owm_status status =
        paying_figures_take(&paying->figures, &paying->database, network->database_url, error);
    if (status == OWM_OK && paying_pays_pool(network))
        status =
            paying_pool_take(&paying->figures.pool, &mining->database, mining->database_url, error);
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
