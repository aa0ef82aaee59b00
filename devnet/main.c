/* main.c: owm-devnet: a whole network on this machine, and questions to it. */
#include <coordinator.pb-c.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "network.h"
#include "options.h"
#include "running.h"
#include "summary.h"
#include "view.h"

#define LOOK_EVERY_MS 300

static volatile sig_atomic_t ending;

static void on_signal(int signal)
{
    (void)signal;
    ending = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int complain(const char *what, owm_status status, const struct owm_error *error)
{
    fprintf(stderr, "owm %s: %s\n", what, *error->text ? error->text : owm_status_text(status));
    return 1;
}

static void look_at_pool(struct network *network, struct view *view)
{
    if (network->mining.on)
        (void)!figures_take(&view->pool, &network->mining.database, network->mining.database_url,
                            NULL);
}

/* Look, show, mend, until the rounds are done or a signal comes. */
static void watch(struct network *network, struct client *client, struct view *view,
                  struct snapshot *snapshot)
{
    char trouble[256], shown[256] = "";
    while (!ending) {
        struct owm_error error = {""};
        network_tend(network, trouble);
        owm_status status = snapshot_take(snapshot, client, &error);
        if (status && !*trouble)
            snprintf(trouble, sizeof trouble, "waiting for the coordinator: %.200s", error.text);
        bool news = strcmp(trouble, shown) != 0;
        snprintf(shown, sizeof shown, "%s", trouble);
        look_at_pool(network, view);
        if (network->paying.on) (void)!paying_look(network, NULL);
        view_update(view, snapshot, *trouble && (news || view->terminal) ? trouble : NULL);
        if (status == OWM_OK && network->options.rounds && snapshot->network->rounds_finished)
            break;
        owm_clock_sleep_ms(LOOK_EVERY_MS);
    }
}

static int up(const struct options *options)
{
    struct network network;
    struct owm_error error = {""};
    struct client *client = NULL;
    struct snapshot snapshot = {0};
    char page_url[128] = "";
    int code = 1;

    owm_log_level_set(OWM_LOG_ERROR);
    owm_status status = network_up(&network, options, &error);
    if (status == OWM_OK) status = network_client(network.folder, &client, page_url, &error);
    if (status) {
        complain("up", status, &error);
        goto out;
    }
    struct view view = {.terminal = isatty(1) && !options->rounds,
                        .started_ms = owm_clock_mono_ms(),
                        .round_told = network.rounds_before,
                        .round_opened = network.rounds_before,
                        .page_url = page_url,
                        .paying = network.paying.on ? &network.paying.figures : NULL};
    if (network.mining.on) {
        snprintf(view.pool.pool_url, sizeof view.pool.pool_url, "%s", network.mining.pool_url);
        snprintf(view.pool.page_url, sizeof view.pool.page_url, "http://127.0.0.1:%u/",
                 network.mining.page_port);
    }
    puts("Ctrl-C ends it. In another terminal: ./owm ask \"TEXT\", ./owm status\n");
    watch(&network, client, &view, &snapshot);
    view_leave(&view);
    if (!ending && options->rounds) {
        anchoring_wait(&network, client);
        (void)!snapshot_take(&snapshot, client, NULL);
        look_at_pool(&network, &view); /* Blocks were found meanwhile. */
    }
    if (ending && options->rounds) puts("interrupted before the last round");
    bool ok = summary_print(&network, &snapshot, client, &view.pool);
    code = options->rounds && (!ok || ending) ? 1 : 0;
out:
    puts("stopping: nodes finish what they do, then pool, coordinator and database");
    fflush(stdout);
    snapshot_free(&snapshot);
    client_close(client);
    network_down(&network);
    return code;
}

/* What `ask` knows while the answer comes. */
struct asking {
    struct client *client;
    uint32_t attempt;
    bool streamed;
};

static void print_text(const ProtobufCBinaryData *text)
{
    for (size_t i = 0; i < text->len; i++) {
        unsigned char c = text->data[i];
        if (c >= 32 || c == '\n' || c == '\t') putchar(c == 127 ? '?' : c);
    }
}

/* "owm-v0.1.3" of a checkpoint's hash, or the hash where the coordinator no longer lists it. */
static void version_of(struct client *client, const ProtobufCBinaryData *hash, char text[static 65])
{
    struct snapshot snapshot = {0};
    *text = 0;
    if (hash->len != 32) return;
    owm_hex_encode(hash->data, 32, text);
    if (snapshot_take(&snapshot, client, NULL)) return;
    for (size_t i = 0; i < snapshot.versions->n_versions; i++) {
        const Owm__Internal__V1__VersionState *version = snapshot.versions->versions[i];
        if (version->model_hash.len == 32 && !memcmp(version->model_hash.data, hash->data, 32))
            snprintf(text, 65, "%.64s", version->version_id);
    }
    snapshot_free(&snapshot);
}

static void print_end(const struct asking *asking, const Owm__Internal__V1__TaskEvent *event)
{
    char sats[32], version[65] = "";
    Owm__Coordinator__V1__InferenceOutput *output =
        owm__coordinator__v1__inference_output__unpack(NULL, event->output.len, event->output.data);
    if (output) {
        if (!asking->streamed) print_text(&output->text);
        version_of(asking->client, &output->model_hash, version);
        owm__coordinator__v1__inference_output__free_unpacked(output, NULL);
    }
    format_sats(event->reward_msat, sats);
    printf("\n\n[%s, node %.8s, %s]\n", version, event->node_id, sats);
}

static bool print_event(void *ctx, const Owm__Internal__V1__TaskEvent *event)
{
    struct asking *asking = ctx;
    if (event->attempt != asking->attempt && asking->streamed)
        fputs("\n[the node went away; another one starts again]\n", stdout);
    asking->attempt = event->attempt;
    asking->streamed |= event->chunk.len > 0;
    print_text(&event->chunk);
    if (!strcmp(event->state, "completed")) print_end(asking, event);
    fflush(stdout);
    return !ending;
}

static int ask(const struct options *options)
{
    struct asking asking = {0};
    struct owm_error error = {""};
    owm_log_level_set(OWM_LOG_ERROR);
    owm_status status = network_client(options->folder, &asking.client, NULL, &error);
    struct client_question question = {.prompt = options->text,
                                       .tokens_max = options->tokens,
                                       .temperature = (float)options->temperature,
                                       .seed = options->seed};
    if (status == OWM_OK) {
        fputs(options->text, stdout);
        fflush(stdout);
        status = client_ask(asking.client, &question, print_event, &asking, &error);
    }
    client_close(asking.client);
    if (status) putchar('\n');
    return status ? complain("ask", status, &error) : 0;
}

/* A database of the user's own is not written into the folder, for its URL may hold a password. */
static void take_given(char url[static MINING_URL_MAX], const char *variable)
{
    const char *given = getenv(variable);
    if (!*url && given) snprintf(url, MINING_URL_MAX, "%s", given);
}

static void show_pool(const char *folder)
{
    struct figures figures = {0};
    struct owm_pg *pg = NULL;
    struct owm_error error = {""};
    char url[MINING_URL_MAX] = "";
    if (network_pool(folder, &figures, url, &error)) return;
    take_given(url, "OWM_POOL_DATABASE_URL");
    owm_status status = figures_take(&figures, &pg, url, &error);
    putchar('\n');
    view_pool(&figures);
    view_pool_places(&figures);
    if (status) printf("  the pool's database: %s\n", error.text);
    owm_pg_close(pg);
}

/* Stakes, bonuses, and the sats that have arrived. */
static void show_paying(const char *folder)
{
    struct paying_figures paying = {0};
    struct figures pool = {0};
    struct owm_pg *pg = NULL, *pool_pg = NULL;
    struct owm_error error = {""};
    char url[MINING_URL_MAX] = "", pool_url[MINING_URL_MAX] = "";
    bool pays_pool = false;
    if (network_lightning(folder, url, &pays_pool, &error)) return;
    take_given(url, "DATABASE_URL");
    owm_status status = paying_figures_take(&paying, &pg, url, &error);
    if (status == OWM_OK && pays_pool && !network_pool(folder, &pool, pool_url, NULL)) {
        take_given(pool_url, "OWM_POOL_DATABASE_URL");
        status = paying_pool_take(&paying.pool, &pool_pg, pool_url, &error);
    }
    putchar('\n');
    view_stakes(&paying);
    view_paying(&paying);
    if (status) printf("  who was paid what: %s\n", error.text);
    owm_pg_close(pool_pg);
    owm_pg_close(pg);
}

static int show_status(const struct options *options)
{
    struct client *client = NULL;
    struct snapshot snapshot = {0};
    struct owm_error error = {""};
    char page_url[128] = "";
    owm_log_level_set(OWM_LOG_ERROR);
    owm_status status = network_client(options->folder, &client, page_url, &error);
    if (status == OWM_OK) status = snapshot_take(&snapshot, client, &error);
    if (status == OWM_OK) {
        const Owm__Internal__V1__NetworkStatusResponse *network = snapshot.network;
        printf("%s, stake policy \"%s\", provenance: %s\n%s, round %u %s, %u of %u packages, "
               "page %s\n\n",
               network->network, network->stake_policy, network->ots_policy, network->version_id,
               network->round, network->round_state, network->round_received,
               network->round_expected, page_url);
        view_rounds(&snapshot, 20);
        putchar('\n');
        view_nodes(&snapshot);
        putchar('\n');
        view_versions(&snapshot, 20);
        show_paying(options->folder);
        show_pool(options->folder);
    }
    snapshot_free(&snapshot);
    client_close(client);
    return status ? complain("status", status, &error) : 0;
}

static int recompute(const struct options *options)
{
    struct owm_error error = {""};
    owm_log_level_set(OWM_LOG_ERROR);
    owm_status status = network_recompute(options, &error);
    return status ? complain("admin recompute", status, &error) : 0;
}

int main(int argc, char **argv)
{
    struct options options;
    struct owm_error error = {""};
    if (admin_is_meant(argc, argv)) return admin_become(argc, argv);
    owm_status status = options_parse(argc, argv, &options, &error);
    if (status) {
        complain(argc > 1 ? argv[1] : "", status, &error);
        return 2;
    }
    catch_signals();
    switch (options.verb) {
    case VERB_UP:
        return up(&options);
    case VERB_ASK:
        return ask(&options);
    case VERB_STATUS:
        return show_status(&options);
    case VERB_ADMIN:
        return recompute(&options);
    case VERB_HELP:
        break;
    }
    options_help();
    return 0;
}
