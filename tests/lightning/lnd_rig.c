/* lnd_rig.c: doubles of LND in a throw-away folder, and handles on them. */
#include "lnd_rig.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"

static char folder[64];

void rig_begin(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_lnd_XXXXXX");
    OWM_ASSERT(mkdtemp(folder));
}

static int remove_one(const char *path, const struct stat *file, int kind, struct FTW *where)
{
    (void)file, (void)kind, (void)where;
    return remove(path);
}

void rig_end(void)
{
    OWM_ASSERT(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

struct lnd_double *rig_node(const char *name)
{
    char path[LND_DOUBLE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct lnd_double_config config = {path, "127.0.0.1:0", "regtest"};
    struct lnd_double *node;
    struct owm_error error = {{0}};
    owm_status status = lnd_double_open(&config, &node, &error);
    if (status != OWM_OK) fprintf(stderr, "%s\n", error.text);
    OWM_ASSERT(status == OWM_OK);
    return node;
}

struct owm_lightning_config rig_config(const struct lnd_double *node, enum owm_lightning_role role)
{
    static const char *const macaroons[] = {"stake", "invoice", "pay", "slash", "operator"};
    static char certificate[LND_DOUBLE_PATH_BYTES], credential[LND_DOUBLE_PATH_BYTES];
    char name[32];
    snprintf(name, sizeof name, "%s.macaroon", macaroons[role]);
    lnd_double_file(node, "tls.cert", certificate);
    lnd_double_file(node, name, credential);
    return (struct owm_lightning_config){.backend = OWM_LIGHTNING_LND,
                                         .role = role,
                                         .address = lnd_double_address(node),
                                         .certificate = certificate,
                                         .credential = credential,
                                         .network = "regtest"};
}

owm_status rig_try(const struct lnd_double *node, enum owm_lightning_role role,
                   owm_lightning **lightning, struct owm_error *error)
{
    struct owm_lightning_config config = rig_config(node, role);
    return owm_lightning_open(&config, lightning, error);
}

owm_lightning *rig_open(const struct lnd_double *node, enum owm_lightning_role role)
{
    owm_lightning *lightning;
    struct owm_error error = {{0}};
    owm_status status = rig_try(node, role, &lightning, &error);
    if (status != OWM_OK) fprintf(stderr, "%s\n", error.text);
    OWM_ASSERT(status == OWM_OK);
    return lightning;
}

void rig_swap(const struct lnd_double *from, const struct lnd_double *to, const char *name)
{
    char source[LND_DOUBLE_PATH_BYTES], target[LND_DOUBLE_PATH_BYTES];
    uint8_t *data;
    size_t bytes;
    lnd_double_file(from, name, source);
    lnd_double_file(to, name, target);
    OWM_ASSERT(owm_fs_read(source, 1 << 20, &data, &bytes, NULL) == OWM_OK);
    OWM_ASSERT(owm_fs_write_atomic(target, data, bytes, 0600, NULL) == OWM_OK);
    free(data);
}
