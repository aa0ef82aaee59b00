/* engine.c: the devices, the work they share, and the queue of what they found. */
#include "engine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine_internal.h"

static unsigned cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static owm_status add_scanner(struct owm_mine_engine *engine, const char *backend, int index,
                              unsigned number, struct owm_error *error)
{
    if (engine->count == OWM_MINE_SCANNERS_MAX)
        return owm_fail(error, OWM_E_LIMIT, "over %d devices", OWM_MINE_SCANNERS_MAX);
    struct scanner *scanner = &engine->scanners[engine->count];
    struct owm_device_config config = {.backend = backend, .index = index};
    owm_status status = owm_device_open(&scanner->device, &config, error);
    if (status != OWM_OK) return status;
    if (scanner->device->backend->sha256d_scan == NULL) {
        scanner->device->backend->close(scanner->device);
        return owm_fail(error, OWM_E_UNSUPPORTED, "%s cannot scan nonces", backend);
    }
    struct owm_device_info info;
    if (scanner->device->backend->device_info(index, &info) == OWM_OK) {
        snprintf(scanner->name, sizeof scanner->name, "%s", info.name);
        snprintf(scanner->arch, sizeof scanner->arch, "%s", info.arch);
    }
    snprintf(scanner->label, sizeof scanner->label, "%s:%u", backend, number);
    scanner->engine = engine;
    engine->count++;
    return OWM_OK;
}

static owm_status add_cpu(struct owm_mine_engine *engine, struct owm_error *error)
{
    unsigned threads = engine->options.cpu_threads;
    if (threads == 0) threads = cores();
    for (unsigned i = 0; i < threads; i++) {
        owm_status status = add_scanner(engine, "cpu", 0, i, error);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

static owm_status add_all(struct owm_mine_engine *engine, struct owm_error *error)
{
    const struct owm_backend *backend;
    for (size_t i = 0; (backend = owm_backend_at(i)) != NULL; i++) {
        if (strcmp(backend->name, "reference") == 0 || strcmp(backend->name, "cpu") == 0) continue;
        for (int index = 0; index < backend->device_count(); index++)
            if (add_scanner(engine, backend->name, index, (unsigned)index, error) != OWM_OK)
                owm_log(OWM_LOG_WARN, "device_left_out device=%s:%d reason=\"%s\"", backend->name,
                        index, error->text);
    }
    return add_cpu(engine, error);
}

/* One name of the list: "cpu", "cuda", "cuda:1". */
static owm_status add_named(struct owm_mine_engine *engine, const char *name,
                            struct owm_error *error)
{
    if (strcmp(name, "cpu") == 0) return add_cpu(engine, error);
    char backend[16];
    int index = 0;
    char rest;
    int fields = sscanf(name, "%15[a-z]:%3d%c", backend, &index, &rest);
    if ((fields != 1 && fields != 2) || index < 0 || strcmp(backend, "cpu") == 0
        || (fields == 1 && strlen(backend) != strlen(name)))
        return owm_fail(error, OWM_E_CONFIG,
                        "'%.40s' is no device: write all, cpu, cuda:N or hip:N, with commas", name);
    return add_scanner(engine, backend, index, (unsigned)index, error);
}

static owm_status add_devices(struct owm_mine_engine *engine, struct owm_error *error)
{
    const char *list = engine->options.devices;
    if (list == NULL || *list == '\0' || strcmp(list, "all") == 0) return add_all(engine, error);
    while (*list != '\0') {
        char name[24] = "";
        size_t length = strcspn(list, ",");
        if (length >= sizeof name)
            return owm_fail(error, OWM_E_CONFIG, "'%.40s' is no device", list);
        memcpy(name, list, length);
        owm_status status = add_named(engine, name, error);
        if (status != OWM_OK) return status;
        list += length + (list[length] == ',');
    }
    return OWM_OK;
}

static owm_status start(struct owm_mine_engine *engine, struct owm_error *error)
{
    for (size_t i = 0; i < engine->count; i++) {
        struct scanner *scanner = &engine->scanners[i];
        if (pthread_create(&scanner->thread, NULL, scanner_run, scanner) != 0)
            return owm_fail(error, OWM_E_NOMEM, "no thread for device %s", scanner->label);
        scanner->started = true;
    }
    return OWM_OK;
}

owm_status owm_mine_engine_open(const struct owm_mine_engine_options *options,
                                struct owm_mine_engine **out, struct owm_error *error)
{
    struct owm_mine_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) return owm_fail(error, OWM_E_NOMEM, "no memory for the miner");
    engine->options = *options;
    pthread_mutex_init(&engine->lock, NULL);
    pthread_cond_init(&engine->changed, NULL);
    engine->scanners = calloc(OWM_MINE_SCANNERS_MAX, sizeof *engine->scanners);
    engine->hit = calloc(OWM_MINE_HITS_MAX, sizeof *engine->hit);
    owm_status status = OWM_OK;
    if (engine->scanners == NULL || engine->hit == NULL)
        status = owm_fail(error, OWM_E_NOMEM, "no memory for the miner");
    if (status == OWM_OK) status = add_devices(engine, error);
    if (status == OWM_OK) status = start(engine, error);
    if (status != OWM_OK) {
        owm_mine_engine_close(engine);
        return status;
    }
    *out = engine;
    return OWM_OK;
}

void owm_mine_engine_close(struct owm_mine_engine *engine)
{
    if (engine == NULL) return;
    pthread_mutex_lock(&engine->lock);
    engine->stop = true;
    atomic_fetch_add(&engine->version, 1);
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
    for (size_t i = 0; i < engine->count; i++) {
        struct scanner *scanner = &engine->scanners[i];
        if (scanner->started) pthread_join(scanner->thread, NULL);
        scanner->device->backend->close(scanner->device);
    }
    struct owm_mine_share share;
    while (engine->hit != NULL && owm_mine_engine_hit(engine, &share))
        owm_mine_work_release(share.work);
    owm_mine_work_release(engine->work);
    pthread_cond_destroy(&engine->changed);
    pthread_mutex_destroy(&engine->lock);
    free(engine->hit);
    free(engine->scanners);
    free(engine);
}

/* Under the lock: a new tip starts the clock that the last scanner to begin on it stops. */
static void watch_tip(struct owm_mine_engine *engine, const struct owm_mine_work *work)
{
    if (engine->tip == work->tip && engine->tip_connection == work->connection) return;
    engine->tip = work->tip;
    engine->tip_connection = work->connection;
    engine->tip_since_ms = (int64_t)owm_clock_mono_ms();
    engine->tip_waiting = engine->paused ? 0 : engine->count;
}

void owm_mine_engine_work(struct owm_mine_engine *engine, struct owm_mine_work *work)
{
    pthread_mutex_lock(&engine->lock);
    struct owm_mine_work *old = engine->work;
    engine->work = work;
    engine->next_part = 0;
    if (work != NULL) watch_tip(engine, work);
    atomic_fetch_add(&engine->version, 1);
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
    owm_mine_work_release(old);
}

void owm_mine_engine_pause(struct owm_mine_engine *engine, bool paused)
{
    pthread_mutex_lock(&engine->lock);
    if (engine->paused != paused) {
        engine->paused = paused;
        engine->tip_waiting = 0;
        atomic_fetch_add(&engine->version, 1);
        pthread_cond_broadcast(&engine->changed);
    }
    pthread_mutex_unlock(&engine->lock);
}

bool engine_next(struct owm_mine_engine *engine, const struct engine_part *last,
                 struct engine_part *part)
{
    pthread_mutex_lock(&engine->lock);
    while (!engine->stop
           && (engine->work == NULL || engine->paused || engine->options.intensity == 0))
        pthread_cond_wait(&engine->changed, &engine->lock);
    bool go_on = !engine->stop;
    if (go_on) {
        part->work = owm_mine_work_retain(engine->work);
        part->version = atomic_load(&engine->version);
        part->part = engine->next_part++;
        part->tip = engine->work->tip + (engine->work->connection << 32);
        if (last->tip != part->tip && engine->tip_waiting > 0 && --engine->tip_waiting == 0) {
            engine->switch_ms = (double)((int64_t)owm_clock_mono_ms() - engine->tip_since_ms);
            if (engine->switch_ms > engine->switch_ms_max)
                engine->switch_ms_max = engine->switch_ms;
        }
    }
    pthread_mutex_unlock(&engine->lock);
    return go_on;
}

bool engine_is_current(const struct owm_mine_engine *engine, uint64_t version)
{
    return atomic_load_explicit(&engine->version, memory_order_acquire) == version;
}

void engine_add_hit(struct owm_mine_engine *engine, const struct owm_mine_share *share)
{
    pthread_mutex_lock(&engine->lock);
    if (engine->hit_count == OWM_MINE_HITS_MAX && share->block) { /* Worth more than any other. */
        engine->hit_count--;
        engine->hits_lost++;
        size_t last = (engine->hit_first + engine->hit_count) % OWM_MINE_HITS_MAX;
        owm_mine_work_release(engine->hit[last].work);
    }
    if (engine->hit_count == OWM_MINE_HITS_MAX) {
        engine->hits_lost++;
    } else {
        size_t at = (engine->hit_first + engine->hit_count++) % OWM_MINE_HITS_MAX;
        engine->hit[at] = *share;
        owm_mine_work_retain(share->work);
    }
    pthread_mutex_unlock(&engine->lock);
    engine->options.on_hit(engine->options.ctx);
}

bool owm_mine_engine_hit(struct owm_mine_engine *engine, struct owm_mine_share *share)
{
    pthread_mutex_lock(&engine->lock);
    bool found = engine->hit_count > 0;
    if (found) {
        *share = engine->hit[engine->hit_first];
        engine->hit_first = (engine->hit_first + 1) % OWM_MINE_HITS_MAX;
        engine->hit_count--;
    }
    pthread_mutex_unlock(&engine->lock);
    return found;
}

size_t owm_mine_engine_count(const struct owm_mine_engine *engine)
{
    return engine->count;
}

void owm_mine_engine_stats(const struct owm_mine_engine *engine, size_t index,
                           struct owm_mine_scanner_stats *stats)
{
    const struct scanner *scanner = &engine->scanners[index];
    *stats = (struct owm_mine_scanner_stats){
        .hashes = atomic_load(&scanner->hashes),
        .hits = atomic_load(&scanner->hits),
        .rate_hashes_per_s = atomic_load(&scanner->rate),
        .failed = atomic_load(&scanner->failed),
    };
    snprintf(stats->device, sizeof stats->device, "%s", scanner->label);
    snprintf(stats->name, sizeof stats->name, "%s", scanner->name);
    snprintf(stats->arch, sizeof stats->arch, "%s", scanner->arch);
}

double owm_mine_engine_rate(const struct owm_mine_engine *engine)
{
    double sum = 0;
    pthread_mutex_lock((pthread_mutex_t *)&engine->lock);
    bool stands = engine->paused || engine->work == NULL;
    pthread_mutex_unlock((pthread_mutex_t *)&engine->lock);
    if (stands) return 0;
    for (size_t i = 0; i < engine->count; i++) sum += atomic_load(&engine->scanners[i].rate);
    return sum;
}

void owm_mine_engine_health_get(const struct owm_mine_engine *engine,
                                struct owm_mine_engine_health *health)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&engine->lock;
    pthread_mutex_lock(lock);
    *health = (struct owm_mine_engine_health){.switch_ms = engine->switch_ms,
                                              .switch_ms_max = engine->switch_ms_max,
                                              .hits_lost = engine->hits_lost};
    pthread_mutex_unlock(lock);
}
