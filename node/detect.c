/* detect.c: put the parts together, and read the tier off the table. */
#include "node/detect.h"

#include <stdio.h>
#include <string.h>

static const struct owm_tier_row table[] = {
    {"t1", "Tier 1 (Consumer)", 8, 16, 50, 100000, "1.0x"},
    {"t2", "Tier 2 (Prosumer)", 24, 64, 200, 500000, "2.5x"},
    {"t3", "Tier 3 (Server)", 80, 256, 1000, 2000000, "8.0x"},
};

/* Firmware and drivers keep some of what is on the label. */
#define LABEL_TOLERANCE 0.93

const struct owm_tier_row *owm_tier_row_of(enum owm_tier tier)
{
    return tier >= OWM_TIER_1 && tier <= OWM_TIER_3 ? &table[tier - 1] : NULL;
}

enum owm_tier owm_tier_parse(const char *code)
{
    for (int tier = OWM_TIER_1; tier <= OWM_TIER_3; tier++)
        if (strcmp(code, table[tier - 1].code) == 0) return (enum owm_tier)tier;
    return OWM_TIER_NONE;
}

const char *owm_tier_code(enum owm_tier tier)
{
    const struct owm_tier_row *row = owm_tier_row_of(tier);
    return row ? row->code : "none";
}

void owm_detect(const struct owm_detect_places *places, struct owm_machine *machine)
{
    memset(machine, 0, sizeof *machine);
    if (!owm_detect_nvml(places->nvml, machine) && !owm_detect_amd(places->sysfs, machine))
        snprintf(machine->vram_source, sizeof machine->vram_source,
                 "no NVIDIA driver library and no amdgpu card found");
    owm_detect_host(places, machine);
}

/** append: one short number to `why`. */
static void append(struct owm_tier_result *result, const char *name, double have, double need,
                   const char *unit)
{
    size_t at = strlen(result->why);
    snprintf(result->why + at, sizeof result->why - at, "%s%s %.4g of %.4g %s", at ? ", " : "",
             name, have, need, unit);
}

/** reaches: all three numbers of a row; the short ones go into result->why. */
static bool reaches(const struct owm_machine *m, const struct owm_tier_row *row,
                    struct owm_tier_result *result)
{
    double vram = (double)m->vram_bytes / 1e9, ram = (double)m->ram_bytes / 1e9;
    result->why[0] = '\0';
    if (vram < row->vram_gb * LABEL_TOLERANCE) append(result, "VRAM", vram, row->vram_gb, "GB");
    if (ram < row->ram_gb * LABEL_TOLERANCE) append(result, "RAM", ram, row->ram_gb, "GB");
    if (m->bandwidth_mbps < row->bandwidth_mbps)
        append(result, "bandwidth", m->bandwidth_mbps, row->bandwidth_mbps, "Mbit/s");
    return result->why[0] == '\0';
}

void owm_tier_decide(const struct owm_machine *machine, const char *override_code,
                     struct owm_tier_result *result)
{
    memset(result, 0, sizeof *result);
    while (result->measured < OWM_TIER_3 && reaches(machine, &table[result->measured], result))
        result->measured = (enum owm_tier)(result->measured + 1);
    result->tier = result->measured;
    enum owm_tier wanted = owm_tier_parse(override_code);
    if (wanted == OWM_TIER_NONE) return;
    result->tier = wanted;
    result->overridden = true;
}
