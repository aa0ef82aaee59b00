/* main.c: owm-bench: which benchmark, with which options. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const struct {
    const char *name;
    owm_status (*run)(const struct bench_options *, struct owm_error *);
    const char *help;
} benches[] = {
    {"sha256d", bench_sha256d, "mining: scan, header batch and merkle roots on one core, by path"},
#if !OWM_KERNELS_ONLY
    {"control", bench_control, "a real coordinator and PostgreSQL under simulated nodes"},
#endif
};

static int help(int code)
{
    FILE *out = code ? stderr : stdout;
    fputs("owm-bench: what this machine does, against what it could.\n\n"
          "  owm-bench BENCH [--json] [--nodes N] [--seconds S] [--in-flight N]\n"
          "            [--coordinator PATH]\n\nbenches:\n",
          out);
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
        fprintf(out, "  %-10s %s\n", benches[i].name, benches[i].help);
    fputs("\n  --nodes N      simulated nodes, each with a key and a connection (10000)\n"
          "  --seconds S    of each timed phase (10)\n"
          "  --in-flight N  heartbeats under way at once (256)\n"
          "  --json         one object a line\n",
          out);
    return code;
}

static bool number(const char *text, unsigned max, unsigned *out)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end || value == 0 || value > max) return false;
    *out = (unsigned)value;
    return true;
}

static bool take(int option, struct bench_options *options)
{
    switch (option) {
    case 'j':
        options->json = true;
        return true;
    case 'n':
        return number(optarg, 100000, &options->nodes);
    case 's':
        return number(optarg, 3600, &options->seconds);
    case 'f':
        return number(optarg, 65536, &options->in_flight);
    case 'c':
        options->coordinator = optarg;
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"json", no_argument, NULL, 'j'},
                                          {"nodes", required_argument, NULL, 'n'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"in-flight", required_argument, NULL, 'f'},
                                          {"coordinator", required_argument, NULL, 'c'},
                                          {NULL, 0, NULL, 0}};
    struct bench_options options = {.nodes = 10000, .seconds = 10, .in_flight = 256};
    struct owm_error error = {""};
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) return help(argc < 2);
    int option;
    optind = 2;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        if (!take(option, &options)) return help(2);
    if (optind < argc) return help(2);
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
        if (strcmp(argv[1], benches[i].name)) continue;
        owm_status status = benches[i].run(&options, &error);
        if (status)
            fprintf(stderr, "owm-bench %s: %s\n", argv[1],
                    *error.text ? error.text : owm_status_text(status));
        return status != OWM_OK;
    }
    fprintf(stderr, "owm-bench: no benchmark '%s'\n", argv[1]);
    return help(2);
}
