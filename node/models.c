/* models.c: the table; the one that was used longest ago makes room. */
#include "node/models.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct node_models {
    pthread_mutex_t lock;
    struct model model[MODELS_KNOWN_MAX]; /* Under lock. */
    size_t count;
};

node_models *node_models_open(void)
{
    node_models *models = calloc(1, sizeof *models);
    if (models != NULL) pthread_mutex_init(&models->lock, NULL);
    return models;
}

void node_models_close(node_models *models)
{
    if (models == NULL) return;
    pthread_mutex_destroy(&models->lock);
    free(models);
}

/** find: lock is held. NULL: not known. */
static struct model *find(node_models *models, const uint8_t sha256[32])
{
    for (size_t i = 0; i < models->count; i++)
        if (memcmp(models->model[i].sha256, sha256, 32) == 0) return &models->model[i];
    return NULL;
}

/** place: its row, or a fresh one. lock is held. */
static struct model *place(node_models *models, const uint8_t sha256[32])
{
    struct model *model = find(models, sha256);
    if (model == NULL && models->count < MODELS_KNOWN_MAX) {
        model = &models->model[models->count++];
    } else if (model == NULL) {
        model = &models->model[0];
        for (size_t i = 1; i < models->count; i++)
            if (models->model[i].used_ms < model->used_ms) model = &models->model[i];
        memset(model, 0, sizeof *model);
    }
    memcpy(model->sha256, sha256, 32);
    model->used_ms = owm_clock_mono_ms();
    return model;
}

bool node_models_find(node_models *models, const uint8_t sha256[static 32], struct model *model)
{
    pthread_mutex_lock(&models->lock);
    struct model *known = find(models, sha256);
    if (known != NULL) {
        known->used_ms = owm_clock_mono_ms();
        *model = *known;
    }
    pthread_mutex_unlock(&models->lock);
    return known != NULL;
}

void node_models_proven(node_models *models, const struct models_proven *proven)
{
    pthread_mutex_lock(&models->lock);
    struct model *model = place(models, proven->named.sha256);
    model->bytes = proven->named.bytes;
    model->facts = proven->facts;
    model->proof = proven->proof;
    model->accepted[proven->use] = true;
    model->proven_ms = owm_clock_mono_ms();
    pthread_mutex_unlock(&models->lock);
}

void node_models_hashed(node_models *models, const uint8_t sha256[static 32],
                        const struct stat *file)
{
    pthread_mutex_lock(&models->lock);
    struct model *model = place(models, sha256);
    model->hashed = file != NULL;
    if (file != NULL) {
        model->device = file->st_dev;
        model->inode = file->st_ino;
        model->size = file->st_size;
        model->changed = file->st_mtim;
    }
    pthread_mutex_unlock(&models->lock);
}

bool model_is_hashed(const struct model *model, const struct stat *file)
{
    return model->hashed && model->device == file->st_dev && model->inode == file->st_ino
           && model->size == file->st_size && model->changed.tv_sec == file->st_mtim.tv_sec
           && model->changed.tv_nsec == file->st_mtim.tv_nsec;
}
