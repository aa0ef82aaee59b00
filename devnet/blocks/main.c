/* main.c: owm-devnet-blocks: options, chain, cookie, server; then it waits for a signal. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/signals.h"
#include "rpc.h"
#include "template.h"

#define PORT_DEFAULT        18443 /* Bitcoin Core's on regtest. */
#define SPENDS_DEFAULT      5
#define PATH_BYTES_MAX      1024
#define COOKIE_USER         "__cookie__"
#define COOKIE_SECRET_BYTES 32

struct options {
    const char *folder, *user, *password, *endpoint;
    uint32_t port, bits, halvings, spends_max;
    bool help;
};

static void help(void)
{
    puts("owm-devnet-blocks: a development block source. It is no Bitcoin node: it has no peers, "
         "its\n"
         "wallet has no keys, and it judges no script but OP_TRUE. It speaks Bitcoin Core's "
         "JSON-RPC\n"
         "as far as a mining pool and a calendar need it, and checks every submitted block and\n"
         "transaction otherwise fully.\n"
         "\n"
         "  owm-devnet-blocks --folder DIR [options]\n"
         "\n"
         "  --folder DIR             where the chain (blocks.dat), what was sent (sent.dat) and "
         "the\n"
         "                           cookie lie; made if missing\n"
         "  --port N                 JSON-RPC on 127.0.0.1 (18443; 0: any, see the log)\n"
         "  --bits HEX               difficulty behind the premined blocks (207fffff: every\n"
         "                           second hash is a block; 1e00ffff: one of 16 million;\n"
         "                           1d00ffff: one of 4 billion)\n"
         "  --halvings N             a chain begins with 150 premined blocks for each, at least\n"
         "                           200, so that blocks are worth less (0 to 32; 18: 19073 sats)\n"
         "  --transactions N         templates hold up to N spends of premined coins (5, at most "
         "50)\n"
         "  --rpcuser U --rpcpassword P   instead of the cookie in DIR/.cookie\n"
         "  --zmqpubhashblock E      tell of new tips on E, as tcp://127.0.0.1:28332");
}

static owm_status number(const char *name, int base, uint32_t max, uint32_t *out,
                         struct owm_error *error)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(optarg, &end, base);
    if (errno || end == optarg || *end || *optarg == '-' || value > max)
        return owm_fail(error, OWM_E_CONFIG,
                        base == 16 ? "--%s %s: a hex number up to %x is needed"
                                   : "--%s %s: a number up to %u is needed",
                        name, optarg, max);
    *out = (uint32_t)value;
    return OWM_OK;
}

static owm_status take(int option, struct options *o, struct owm_error *error)
{
    switch (option) {
    case 'f':
        o->folder = optarg;
        return OWM_OK;
    case 'p':
        return number("port", 10, UINT16_MAX, &o->port, error);
    case 'b':
        return number("bits", 16, UINT32_MAX, &o->bits, error);
    case 'n':
        return number("halvings", 10, CHAIN_HALVINGS_MAX, &o->halvings, error);
    case 't':
        return number("transactions", 10, TEMPLATE_SPENDS_MAX, &o->spends_max, error);
    case 'u':
        o->user = optarg;
        return OWM_OK;
    case 'w':
        o->password = optarg;
        return OWM_OK;
    case 'z':
        o->endpoint = optarg;
        return OWM_OK;
    case 'h':
        o->help = true;
        return OWM_OK;
    default:
        return owm_fail(error, OWM_E_CONFIG, "see --help");
    }
}

static owm_status parse(int argc, char **argv, struct options *o, struct owm_error *error)
{
    static const struct option known[] = {
        {"folder", required_argument, NULL, 'f'},
        {"port", required_argument, NULL, 'p'},
        {"bits", required_argument, NULL, 'b'},
        {"halvings", required_argument, NULL, 'n'},
        {"transactions", required_argument, NULL, 't'},
        {"rpcuser", required_argument, NULL, 'u'},
        {"rpcpassword", required_argument, NULL, 'w'},
        {"zmqpubhashblock", required_argument, NULL, 'z'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    owm_status status = OWM_OK;
    *o = (struct options){
        .port = PORT_DEFAULT, .bits = CHAIN_REGTEST_BITS, .spends_max = SPENDS_DEFAULT};
    while (status == OWM_OK && (option = getopt_long(argc, argv, "h", known, NULL)) != -1)
        status = take(option, o, error);
    if (status != OWM_OK || o->help) return status;
    if (optind < argc) return owm_fail(error, OWM_E_CONFIG, "'%s': see --help", argv[optind]);
    if (!o->folder) return owm_fail(error, OWM_E_CONFIG, "--folder DIR is needed; see --help");
    if (!o->user != !o->password)
        return owm_fail(error, OWM_E_CONFIG, "--rpcuser and --rpcpassword go together");
    return OWM_OK;
}

static owm_status path_in(const struct options *o, const char *name, char path[PATH_BYTES_MAX],
                          struct owm_error *error)
{
    int bytes = snprintf(path, PATH_BYTES_MAX, "%s/%s", o->folder, name);
    return bytes > 0 && bytes < PATH_BYTES_MAX
               ? OWM_OK
               : owm_fail(error, OWM_E_CONFIG, "--folder: the path is too long");
}

/* A fresh secret for each run, in a file that only its owner reads. */
static owm_status make_cookie(struct rpc *rpc, const char *path, struct owm_error *error)
{
    uint8_t secret[COOKIE_SECRET_BYTES];
    char hex[2 * COOKIE_SECRET_BYTES + 1], line[sizeof COOKIE_USER + sizeof hex];
    if (getrandom(secret, sizeof secret, 0) != (ssize_t)sizeof secret)
        return owm_fail(error, OWM_E_IO, "no randomness for the cookie: %s", strerror(errno));
    owm_hex_encode(secret, sizeof secret, hex);
    OWM_ASSERT(rpc_expect(rpc, COOKIE_USER, hex));
    int bytes = snprintf(line, sizeof line, "%s:%s", COOKIE_USER, hex);
    return owm_fs_write_atomic(path, line, (size_t)bytes, 0600, error);
}

static owm_status prepare(struct rpc *rpc, const struct options *o, const char *cookie,
                          struct owm_error *error)
{
    char blocks[PATH_BYTES_MAX], sent[PATH_BYTES_MAX];
    const struct chain_options chain = {.path = blocks, .bits = o->bits, .halvings = o->halvings};
    rpc->spends_max = o->spends_max;
    owm_status status = path_in(o, "blocks.dat", blocks, error);
    if (status == OWM_OK) status = path_in(o, "sent.dat", sent, error);
    if (status == OWM_OK) status = owm_fs_mkdirs(o->folder, 0700, error);
    if (status == OWM_OK) status = chain_open(&chain, &rpc->chain, error);
    if (status == OWM_OK) status = mempool_open(sent, rpc->chain, &rpc->mempool, error);
    if (status == OWM_OK && o->endpoint) status = publish_open(o->endpoint, &rpc->publisher, error);
    if (status != OWM_OK) return status;
    if (!o->user) return make_cookie(rpc, cookie, error);
    return rpc_expect(rpc, o->user, o->password)
               ? OWM_OK
               : owm_fail(error, OWM_E_CONFIG, "--rpcuser and --rpcpassword are too long");
}

static owm_status serve(struct rpc *rpc, const struct options *o, struct owm_error *error)
{
    const struct owm_http_route route = {"POST", "/", rpc_handle, rpc};
    const struct owm_http_server_options http = {.port = (uint16_t)o->port,
                                                 .port_key = "--port",
                                                 .routes = &route,
                                                 .route_count = 1,
                                                 .body_bytes_max = RPC_BODY_BYTES_MAX};
    const uint32_t height =
        chain_tip(rpc->chain)->height; /* Once it serves, only the server looks. */
    owm_http_server *server;
    owm_signals_block();
    owm_status status = owm_http_server_open(&http, &server, error);
    if (status != OWM_OK) return status;
    owm_log(OWM_LOG_INFO,
            "a development block source, no Bitcoin node: port=%u height=%u bits=%08x",
            owm_http_server_port(server), height, o->bits);
    while (!owm_signals_wait(60000)) continue;
    owm_http_server_close(server);
    return OWM_OK;
}

int main(int argc, char **argv)
{
    struct options o;
    struct rpc rpc = {0};
    struct owm_error error = {""};
    char cookie[PATH_BYTES_MAX] = "";
    owm_log_program_set("owm-devnet-blocks");
    owm_status status = parse(argc, argv, &o, &error);
    if (status == OWM_OK && o.help) {
        help();
        return 0;
    }
    if (status == OWM_OK) status = path_in(&o, ".cookie", cookie, &error);
    if (status == OWM_OK) status = prepare(&rpc, &o, cookie, &error);
    if (status == OWM_OK) status = serve(&rpc, &o, &error);
    if (status != OWM_OK) owm_log(OWM_LOG_ERROR, "%s", error.text);
    if (status == OWM_OK && !o.user) unlink(cookie);
    publish_close(rpc.publisher);
    mempool_close(rpc.mempool);
    chain_close(rpc.chain);
    return status == OWM_OK ? 0 : 1;
}
