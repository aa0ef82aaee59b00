/* main.c: owm-pool, the Stratum v2 pool: run it, or recompute what it has paid. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "base/log.h"
#include "base/signals.h"
#include "server.h"

#define TEND_MS  1000
#define DRAIN_MS 2000 /* Shares that are under way get their answer. */

static int fail(const struct owm_error *error, int code)
{
    fprintf(stderr, "owm-pool: %s\n", error->text);
    return code;
}

static int run(struct pool_config *config)
{
    struct owm_error error = {.text = ""};
    struct pool_server *server = NULL;
    owm_signals_block();
    if (pool_config_check(config, &error) != OWM_OK) return fail(&error, 2);
    owm_log_level_set((enum owm_log_level)config->log_level);
    if (pool_server_open(config, &server, &error) != OWM_OK) return fail(&error, 1);
    while (!owm_signals_wait(TEND_MS)) pool_server_tend(server);
    owm_log(OWM_LOG_INFO, "stopping note=\"a second signal stops at once\"");
    pool_server_drain(server);
    (void)owm_signals_wait(DRAIN_MS);
    pool_server_close(server);
    owm_log(OWM_LOG_INFO, "stopped");
    return 0;
}

/* Moves the command and recompute's own options, with what stands behind them, from argv to own:
 * owm_conf does not know them. Returns what is left of argc. */
static int split(int argc, char **argv, char **own, int *own_count)
{
    int kept = 1;
    for (int i = 2; i < argc; i++) {
        bool is_own = strcmp(argv[i], "--from") == 0 || strcmp(argv[i], "--to") == 0
                      || strcmp(argv[i], "--journal") == 0;
        if (!is_own)
            argv[kept++] = argv[i];
        else if (own[(*own_count)++] = argv[i], i + 1 < argc)
            own[(*own_count)++] = argv[++i];
    }
    argv[kept] = NULL;
    return kept;
}

int main(int argc, char **argv)
{
    struct pool_config config;
    struct owm_error error = {.text = ""};
    enum owm_conf_action action;
    int own_count = 0;
    owm_log_program_set("owm-pool");
    bool recompute = argc > 1 && strcmp(argv[1], "recompute") == 0;
    char **own = calloc((size_t)argc + 1, sizeof *own);
    if (own == NULL) return 1;
    if (recompute) argc = split(argc, argv, own, &own_count);
    int code = 2;
    if (owm_conf_load(&pool_table, argc, argv, &config, &action, NULL, &error) != OWM_OK) {
        fail(&error, code);
    } else {
        code = 0;
        if (action != OWM_CONF_RUN)
            owm_conf_print(&pool_table, action, stdout);
        else if (recompute)
            code = owm_admin_recompute(config.database_url, own_count, own);
        else
            code = run(&config);
        owm_conf_deinit(&pool_table, &config);
    }
    free(own);
    return code;
}
