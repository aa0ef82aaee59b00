/* options.c: getopt_long, with ranges that say what is allowed. */
#include "options.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lightning/rig.h"

void options_help(void)
{
    puts(
        "owm-devnet: a whole OWM network on this machine (development network).\n"
        "\n"
        "  owm-devnet up [--nodes N] [--rounds N] [--poison N] [--tier2 N] [--no-mining] "
        "[--fresh] [--target BITS]\n"
        "      start PostgreSQL, the coordinator and N nodes (4) that train one model together;\n"
        "      a mining pool on a regtest chain, with a slow miner; a calendar for its versions.\n"
        "      --rounds N   end after N rounds, print a summary, exit 0 only if it all holds\n"
        "      --poison N   N of the nodes send poisoned updates; see them caught\n"
        "      --tier2 N    N of the nodes, from the last, are of tier 2: if they are caught, two\n"
        "                   maintainers decide (admin slash)\n"
        "      --no-mining  learning alone: no blocks, no pool, no miner; the calendar's\n"
        "                   promises stay promises\n"
        "      --lightning DIR  real Lightning nodes, started from the lnd, lncli and btcd in DIR\n"
        "                   (tests/peers/lightning.sh prints it): nodes have stakes and are paid\n"
        "      --fresh      a new network; the old one is kept as run.old-…\n"
        "      --target B   with --rounds: held-out bits per byte to get below (3.5)\n"
        "  owm-devnet ask \"TEXT\" [--tokens N] [--temperature T] [--seed S]\n"
        "      a task for the newest checkpoint; the answer streams here\n"
        "  owm-devnet status\n"
        "      rounds, nodes, earnings, proofs of versions, the pool's shares, blocks and sats\n"
        "  owm-devnet admin recompute [--from DAY] [--to DAY] [--journal DIR]\n"
        "      every sat that the pool credited once more, from the shares: of the network in\n"
        "      --folder, running or not, or of the database in DATABASE_URL\n"
        "  owm-devnet admin slash list|show|ack|dismiss|overturn [CASE]\n"
        "  owm-devnet admin evidence verify HASH, admin log verify URL, admin key\n"
        "      owm-admin (see its --help) on the network in --folder, as its operator;\n"
        "      --key FOLDER/maintainer.key is the second maintainer\n"
        "\n"
        "  --folder DIR     where the network lives (run)");
}

const char *options_tier(const struct options *options, unsigned index)
{
    return index >= options->nodes - options->tier2 ? "t2" : "t1";
}

static owm_status number(const char *name, const char *text, double min, double max, double *out,
                         struct owm_error *error)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value < min || value > max)
        return owm_fail(error, OWM_E_CONFIG, "--%s %s: a number from %g to %g is needed", name,
                        text, min, max);
    *out = value;
    return OWM_OK;
}

static owm_status whole(const char *name, const char *text, unsigned min, unsigned max,
                        unsigned *out, struct owm_error *error)
{
    double value = 0;
    owm_status status = number(name, text, min, max, &value, error);
    if (status == OWM_OK && value != floor(value))
        status = owm_fail(error, OWM_E_CONFIG, "--%s %s: a whole number is needed", name, text);
    if (status == OWM_OK) *out = (unsigned)value;
    return status;
}

static owm_status verb_of(const char *word, struct options *options, struct owm_error *error)
{
    static const struct {
        const char *word;
        enum verb verb;
    } verbs[] = {{"up", VERB_UP},       {"ask", VERB_ASK},   {"status", VERB_STATUS},
                 {"admin", VERB_ADMIN}, {"help", VERB_HELP}, {"--help", VERB_HELP},
                 {"-h", VERB_HELP}};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(word, verbs[i].word)) continue;
        options->verb = verbs[i].verb;
        return OWM_OK;
    }
    return owm_fail(error, OWM_E_CONFIG, "no verb '%s'; there are up, ask, status, admin and help",
                    word);
}

static owm_status take(int option, struct options *o, struct owm_error *error)
{
    double value = 0;
    owm_status status = OWM_OK;
    switch (option) {
    case 'n':
        return whole("nodes", optarg, 1, DEVNET_NODES_MAX, &o->nodes, error);
    case 'r':
        return whole("rounds", optarg, 1, 100000, &o->rounds, error);
    case 'p':
        return whole("poison", optarg, 0, DEVNET_NODES_MAX, &o->poison, error);
    case '2':
        return whole("tier2", optarg, 0, DEVNET_NODES_MAX, &o->tier2, error);
    case 'k':
        return whole("tokens", optarg, 1, 4096, &o->tokens, error);
    case 't':
        return number("temperature", optarg, 0, 10, &o->temperature, error);
    case 'b':
        return number("target", optarg, 0, 8, &o->target, error);
    case 's':
        status = number("seed", optarg, 0, 9e15, &value, error);
        o->seed = (uint64_t)value;
        return status;
    case 'f':
        o->folder = optarg;
        return OWM_OK;
    case 'm':
        o->no_mining = true;
        return OWM_OK;
    case 'l':
        o->lightning = optarg;
        return OWM_OK;
    case 'a':
        o->from = optarg;
        return OWM_OK;
    case 'z':
        o->to = optarg;
        return OWM_OK;
    case 'j':
        o->journal = optarg;
        return OWM_OK;
    case 'F':
        o->fresh = true;
        return OWM_OK;
    case 'h':
        o->verb = VERB_HELP;
        return OWM_OK;
    default:
        return owm_fail(error, OWM_E_CONFIG, "see `./owm help` for what may be said");
    }
}

owm_status options_parse(int argc, char **argv, struct options *o, struct owm_error *error)
{
    static const struct option known[] = {{"nodes", required_argument, NULL, 'n'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {"poison", required_argument, NULL, 'p'},
                                          {"tier2", required_argument, NULL, '2'},
                                          {"tokens", required_argument, NULL, 'k'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"temperature", required_argument, NULL, 't'},
                                          {"target", required_argument, NULL, 'b'},
                                          {"folder", required_argument, NULL, 'f'},
                                          {"fresh", no_argument, NULL, 'F'},
                                          {"no-mining", no_argument, NULL, 'm'},
                                          {"lightning", required_argument, NULL, 'l'},
                                          {"from", required_argument, NULL, 'a'},
                                          {"to", required_argument, NULL, 'z'},
                                          {"journal", required_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct options){
        .folder = "run", .nodes = 4, .target = 3.5, .tokens = 200, .temperature = 0.8, .seed = 1};
    if (argc < 2) return OWM_OK;
    owm_status status = verb_of(argv[1], o, error);
    int option;
    optind = 2;
    while (status == OWM_OK && (option = getopt_long(argc, argv, "h", known, NULL)) != -1)
        status = take(option, o, error);
    if (status) return status;
    if (o->verb == VERB_ASK && optind < argc) o->text = argv[optind++];
    if (o->verb == VERB_ASK && (!o->text || !*o->text))
        return owm_fail(error, OWM_E_CONFIG, "what shall be asked? ./owm ask \"TEXT\"");
    if (o->verb == VERB_ADMIN && (optind == argc || strcmp(argv[optind++], "recompute")))
        return owm_fail(error, OWM_E_CONFIG,
                        "there are ./owm admin recompute --from DAY --to DAY, and slash, "
                        "evidence, log, key");
    if (optind < argc)
        return owm_fail(error, OWM_E_CONFIG, "'%s' is not understood here", argv[optind]);
    if (o->lightning && o->nodes > RIG_OPERATORS_MAX)
        return owm_fail(error, OWM_E_CONFIG, "--lightning starts at most %d nodes",
                        RIG_OPERATORS_MAX);
    if (o->tier2 > o->nodes)
        return owm_fail(error, OWM_E_CONFIG, "--tier2 %u: there are only %u nodes", o->tier2,
                        o->nodes);
    if (o->poison > o->nodes)
        return owm_fail(error, OWM_E_CONFIG, "--poison %u: there are only %u nodes", o->poison,
                        o->nodes);
    return OWM_OK;
}
