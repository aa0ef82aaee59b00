/* rival.c: another program's figure, measured in the same minute, put beside ours. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "bench.h"

#define OUTPUT_BYTES_MAX 65536

/* Longest first, so that "MH/s" is not read as "H/s"; `ours` is the unit of our rows. */
static const struct {
    const char *text, *ours;
    double factor;
} units[] = {
    {"kH/s", "MH/s", 1e-3},      {"MH/s", "MH/s", 1},   {"GH/s", "MH/s", 1e3},
    {"TH/s", "MH/s", 1e6},       {"H/s", "MH/s", 1e-6}, {"MB/s", "GB/s", 1e-3},
    {"GB/s", "GB/s", 1},         {"TB/s", "GB/s", 1e3}, {"GFLOP/s", "GFLOP/s", 1},
    {"TFLOP/s", "GFLOP/s", 1e3}, {"tok/s", "tok/s", 1}, {"t/s", "tok/s", 1},
    {"us", "ms", 1e-3},          {"ms", "ms", 1},       {"shares/s", "shares/s", 1},
};

static size_t unit_at(const char *text)
{
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t length = strlen(units[i].text);
        if (strncasecmp(text, units[i].text, length) == 0 && !isalnum((unsigned char)text[length]))
            return i;
    }
    return SIZE_MAX;
}

bool bench_rival_read(const char *text, double *value, const char **unit)
{
    bool found = false;
    for (const char *at = text; *at; at++) {
        if (!isdigit((unsigned char)*at)) continue;
        char *end;
        double number = strtod(at, &end);
        const char *after = end + strspn(end, " \t");
        size_t i = unit_at(after);
        if (i != SIZE_MAX && number > 0) {
            *value = number * units[i].factor;
            *unit = units[i].ours;
            found = true;
        }
        at = end - 1;
    }
    return found;
}

owm_status bench_rival(struct bench_options *options, struct owm_error *error)
{
    if (!options->rival) return OWM_OK;
    static char output[OUTPUT_BYTES_MAX];
    char command[4096];
    if (snprintf(command, sizeof command, "{ %s\n} 2>&1 </dev/null", options->rival)
        >= (int)sizeof command)
        return owm_fail(error, OWM_E_ARG, "the command of --rival is too long");
    FILE *pipe = popen(command, "r");
    if (!pipe) return owm_fail(error, OWM_E_IO, "the shell for --rival could not be started");
    /* Its end counts: whatever came before is overwritten from the middle on. */
    size_t bytes = 0, got;
    while ((got = fread(output + bytes, 1, sizeof output - 1 - bytes, pipe)) > 0) {
        bytes += got;
        if (bytes < sizeof output - 1) continue;
        bytes = sizeof output / 2;
        memmove(output, output + sizeof output - 1 - bytes, bytes);
    }
    output[bytes] = 0;
    int code = pclose(pipe);
    if (bench_rival_read(output, &options->rival_value, &options->rival_unit)) return OWM_OK;
    return owm_fail(error, OWM_E_IO,
                    "the rival (exit status %d) printed no number with a unit such as MH/s, GB/s, "
                    "GFLOP/s, tok/s or ms: %s",
                    WIFEXITED(code) ? WEXITSTATUS(code) : -1, options->rival);
}
