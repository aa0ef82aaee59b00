/* lnd_rig.h: doubles of LND in a throw-away folder, and handles on them, for the tests of the LND
 * backend. */
#ifndef TESTS_LIGHTNING_LND_RIG_H
#define TESTS_LIGHTNING_LND_RIG_H

#include "base/lightning/lightning.h"
#include "lnd_double.h"

/** rig_begin: the folder, made; rig_end removes it. Both abort if they cannot. */
void rig_begin(void);
void rig_end(void);

/** rig_node: a double named `name`, on regtest. */
struct lnd_double *rig_node(const char *name);

/** rig_try: a handle of `role` on it, with the role's own macaroon; error says why not. */
owm_status rig_try(const struct lnd_double *node, enum owm_lightning_role role,
                   owm_lightning **lightning, struct owm_error *error);

/** rig_open: the same, which must succeed. */
owm_lightning *rig_open(const struct lnd_double *node, enum owm_lightning_role role);

/** rig_config: what rig_try opens with, for tests that change a part; texts live until the next. */
struct owm_lightning_config rig_config(const struct lnd_double *node, enum owm_lightning_role role);

/** rig_swap: replace a file of `to`'s folder by the same file of `from`'s. */
void rig_swap(const struct lnd_double *from, const struct lnd_double *to, const char *name);

#endif
