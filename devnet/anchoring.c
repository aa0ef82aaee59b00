/* anchoring.c: the calendar's start, a bitcoind's wallet, and a look at every proof. */
#include "anchoring.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "dataplane/ots/bitcoin_rpc.h"
#include "network.h"
#include "ports.h"

#define PORT_DEFAULT     14788
#define INTERVAL_S       "5" /* Between two transactions; six hours are the calendar's default. */
#define REPLACE_S        "120"
#define POLL_MS          "500"
#define READY_TIMEOUT_MS 60000
#define STOP_TIMEOUT_MS  15000
#define CONFIRM_MS       30000
#define VERIFY_MS        30000
#define VERSIONS_MAX     64 /* That are looked at. */
#define EXIT_WAITS       3  /* Of owm-ots: a proof is good and not in a block yet. */
#define MATURE_BLOCKS    "101"
#define ALREADY_LOADED   (-35) /* Bitcoin Core's protocol.h. */

/* The port stands in every promise, so that it stays the same. */
static owm_status choose_port(struct network *network, struct owm_error *error)
{
    struct anchoring *anchoring = &network->anchoring;
    char path[DEVNET_PATH_MAX + 32], text[16];
    uint8_t *data = NULL;
    size_t bytes;
    unsigned long wanted = PORT_DEFAULT;
    snprintf(path, sizeof path, "%s/calendar", network->folder);
    owm_status status = owm_fs_mkdirs(path, 0700, error);
    if (status) return status;
    snprintf(path, sizeof path, "%s/calendar/port", network->folder);
    if (owm_fs_read(path, sizeof text, &data, &bytes, NULL) == OWM_OK)
        wanted = strtoul((const char *)data, NULL, 10);
    free(data);
    anchoring->port = port_choose(wanted && wanted <= UINT16_MAX ? (unsigned)wanted : PORT_DEFAULT);
    snprintf(anchoring->uri, sizeof anchoring->uri, "http://127.0.0.1:%u", anchoring->port);
    int length = snprintf(text, sizeof text, "%u\n", anchoring->port);
    return owm_fs_write_atomic(path, text, (size_t)length, 0644, error);
}

const char *anchoring_login(const struct network *network, char url[static 64])
{
    const struct source *source = &network->mining.source;
    *url = 0;
    if (!network->anchoring.anchors) return "";
    snprintf(url, 64, "http://127.0.0.1:%u", source->port);
    return source->cookie;
}

owm_status anchoring_start(struct network *network, unsigned index, struct owm_error *error)
{
    (void)index;
    const struct anchoring *anchoring = &network->anchoring;
    char program[DEVNET_PATH_MAX + 32], folder[DEVNET_PATH_MAX + 32], log[DEVNET_PATH_MAX + 64];
    char listen[32], url[64], wallet[96];
    const char *cookie = anchoring_login(network, url);
    const bool named = network->mining.source.kind == SOURCE_BITCOIND;
    snprintf(program, sizeof program, "%s/owm-ots", network->programs);
    snprintf(folder, sizeof folder, "%s/calendar", network->folder);
    snprintf(log, sizeof log, "%s/logs/calendar.log", network->folder);
    snprintf(listen, sizeof listen, "127.0.0.1:%u", anchoring->port);
    snprintf(wallet, sizeof wallet, "%s%s", url, named ? "/wallet/" ANCHORING_WALLET : "");
    const char *const argv[] = {program,
                                "calendar",
                                "--folder",
                                folder,
                                "--uri",
                                anchoring->uri,
                                "--listen",
                                listen,
                                "--network",
                                "regtest",
                                "--interval",
                                INTERVAL_S,
                                "--replace",
                                REPLACE_S,
                                "--poll",
                                POLL_MS,
                                "--rate",
                                "0",
                                *url ? "--bitcoin-rpc" : NULL,
                                wallet,
                                "--bitcoin-cookie",
                                cookie,
                                NULL};
    return process_start(&network->anchoring.calendar, "calendar", argv,
                         &(struct process_options){.log_path = log}, error);
}

static owm_status wait_for_calendar(struct network *network, struct owm_error *error)
{
    const uint64_t give_up_ms = owm_clock_mono_ms() + READY_TIMEOUT_MS;
    char url[96];
    snprintf(url, sizeof url, "%s/tip", network->anchoring.uri);
    while (owm_clock_mono_ms() < give_up_ms && process_alive(&network->anchoring.calendar)) {
        struct owm_http_result result;
        const struct owm_http_call call = {.url = url, .deadline_ms = 2000};
        if (owm_http_fetch(&call, &result, NULL) == OWM_OK) {
            owm_http_result_deinit(&result);
            return OWM_OK;
        }
        owm_clock_sleep_ms(100);
    }
    return owm_fail(error, OWM_E_TIMEOUT, "the calendar does not answer; see %s/logs/calendar.log",
                    network->folder);
}

owm_status anchoring_up(struct network *network, struct owm_error *error)
{
    struct anchoring *anchoring = &network->anchoring;
    const struct mining *mining = &network->mining;
    anchoring->anchors = mining->on && mining->source.kind != SOURCE_BTCD;
    owm_status status = choose_port(network, error);
    if (status == OWM_OK) status = anchoring_start(network, 0, error);
    if (status == OWM_OK) status = wait_for_calendar(network, error);
    if (status) return status;
    printf("calendar     %s/ promises each version a place in a block%s\n", anchoring->uri,
           anchoring->anchors ? ""
           : mining->on       ? "; they stay promises: btcd has no wallet to pay for it"
                              : "; they stay promises: there is no source of blocks");
    return OWM_OK;
}

void anchoring_down(struct anchoring *anchoring)
{
    process_stop(&anchoring->calendar, SIGTERM, STOP_TIMEOUT_MS);
}

/* --- a bitcoind's wallet ---------------------------------------------------------------------- */

/* Made at the first start, loaded at later ones. Waits while the node starts. */
static owm_status load_wallet(owm_ots_bitcoin_rpc *rpc, struct owm_error *error)
{
    const uint64_t give_up_ms = owm_clock_mono_ms() + READY_TIMEOUT_MS;
    json_t *result = NULL;
    int code = 0;
    owm_status status;
    while ((status = owm_ots_bitcoin_call(rpc, "createwallet", "[\"" ANCHORING_WALLET "\"]",
                                          &result, &code, error))
               != OWM_OK
           && (status == OWM_E_STATE || status == OWM_E_NET || status == OWM_E_PERM)
           && owm_clock_mono_ms() < give_up_ms)
        owm_clock_sleep_ms(200);
    if (code == OWM_OTS_BITCOIN_WALLET)
        status = owm_ots_bitcoin_call(rpc, "loadwallet", "[\"" ANCHORING_WALLET "\"]", &result,
                                      &code, error);
    if (status == OWM_OK) json_decref(result);
    return code == ALREADY_LOADED ? OWM_OK : status;
}

/* Blocks that pay the wallet, until its first coin may be spent; only where it has none. */
static owm_status fill_wallet(owm_ots_bitcoin_rpc *rpc, struct owm_error *error)
{
    json_t *balance = NULL, *address = NULL, *blocks = NULL;
    char params[160];
    owm_status status = owm_ots_bitcoin_call(rpc, "getbalance", "[]", &balance, NULL, error);
    const bool empty = status == OWM_OK && json_number_value(balance) <= 0;
    if (status == OWM_OK) json_decref(balance);
    if (!empty) return status;
    status = owm_ots_bitcoin_call(rpc, "getnewaddress", "[]", &address, NULL, error);
    if (status) return status;
    snprintf(params, sizeof params, "[" MATURE_BLOCKS ",\"%.100s\"]", json_string_value(address));
    json_decref(address);
    status = owm_ots_bitcoin_call(rpc, "generatetoaddress", params, &blocks, NULL, error);
    if (status == OWM_OK) json_decref(blocks);
    return status;
}

owm_status anchoring_wallet(struct network *network, struct owm_error *error)
{
    char url[64], wallet[96];
    owm_ots_bitcoin_rpc *node = NULL, *rpc = NULL;
    const char *cookie = anchoring_login(network, url);
    if (!*url || network->mining.source.kind != SOURCE_BITCOIND) return OWM_OK;
    snprintf(wallet, sizeof wallet, "%s/wallet/" ANCHORING_WALLET, url);
    owm_status status = owm_ots_bitcoin_rpc_open(url, cookie, &node, error);
    if (status == OWM_OK) status = owm_ots_bitcoin_rpc_open(wallet, cookie, &rpc, error);
    if (status == OWM_OK) status = load_wallet(node, error);
    if (status == OWM_OK) status = fill_wallet(rpc, error);
    owm_ots_bitcoin_rpc_close(node);
    owm_ots_bitcoin_rpc_close(rpc);
    if (status != OWM_E_UNSUPPORTED) return status;
    puts("             this bitcoind was built without a wallet: promises stay promises");
    return OWM_OK;
}

/* --- every proof ------------------------------------------------------------------------------ */

typedef Owm__Internal__V1__ListVersionsResponse versions_t;

static bool is_confirmed(const Owm__Internal__V1__VersionState *version)
{
    return strcmp(version->ots_status, "confirmed") == 0;
}

static bool is_stamped(const Owm__Internal__V1__VersionState *version)
{
    return strcmp(version->ots_status, "none") != 0;
}

/* Made a moment ago: its promises may still be on their way. */
static bool is_young(const Owm__Internal__V1__VersionState *version)
{
    return !is_stamped(version) && (int64_t)owm_clock_wall_ms() < version->created_ms + CONFIRM_MS;
}

/* All have their promises, and the oldest is in a block where there will be one. */
static bool is_settled(const struct network *network, const versions_t *versions)
{
    for (size_t i = 0; i < versions->n_versions; i++)
        if (!is_stamped(versions->versions[i])) return false;
    return !network->anchoring.anchors || versions->n_versions == 0
           || is_confirmed(versions->versions[versions->n_versions - 1]);
}

void anchoring_wait(struct network *network, struct client *client)
{
    const uint64_t give_up_ms = owm_clock_mono_ms() + CONFIRM_MS;
    char trouble[256];
    if (network->anchoring.anchors)
        printf("the first version's block is waited for, at most %d s\n", CONFIRM_MS / 1000);
    fflush(stdout);
    for (bool settled = false; !settled && owm_clock_mono_ms() < give_up_ms;) {
        versions_t *versions = NULL;
        if (client_versions(client, VERSIONS_MAX, &versions, NULL) == OWM_OK) {
            settled = is_settled(network, versions);
            owm__internal__v1__list_versions_response__free_unpacked(versions, NULL);
        }
        network_tend(network, trouble);
        if (!settled) owm_clock_sleep_ms(300);
    }
}

/* Its exit code, or -1. */
static int run(const char *const *argv, const char *log, struct owm_error *error)
{
    struct process process = {.pid = 0};
    const uint64_t give_up_ms = owm_clock_mono_ms() + VERIFY_MS;
    if (process_start(&process, "owm-ots verify", argv, &(struct process_options){.log_path = log},
                      error))
        return -1;
    while (process_alive(&process) && owm_clock_mono_ms() < give_up_ms) owm_clock_sleep_ms(20);
    if (process.pid) process_stop(&process, SIGKILL, 0);
    return WIFEXITED(process.exit_status) ? WEXITSTATUS(process.exit_status) : -1;
}

/* The proofs of versions that are said to be confirmed, or of the others, as an outsider checks
 * them. Returns: owm-ots' exit code, or -1. */
static int verify(const struct network *network, const versions_t *versions, bool confirmed,
                  struct owm_error *error)
{
    static char paths[VERSIONS_MAX][DEVNET_PATH_MAX + 128];
    const char *argv[VERSIONS_MAX + 16];
    char program[DEVNET_PATH_MAX + 32], log[DEVNET_PATH_MAX + 64], url[64], hex[65];
    const char *cookie = anchoring_login(network, url);
    size_t count = 0;
    snprintf(program, sizeof program, "%s/owm-ots", network->programs);
    snprintf(log, sizeof log, "%s/logs/verify.log", network->folder);
    const char *const words[] = {
        program,   "verify",        "--calendar", network->anchoring.uri, "--network",
        "regtest", "--bitcoin-rpc", url,          "--bitcoin-cookie",     cookie};
    for (; count < (*url ? 10 : 6); count++) argv[count] = words[count];
    for (size_t i = 0; i < versions->n_versions && i < VERSIONS_MAX; i++) {
        const ProtobufCBinaryData *hash = &versions->versions[i]->model_hash;
        if (hash->len != 32) return -1;
        if (!is_stamped(versions->versions[i])) continue;
        if (is_confirmed(versions->versions[i]) != confirmed) continue;
        owm_hex_encode(hash->data, 32, hex);
        snprintf(paths[i], sizeof paths[i], "%s/coordinator/blobs/%.2s/%s.ots", network->folder,
                 hex, hex);
        argv[count++] = paths[i];
    }
    argv[count] = NULL;
    return run(argv, log, error);
}

static bool judge(const struct network *network, const versions_t *versions, char *sentence,
                  char *note)
{
    struct owm_error error = {""};
    unsigned confirmed = 0, none = 0, first = 0, count = 0;
    for (size_t i = 0; i < versions->n_versions; i++) {
        const Owm__Internal__V1__VersionState *version = versions->versions[i];
        confirmed += is_confirmed(version);
        count += !is_young(version);
        none += !is_stamped(version) && !is_young(version);
        if (is_confirmed(version)) first = version->btc_block;
    }
    int code = confirmed ? verify(network, versions, true, &error) : 0;
    if (code == 0 && count - none > confirmed) code = verify(network, versions, false, &error);
    const bool ok = none == 0 && (code == 0 || (code == EXIT_WAITS && confirmed < count));
    if (ok && confirmed)
        snprintf(sentence, 256,
                 "each of %u versions has its proof: %u confirmed, from block %u on; owm-ots says "
                 "the same",
                 count, confirmed, first);
    else if (ok)
        snprintf(sentence, 256, "each of %u versions has a well-formed proof, with its promises",
                 count);
    else
        snprintf(sentence, 256,
                 "of %u versions %u have no proof; owm-ots verify ended with %d (logs/verify.log)"
                 "%.100s",
                 count, none, code, error.text);
    if (!network->anchoring.anchors)
        snprintf(note, 256, "promises of versions stay promises: there is no Bitcoin wallet here");
    else if (confirmed < count)
        snprintf(note, 256, "%u of them wait for their block and the five behind it",
                 count - confirmed);
    return ok;
}

bool anchoring_agree(const struct network *network, struct client *client,
                     char sentence[static 256], char note[static 256])
{
    versions_t *versions = NULL;
    struct owm_error error = {""};
    *note = 0;
    if (client_versions(client, VERSIONS_MAX, &versions, &error)) {
        snprintf(sentence, 256, "the proofs of versions: %.200s", error.text);
        return false;
    }
    const bool ok = judge(network, versions, sentence, note);
    owm__internal__v1__list_versions_response__free_unpacked(versions, NULL);
    return ok;
}
