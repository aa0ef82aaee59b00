/* options.c: the command line's words into a struct. */
#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "network.h"

static const char help[] =
    "owm-ots: prove that a file existed, with OpenTimestamps and Bitcoin.\n"
    "\n"
    "  owm-ots stamp FILE…        ask calendars to put its hash into a block; writes FILE.ots\n"
    "  owm-ots upgrade FILE.ots…  fetch the way into the block when it is mined\n"
    "  owm-ots verify FILE.ots…   check the file beside it and the block\n"
    "  owm-ots info FILE.ots…     show what is in a proof\n"
    "  owm-ots headers            build or extend the file of block headers from a node\n"
    "  owm-ots calendar           be a calendar; see owm-ots calendar --help\n"
    "\n"
    "  --calendar URL        a calendar to ask, and to trust for upgrades; again for more. "
    "Without\n"
    "                        it: the four public ones of the ots client\n"
    "  --needed N            how many calendars must answer a stamp (2, or all if there are "
    "fewer)\n"
    "  --timeout N           seconds for each calendar (5)\n"
    "  --ca-file FILE        authorities for HTTPS, in place of the system's\n"
    "  --bitcoin-rpc URL     a Bitcoin node: http://user:password@127.0.0.1:8332\n"
    "  --bitcoin-cookie FILE its cookie file, in place of user and password\n"
    "  --headers FILE        block headers, so that no node is needed; with --bitcoin-rpc it is\n"
    "                        extended first\n"
    "  --network NAME        main, testnet4, signet or regtest (main)\n"
    "  --file FILE           verify: the file that is proven, if it is not FILE of FILE.ots\n"
    "  --json                one JSON object a line\n"
    "  --help                this page\n"
    "\n"
    "Example: owm-ots stamp model.safetensors && owm-ots verify model.safetensors.ots \\\n"
    "             --headers ~/.owm/headers.dat --bitcoin-rpc http://127.0.0.1:8332 \\\n"
    "             --bitcoin-cookie ~/.bitcoin/.cookie\n"
    "Exit codes: 0 done, or all confirmed; 1 something fails; 2 wrong options; 3 something "
    "pends.\n";

void options_help(FILE *out)
{
    fputs(help, out);
}

enum option_id {
    CALENDAR = 256,
    NEEDED,
    TIMEOUT,
    CA_FILE,
    BITCOIN_RPC,
    BITCOIN_COOKIE,
    HEADERS,
    NETWORK,
    TARGET,
    JSON,
    HELP,
};

static const struct option table[] = {
    {"calendar", required_argument, NULL, CALENDAR},
    {"needed", required_argument, NULL, NEEDED},
    {"timeout", required_argument, NULL, TIMEOUT},
    {"ca-file", required_argument, NULL, CA_FILE},
    {"bitcoin-rpc", required_argument, NULL, BITCOIN_RPC},
    {"bitcoin-cookie", required_argument, NULL, BITCOIN_COOKIE},
    {"headers", required_argument, NULL, HEADERS},
    {"network", required_argument, NULL, NETWORK},
    {"file", required_argument, NULL, TARGET},
    {"json", no_argument, NULL, JSON},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

static owm_status number(const char *name, const char *text, unsigned max, unsigned *out,
                         struct owm_error *error)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value < 1 || value > max)
        return owm_fail(error, OWM_E_CONFIG, "--%s is a number from 1 to %u, not '%.40s'", name,
                        max, text);
    *out = (unsigned)value;
    return OWM_OK;
}

static owm_status calendar(struct options *options, const char *url, struct owm_error *error)
{
    if (options->own_count == OWM_OTS_CALENDARS_MAX)
        return owm_fail(error, OWM_E_CONFIG, "at most %d calendars", OWM_OTS_CALENDARS_MAX);
    if ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
        || strlen(url) > OWM_OTS_URI_BYTES_MAX)
        return owm_fail(error, OWM_E_CONFIG, "'%.100s' is no calendar; https://HOST is", url);
    options->own[options->own_count++] = url;
    return OWM_OK;
}

static owm_status take(struct options *options, int id, struct owm_error *error)
{
    switch (id) {
    case CALENDAR:
        return calendar(options, optarg, error);
    case NEEDED:
        return number("needed", optarg, OWM_OTS_CALENDARS_MAX, &options->needed, error);
    case TIMEOUT:
        return number("timeout", optarg, 600, &options->timeout_s, error);
    case CA_FILE:
        options->ca_file = optarg;
        return OWM_OK;
    case BITCOIN_RPC:
        options->bitcoin_rpc = optarg;
        return OWM_OK;
    case BITCOIN_COOKIE:
        options->bitcoin_cookie = optarg;
        return OWM_OK;
    case HEADERS:
        options->headers = optarg;
        return OWM_OK;
    case NETWORK:
        return network_of(optarg, &options->network, error);
    case TARGET:
        options->target = optarg;
        return OWM_OK;
    case JSON:
        options->json = true;
        return OWM_OK;
    case HELP:
        options->help = true;
        return OWM_OK;
    default:
        return owm_fail(error, OWM_E_CONFIG, "see 'owm-ots --help'");
    }
}

static owm_status check(const struct options *options, const char *word, struct owm_error *error)
{
    if (options->help) return OWM_OK;
    if (!options->command)
        return owm_fail(error, OWM_E_CONFIG, "%s%.40s%s; see 'owm-ots --help'", word ? "'" : "",
                        word ? word : "which command", word ? "' is no command" : "?");
    bool headers = strcmp(options->command->name, "headers") == 0;
    if (headers && (!options->headers || !options->bitcoin_rpc))
        return owm_fail(error, OWM_E_CONFIG, "headers needs --headers FILE and --bitcoin-rpc URL");
    if (!headers && options->file_count == 0)
        return owm_fail(error, OWM_E_CONFIG, "%s needs the name of a file", options->command->name);
    if (options->file_count > OPTIONS_FILES_MAX)
        return owm_fail(error, OWM_E_CONFIG, "at most %d files at once", OPTIONS_FILES_MAX);
    if (options->target && options->file_count > 1)
        return owm_fail(error, OWM_E_CONFIG, "--file goes with one proof");
    return OWM_OK;
}

owm_status options_parse(int argc, char **argv, struct options *options, struct owm_error *error)
{
    *options = (struct options){.network = OWM_MAINNET, .timeout_s = 5};
    optind = 1;
    int id;
    while ((id = getopt_long(argc, argv, "", table, NULL)) != -1) {
        owm_status status = take(options, id, error);
        if (status != OWM_OK) return status;
    }
    const char *word = optind < argc ? argv[optind] : NULL;
    for (const struct command *c = commands; word && c->name; c++)
        if (strcmp(word, c->name) == 0) options->command = c;
    if (word) optind++;
    options->files = argv + optind;
    options->file_count = (size_t)(argc - optind);
    return check(options, word, error);
}

struct owm_ots_calendars options_calendars(const struct options *options)
{
    return (struct owm_ots_calendars){
        .own = options->own,
        .own_count = options->own_count,
        .ca_file = options->ca_file,
        .deadline_ms = 1000 * options->timeout_s,
    };
}
