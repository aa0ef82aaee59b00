/* detect.h: what this machine has, and which tier that is (SRS-NODE-03, table of SRS 4.1.3). */
#ifndef OWM_NODE_DETECT_H
#define OWM_NODE_DETECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_DEVICE_NAME_MAX 96
#define OWM_SOURCE_TEXT_MAX 160
#define OWM_TIER_WHY_MAX    256

/** owm_tier: NONE is below T1. The value is the number in its name. */
enum owm_tier { OWM_TIER_NONE = 0, OWM_TIER_1 = 1, OWM_TIER_2 = 2, OWM_TIER_3 = 3 };

/** owm_tier_row: one line of the table. GB are 10^9 bytes: what makers print on their products. */
struct owm_tier_row {
    const char *code; /* "t1" */
    const char *name; /* "Tier 1 (Consumer)" */
    double vram_gb, ram_gb, bandwidth_mbps;
    int64_t stake_sats;
    const char *multiplier; /* "2.5x" */
};

/** owm_tier_row_of: the row of T1, T2 or T3; NULL for NONE. */
const struct owm_tier_row *owm_tier_row_of(enum owm_tier tier);
enum owm_tier owm_tier_parse(const char *code); /* "t1" …; NONE for anything else */
const char *owm_tier_code(enum owm_tier tier);  /* "t1" …; "none" */

/** owm_machine: what was found. A source says where a number comes from, for people. */
struct owm_machine {
    char device[OWM_DEVICE_NAME_MAX]; /* "NVIDIA H200", "cpu (AMD EPYC …)" */
    char backend[8];                  /* "cuda", "hip", "cpu": the kind of device found */
    unsigned gpus;
    uint64_t vram_bytes; /* of the largest GPU */
    uint64_t ram_bytes;
    double bandwidth_mbps; /* 0: unknown */
    char vram_source[OWM_SOURCE_TEXT_MAX];
    char ram_source[OWM_SOURCE_TEXT_MAX];
    char bandwidth_source[OWM_SOURCE_TEXT_MAX];
};

/** owm_detect_places: where to look; NULLs mean the real ones. Tests give fake trees. */
struct owm_detect_places {
    const char *sysfs;     /* "/sys" */
    const char *procfs;    /* "/proc" */
    const char *nvml;      /* "libnvidia-ml.so.1" */
    double bandwidth_mbps; /* from the config; 0: take the link speed */
};

/** owm_detect: look. Never fails: what is not found is 0 and its source says why. */
void owm_detect(const struct owm_detect_places *places, struct owm_machine *machine);

/** owm_tier_result: the decision. */
struct owm_tier_result {
    enum owm_tier measured;
    enum owm_tier tier; /* measured, or the override */
    bool overridden;
    char why[OWM_TIER_WHY_MAX]; /* what keeps it from the next tier: each short number */
};

/** owm_tier_decide: the highest row that all three numbers reach. A number within 7 % of the
 *  minimum counts as reaching it for VRAM and RAM: a "24 GB" card or "16 GB" machine shows less to
 *  its user. `override_code` "" or t1, t2, t3. */
void owm_tier_decide(const struct owm_machine *machine, const char *override_code,
                     struct owm_tier_result *result);

/* The parts, one file each. Each returns whether it found a GPU and fills the fields it knows. */
bool owm_detect_nvml(const char *library, struct owm_machine *machine);
bool owm_detect_amd(const char *sysfs, struct owm_machine *machine);
void owm_detect_host(const struct owm_detect_places *places, struct owm_machine *machine);

#endif
