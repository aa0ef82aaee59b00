/* config.c: words into a struct, each checked where it is read. */
#include "config.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/ots/attestation.h"
#include "ots/network.h"
#include "quota.h"

#define INTERVAL_S    21600
#define REPLACE_S     3600
#define POLL_MS       5000
#define FEE_SAT_MAX   50000
#define FEE_RATE_MAX  200
#define PER_MINUTE    600
#define PER_SECOND    1000
#define DAYS_30_S     2592000
#define FEE_SAT_LIMIT 100000000

static const char help[] =
    "owm-ots calendar: an OpenTimestamps calendar of your own.\n"
    "\n"
    "It takes hashes from `owm-ots stamp` or `ots stamp`, promises to put them into a Bitcoin\n"
    "block, and does so: all promises of some hours go into one small transaction, which the\n"
    "wallet of your Bitcoin node pays for. A promise is on disk before it is given.\n"
    "\n"
    "  owm-ots calendar --folder DIR --uri URL [options]\n"
    "\n"
    "  --folder DIR          where promises and the secret key are kept; made if missing. Back it\n"
    "                        up: with hmac-key lost promises are known again, without it not\n"
    "  --uri URL             what stands in every promise and must lead here for ever:\n"
    "                        https://ots.example.org\n"
    "  --listen HOST:PORT    numeric address and port (127.0.0.1:14788); TLS is what a proxy in\n"
    "                        front of it does\n"
    "  --proxy ADDRESS       the proxy's numeric address: of it X-Forwarded-For is believed, so\n"
    "                        that limits count its clients\n"
    "  --rate N              requests a minute of one address (600; 0: no limit)\n"
    "  --rate-all N          requests a second of all together (1000; 0: no limit)\n"
    "\n"
    "  --bitcoin-rpc URL     your node, with the wallet that pays:\n"
    "                        http://127.0.0.1:8332/wallet/calendar. Without it promises wait\n"
    "  --bitcoin-cookie FILE the node's cookie file; or name user and password in the URL, where\n"
    "                        others on this machine can see them\n"
    "  --network NAME        main, testnet4, signet or regtest (main)\n"
    "  --interval S          seconds between two transactions (21600, six hours); none is sent\n"
    "                        while nothing waits\n"
    "  --fee-max SATS        of one transaction, replacements included: never more (50000)\n"
    "  --fee-rate-max N      sat/vB: never more (200)\n"
    "  --replace S           seconds until one that no block takes is replaced by one with a\n"
    "                        higher fee (3600)\n"
    "  --poll MS             between two looks at the chain (5000)\n"
    "  --help                this page\n"
    "\n"
    "Try it:   owm-ots calendar --folder /tmp/cal --uri http://127.0.0.1:14788\n"
    "          owm-ots stamp --calendar http://127.0.0.1:14788 FILE\n"
    "For good: bitcoin-cli createwallet calendar, send it some sats, then\n"
    "          owm-ots calendar --folder ~/.owm/calendar --uri https://ots.example.org \\\n"
    "              --proxy 127.0.0.1 --bitcoin-rpc http://127.0.0.1:8332/wallet/calendar \\\n"
    "              --bitcoin-cookie ~/.bitcoin/.cookie\n"
    "Look:     /  page;  /health  JSON;  /metrics  Prometheus.   Stop: Ctrl-C or SIGTERM.\n"
    "More:     docs/calendar.md. Exit codes: 0 stopped; 1 something fails; 2 wrong options.\n";

void calendar_config_help(FILE *out)
{
    fputs(help, out);
}

enum option_id {
    FOLDER = 256,
    URI,
    LISTEN,
    PROXY,
    RATE,
    RATE_ALL,
    BITCOIN_RPC,
    BITCOIN_COOKIE,
    NETWORK,
    INTERVAL,
    FEE_MAX,
    FEE_RATE,
    REPLACE,
    POLL,
    HELP,
};

static const struct option table[] = {
    {"folder", required_argument, NULL, FOLDER},
    {"uri", required_argument, NULL, URI},
    {"listen", required_argument, NULL, LISTEN},
    {"proxy", required_argument, NULL, PROXY},
    {"rate", required_argument, NULL, RATE},
    {"rate-all", required_argument, NULL, RATE_ALL},
    {"bitcoin-rpc", required_argument, NULL, BITCOIN_RPC},
    {"bitcoin-cookie", required_argument, NULL, BITCOIN_COOKIE},
    {"network", required_argument, NULL, NETWORK},
    {"interval", required_argument, NULL, INTERVAL},
    {"fee-max", required_argument, NULL, FEE_MAX},
    {"fee-rate-max", required_argument, NULL, FEE_RATE},
    {"replace", required_argument, NULL, REPLACE},
    {"poll", required_argument, NULL, POLL},
    {"help", no_argument, NULL, HELP},
    {NULL, 0, NULL, 0},
};

/* ---------------------------------------------------------------------------- values */

struct range {
    const char *option;
    unsigned min, max;
};

static owm_status number(const struct range *range, unsigned *out, struct owm_error *error)
{
    char *end;
    unsigned long long value = strtoull(optarg, &end, 10);
    if (*optarg < '0' || *optarg > '9' || *end != '\0' || value < range->min || value > range->max)
        return owm_fail(error, OWM_E_CONFIG, "--%s is a number from %u to %u, not '%.40s'",
                        range->option, range->min, range->max, optarg);
    *out = (unsigned)value;
    return OWM_OK;
}

static owm_status satoshis(const struct range *range, uint64_t *out, struct owm_error *error)
{
    unsigned value = 0;
    owm_status status = number(range, &value, error);
    if (status == OWM_OK) *out = value;
    return status;
}

static bool is_address(const char *text)
{
    struct in6_addr address;
    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

/* A promise is asked for at URI + "/timestamp/…". */
static owm_status uri(struct calendar_config *config, struct owm_error *error)
{
    struct owm_ots_attestation promise;
    size_t length = strlen(optarg);
    bool http = strncmp(optarg, "https://", 8) == 0 || strncmp(optarg, "http://", 7) == 0;
    if (!http || optarg[length - 1] == '/' || length > OWM_OTS_URI_BYTES_MAX
        || owm_ots_pending(optarg, &promise, NULL) != OWM_OK)
        return owm_fail(error, OWM_E_CONFIG,
                        "--uri '%.100s' can be in no promise; it is like https://ots.example.org, "
                        "of A-Z a-z 0-9 - . _ / : alone and without a / at its end",
                        optarg);
    config->uri = optarg;
    return OWM_OK;
}

static owm_status listen_at(struct calendar_config *config, struct owm_error *error)
{
    const char *colon = strrchr(optarg, ':');
    const char *begin = optarg[0] == '[' ? optarg + 1 : optarg;
    const char *end = colon && optarg[0] == '[' ? colon - 1 : colon;
    char *behind = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &behind, 10) : 0;
    bool good = colon && end > begin && (size_t)(end - begin) < sizeof config->bind
                && colon[1] >= '0' && colon[1] <= '9' && *behind == '\0' && port <= UINT16_MAX;
    if (good) {
        memcpy(config->bind, begin, (size_t)(end - begin));
        config->bind[end - begin] = '\0';
        config->port = (uint16_t)port;
    }
    if (!good || !is_address(config->bind))
        return owm_fail(error, OWM_E_CONFIG,
                        "--listen '%.100s' is no numeric address with a port; 127.0.0.1:14788 and "
                        "[::1]:14788 are",
                        optarg);
    return OWM_OK;
}

static owm_status proxy(struct calendar_config *config, struct owm_error *error)
{
    config->proxy = optarg;
    return is_address(optarg)
               ? OWM_OK
               : owm_fail(error, OWM_E_CONFIG, "--proxy '%.100s' is no numeric address", optarg);
}

static owm_status take_number(struct calendar_config *config, int id, struct owm_error *error)
{
    struct anchor_options *anchor = &config->anchor;
    switch (id) {
    case RATE:
        return number(&(struct range){"rate", 0, QUOTA_RATE_MAX}, &config->per_minute, error);
    case RATE_ALL:
        return number(&(struct range){"rate-all", 0, QUOTA_RATE_MAX}, &config->per_second, error);
    case INTERVAL:
        return number(&(struct range){"interval", 1, DAYS_30_S}, &anchor->interval_s, error);
    case REPLACE:
        return number(&(struct range){"replace", 1, DAYS_30_S}, &anchor->replace_s, error);
    case POLL:
        return number(&(struct range){"poll", 10, 3600000}, &anchor->poll_ms, error);
    case FEE_MAX:
        return satoshis(&(struct range){"fee-max", 1, FEE_SAT_LIMIT}, &anchor->fee_sat_max, error);
    default:
        return satoshis(&(struct range){"fee-rate-max", 1, 100000}, &anchor->fee_rate_max, error);
    }
}

static owm_status take(struct calendar_config *config, int id, struct owm_error *error)
{
    switch (id) {
    case FOLDER:
        config->folder = optarg;
        return OWM_OK;
    case URI:
        return uri(config, error);
    case LISTEN:
        return listen_at(config, error);
    case PROXY:
        return proxy(config, error);
    case BITCOIN_RPC:
        config->anchor.bitcoin_rpc = optarg;
        return OWM_OK;
    case BITCOIN_COOKIE:
        config->anchor.bitcoin_cookie = optarg;
        return OWM_OK;
    case NETWORK:
        config->network_name = optarg;
        return network_of(optarg, &config->anchor.network, error);
    case HELP:
        config->help = true;
        return OWM_OK;
    case '?':
        return owm_fail(error, OWM_E_CONFIG, "see 'owm-ots calendar --help'");
    default:
        return take_number(config, id, error);
    }
}

static owm_status check(const struct calendar_config *config, struct owm_error *error)
{
    if (config->help) return OWM_OK;
    if (!config->folder || !config->uri)
        return owm_fail(error, OWM_E_CONFIG,
                        "calendar needs --folder DIR and --uri URL; see 'owm-ots calendar --help'");
    if (config->anchor.bitcoin_cookie && !config->anchor.bitcoin_rpc)
        return owm_fail(error, OWM_E_CONFIG, "--bitcoin-cookie goes with --bitcoin-rpc");
    return OWM_OK;
}

owm_status calendar_config_parse(int argc, char **argv, struct calendar_config *config,
                                 struct owm_error *error)
{
    *config = (struct calendar_config){
        .bind = "127.0.0.1",
        .port = 14788,
        .network_name = "main",
        .per_minute = PER_MINUTE,
        .per_second = PER_SECOND,
        .anchor = {.network = OWM_MAINNET,
                   .interval_s = INTERVAL_S,
                   .replace_s = REPLACE_S,
                   .poll_ms = POLL_MS,
                   .fee_sat_max = FEE_SAT_MAX,
                   .fee_rate_max = FEE_RATE_MAX},
    };
    optind = 1;
    int id;
    while ((id = getopt_long(argc, argv, "", table, NULL)) != -1) {
        owm_status status = take(config, id, error);
        if (status != OWM_OK) return status;
    }
    if (optind < argc)
        return owm_fail(error, OWM_E_CONFIG, "'%.40s' is no option; see 'owm-ots calendar --help'",
                        argv[optind]);
    return check(config, error);
}
