/* main.c: owm-bench: which benchmark, with which options. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const struct bench {
    const char *name;
    owm_status (*run)(const struct bench_options *, struct owm_error *);
    bool of_kernels; /* Part of "all". */
    const char *help;
} benches[] = {
    {"sha256d", bench_sha256d, true, "mining: scan, header batch and merkle roots, by path"},
    {"agg", bench_agg, true, "dense aggregation: weighted sum, trimmed mean, Gram matrix, norms"},
    {"topk", bench_topk, true, "error feedback, selection, sums of sparse vectors"},
    {"model", bench_model, true, "a transformer: packed weights, products, attention, the rest"},
#if !OWM_KERNELS_ONLY
    {"control", bench_control, false, "a real coordinator and PostgreSQL under simulated nodes"},
    {"payments", bench_payments, false, "what is owed, through PostgreSQL to a Lightning node"},
    {"ots", bench_ots, false, "OpenTimestamps: hashing a file, proofs, a dead calendar"},
    {"pool", bench_pool, false, "the mining pool: one core without sockets, then on loopback"},
#endif
};

static int help(int code)
{
    FILE *out = code ? stderr : stdout;
    fputs("owm-bench: what this machine does, against what it could.\n\n"
          "  owm-bench BENCH [options]   measure\n"
          "  owm-bench all [options]     every benchmark of the kernels, in under five minutes\n"
          "  owm-bench devices           what was found to compute on, and why not the rest\n"
          "  owm-bench chart ROWS.json   rows of --json as an SVG picture, to standard output\n\n"
          "benches:\n",
          out);
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
        fprintf(out, "  %-10s %s\n", benches[i].name, benches[i].help);
    fputs("\nEach row has the value (median), the spread, the limit measured beside it and the "
          "ratio.\nEvery result is checked before it is timed.\n\n"
          "  --backend NAME  auto, cuda, hip, cpu, reference (auto)\n"
          "  --device N      of that backend (0)\n"
          "  --threads N     of the cpu backend (all cores)\n"
          "  --size N        coordinates of topk and agg (its own set of sizes)\n"
          "  --op TEXT       only ops whose name contains TEXT\n"
          "  --rival CMD     run CMD by the shell first; the last figure it prints with a unit\n"
          "                  (MH/s, GB/s, GFLOP/s, tok/s, ms) stands beside every row in that\n"
          "                  unit: --op scan --rival './cpuminer -a sha256d --benchmark -t 1 "
          "--time-limit 10'\n"
          "  --json          one object a line;  --markdown  a table\n\n"
          "control and pool:\n"
          "  --seconds S      of each timed phase (10)\n"
          "control alone:\n"
          "  --nodes N        simulated nodes, each with a key and a connection (10000)\n"
          "  --in-flight N    heartbeats under way at once (256)\n"
          "  --coordinator P  its program (beside owm-bench)\n"
          "pool alone:\n"
          "  --connections N  of miners, in all phases (as many as open files allow)\n"
          "  --rate N         shares a second while latency is measured (30000)\n"
          "  --folder P       where journals are written, for a disk to be measured (/tmp)\n",
          out);
    return code;
}

static bool number(const char *text, unsigned long max, unsigned long *out)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end || *text == '-' || errno || value > max) return false;
    *out = value;
    return true;
}

static bool take_number(int option, struct bench_options *options)
{
    static const struct {
        int option;
        unsigned long least, most;
    } ranges[] = {{'d', 0, 255},        {'t', 1, OWM_POOL_THREADS_MAX},
                  {'z', 1, UINT32_MAX}, {'n', 1, 100000},
                  {'s', 1, 3600},       {'f', 1, 65536},
                  {'k', 1, 100000},     {'e', 1, 1000000}};
    unsigned long value = 0;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].option == option
            && (!number(optarg, ranges[i].most, &value) || value < ranges[i].least)) {
            fprintf(stderr, "owm-bench: '%s' is not a number from %lu to %lu\n", optarg,
                    ranges[i].least, ranges[i].most);
            return false;
        }
    if (option == 'd') options->device = (int)value;
    if (option == 't') options->threads = (unsigned)value;
    if (option == 'z') options->size = value;
    if (option == 'n') options->nodes = (unsigned)value;
    if (option == 's') options->seconds = (unsigned)value;
    if (option == 'f') options->in_flight = (unsigned)value;
    if (option == 'k') options->connections = (unsigned)value;
    if (option == 'e') options->rate = (unsigned)value;
    return true;
}

static bool take(int option, struct bench_options *options)
{
    switch (option) {
    case 'j':
        options->json = true;
        return true;
    case 'm':
        options->markdown = true;
        return true;
    case 'b':
        options->backend = optarg;
        return true;
    case 'o':
        options->op = optarg;
        return true;
    case 'r':
        options->rival = optarg;
        return true;
    case 'c':
        options->coordinator = optarg;
        return true;
    case 'p':
        options->folder = optarg;
        return true;
    case '?':
        return false;
    default:
        return take_number(option, options);
    }
}

static bool read_options(int argc, char **argv, struct bench_options *options)
{
    static const struct option known[] = {{"json", no_argument, NULL, 'j'},
                                          {"markdown", no_argument, NULL, 'm'},
                                          {"backend", required_argument, NULL, 'b'},
                                          {"device", required_argument, NULL, 'd'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"size", required_argument, NULL, 'z'},
                                          {"op", required_argument, NULL, 'o'},
                                          {"rival", required_argument, NULL, 'r'},
                                          {"nodes", required_argument, NULL, 'n'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"in-flight", required_argument, NULL, 'f'},
                                          {"coordinator", required_argument, NULL, 'c'},
                                          {"connections", required_argument, NULL, 'k'},
                                          {"rate", required_argument, NULL, 'e'},
                                          {"folder", required_argument, NULL, 'p'},
                                          {NULL, 0, NULL, 0}};
    int option;
    optind = 2;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        if (!take(option, options)) return false;
    if (optind < argc) fprintf(stderr, "owm-bench: '%s' is one too many\n", argv[optind]);
    return optind == argc;
}

static int report(const char *what, owm_status status, const struct owm_error *error)
{
    if (status == OWM_OK) return 0;
    fprintf(stderr, "owm-bench %s: %s\n", what,
            *error->text ? error->text : owm_status_text(status));
    return 1;
}

static int chart(int argc, char **argv)
{
    struct owm_error error = {""};
    if (argc != 3) return help(2);
    FILE *rows = fopen(argv[2], "r");
    if (!rows) {
        fprintf(stderr, "owm-bench chart: %s: %s\n", argv[2], strerror(errno));
        return 1;
    }
    owm_status status = bench_chart(rows, stdout, &error);
    fclose(rows);
    return report("chart", status, &error);
}

static void print_device(const struct owm_backend *backend, int index)
{
    struct owm_device_info info;
    if (backend->device_info(index, &info) != OWM_OK) return;
    printf("%-10s %d  %s, %s, %.1f GiB", backend->name, index, info.name, info.arch,
           (double)info.memory_bytes / (1 << 30));
    if (*info.driver) printf(", %s", info.driver);
    printf(info.usable ? "\n" : "\n              not used: %s\n", info.refusal);
}

static int devices(void)
{
    static const char *const plugins[] = {"cuda", "hip"};
    const struct owm_backend *backend;
    for (size_t i = 0; (backend = owm_backend_at(i)); i++)
        for (int index = 0; index < backend->device_count(); index++) print_device(backend, index);
    for (size_t i = 0; i < sizeof plugins / sizeof *plugins; i++)
        if (owm_backend_missing(plugins[i]))
            printf("%-10s -  %s\n", plugins[i], owm_backend_missing(plugins[i]));
    return 0;
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .backend = "auto", .nodes = 10000, .seconds = 10, .in_flight = 256, .rate = 30000};
    struct owm_error error = {""};
    if (argc < 2) return help(1);
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return help(0);
    if (!strcmp(argv[1], "chart")) return chart(argc, argv);
    if (!read_options(argc, argv, &options)) {
        fputs("'owm-bench --help' lists the options\n", stderr);
        return 2;
    }
    if (!strcmp(argv[1], "devices")) return devices();
    bool all = !strcmp(argv[1], "all"), known = all;
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++)
        known |= !strcmp(argv[1], benches[i].name);
    if (!known) {
        fprintf(stderr, "owm-bench: no benchmark '%s'; 'owm-bench --help' lists them\n", argv[1]);
        return 2;
    }
    int code = report("--rival", bench_rival(&options, &error), &error);
    for (size_t i = 0; code == 0 && i < sizeof benches / sizeof *benches; i++)
        if (all ? benches[i].of_kernels : !strcmp(argv[1], benches[i].name))
            code = report(benches[i].name, benches[i].run(&options, &error), &error);
    if (code == 0 && options.op && bench_printed() == 0) {
        fprintf(stderr, "owm-bench: no row here has '%s' in its op\n", options.op);
        code = 1;
    }
    return code;
}
