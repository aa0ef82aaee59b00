/* summary.c: the checks of a finite run. */
#include "summary.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool say(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool say(bool ok, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("  %-7s", ok ? "ok" : "NOT OK");
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    return ok;
}

static bool learned(const struct network *network, const struct snapshot *snapshot)
{
    double loss = 0;
    unsigned complete = 0;
    for (size_t i = 0; i < snapshot->rounds->n_rounds; i++) {
        const Owm__Internal__V1__Round *round = snapshot->rounds->rounds[i];
        if (strcmp(round->state, "complete")) continue;
        complete++;
        loss = (double)round->heldout_after;
    }
    bool ok = say(complete >= network->rounds_before + network->options.rounds,
                  "%u rounds complete, %u were wanted", complete - network->rounds_before,
                  network->options.rounds);
    return say(loss > 0 && loss < network->options.target,
               "held-out loss %.3f bits per byte, below %.2f", loss, network->options.target)
           && ok;
}

static bool ledger(struct client *client, const struct network *network)
{
    Owm__Internal__V1__AuditResponse *audit = NULL;
    struct owm_error error = {""};
    char earned[32], payable[32];
    if (client_audit(client, &audit, &error)) return say(false, "the ledger: %s", error.text);
    format_sats(audit->earned_msat, earned);
    format_sats(audit->payable_msat, payable);
    bool ok =
        say(audit->ok && audit->earned_msat == audit->payable_msat,
            "the ledger adds up: %s earned, %s payable, no task counted twice", earned, payable);
    for (size_t i = 0; i < audit->n_findings; i++) ok = say(false, "%s", audit->findings[i]);
    ok = say(audit->rounds_complete >= network->rounds_before + network->options.rounds,
             "%u complete rounds are in the database (%u failed)", audit->rounds_complete,
             audit->rounds_failed)
         && ok;
    owm__internal__v1__audit_response__free_unpacked(audit, NULL);
    return ok;
}

static bool is_poisoned(const struct network *network, const char *alias)
{
    unsigned number = 0;
    return sscanf(alias, "node-%u", &number) == 1 && number > 0 && number <= network->options.nodes
           && number > network->options.nodes - network->options.poison;
}

/* A node that was slashed has no stake channel any more, and got its balance back. */
static bool evicted(struct network *network, const char *alias)
{
    unsigned number = 0;
    if (!network->paying.on || sscanf(alias, "node-%u", &number) != 1) return true;
    return say(paying_evicted(network, number - 1),
               "the stake channel of %s was closed: evicted, its balance is its own", alias);
}

static bool poison_caught(struct network *network, const struct snapshot *snapshot)
{
    bool ok = true;
    for (size_t n = 0; n < snapshot->network->n_nodes; n++) {
        const Owm__Internal__V1__NodeStatus *node = snapshot->network->nodes[n];
        if (!is_poisoned(network, node->alias)) continue;
        unsigned rejected = 0, included = 0;
        const char *why = "";
        for (size_t r = 0; r < snapshot->rounds->n_rounds; r++) {
            const Owm__Internal__V1__Round *round = snapshot->rounds->rounds[r];
            for (size_t i = 0; i < round->n_participants; i++) {
                const Owm__Internal__V1__RoundParticipant *p = round->participants[i];
                if (strcmp(p->alias, node->alias)) continue;
                included += !strcmp(p->verdict, "included");
                if (strcmp(p->verdict, "rejected")) continue;
                rejected++;
                why = p->reason;
            }
        }
        char earned[32];
        format_sats(node->earned_msat, earned);
        ok = say(rejected > 0 && included == 0 && node->earned_msat == 0,
                 "%s was poisoned: caught in %u rounds (%s), included in %u, earned %s, now %s",
                 node->alias, rejected, why, included, earned, node->status)
             && ok;
        if (!strcmp(node->status, "suspended")) ok = evicted(network, node->alias) && ok;
    }
    return ok;
}

/* Each sat once more from the shares, by the program that an operator would ask. */
static bool pool_adds_up(const struct network *network, const struct figures *pool)
{
    char log[DEVNET_PATH_MAX + 32];
    struct owm_error error = {""};
    if (!network->mining.on) return true;
    snprintf(log, sizeof log, "%s/logs/recompute.log", network->folder);
    struct mining_recompute options = {
        .programs = network->programs, .url = network->mining.database_url, .log_path = log};
    if (mining_recompute(&options, &error)) return say(false, "the pool's ledger: %s", error.text);
    bool ok = say(pool->known,
                  "the pool's ledger adds up: %" PRIu64 " shares, %" PRIu64
                  " blocks; recomputed from the shares: equal",
                  pool->shares, pool->blocks);
    if (pool->orphaned) printf("  note   %" PRIu64 " blocks were orphaned\n", pool->orphaned);
    return ok;
}

/* The coordinator's books against those of the nodes that were paid. */
static bool paid(struct network *network)
{
    char sentence[256];
    if (!network->paying.on) {
        puts("  note   rewards are owed, not paid: there is no Lightning node here (--lightning)");
        return true;
    }
    bool ok = paying_agree(network, sentence);
    ok = say(ok, "%s", sentence);
    ok = say(network->paying.figures.settled > 0 || !network->options.rounds,
             "%u of them are rewards of nodes", network->paying.figures.settled)
         && ok;
    view_paying(&network->paying.figures);
    return ok;
}

/* The coordinator's word on each version against that of owm-ots on the files. */
static bool proven(const struct network *network, struct client *client)
{
    char sentence[256], note[256];
    bool ok = anchoring_agree(network, client, sentence, note);
    ok = say(ok, "%s", sentence);
    if (*note) printf("  note   %s\n", note);
    return ok;
}

bool summary_print(struct network *network, const struct snapshot *snapshot, struct client *client,
                   const struct figures *pool)
{
    if (!snapshot->network) {
        puts("\nThe coordinator never answered; there is nothing to sum up.");
        return false;
    }
    puts("\nSummary");
    view_rounds(snapshot, snapshot->rounds->n_rounds);
    putchar('\n');
    view_nodes(snapshot);
    putchar('\n');
    view_versions(snapshot, 20);
    if (pool->known) putchar('\n');
    view_pool(pool);
    view_pool_places(pool);
    if (network->paying.on) putchar('\n');
    if (network->paying.on) view_stakes(&network->paying.figures);
    putchar('\n');
    bool ok = !network->options.rounds || learned(network, snapshot); /* Without an end: no aim. */
    ok = ledger(client, network) && ok;
    ok = poison_caught(network, snapshot) && ok;
    ok = pool_adds_up(network, pool) && ok;
    ok = proven(network, client) && ok;
    if (network->restarts) printf("  note   %u programs were started again\n", network->restarts);
    return paid(network) && ok;
}
