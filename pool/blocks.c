/* blocks.c: the thread that brings solved blocks to the nodes. */
#include "blocks.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "ledger.h"

#define KEEP_S        86400       /* A block that no node wants is of no use after a day. */
#define HEX_BYTES_MAX (16u << 20) /* A block has at most 4,000,000 bytes. */

/* One solved block, with everything that it takes to write it out. */
struct solved {
    struct owm_work *work;
    enum owm_coinbase_form form;
    uint8_t extranonce[OWM_EXTRANONCE_BYTES_MAX];
    uint8_t header[80], hash[32];
    struct owm_miner miner;
    struct owm_worker worker;
    int64_t found_ms;
};

struct owm_blocks {
    struct owm_blocks_options options;
    pthread_t thread;
    pthread_mutex_t lock; /* For what follows. */
    pthread_cond_t changed;
    struct solved waiting[OWM_BLOCKS_WAITING_MAX]; /* A ring. */
    size_t first, count;
    uint8_t taken[OWM_BLOCKS_WAITING_MAX][32]; /* A ring: the newest on which a node had a word. */
    size_t taken_count;
    bool stop;
};

void owm_blocks_found(void *ctx, const struct owm_found *found)
{
    struct owm_blocks *blocks = ctx;
    pthread_mutex_lock(&blocks->lock);
    bool room = blocks->count < OWM_BLOCKS_WAITING_MAX;
    if (room) {
        size_t at = (blocks->first + blocks->count++) % OWM_BLOCKS_WAITING_MAX;
        struct solved *solved = &blocks->waiting[at];
        *solved = (struct solved){
            .work = owm_work_retain(found->work),
            .form = found->form,
            .miner = *found->miner,
            .worker = *found->worker,
            .found_ms = owm_clock_wall_ms(),
        };
        memcpy(solved->extranonce, found->extranonce,
               found->work->coinbase[found->form].extranonce_bytes);
        memcpy(solved->header, found->header, sizeof solved->header);
        memcpy(solved->hash, found->hash, sizeof solved->hash);
        pthread_cond_signal(&blocks->changed);
    }
    pthread_mutex_unlock(&blocks->lock);
    if (!room) owm_log(OWM_LOG_ERROR, "block_dropped reason=\"too many wait to be submitted\"");
}

/* Hashes are shown to people from their highest byte on. */
static void show_hash(const uint8_t hash[32], char text[65])
{
    uint8_t reversed[32];
    for (int i = 0; i < 32; i++) reversed[i] = hash[31 - i];
    owm_hex_encode(reversed, sizeof reversed, text);
}

static void path_of(const struct owm_blocks *blocks, const char *shown, char path[4200])
{
    snprintf(path, 4200, "%s/%s.hex", blocks->options.folder, shown);
}

static void keep_file(const struct owm_blocks *blocks, const char *shown, const char *hex)
{
    char path[4200];
    struct owm_error error;
    path_of(blocks, shown, path);
    if (owm_fs_write_atomic(path, hex, strlen(hex), 0600, &error) != OWM_OK)
        owm_log(OWM_LOG_WARN, "block_not_kept hash=%s reason=\"%s\"", shown, error.text);
}

static void remove_file(const struct owm_blocks *blocks, const uint8_t hash[32])
{
    char path[4200], shown[65];
    show_hash(hash, shown);
    path_of(blocks, shown, path);
    if (unlink(path) != 0 && errno != ENOENT)
        owm_log(OWM_LOG_WARN, "block_file_stays path=%s reason=\"%s\"", path, strerror(errno));
}

void owm_blocks_taken(struct owm_blocks *blocks, const uint8_t hash[32])
{
    pthread_mutex_lock(&blocks->lock);
    memcpy(blocks->taken[blocks->taken_count++ % OWM_BLOCKS_WAITING_MAX], hash, 32);
    pthread_mutex_unlock(&blocks->lock);
    remove_file(blocks, hash);
}

/* A node may be faster than the disk: then nobody comes for the file any more. */
static bool was_taken(struct owm_blocks *blocks, const uint8_t hash[32])
{
    bool found = false;
    pthread_mutex_lock(&blocks->lock);
    for (size_t i = 0; i < OWM_BLOCKS_WAITING_MAX && i < blocks->taken_count && !found; i++)
        found = memcmp(blocks->taken[i], hash, 32) == 0;
    pthread_mutex_unlock(&blocks->lock);
    return found;
}

static void submit(struct owm_blocks *blocks, const struct solved *solved)
{
    char *hex = NULL, shown[65];
    const struct owm_work *work = solved->work;
    const struct owm_template *block = work->block;
    show_hash(solved->hash, shown);
    owm_status status = owm_block_hex(block, &work->coinbase[solved->form], solved->extranonce,
                                      solved->header, &hex);
    char *copy = status == OWM_OK ? strdup(hex) : NULL; /* submit takes the other. */
    if (status == OWM_OK) status = owm_bitcoin_submit(blocks->options.bitcoin, solved->hash, hex);
    if (copy != NULL) keep_file(blocks, shown, copy);
    if (was_taken(blocks, solved->hash)) remove_file(blocks, solved->hash);
    free(copy);
    if (status != OWM_OK)
        owm_log(OWM_LOG_ERROR, "block_lost hash=%s height=%u reason=\"%s\"", shown, block->height,
                owm_status_text(status));
    else
        owm_log(OWM_LOG_INFO, "block_found hash=%s height=%u miner=%.64s worker=%s", shown,
                block->height, solved->miner.text, solved->worker.text);
    struct owm_block_story story = {
        .hash = solved->hash,
        .height = block->height,
        .reward_sats = block->coinbase_value_sats,
        .found_ms = solved->found_ms,
        .miner = solved->miner,
        .worker = solved->worker,
    };
    blocks->options.on_found(blocks->options.ctx, &story);
}

static void *run(void *arg)
{
    struct owm_blocks *blocks = arg;
    pthread_mutex_lock(&blocks->lock);
    for (;;) {
        while (blocks->count == 0 && !blocks->stop)
            pthread_cond_wait(&blocks->changed, &blocks->lock);
        if (blocks->count == 0) break;
        struct solved solved = blocks->waiting[blocks->first];
        blocks->first = (blocks->first + 1) % OWM_BLOCKS_WAITING_MAX;
        blocks->count--;
        pthread_mutex_unlock(&blocks->lock);
        submit(blocks, &solved);
        owm_work_release(solved.work);
        pthread_mutex_lock(&blocks->lock);
    }
    pthread_mutex_unlock(&blocks->lock);
    return NULL;
}

/* Submits the block of one file again. */
static void submit_file(const struct owm_blocks *blocks, const char *name)
{
    char path[4200], shown[65] = "";
    uint8_t reversed[32], hash[32], *data = NULL;
    size_t bytes = 0;
    struct owm_error error;
    memcpy(shown, name, 64);
    if (owm_hex_decode(shown, reversed, sizeof reversed) != OWM_OK) return;
    for (int i = 0; i < 32; i++) hash[i] = reversed[31 - i];
    path_of(blocks, shown, path);
    struct stat file;
    if (stat(path, &file) == 0 && file.st_mtime < owm_clock_wall_ms() / 1000 - KEEP_S) {
        remove_file(blocks, hash);
        return;
    }
    owm_status status = owm_fs_read(path, HEX_BYTES_MAX, &data, &bytes, &error);
    if (status == OWM_OK) status = owm_bitcoin_submit(blocks->options.bitcoin, hash, (char *)data);
    if (status == OWM_OK)
        status = owm_bitcoin_follow(blocks->options.bitcoin, hash, OWM_BLOCK_FINAL);
    owm_log(OWM_LOG_INFO, "block_again hash=%s result=\"%s\"", shown, owm_status_text(status));
}

static owm_status submit_left(const struct owm_blocks *blocks, struct owm_error *error)
{
    DIR *folder = opendir(blocks->options.folder);
    if (folder == NULL)
        return owm_fail(error, OWM_E_IO, "%s: %s", blocks->options.folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (strlen(entry->d_name) == 68 && strcmp(entry->d_name + 64, ".hex") == 0)
            submit_file(blocks, entry->d_name);
    closedir(folder);
    return OWM_OK;
}

owm_status owm_blocks_open(const struct owm_blocks_options *options, struct owm_blocks **out,
                           struct owm_error *error)
{
    struct owm_blocks *blocks = calloc(1, sizeof *blocks);
    if (blocks == NULL) return owm_fail(error, OWM_E_NOMEM, "no memory for found blocks");
    blocks->options = *options;
    pthread_mutex_init(&blocks->lock, NULL);
    pthread_cond_init(&blocks->changed, NULL);
    owm_status status = submit_left(blocks, error);
    if (status == OWM_OK && pthread_create(&blocks->thread, NULL, run, blocks) != 0)
        status = owm_fail(error, OWM_E_NOMEM, "no thread for found blocks");
    if (status != OWM_OK) {
        free(blocks);
        return status;
    }
    *out = blocks;
    return OWM_OK;
}

void owm_blocks_close(struct owm_blocks *blocks)
{
    if (blocks == NULL) return;
    pthread_mutex_lock(&blocks->lock);
    blocks->stop = true;
    pthread_cond_signal(&blocks->changed);
    pthread_mutex_unlock(&blocks->lock);
    pthread_join(blocks->thread, NULL);
    pthread_cond_destroy(&blocks->changed);
    pthread_mutex_destroy(&blocks->lock);
    free(blocks);
}
