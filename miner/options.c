/* options.c: the command line's words into a struct. */
#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "owm-mine: mine bitcoin for a Stratum v2 pool on this machine's GPUs and processor.\n"
    "\n"
    "  owm-mine --pool stratum2+tcp://HOST:3333/AUTHORITY_KEY --identity FILE --worker NAME\n"
    "  owm-mine --benchmark\n"
    "\n"
    "  --pool URL         the pool, with the key that it shows on its page: without the key "
    "anyone\n"
    "                     on the way can take your shares. Again for each pool to fall back on\n"
    "  --identity FILE    your OWM node's key (~/.owm/identity.key, made if missing): shares are\n"
    "                     credited to the node, and the pool checks that it is you\n"
    "  --user NAME        in place of --identity, for other pools: account.worker\n"
    "  --worker NAME      name of this machine on the pool's page (its host name)\n"
    "  --device LIST      all, or cpu, cuda:0, hip:1, … with commas (all)\n"
    "  --threads N        processor threads; 0: one for each core (0)\n"
    "  --intensity N      share of the time that devices work, 0 to 100 (100)\n"
    "  --extended         open an extended channel (for pools that want it, this is found out)\n"
    "  --seconds N        stop after N seconds (never); of the benchmark (10)\n"
    "  --benchmark        measure the devices without a pool\n"
    "  --json             one JSON object a line instead of a table\n"
    "  --help             this page\n"
    "\n"
    "Example: owm-mine --pool stratum2+tcp://pool.owm.network:3333/9auq… \\\n"
    "                  --identity ~/.owm/identity.key --worker asic-rack-1\n"
    "Ctrl-C ends it. Exit codes: 0 ended by you, 1 it could not go on, 2 wrong options.\n";

void options_help(FILE *out)
{
    fputs(help, out);
}

enum option_id {
    POOL = 256,
    IDENTITY,
    USER,
    WORKER,
    DEVICE,
    THREADS,
    INTENSITY,
    EXTENDED,
    SECONDS,
    BENCHMARK,
    JSON,
    HELP,
};

static const struct option table[] = {
    {"pool", required_argument, NULL, POOL},
    {"identity", required_argument, NULL, IDENTITY},
    {"user", required_argument, NULL, USER},
    {"worker", required_argument, NULL, WORKER},
    {"device", required_argument, NULL, DEVICE},
    {"threads", required_argument, NULL, THREADS},
    {"intensity", required_argument, NULL, INTENSITY},
    {"extended", no_argument, NULL, EXTENDED},
    {"seconds", required_argument, NULL, SECONDS},
    {"benchmark", no_argument, NULL, BENCHMARK},
    {"json", no_argument, NULL, JSON},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

static owm_status number(const char *name, const char *text, unsigned max, unsigned *out,
                         struct owm_error *error)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value > max)
        return owm_fail(error, OWM_E_CONFIG, "--%s is a number from 0 to %u, not '%.40s'", name,
                        max, text);
    *out = (unsigned)value;
    return OWM_OK;
}

static owm_status add_pool(struct options *options, const char *url, struct owm_error *error)
{
    if (options->pool_count == OWM_MINE_POOLS_MAX)
        return owm_fail(error, OWM_E_CONFIG, "at most %d pools", OWM_MINE_POOLS_MAX);
    options->urls[options->pool_count] = url;
    return owm_mine_pool_parse(url, &options->pools[options->pool_count++], error);
}

static owm_status take(struct options *options, int id, struct owm_error *error)
{
    switch (id) {
    case POOL:
        return add_pool(options, optarg, error);
    case IDENTITY:
        options->identity = optarg;
        return OWM_OK;
    case USER:
        options->user = optarg;
        return OWM_OK;
    case WORKER:
        options->worker = optarg;
        return OWM_OK;
    case DEVICE:
        options->devices = optarg;
        return OWM_OK;
    case THREADS:
        return number("threads", optarg, OWM_MINE_SCANNERS_MAX, &options->threads, error);
    case INTENSITY:
        return number("intensity", optarg, 100, &options->intensity, error);
    case SECONDS:
        return number("seconds", optarg, 100000000, &options->seconds, error);
    case EXTENDED:
        options->extended = true;
        return OWM_OK;
    case BENCHMARK:
        options->benchmark = true;
        return OWM_OK;
    case JSON:
        options->json = true;
        return OWM_OK;
    case HELP:
        options->help = true;
        return OWM_OK;
    default:
        return owm_fail(error, OWM_E_CONFIG, "see 'owm-mine --help'");
    }
}

static owm_status check(const struct options *options, struct owm_error *error)
{
    if (options->help || options->benchmark) return OWM_OK;
    if (options->pool_count == 0)
        return owm_fail(error, OWM_E_CONFIG,
                        "which pool? --pool stratum2+tcp://HOST:3333/AUTHORITY_KEY");
    if ((options->identity == NULL) == (options->user == NULL))
        return owm_fail(error, OWM_E_CONFIG,
                        "say who you are: --identity FILE (an OWM node) or --user NAME, one of "
                        "them");
    if (strlen(options->worker) > 63 || options->worker[0] == '\0')
        return owm_fail(error, OWM_E_CONFIG, "--worker has 1 to 63 letters");
    return OWM_OK;
}

owm_status options_parse(int argc, char **argv, struct options *options, struct owm_error *error)
{
    *options = (struct options){.devices = "all", .intensity = 100, .worker = "owm-mine"};
    optind = 1;
    int id;
    while ((id = getopt_long(argc, argv, "", table, NULL)) != -1) {
        owm_status status = take(options, id, error);
        if (status != OWM_OK) return status;
    }
    if (optind < argc)
        return owm_fail(error, OWM_E_CONFIG, "'%.100s' belongs to no option", argv[optind]);
    return check(options, error);
}
