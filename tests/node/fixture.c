/* fixture.c: what several of the node's tests need. */
#include "fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "dataplane/model/checkpoint.h"

void fixture_folder(char path[static 128])
{
    const char *tmp = getenv("TMPDIR");
    snprintf(path, 128, "%s/owm-node-XXXXXX", tmp ? tmp : "/tmp");
    if (mkdtemp(path) == NULL) abort();
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void fixture_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fixture_write(const char *folder, const char *name, const char *text)
{
    char path[512];
    struct owm_error error;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *parent = owm_fs_parent(path);
    if (owm_fs_mkdirs(parent, 0755, &error) != OWM_OK) abort();
    free(parent);
    FILE *file = fopen(path, "w");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) abort();
}

uint8_t *fixture_checkpoint(size_t *bytes)
{
    return fixture_checkpoint_of(3, bytes);
}

uint8_t *fixture_checkpoint_of(uint64_t seed, size_t *bytes)
{
    const struct owm_model_config config = {.vocab = 256,
                                            .dim = 32,
                                            .layers = 1,
                                            .heads = 2,
                                            .kv_heads = 1,
                                            .ffn_dim = 64,
                                            .context = 64,
                                            .rope_theta = 10000,
                                            .norm_eps = 1e-5f};
    struct owm_error error = {""};
    uint8_t *file = NULL;
    float *params = malloc(owm_model_config_params(&config) * sizeof *params);
    if (owm_model_config_check(&config, &error) != OWM_OK) abort();
    owm_model_init_params(&config, seed, params);
    if (owm_checkpoint_encode(&config, params, &file, bytes, &error) != OWM_OK) abort();
    free(params);
    return file;
}

int fixture_memory(const void *data, size_t bytes)
{
    int fd = memfd_create("fixture", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes) abort();
    return fd;
}
