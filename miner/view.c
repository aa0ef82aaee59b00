/* view.c: the miner's numbers as a table, as lines, as JSON. */
#include "view.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define LOG_EVERY_S 10

void view_rate(double rate, char text[static 16])
{
    static const char *const units[] = {"H/s", "kH/s", "MH/s", "GH/s", "TH/s"};
    size_t unit = 0;
    while (rate >= 1000 && unit < 4) rate /= 1000, unit++;
    snprintf(text, 16, "%.*f %s", rate < 10 ? 2 : rate < 100 ? 1 : 0, rate, units[unit]);
}

static const char *state_text(const struct owm_mine_stats *stats)
{
    switch (stats->state) {
    case OWM_MINE_RUNNING:
        return "mining";
    case OWM_MINE_CONNECTING:
        return "connecting";
    default:
        return "waiting";
    }
}

static unsigned reading_index(const char *device)
{
    const char *colon = strchr(device, ':');
    return colon == NULL ? 0 : (unsigned)strtoul(colon + 1, NULL, 10);
}

static bool is_cuda(const char *device)
{
    return strncmp(device, "cuda", 4) == 0;
}

static void print_device(const struct view *view, const struct owm_mine_scanner_stats *device)
{
    char rate[16];
    struct telemetry_reading reading;
    view_rate(device->rate_hashes_per_s, rate);
    printf("  %-8s %-28.28s %-10s %10s  %8" PRIu64 " hits%s", device->device, device->name,
           device->arch, rate, device->hits, device->failed ? "  FAILED" : "");
    if (is_cuda(device->device)
        && telemetry_read(view->telemetry, reading_index(device->device), &reading))
        printf("  %d C, fan %d %%, %d W", reading.temperature_c, reading.fan_percent,
               reading.power_w);
    printf("\033[K\n");
}

static void print_reasons(const struct owm_mine_stats *stats)
{
    for (size_t i = 0; i < stats->reason_count; i++)
        printf("%s%" PRIu64 " %s", i == 0 ? " (" : ", ", stats->reasons[i].count,
               stats->reasons[i].code);
    if (stats->reason_count > 0) printf(")");
}

static unsigned print_summary(const struct view *view, const struct owm_mine_stats *stats)
{
    char rate[16];
    view_rate(stats->rate_hashes_per_s, rate);
    printf("  %s at %s%s%s\033[K\n", state_text(stats), view->options->urls[stats->pool],
           stats->pinned ? "" : "  (its key is not checked)", stats->proven ? ", node proven" : "");
    printf("  %s, difficulty %.6g, accepted %" PRIu64 " (worth %" PRIu64 "), rejected %" PRIu64,
           rate, stats->difficulty, stats->accepted, stats->difficulty_sum, stats->rejected);
    print_reasons(stats);
    printf("\033[K\n  stale and not sent %" PRIu64 ", blocks %" PRIu64
           ", last share %.0f s ago, answered in %.0f ms, new tip taken up in %.0f ms\033[K\n",
           stats->stale_unsent, stats->blocks_sent,
           stats->last_share_ms == 0
               ? 0.0
               : (double)((int64_t)owm_clock_mono_ms() - stats->last_share_ms) / 1e3,
           stats->latency_ms, stats->engine.switch_ms);
    if (stats->trouble[0] == '\0') return 3;
    printf("  trouble: %s\033[K\n", stats->trouble);
    return 4;
}

static void show_table(struct view *view, const struct owm_mine_stats *stats)
{
    if (view->lines > 0) printf("\033[%uA", view->lines);
    size_t devices = owm_mine_device_count(view->mine);
    for (size_t i = 0; i < devices; i++) {
        struct owm_mine_scanner_stats device;
        owm_mine_device_stats(view->mine, i, &device);
        print_device(view, &device);
    }
    unsigned lines = (unsigned)devices + print_summary(view, stats);
    if (lines < view->lines) printf("\033[J");
    view->lines = lines;
}

static void show_line(const struct view *view, const struct owm_mine_stats *stats)
{
    char rate[16];
    view_rate(stats->rate_hashes_per_s, rate);
    printf("%s %s, pool %s, accepted %" PRIu64 ", rejected %" PRIu64, state_text(stats), rate,
           view->options->urls[stats->pool], stats->accepted, stats->rejected);
    print_reasons(stats);
    printf(", stale %" PRIu64 ", blocks %" PRIu64 "%s%s\n", stats->stale_unsent, stats->blocks_sent,
           stats->trouble[0] ? ", trouble: " : "", stats->trouble);
}

static json_t *device_json(const struct view *view, size_t index)
{
    struct owm_mine_scanner_stats device;
    struct telemetry_reading reading;
    owm_mine_device_stats(view->mine, index, &device);
    json_t *out = json_pack("{s:s, s:s, s:f, s:I, s:b}", "device", device.device, "name",
                            device.name, "hashes_per_s", device.rate_hashes_per_s, "hits",
                            (json_int_t)device.hits, "failed", (int)device.failed);
    if (is_cuda(device.device)
        && telemetry_read(view->telemetry, reading_index(device.device), &reading)) {
        json_object_set_new(out, "temperature_c", json_integer(reading.temperature_c));
        json_object_set_new(out, "fan_percent", json_integer(reading.fan_percent));
        json_object_set_new(out, "power_w", json_integer(reading.power_w));
    }
    return out;
}

static void show_json(const struct view *view, const struct owm_mine_stats *stats)
{
    json_t *devices = json_array(), *reasons = json_object();
    for (size_t i = 0; i < owm_mine_device_count(view->mine); i++)
        json_array_append_new(devices, device_json(view, i));
    for (size_t i = 0; i < stats->reason_count; i++)
        json_object_set_new(reasons, stats->reasons[i].code,
                            json_integer((json_int_t)stats->reasons[i].count));
    json_t *line = json_pack(
        "{s:s, s:s, s:b, s:b, s:f, s:f, s:I, s:I, s:I, s:o, s:I, s:I, s:f, s:f, s:s, s:o}", "state",
        state_text(stats), "pool", view->options->urls[stats->pool], "pinned", (int)stats->pinned,
        "proven", (int)stats->proven, "hashes_per_s", stats->rate_hashes_per_s, "difficulty",
        stats->difficulty, "accepted", (json_int_t)stats->accepted, "difficulty_sum",
        (json_int_t)stats->difficulty_sum, "rejected", (json_int_t)stats->rejected, "reasons",
        reasons, "stale_unsent", (json_int_t)stats->stale_unsent, "blocks",
        (json_int_t)stats->blocks_sent, "latency_ms", stats->latency_ms, "tip_switch_ms",
        stats->engine.switch_ms, "trouble", stats->trouble, "devices", devices);
    char *text = json_dumps(line, JSON_COMPACT);
    if (text != NULL) puts(text);
    free(text);
    json_decref(line);
}

void view_show(struct view *view, bool last)
{
    struct owm_mine_stats stats;
    owm_mine_stats_get(view->mine, &stats);
    if (view->options->json)
        show_json(view, &stats);
    else if (view->terminal)
        show_table(view, &stats);
    else if (last || view->lines++ % LOG_EVERY_S == 0)
        show_line(view, &stats);
    fflush(stdout);
}
