/* view.c: tables and lines. */
#include "view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

#define POOL_NEWS_MS 10000
#define VERSIONS_MAX 100

typedef Owm__Internal__V1__Round round_t;
typedef Owm__Internal__V1__NetworkStatusResponse network_t;

owm_status snapshot_take(struct snapshot *snapshot, struct client *client, struct owm_error *error)
{
    struct snapshot fresh = {0};
    owm_status status = client_network(client, &fresh.network, error);
    if (status == OWM_OK) status = client_rounds(client, 0, &fresh.rounds, error);
    if (status == OWM_OK) status = client_versions(client, VERSIONS_MAX, &fresh.versions, error);
    if (status) {
        snapshot_free(&fresh);
        return status;
    }
    snapshot_free(snapshot);
    *snapshot = fresh;
    return OWM_OK;
}

void snapshot_free(struct snapshot *snapshot)
{
    if (snapshot->network)
        owm__internal__v1__network_status_response__free_unpacked(snapshot->network, NULL);
    if (snapshot->rounds)
        owm__internal__v1__list_rounds_response__free_unpacked(snapshot->rounds, NULL);
    if (snapshot->versions)
        owm__internal__v1__list_versions_response__free_unpacked(snapshot->versions, NULL);
    *snapshot = (struct snapshot){0};
}

void format_sats(int64_t msat, char text[static 32])
{
    if (msat % 1000)
        snprintf(text, 32, "%" PRId64 ".%03d sats", msat / 1000, (int)(msat % 1000));
    else
        snprintf(text, 32, "%" PRId64 " sats", msat / 1000);
}

void format_bytes(uint64_t bytes, char text[static 16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 999.5 && unit < 4; unit++) value /= 1000;
    snprintf(text, 16, value < 10 && unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static unsigned included(const round_t *round)
{
    unsigned count = 0;
    for (size_t i = 0; i < round->n_participants; i++)
        count += !strcmp(round->participants[i]->verdict, "included");
    return count;
}

static double round_seconds(const round_t *round)
{
    int64_t end_ms = round->completed_ms ? round->completed_ms : owm_clock_wall_ms();
    return (double)(end_ms - round->started_ms) / 1000;
}

/* "up 612 kB (28x less than dense)": what compression saves is against one dense update each. */
static void traffic(const round_t *round, char *text, size_t bytes)
{
    char up[16], down[16];
    size_t packages = 0;
    for (size_t i = 0; i < round->n_participants; i++)
        packages += round->participants[i]->package_bytes > 0;
    format_bytes(round->bytes_up, up);
    format_bytes(round->bytes_down, down);
    double dense = (double)round->bytes_dense * (double)packages;
    if (round->bytes_up)
        snprintf(text, bytes, "up %s (dense: %.0fx), down %s", up, dense / (double)round->bytes_up,
                 down);
    else
        snprintf(text, bytes, "up %s, down %s", up, down);
}

void view_round(const round_t *round)
{
    char bytes[64], sats[32];
    traffic(round, bytes, sizeof bytes);
    if (!strcmp(round->state, "complete"))
        printf("round %u: held-out %.3f -> %.3f bits/byte, %u of %zu included, %s, %.1f s, %s\n",
               round->round, (double)round->heldout_before, (double)round->heldout_after,
               included(round), round->n_participants, bytes, round_seconds(round),
               round->version_id);
    else
        printf("round %u: %s: %s\n", round->round, round->state, round->note);
    for (size_t i = 0; i < round->n_participants; i++) {
        const Owm__Internal__V1__RoundParticipant *p = round->participants[i];
        format_sats(p->reward_msat, sats);
        printf("  %-12s %-9s %s%s%s\n", p->alias, p->verdict, sats, *p->reason ? "  " : "",
               p->reason);
    }
}

void view_rounds(const struct snapshot *snapshot, size_t newest)
{
    size_t count = snapshot->rounds->n_rounds;
    printf("%-6s %-12s %-18s %-9s %-34s %8s\n", "round", "state", "held-out bits/byte", "included",
           "bytes", "seconds");
    for (size_t i = count > newest ? count - newest : 0; i < count; i++) {
        const round_t *round = snapshot->rounds->rounds[i];
        char bytes[64], loss[32] = "", part[24];
        traffic(round, bytes, sizeof bytes);
        if (round->heldout_after > 0)
            snprintf(loss, sizeof loss, "%.3f -> %.3f", (double)round->heldout_before,
                     (double)round->heldout_after);
        if (round->completed_ms)
            snprintf(part, sizeof part, "%u of %zu", included(round), round->n_participants);
        else
            snprintf(part, sizeof part, "-");
        printf("%-6u %-12s %-18s %-9s %-34s %8.1f\n", round->round, round->state, loss, part, bytes,
               round_seconds(round));
    }
}

/* How a version's proof stands. */
static void proof_text(const Owm__Internal__V1__VersionState *version, char text[static 128])
{
    if (strcmp(version->ots_status, "confirmed") == 0)
        snprintf(text, 128, "confirmed in block %u", version->btc_block);
    else if (strcmp(version->ots_status, "pending") == 0)
        snprintf(text, 128, "pending: promised by %u calendar%s", version->ots_calendars,
                 version->ots_calendars == 1 ? "" : "s");
    else
        snprintf(text, 128, "not stamped yet%s%.90s", *version->note ? ": " : "", version->note);
}

void view_versions(const struct snapshot *snapshot, size_t newest)
{
    const size_t count = snapshot->versions->n_versions;
    char proof[128];
    printf("%-14s %-6s %s\n", "version", "round", "proof");
    for (size_t i = count < newest ? count : newest; i-- > 0;) {
        const Owm__Internal__V1__VersionState *version = snapshot->versions->versions[i];
        proof_text(version, proof);
        printf("%-14s %-6u %s%s\n", version->version_id, version->round, proof,
               version->current ? "  (current)" : "");
    }
}

static unsigned confirmed(const struct snapshot *snapshot)
{
    unsigned count = 0;
    for (size_t i = 0; i < snapshot->versions->n_versions; i++)
        count += strcmp(snapshot->versions->versions[i]->ots_status, "confirmed") == 0;
    return count;
}

void view_proven(const struct snapshot *snapshot)
{
    const Owm__Internal__V1__ListVersionsResponse *all = snapshot->versions;
    printf("proofs: %u of %zu versions confirmed", confirmed(snapshot), all->n_versions);
    for (size_t i = 0; i < all->n_versions; i++) {
        if (strcmp(all->versions[i]->ots_status, "confirmed") != 0) continue;
        printf(", %s in block %u", all->versions[i]->version_id, all->versions[i]->btc_block);
        break;
    }
    putchar('\n');
}

void view_nodes(const struct snapshot *snapshot)
{
    const network_t *network = snapshot->network;
    printf("%-12s %-5s %-10s %-9s %-8s %-18s %s\n", "node", "tier", "status", "stream", "running",
           "earned", "note");
    for (size_t i = 0; i < network->n_nodes; i++) {
        const Owm__Internal__V1__NodeStatus *node = network->nodes[i];
        char sats[32];
        format_sats(node->earned_msat, sats);
        printf("%-12s %-5s %-10s %-9s %-8u %-18s %s\n", node->alias, node->tier, node->status,
               node->connected ? "connected" : "away", node->running_tasks, sats, node->note);
    }
}

void view_pool(const struct figures *pool)
{
    if (!pool->known) return;
    printf("pool: %" PRIu64 " share%s, %" PRIu64 " block%s found", pool->shares,
           pool->shares == 1 ? "" : "s", pool->blocks, pool->blocks == 1 ? "" : "s");
    if (pool->height)
        printf(" (newest %u, %" PRIu64 " in the chain)", pool->height, pool->confirmed);
    if (pool->orphaned) printf(", %" PRIu64 " orphaned", pool->orphaned);
    printf("; regtest sats: %" PRId64 " to miners, %" PRId64 " to the treasury\n", pool->miner_sats,
           pool->treasury_sats);
}

void view_pool_places(const struct figures *pool)
{
    if (*pool->pool_url) printf("      page %s, for miners %s\n", pool->page_url, pool->pool_url);
}

void view_paying(const struct paying_figures *paying)
{
    char settled[32], owed[32], newest[32];
    if (!paying || !paying->known) return;
    format_sats(paying->settled_msat, settled);
    format_sats(paying->owed_msat, owed);
    printf("paid: %s in %u payments, %s owed or on the way\n", settled, paying->settled, owed);
    if (paying->pool.settled) {
        format_sats(paying->pool.settled_msat, settled);
        format_sats(paying->pool.booked_msat, newest);
        format_sats(paying->pool.owed_msat, owed);
        printf("      by the pool: %s to miners in %u payments, %s to the treasury in its books,"
               " %s owed or on the way\n",
               settled, paying->pool.settled, newest, owed);
    }
    if (!*paying->preimage) return;
    format_sats(paying->newest_msat, newest);
    printf("      newest: %s to %s, preimage %s\n", newest, paying->alias, paying->preimage);
}

void view_stakes(const struct paying_figures *paying)
{
    if (!paying || !paying->known) return;
    printf("%-12s %-18s %-7s %-18s %s\n", "node", "stake", "bonus", "settled", "owed");
    for (unsigned i = 0; i < paying->node_count; i++) {
        const struct paying_node *node = &paying->nodes[i];
        char settled[32], owed[32], stake[32];
        format_sats(node->settled_msat, settled);
        format_sats(node->owed_msat, owed);
        format_sats(node->stake_sats * 1000, stake);
        printf("%-12s %-18s %-7.2f %-18s %s\n", node->alias, stake, node->bonus, settled, owed);
    }
}

static void bar(unsigned done, unsigned all, unsigned width)
{
    putchar('[');
    for (unsigned i = 0; i < width; i++) putchar(all && i < done * width / all ? '#' : '.');
    putchar(']');
}

static void draw(const struct view *view, const struct snapshot *snapshot, const char *trouble)
{
    const network_t *network = snapshot->network;
    struct winsize window = {0};
    size_t rows = ioctl(1, TIOCGWINSZ, &window) == 0 && window.ws_row ? window.ws_row : 24;
    size_t fixed = 17 + network->n_nodes + (view->paying ? view->paying->node_count + 5 : 0);

    fputs("\033[H\033[2J", stdout);
    printf("OWM development network: %s, stake policy \"%s\"\nprovenance %s\n", network->network,
           network->stake_policy, network->ots_policy);
    printf("%.2fM parameters, newest checkpoint %s, up %.0f s, page %s\n\n",
           (double)network->model_parameters / 1e6, network->version_id,
           (double)(owm_clock_mono_ms() - view->started_ms) / 1000, view->page_url);
    printf("round %u: %-11s ", network->round, network->round_state);
    bar(network->round_received, network->round_expected, 24);
    printf(" %u of %u packages, %u tasks waiting, %u running\n\n", network->round_received,
           network->round_expected, network->pending_tasks, network->running_tasks);
    view_rounds(snapshot, rows > fixed + 3 ? rows - fixed : 3);
    putchar('\n');
    view_nodes(snapshot);
    view_proven(snapshot);
    if (*view->pool.pool_url) putchar('\n');
    view_pool(&view->pool);
    view_pool_places(&view->pool);
    if (view->paying && view->paying->known) putchar('\n');
    view_stakes(view->paying);
    view_paying(view->paying);
    printf("\n%s\n", trouble ? trouble : "Ctrl-C ends it.  ./owm ask \"TEXT\" asks the model.");
    fflush(stdout);
}

/* The first share and each block are news, where they are not too many. */
static void tell_pool(struct view *view)
{
    const struct figures *pool = &view->pool;
    if (!pool->known || (pool->blocks == view->blocks_told && (view->shares_told || !pool->shares)))
        return;
    uint64_t now_ms = owm_clock_mono_ms();
    if (view->shares_told && now_ms - view->pool_told_ms < POOL_NEWS_MS) return;
    view_pool(pool);
    view->pool_told_ms = now_ms;
    view->blocks_told = pool->blocks;
    view->shares_told = pool->shares;
}

/* Sats that arrived are news, where they are not too many. */
static void tell_paying(struct view *view)
{
    const struct paying_figures *paying = view->paying;
    uint64_t now_ms = owm_clock_mono_ms();
    unsigned settled = paying ? paying->settled + paying->pool.settled : 0;
    if (!paying || settled == view->payments_told
        || (view->payments_told && now_ms - view->payments_told_ms < POOL_NEWS_MS))
        return;
    view_paying(paying);
    view->payments_told = settled;
    view->payments_told_ms = now_ms;
}

static void tell(struct view *view, const struct snapshot *snapshot, const char *trouble)
{
    for (size_t i = 0; i < snapshot->rounds->n_rounds; i++) {
        const round_t *round = snapshot->rounds->rounds[i];
        bool over = !strcmp(round->state, "complete") || !strcmp(round->state, "failed");
        if (round->round > view->round_opened) {
            printf("round %u: open, %zu nodes train\n", round->round, round->n_participants);
            view->round_opened = round->round;
        }
        if (!over || round->round <= view->round_told) continue;
        view_round(round);
        view->round_told = round->round;
    }
    if (confirmed(snapshot) > view->confirmed_told) view_proven(snapshot);
    view->confirmed_told = confirmed(snapshot);
    tell_pool(view);
    tell_paying(view);
    if (trouble) printf("%s\n", trouble);
    fflush(stdout);
}

void view_update(struct view *view, const struct snapshot *snapshot, const char *trouble)
{
    if (!snapshot->network) {
        if (trouble) printf("%s\n", trouble);
        fflush(stdout);
        return;
    }
    if (view->terminal)
        draw(view, snapshot, trouble);
    else
        tell(view, snapshot, trouble);
}

void view_leave(const struct view *view)
{
    if (view->terminal) fputs("\033[0m\n", stdout);
}
