/* config.h: the command line of owm-ots calendar. */
#ifndef OWM_OTS_CALENDAR_CONFIG_H
#define OWM_OTS_CALENDAR_CONFIG_H

#include <stdio.h>

#include "anchor.h"

/** calendar_config: strings point into argv. */
struct calendar_config {
    const char *folder, *uri, *proxy;
    char bind[64]; /* Numeric, without brackets. */
    uint16_t port;
    const char *network_name;
    unsigned per_minute, per_second;
    struct anchor_options anchor; /* Without folder and journal. */
    bool help;
};

/** calendar_config_parse: argv[0] is "calendar". Returns: OWM_OK; OWM_E_CONFIG with a sentence. */
OWM_MUST_USE owm_status calendar_config_parse(int argc, char **argv, struct calendar_config *config,
                                              struct owm_error *error);
void calendar_config_help(FILE *out);

#endif
