/* admin.h: commands of owm-pool that look and do not serve: what `./owm admin recompute` runs. */
#ifndef OWM_POOL_ADMIN_H
#define OWM_POOL_ADMIN_H

#include <stdint.h>

#include "base/status.h"

#define OWM_RECOMPUTE_USAGE                                                                        \
    "owm-pool recompute --from T --to T [--journal FOLDER]\n"                                      \
    "  T: a day, 2026-11-29, or a time, 2026-11-29T13:00:00Z, that stands for its day (UTC);\n"    \
    "     both days are counted. --journal: from the segments there instead of the table.\n"

/** owm_day_parse: "YYYY-MM-DD" or "YYYY-MM-DDThh:mm[:ss]Z" to days since 1970.
 *  Returns: OWM_OK; OWM_E_PROTO. */
OWM_MUST_USE owm_status owm_day_parse(const char *text, int32_t *day);

/** owm_admin_recompute: the command with its arguments behind "recompute"; prints to stdout, and
 *  what is wrong to stderr. Returns: an exit status: 0 equal to the last picosat; 1 differences;
 *  2 arguments; 3 it could not be done. */
int owm_admin_recompute(const char *database_url, int argc, char *const argv[]);

#endif
