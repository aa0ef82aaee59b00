/* command.c: command lines: their words, and what concerns the node as a whole. */
#include "command.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *word_option(const struct words *words, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 1; i < words->count; i++)
        if (strncmp(words->word[i], name, length) == 0 && words->word[i][length] == '=')
            return words->word[i] + length + 1;
    return NULL;
}

int64_t word_number(const struct words *words, const char *name, int64_t otherwise)
{
    const char *text = word_option(words, name);
    return text ? strtoll(text, NULL, 10) : otherwise;
}

bool word_flag(const struct words *words, const char *name)
{
    for (size_t i = 1; i < words->count; i++)
        if (strcmp(words->word[i], name) == 0) return true;
    return false;
}

bool word_yes(const struct words *words, size_t at)
{
    return strcmp(words->word[at], "yes") == 0;
}

owm_status wrong(struct words *words, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(words->out, format, args);
    va_end(args);
    return OWM_E_ARG;
}

/* The words from `at` on, with one blank between them. */
static void rest_of(const struct words *words, size_t at, char *text, size_t room)
{
    int length = 0;
    text[0] = 0;
    for (size_t i = at; i < words->count && length < (int)room; i++)
        length += snprintf(text + length, room - (size_t)length, "%s%s", i > at ? " " : "",
                           words->word[i]);
}

/* -------------------------------------------------------------------------------- commands */

static owm_status run_state(struct lnd_double *node, struct words *words)
{
    static const struct {
        const char *name;
        Lnrpc__WalletState state;
    } states[] = {
        {"none", LNRPC__WALLET_STATE__NON_EXISTING},
        {"locked", LNRPC__WALLET_STATE__LOCKED},
        {"starting", LNRPC__WALLET_STATE__UNLOCKED},
        {"rpc", LNRPC__WALLET_STATE__RPC_ACTIVE},
        {"active", LNRPC__WALLET_STATE__SERVER_ACTIVE},
        {"waiting", LNRPC__WALLET_STATE__WAITING_TO_START},
    };
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(words->word[1], states[i].name) == 0) {
            node->state = states[i].state;
            return OWM_OK;
        }
    return wrong(words, "state: none, locked, starting, rpc, active or waiting");
}

static owm_status run_synced(struct lnd_double *node, struct words *words)
{
    node->synced = word_yes(words, 1);
    return OWM_OK;
}

static owm_status run_graph(struct lnd_double *node, struct words *words)
{
    node->graph_synced = word_yes(words, 1);
    return OWM_OK;
}

static owm_status run_invoicesrpc(struct lnd_double *node, struct words *words)
{
    node->has_invoicesrpc = word_yes(words, 1);
    return OWM_OK;
}

static owm_status run_network(struct lnd_double *node, struct words *words)
{
    snprintf(node->network, sizeof node->network, "%s", words->word[1]);
    return OWM_OK;
}

static owm_status run_version(struct lnd_double *node, struct words *words)
{
    rest_of(words, 1, node->version, sizeof node->version);
    return OWM_OK;
}

static owm_status run_wallet(struct lnd_double *node, struct words *words)
{
    node->wallet_sats = strtoll(words->word[1], NULL, 10);
    journal_chain(node);
    return OWM_OK;
}

static bool method_read(struct words *words, enum method *method)
{
    int found = method_find(words->word[1]);
    if (found < 0) (void)!wrong(words, "%s: no method %s", words->word[0], words->word[1]);
    *method = found < 0 ? 0 : (enum method)found;
    return found >= 0;
}

static owm_status run_fault(struct lnd_double *node, struct words *words)
{
    struct fault fault = {.code = (enum owm_rpc_code)strtol(words->word[2], NULL, 10),
                          .times = (unsigned)strtoul(words->word[3], NULL, 10)};
    if (!method_read(words, &fault.method)) return OWM_E_ARG;
    if (fault.code <= OWM_RPC_OK || fault.code >= OWM_RPC_CODES)
        return wrong(words, "fault: a gRPC code from 1 to %d", OWM_RPC_CODES - 1);
    rest_of(words, 4, fault.text, sizeof fault.text);
    for (size_t i = 0; i < LND_DOUBLE_FAULTS_MAX; i++) {
        if (i < node->fault_count && node->faults[i].times > 0) continue;
        node->faults[i] = fault;
        if (i == node->fault_count) node->fault_count++;
        return OWM_OK;
    }
    return wrong(words, "fault: the double has too many");
}

static owm_status run_delay(struct lnd_double *node, struct words *words)
{
    enum method method;
    if (!method_read(words, &method)) return OWM_E_ARG;
    node->delay_ms[method] = (unsigned)strtoul(words->word[2], NULL, 10);
    return OWM_OK;
}

static owm_status run_cut(struct lnd_double *node, struct words *words)
{
    enum method method;
    if (!method_read(words, &method)) return OWM_E_ARG;
    bool none = strcmp(words->word[2], "none") == 0;
    node->cut[method] = none ? -1 : (int)strtol(words->word[2], NULL, 10);
    return OWM_OK;
}

static owm_status run_calls(struct lnd_double *node, struct words *words)
{
    enum method method;
    if (!method_read(words, &method)) return OWM_E_ARG;
    fprintf(words->out, "%llu", (unsigned long long)node->calls[method]);
    return OWM_OK;
}

static owm_status run_macaroon(struct lnd_double *node, struct words *words)
{
    int role = role_find(words->word[2]);
    if (strcmp(words->word[1], "revoke") != 0 || role < 0)
        return wrong(words, "macaroon: revoke ROLE");
    node->revoked[role] = true;
    journal_write(node, RECORD_REVOKED, node->revoked, sizeof node->revoked);
    return OWM_OK;
}

/* One chain for all. */
static owm_status run_mine(struct lnd_double *node, struct words *words)
{
    (void)node;
    long blocks = strtol(words->word[1], NULL, 10);
    if (blocks < 1 || blocks > 100000) return wrong(words, "mine: 1 to 100,000 blocks");
    for (struct lnd_double *each = node_first(); each; each = each->next) {
        each->height++;
        channels_mine(each);
        each->height += (uint32_t)(blocks - 1);
        if (blocks > 1) channels_mine(each);
        invoices_mine(each);
        journal_chain(each);
    }
    return OWM_OK;
}

static const struct command node_commands[] = {
    {"state", 2, run_state},     {"synced", 2, run_synced},
    {"graph", 2, run_graph},     {"invoicesrpc", 2, run_invoicesrpc},
    {"network", 2, run_network}, {"version", 2, run_version},
    {"wallet", 2, run_wallet},   {"fault", 4, run_fault},
    {"delay", 3, run_delay},     {"cut", 3, run_cut},
    {"calls", 2, run_calls},     {"macaroon", 3, run_macaroon},
    {"mine", 2, run_mine},       {NULL, 0, NULL},
};

static owm_status run(struct lnd_double *node, struct words *words)
{
    static const struct command *const tables[] = {node_commands, channel_commands,
                                                   payment_commands, invoice_commands};
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++)
        for (const struct command *command = tables[t]; command->name; command++) {
            if (strcmp(command->name, words->word[0]) != 0) continue;
            if (words->count < command->words_min)
                return wrong(words, "%s: it needs more words", command->name);
            return command->run(node, words);
        }
    return wrong(words, "there is no command %s", words->word[0]);
}

owm_status command_run(struct lnd_double *node, struct words *words)
{
    if (words->count == 0) return wrong(words, "no command");
    owm_status status = server_command(node, words);
    if (status != OWM_E_UNSUPPORTED) return status;
    double_lock();
    status = run(node, words);
    double_unlock();
    return status;
}
