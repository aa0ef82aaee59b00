/* options.c: getopt_long; options may stand anywhere, words are in order. */
#include "controlplane/admin/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void owm_admin_help(void)
{
    puts(
        "owm-admin: slashing cases, their evidence, and the public log, for maintainers.\n"
        "\n"
        "  owm-admin slash list                 cases that have not ended\n"
        "  owm-admin slash show CASE            one case: signals, evidence, who said what\n"
        "  owm-admin slash ack CASE             it shall be slashed: replays the evidence first, "
        "and\n"
        "                                       signs only if it holds\n"
        "  owm-admin slash dismiss CASE         an open case shall be dropped\n"
        "  owm-admin slash overturn CASE        a decided case shall be taken back, after an "
        "appeal\n"
        "      CASE is a case's id, or enough of its beginning. --reason TEXT goes along.\n"
        "      --anyway signs although the evidence could not be replayed.\n"
        "  owm-admin evidence verify HASH|FILE  replay a piece of evidence; exit code 0: it "
        "holds,\n"
        "                                       1: it does not, 3: it could not be decided\n"
        "      --heldout FILE, --heldout-bytes N (65536): the coordinator's held-out text, and "
        "how\n"
        "      much of it is used; needed where the signal is about the held-out loss\n"
        "  owm-admin log verify URL|FILE        check the public log: order, chain, signatures\n"
        "  owm-admin key                        print the public keys of --key and --certificate\n"
        "\n"
        "  --coordinator HOST:PORT  its internal service (127.0.0.1:9001)\n"
        "  --certificate FILE       its certificate (coordinator.crt): the one that is trusted\n"
        "  --key FILE               your own identity, one person, one key "
        "(~/.owm/maintainer.key)\n"
        "  --coordinator-key HEX    the coordinator's public key, where there is no certificate\n"
        "\n"
        "The environment may hold OWM_ADMIN_COORDINATOR, OWM_ADMIN_CERTIFICATE and OWM_ADMIN_KEY.");
}

static const char *from_environment(const char *name, const char *fallback)
{
    const char *value = getenv(name);
    return value && *value ? value : fallback;
}

static owm_status take(int option, struct owm_admin_options *o, struct owm_error *error)
{
    char *end = NULL;
    switch (option) {
    case 'c':
        o->coordinator = optarg;
        return OWM_OK;
    case 't':
        o->certificate = optarg;
        return OWM_OK;
    case 'k':
        o->key = optarg;
        return OWM_OK;
    case 'K':
        o->coordinator_key = optarg;
        return OWM_OK;
    case 'r':
        o->reason = optarg;
        return OWM_OK;
    case 'e':
        o->heldout = optarg;
        return OWM_OK;
    case 'b':
        o->heldout_bytes = strtoul(optarg, &end, 10);
        if (*optarg >= '1' && *optarg <= '9' && !*end) return OWM_OK;
        return owm_fail(error, OWM_E_CONFIG, "--heldout-bytes %s: a number is needed", optarg);
    case 'a':
        o->anyway = true;
        return OWM_OK;
    case 'h':
        o->help = true;
        return OWM_OK;
    default:
        return owm_fail(error, OWM_E_CONFIG, "see 'owm-admin --help'");
    }
}

owm_status owm_admin_options_parse(int argc, char **argv, struct owm_admin_options *o,
                                   struct owm_error *error)
{
    static const struct option known[] = {{"coordinator", required_argument, NULL, 'c'},
                                          {"certificate", required_argument, NULL, 't'},
                                          {"key", required_argument, NULL, 'k'},
                                          {"coordinator-key", required_argument, NULL, 'K'},
                                          {"reason", required_argument, NULL, 'r'},
                                          {"heldout", required_argument, NULL, 'e'},
                                          {"heldout-bytes", required_argument, NULL, 'b'},
                                          {"anyway", no_argument, NULL, 'a'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct owm_admin_options){
        .words = {"", "", ""},
        .coordinator = from_environment("OWM_ADMIN_COORDINATOR", "127.0.0.1:9001"),
        .certificate = from_environment("OWM_ADMIN_CERTIFICATE", ""),
        .key = from_environment("OWM_ADMIN_KEY", "~/.owm/maintainer.key"),
        .reason = "",
        .heldout_bytes = 65536,
    };
    owm_status status = OWM_OK;
    int option, count = 0;
    while (status == OWM_OK && (option = getopt_long(argc, argv, "h", known, NULL)) != -1)
        status = take(option, o, error);
    for (; status == OWM_OK && optind < argc; optind++) {
        if (count == OWM_ADMIN_WORDS_MAX)
            return owm_fail(error, OWM_E_CONFIG, "'%s' is not understood here", argv[optind]);
        o->words[count++] = argv[optind];
    }
    if (count == 0 || (count == 1 && strcmp(o->words[0], "help") == 0)) o->help = true;
    return status;
}
