/* lnd_double.c: a double's life: opened on its folder, told what to do, stopped and started. */
#include "lnd_double.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "command.h"

#define FIRST_HEIGHT 800

static pthread_mutex_t commands = PTHREAD_MUTEX_INITIALIZER;

static struct lnd_double *node_make(const struct lnd_double_config *config)
{
    struct lnd_double *node = calloc(1, sizeof *node);
    OWM_ASSERT(node);
    const char *name = strrchr(config->folder, '/');
    snprintf(node->folder, sizeof node->folder, "%s", config->folder);
    snprintf(node->name, sizeof node->name, "%s", name ? name + 1 : config->folder);
    snprintf(node->address, sizeof node->address, "%s", config->address);
    snprintf(node->network, sizeof node->network, "%s", config->network);
    snprintf(node->version, sizeof node->version, "0.21.2-beta commit=v0.21.2-beta");
    node->journal = -1;
    node->state = LNRPC__WALLET_STATE__SERVER_ACTIVE;
    node->synced = node->graph_synced = node->has_invoicesrpc = true;
    node->default_rule.cut = -1;
    for (int i = 0; i < METHODS; i++) node->cut[i] = -1;
    pthread_cond_init(&node->tasks_changed, NULL);
    return node;
}

/* What a crash leaves: the journal. */
static owm_status node_load(struct lnd_double *node, struct owm_error *error)
{
    node->height = FIRST_HEIGHT;
    node->wallet_sats = 0;
    owm_status status = journal_open(node, error);
    if (status == OWM_OK) payments_resume(node);
    return status;
}

static void node_forget(struct lnd_double *node)
{
    tasks_drop(node);
    if (node->journal >= 0) close(node->journal);
    node->journal = -1;
    free(node->channels);
    free(node->payments);
    free(node->payment_index.slots);
    free(node->invoices);
    free(node->invoice_index.slots);
    node->channels = NULL;
    node->payments = NULL;
    node->invoices = NULL;
    node->channel_count = node->channel_room = node->payment_count = node->payment_room = 0;
    node->invoice_count = node->invoice_room = node->peer_count = 0;
    node->payment_index = node->invoice_index = (struct index){0};
    node->settle_index = 0;
}

static owm_status files_ready(struct lnd_double *node, struct owm_error *error)
{
    char path[LND_DOUBLE_PATH_BYTES];
    lnd_double_file(node, "tls.cert", path);
    owm_status status = owm_fs_mkdirs(node->folder, 0700, error);
    if (status == OWM_OK) status = key_load(node, error);
    if (status == OWM_OK)
        status = access(path, F_OK) == 0 ? certificate_load(node, error)
                                         : certificate_make(node, false, error);
    return status == OWM_OK ? macaroons_bake(node, error) : status;
}

owm_status lnd_double_open(const struct lnd_double_config *config, struct lnd_double **out,
                           struct owm_error *error)
{
    *out = NULL;
    struct lnd_double *node = node_make(config);
    owm_status status = files_ready(node, error);
    double_lock();
    node_add(node);
    if (status == OWM_OK) status = node_load(node, error);
    double_unlock();
    if (status == OWM_OK && pthread_create(&node->clock, NULL, tasks_run, node) != 0)
        status = owm_fail(error, OWM_E_NOMEM, "lnd double: no thread");
    else if (status == OWM_OK)
        node->has_clock = true;
    if (status == OWM_OK) status = server_start(node, error);
    if (status == OWM_OK)
        *out = node;
    else
        lnd_double_close(node);
    return status;
}

void lnd_double_close(struct lnd_double *node)
{
    if (!node) return;
    server_stop(node);
    double_lock();
    node->closing = true;
    pthread_cond_signal(&node->tasks_changed);
    double_unlock();
    if (node->has_clock) pthread_join(node->clock, NULL);
    double_lock();
    node_remove(node);
    node_forget(node);
    double_unlock();
    pthread_cond_destroy(&node->tasks_changed);
    free(node->certificate_pem);
    free(node->key_pem);
    free(node->said);
    free(node);
}

const char *lnd_double_name(const struct lnd_double *node)
{
    return node->name;
}

const char *lnd_double_address(const struct lnd_double *node)
{
    return node->address;
}

const char *lnd_double_key(const struct lnd_double *node)
{
    return node->key_text;
}

void lnd_double_file(const struct lnd_double *node, const char *name,
                     char path[LND_DOUBLE_PATH_BYTES])
{
    int length = snprintf(path, LND_DOUBLE_PATH_BYTES, "%s/%s", node->folder, name);
    OWM_ASSERT(length < LND_DOUBLE_PATH_BYTES);
}

/* -------------------------------------------------------------------------------- commands */

static owm_status crash(struct lnd_double *node, struct owm_error *error)
{
    double_lock();
    node_forget(node);
    owm_status status = node_load(node, error);
    double_unlock();
    return status;
}

owm_status server_command(struct lnd_double *node, struct words *words)
{
    const char *name = words->word[0], *kind = words->count > 1 ? words->word[1] : "";
    bool restart = strcmp(name, "restart") == 0, down = strcmp(name, "down") == 0;
    bool up = strcmp(name, "up") == 0, certificate = strcmp(name, "certificate") == 0;
    if (!restart && !down && !up && !certificate) return OWM_E_UNSUPPORTED;
    struct owm_error error = {{0}};
    owm_status status = OWM_OK;
    if (!up) server_stop(node);
    if (restart) status = crash(node, &error);
    if (certificate) status = certificate_make(node, strcmp(kind, "expired") == 0, &error);
    if (status == OWM_OK && !down && !node->server) status = server_start(node, &error);
    return status == OWM_OK ? status : wrong(words, "%s: %s", name, error.text);
}

static void words_split(char *line, struct words *words)
{
    char *rest = line, *word;
    while ((word = strsep(&rest, " \t\r\n")))
        if (*word && words->count < WORDS_MAX) words->word[words->count++] = word;
}

owm_status lnd_double_command(struct lnd_double *node, const char *line, char **answer)
{
    size_t length = 0;
    char *copy = strdup(line);
    struct words words = {.out = open_memstream(answer, &length)};
    OWM_ASSERT(copy && words.out);
    words_split(copy, &words);
    pthread_mutex_lock(&commands);
    owm_status status = command_run(node, &words);
    pthread_mutex_unlock(&commands);
    fclose(words.out);
    free(copy);
    return status;
}

const char *lnd_double_do(struct lnd_double *node, const char *format, ...)
{
    char *line = NULL, *said = NULL;
    va_list args;
    va_start(args, format);
    OWM_ASSERT(vasprintf(&line, format, args) >= 0);
    va_end(args);
    owm_status status = lnd_double_command(node, line, &said);
    if (status != OWM_OK) fprintf(stderr, "lnd double: '%s': %s\n", line, said);
    OWM_ASSERT(status == OWM_OK);
    free(line);
    free(node->said);
    node->said = said;
    return said;
}
