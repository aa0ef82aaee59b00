/* cln_rig.h: a double of lightningd in a throw-away folder, and handles on it. */
#ifndef TESTS_LIGHTNING_CLN_RIG_H
#define TESTS_LIGHTNING_CLN_RIG_H

#include "base/lightning/lightning.h"
#include "cln_double.h"

/** cln_rig_begin: the folder and a double in it; cln_rig_end removes both. Both abort if they
 *  cannot. */
struct cln_double *cln_rig_begin(void);
void cln_rig_end(struct cln_double *node);

/** cln_rig_try: a handle of `role`; rune: written to a file for it; NULL: none. */
owm_status cln_rig_try(struct cln_double *node, enum owm_lightning_role role, const char *rune,
                       unsigned timeout_ms, owm_lightning **lightning, struct owm_error *error);

/** cln_rig_open: without a rune, with time for a slow machine; it must succeed. */
owm_lightning *cln_rig_open(struct cln_double *node, enum owm_lightning_role role);

#endif
