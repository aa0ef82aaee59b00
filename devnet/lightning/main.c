/* main.c: owm-devnet-lightning: a Lightning network by itself, to try parts of OWM against. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "rig.h"

#define BLOCK_EVERY_MS 5000
#define LOOK_EVERY_MS  500

struct options {
    const char *folder, *programs;
    unsigned operators;
    long long stake_sats, payout_sats;
    bool help;
};

static volatile sig_atomic_t ending;

static void on_signal(int signal)
{
    (void)signal;
    ending = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void help(void)
{
    puts("owm-devnet-lightning: a btcd on simnet, the treasury's lnd, and one lnd for each "
         "operator.\n"
         "\n"
         "  owm-devnet-lightning --folder DIR --programs DIR [options]\n"
         "\n"
         "  --folder DIR     where everything lies; goes on with what is there\n"
         "  --programs DIR   where lnd, lncli and btcd are: $(tests/peers/lightning.sh)\n"
         "  --operators N    how many operators (1)\n"
         "  --stake SATS     each opens a channel of this size to the treasury (0: none)\n"
         "  --payout SATS    the treasury opens one of this size to each of them (0: none)\n"
         "\n"
         "A block comes every 5 s. DIR/treasury/lncli and DIR/operator-1/lncli are each node's "
         "lncli.");
}

static owm_status whole(const char *name, long long max, long long *out, struct owm_error *error)
{
    char *end;
    long long value = strtoll(optarg, &end, 10);
    if (end == optarg || *end || value < 0 || value > max)
        return owm_fail(error, OWM_E_CONFIG, "--%s %s: a whole number up to %lld is needed", name,
                        optarg, max);
    *out = value;
    return OWM_OK;
}

static owm_status parse(int argc, char **argv, struct options *o, struct owm_error *error)
{
    static const struct option known[] = {{"folder", required_argument, NULL, 'f'},
                                          {"programs", required_argument, NULL, 'p'},
                                          {"operators", required_argument, NULL, 'o'},
                                          {"stake", required_argument, NULL, 's'},
                                          {"payout", required_argument, NULL, 'y'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    owm_status status = OWM_OK;
    long long operators = 1;
    int option;
    *o = (struct options){0};
    while (status == OWM_OK && (option = getopt_long(argc, argv, "h", known, NULL)) != -1) {
        if (option == 'f')
            o->folder = optarg;
        else if (option == 'p')
            o->programs = optarg;
        else if (option == 'o')
            status = whole("operators", RIG_OPERATORS_MAX, &operators, error);
        else if (option == 's')
            status = whole("stake", 16777215, &o->stake_sats, error);
        else if (option == 'y')
            status = whole("payout", 16777215, &o->payout_sats, error);
        else if (option == 'h')
            o->help = true;
        else
            status = owm_fail(error, OWM_E_CONFIG, "see --help");
    }
    o->operators = (unsigned)operators;
    if (status == OWM_OK && !o->help && (optind < argc || !o->folder || !o->programs || !operators))
        status = owm_fail(error, OWM_E_CONFIG, "--folder and --programs are needed; see --help");
    return status;
}

static owm_status open_channels(struct rig *rig, const struct options *o, struct owm_error *error)
{
    owm_status status = OWM_OK;
    for (unsigned i = 0; status == OWM_OK && i < rig->operator_count; i++) {
        const struct rig_channel stake = {&rig->operators[i], &rig->treasury, o->stake_sats, 0};
        const struct rig_channel payout = {&rig->treasury, &rig->operators[i], o->payout_sats, 0};
        if (o->stake_sats && !rig_has_channel(stake.from, stake.to))
            status = rig_open(rig, &stake, NULL, error);
        if (status == OWM_OK && o->payout_sats && !rig_has_channel(payout.from, payout.to))
            status = rig_open(rig, &payout, NULL, error);
    }
    return status;
}

static void tell(const struct daemon *daemon)
{
    char uri[OWM_LIGHTNING_TEXT_BYTES];
    daemon_uri(daemon, uri);
    printf("%-12s gRPC 127.0.0.1:%u, %s\n             %s\n", daemon->name, daemon->rpc_port, uri,
           daemon->script);
}

static void run(struct rig *rig)
{
    uint64_t next_ms = owm_clock_mono_ms() + BLOCK_EVERY_MS;
    for (unsigned i = 0; i < rig->operator_count; i++) tell(&rig->operators[i]);
    tell(&rig->treasury);
    puts("ready; Ctrl-C ends it");
    fflush(stdout);
    while (!ending) {
        struct owm_error error = {""};
        owm_clock_sleep_ms(LOOK_EVERY_MS);
        if (rig_tend(rig)) puts("a program had ended and was started again");
        if (owm_clock_mono_ms() < next_ms) continue;
        if (chain_mine(&rig->chain, 1, &error)) printf("no block: %s\n", error.text);
        next_ms = owm_clock_mono_ms() + BLOCK_EVERY_MS;
    }
}

int main(int argc, char **argv)
{
    struct options options;
    struct rig rig = {.lock_fd = -1};
    struct owm_error error = {""};
    char *folder = NULL, *programs = NULL;
    catch_signals();
    owm_log_level_set(OWM_LOG_ERROR);
    owm_status status = parse(argc, argv, &options, &error);
    if (status == OWM_OK && options.help) {
        help();
        return 0;
    }
    if (status == OWM_OK) status = owm_fs_mkdirs(options.folder, 0755, &error);
    if (status == OWM_OK
        && !((folder = realpath(options.folder, NULL))
             && (programs = realpath(options.programs, NULL))))
        status = owm_fail(&error, OWM_E_IO, "%s or %s: no such folder", options.folder,
                          options.programs);
    if (status == OWM_OK) status = rig_up(&rig, folder, programs, options.operators, &error);
    if (status == OWM_OK) status = open_channels(&rig, &options, &error);
    if (status == OWM_OK) run(&rig);
    if (status)
        fprintf(stderr, "owm-devnet-lightning: %s\n",
                *error.text ? error.text : owm_status_text(status));
    rig_down(&rig);
    free(folder);
    free(programs);
    return status ? 1 : 0;
}
