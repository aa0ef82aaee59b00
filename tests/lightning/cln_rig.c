/* cln_rig.c: a double of lightningd in a throw-away folder, and handles on it. */
#include "cln_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

static char folder[64], rune_path[96];

struct cln_double *cln_rig_begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_cln_XXXXXX");
    OWM_ASSERT(mkdtemp(folder));
    snprintf(rune_path, sizeof rune_path, "%s/rune", folder);
    return cln_double_open(folder);
}

void cln_rig_end(struct cln_double *node)
{
    cln_double_close(node);
    unlink(rune_path);
    OWM_ASSERT(rmdir(folder) == 0);
}

owm_status cln_rig_try(struct cln_double *node, enum owm_lightning_role role, const char *rune,
                       unsigned timeout_ms, owm_lightning **lightning, struct owm_error *error)
{
    if (rune) OWM_ASSERT(owm_fs_write_atomic(rune_path, rune, strlen(rune), 0600, NULL) == OWM_OK);
    struct owm_lightning_config config = {.backend = OWM_LIGHTNING_CLN,
                                          .role = role,
                                          .address = cln_double_path(node),
                                          .credential = rune ? rune_path : NULL,
                                          .network = "regtest",
                                          .timeout_ms = timeout_ms};
    return owm_lightning_open(&config, lightning, error);
}

owm_lightning *cln_rig_open(struct cln_double *node, enum owm_lightning_role role)
{
    owm_lightning *lightning;
    struct owm_error error = {{0}};
    owm_status status = cln_rig_try(node, role, NULL, 0, &lightning, &error);
    if (status != OWM_OK) fprintf(stderr, "%s\n", error.text);
    OWM_ASSERT(status == OWM_OK);
    return lightning;
}
