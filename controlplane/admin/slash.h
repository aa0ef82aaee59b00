/* slash.h: owm-admin slash …, evidence …, log …: one function each, returning the exit code. */
#ifndef OWM_ADMIN_SLASH_H
#define OWM_ADMIN_SLASH_H

#include "controlplane/admin/options.h"

#define OWM_ADMIN_OK        0
#define OWM_ADMIN_FAILED    1 /* also: the evidence or the log does not hold */
#define OWM_ADMIN_USAGE     2
#define OWM_ADMIN_UNDECIDED 3

int owm_admin_slash(const struct owm_admin_options *options);
int owm_admin_evidence(const struct owm_admin_options *options);
int owm_admin_log(const struct owm_admin_options *options);

/** owm_admin_complain: the sentence on stderr; OWM_ADMIN_FAILED, or OWM_ADMIN_USAGE for
 *  OWM_E_CONFIG. */
int owm_admin_complain(owm_status status, const struct owm_error *error);

#endif
