/* driver.c: see driver.h. */
#include "driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "controlplane/db/load.h"

#define TICK_MS      50
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 2000
#define LOCK_WAIT_MS 15000 /* for our own old session to be given up by the server */
#define PUBLISHED_SQL                                                                              \
    "SELECT h FROM (SELECT model_hash AS h, created_at AS at FROM model_versions UNION ALL"        \
    " SELECT decode(certificate_hash, 'hex'), completed_at FROM fl_rounds"                         \
    " WHERE certificate_hash IS NOT NULL UNION ALL"                                                \
    " SELECT decode(evidence_hash, 'hex'), detected_at FROM misbehavior_signals UNION ALL"         \
    " SELECT bundle_hash, decided_at FROM slash_cases WHERE bundle_hash IS NOT NULL) p"            \
    " ORDER BY at DESC NULLS LAST LIMIT 900"

/* ---------------------------------------------------------------------------- restore */

static void engine_config(const struct owm_coordinator_config *c, struct owm_engine_config *e)
{
    owm_engine_defaults(e);
    while (getrandom(e->seed, sizeof(e->seed), 0) != (ssize_t)sizeof(e->seed)) {
    }
    e->stake = c->stake == OWM_STAKE_NONE ? OWM_ENGINE_STAKE_NONE : OWM_ENGINE_STAKE_LIGHTNING;
    owm_coordinator_tier_sats(c, e->tier_stake_sats);
    e->stake_fresh_ms = c->stake_fresh_ms;
    e->degraded_ms = (int64_t)(c->stake_degraded_hours * 3600000);
    e->base_rate_msat = c->base_rate_sats * 1000;
    e->heartbeat_period_ms = c->heartbeat_ms;
    e->persist_ms = c->persist_ms;
    e->grace_ms = c->grace_ms;
    e->lease_ms = c->lease_s * 1000;
    e->attempts_max = (uint32_t)c->attempts_max;
    e->nodes_max = (uint32_t)c->nodes_max;
    e->tasks_max = (uint32_t)c->tasks_max;
    e->proofs_wanted = owm_coordinator_calendars(c)[0] != 0;
    e->rounds.enabled = c->rounds_enabled;
    e->rounds.stop_after = (uint32_t)c->stop_after;
    e->rounds.participants_max = (uint32_t)c->participants_max;
    e->rounds.min_participants = (uint32_t)c->min_participants;
    e->rounds.quorum_percent = (uint32_t)c->quorum_percent;
    e->rounds.deadline_ms = c->deadline_s * 1000;
    e->rounds.deadline_min_ms = c->deadline_min_s * 1000;
    e->rounds.deadline_mad_milli = (uint32_t)(c->deadline_mad_k * 1000);
    e->rounds.pause_ms = c->pause_ms;
    enum owm_tier tier;
    if (owm_tier_parse(c->min_tier, &tier) == OWM_OK) e->rounds.min_tier = tier;
}

/* What the RPC threads answer heartbeats with. */
static void set_view(struct owm_driver *driver)
{
    const struct owm_model_row *model = owm_engine_model(driver->engine);
    struct owm_network_view view = {0};
    if (model) {
        memcpy(view.model_hash, model->model_hash, 32);
        view.round = model->round;
    }
    view.pending_tasks = (uint32_t)owm_engine_counters(driver->engine)->tasks_pending;
    owm_peers_set_view(driver->peers, &view);
}

static owm_status publish_stored(struct owm_driver *driver, struct owm_error *error)
{
    struct owm_pg_rows *rows = NULL;
    owm_status status = owm_pg_query(driver->pg, PUBLISHED_SQL, NULL, &rows, error);
    if (status != OWM_OK) return status;
    for (size_t i = owm_pg_rows_count(rows); i-- > 0;) {
        uint8_t hash[32];
        owm_pg_get_hash(rows, i, 0, hash, 32);
        owm_services_publish(driver->services, hash);
    }
    owm_pg_rows_free(rows);
    return OWM_OK;
}

static void show_round(void *page, const struct owm_round_row *round)
{
    owm_page_round(page, round);
}

owm_status owm_driver_restore(struct owm_driver *driver, struct owm_error *error)
{
    struct owm_engine_config config;
    engine_config(driver->config, &config);
    owm_status status = owm_engine_create(&config, &driver->engine, error);
    explicit_bzero(config.seed, sizeof(config.seed));
    if (status == OWM_OK) status = owm_load(driver->pg, driver->engine, config.finished_max, error);
    if (status == OWM_OK)
        status = owm_load_rounds(driver->pg, OWM_PAGE_ROUNDS_MAX, show_round, driver->page, error);
    if (status == OWM_OK) status = publish_stored(driver, error);
    if (status != OWM_OK) return status;
    int64_t now_ms = owm_clock_wall_ms();
    for (uint32_t i = 0; status == OWM_OK && i < owm_engine_node_count(driver->engine); i++) {
        struct owm_node_view view;
        owm_engine_node(driver->engine, i, now_ms, &view);
        status =
            owm_peers_update(driver->peers, view.row.public_key, view.row.node_id, view.row.status);
        owm_driver_tell_stake(driver, &view.row);
    }
    if (status != OWM_OK) return owm_fail(error, status, "the table of nodes cannot be made");
    set_view(driver);
    owm_page_restored(driver->page, driver->engine, now_ms);
    return OWM_OK;
}

/* ---------------------------------------------------------------------------- commit */

static owm_status reconnect(struct owm_driver *driver, struct owm_error *error)
{
    owm_status status = owm_pg_reopen(driver->pg, error);
    for (unsigned waited = 0; status == OWM_OK; waited += 250) {
        status = owm_engine_lock_retake(driver->pg, driver->epoch, error);
        if (status != OWM_E_EXISTS) return status;
        if (waited >= LOCK_WAIT_MS) return OWM_E_STATE;
        owm_clock_sleep_ms(250);
        status = OWM_OK;
    }
    return status;
}

/* Until it works. Returns false when it never will. */
static bool commit(struct owm_driver *driver, const struct owm_effect *effects, size_t count)
{
    unsigned pause_ms = RETRY_MIN_MS;
    bool away = false;
    for (;;) {
        struct owm_error error = {""};
        owm_status status = OWM_OK;
        if (!owm_pg_alive(driver->pg)) {
            status = reconnect(driver, &error);
            if (status == OWM_E_STATE) {
                owm_log(OWM_LOG_ERROR, "standing_down reason=\"%s\"", error.text);
                return false;
            }
        }
        if (status == OWM_OK)
            status = owm_persist(driver->pg, effects, count, driver->secret, &error);
        if (status == OWM_OK) {
            if (away) owm_log(OWM_LOG_INFO, "database_back");
            return true;
        }
        if (owm_pg_alive(driver->pg) && !owm_pg_transient(status)) {
            owm_log(OWM_LOG_ERROR, "batch_refused effects=%zu reason=\"%s\"", count, error.text);
            return false;
        }
        if (!away) owm_log(OWM_LOG_WARN, "database_away reason=\"%s\"", error.text);
        away = true;
        owm_clock_sleep_ms(pause_ms);
        pause_ms = pause_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : pause_ms * 2;
    }
}

/* Bytes of checkpoints served, for the round in which they were. */
static void note_traffic(struct owm_driver *driver)
{
    const struct owm_round_row *round = owm_engine_round(driver->engine);
    struct owm_error error = {""};
    if (!round || round->state == OWM_ROUND_IDLE) return;
    if (round->round != driver->traffic_round) {
        driver->traffic_round = round->round;
        driver->traffic_bytes = 0;
    }
    uint64_t fresh = owm_services_bytes_down(driver->services, true);
    if (!fresh) return;
    driver->traffic_bytes += fresh;
    if (owm_persist_traffic(driver->pg, round->round, driver->traffic_bytes, &error) != OWM_OK)
        owm_log(OWM_LOG_DEBUG, "traffic_not_noted reason=\"%s\"", error.text);
}

/* ---------------------------------------------------------------------------- outputs */

static void log_round(const struct owm_round_row *round)
{
    owm_log(OWM_LOG_INFO,
            "round=%u state=%s invited=%u received=%u included=%u version=%s heldout=%.4f->%.4f "
            "reason=\"%s\"",
            round->round, owm_round_state_name(round->state), round->invited, round->received,
            round->included, round->version, (double)round->heldout_before,
            (double)round->heldout_after, round->reason);
}

static void apply_effects(struct owm_driver *driver, const struct owm_effect *effects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct owm_effect *effect = &effects[i];
        if (effect->kind == OWM_EFFECT_NODE) {
            const struct owm_node_row *node = &effect->node;
            if (owm_peers_update(driver->peers, node->public_key, node->node_id, node->status)
                != OWM_OK)
                owm_log(OWM_LOG_ERROR, "peer_table_full");
            owm_driver_tell_stake(driver, node);
        } else if (effect->kind == OWM_EFFECT_MODEL) {
            owm_services_publish(driver->services, effect->model.model_hash);
            owm_provenance_part_wake(driver->provenance);
            set_view(driver);
        } else if (effect->kind == OWM_EFFECT_ROUND) {
            static const uint8_t none[32];
            if (memcmp(effect->round.certificate_hash, none, 32) != 0)
                owm_services_publish(driver->services, effect->round.certificate_hash);
        } else if (effect->kind == OWM_EFFECT_SIGNAL) {
            owm_services_publish(driver->services, effect->signal.evidence_hash);
            owm_log(OWM_LOG_WARN, "misbehaviour type=%s round=%u",
                    owm_signal_type_name(effect->signal.type), effect->signal.round);
        }
    }
}

static void perform(struct owm_driver *driver, const struct owm_output *output)
{
    switch (output->kind) {
    case OWM_OUTPUT_VERIFY:
        owm_round_verify(driver, &output->verify);
        break;
    case OWM_OUTPUT_AGGREGATE:
        owm_round_aggregate(driver, &output->aggregate);
        break;
    case OWM_OUTPUT_STAKE_WANTED:
        owm_stake_want(driver->stake, output->stake_wanted.node_id);
        break;
    case OWM_OUTPUT_ROUND_CHANGED:
        log_round(&output->round);
        owm_page_round(driver->page, &output->round);
        break;
    default:
        owm_services_perform(driver->services, output);
        break;
    }
}

/* Write what the steps gave, then say it. */
static bool flush(struct owm_driver *driver)
{
    size_t effect_count = 0, output_count = 0;
    const struct owm_effect *effects = owm_engine_effects(driver->engine, &effect_count);
    if (effect_count && !commit(driver, effects, effect_count)) return false;
    apply_effects(driver, effects, effect_count);
    const struct owm_output *outputs = owm_engine_outputs(driver->engine, &output_count);
    for (size_t i = 0; i < output_count; i++) perform(driver, &outputs[i]);
    owm_engine_clear(driver->engine);
    return true;
}

/* ---------------------------------------------------------------------------- the loop */

struct collecting {
    struct owm_driver *driver;
    int64_t now_ms;
};

static void step_seen(void *ctx, struct owm_peer *peer)
{
    const struct collecting *collecting = ctx;
    struct owm_event event = {.kind = OWM_EVENT_HEARTBEAT};
    memcpy(event.heartbeat.node_id, peer->node_id, 16);
    event.heartbeat.boot_id = atomic_load(&peer->boot_id);
    event.heartbeat.free_slots = atomic_load(&peer->free_slots);
    event.heartbeat.draining = atomic_load(&peer->draining);
    owm_engine_step(collecting->driver->engine, &event, collecting->now_ms);
}

static void step_posts(struct owm_driver *driver, struct owm_post *posts, int64_t now_ms)
{
    for (struct owm_post *post = posts; post; post = post->next) {
        if (post->prepare && !post->prepare(post, driver->engine)) continue;
        if (!post->has_event) continue;
        owm_engine_step(driver->engine, &post->event, now_ms);
        /* Every event that was asked is answered by an output, which takes the ask. */
        if (post->event.cookie) post->ask = NULL;
    }
}

static void free_posts(struct owm_post *posts)
{
    while (posts) {
        struct owm_post *next = posts->next;
        owm_post_free(posts);
        posts = next;
    }
}

static void step_time(struct owm_driver *driver, int64_t now_ms)
{
    if (now_ms < driver->next_tick_ms && driver->next_tick_ms - now_ms <= TICK_MS) return;
    driver->next_tick_ms = now_ms + TICK_MS;
    struct collecting collecting = {driver, now_ms};
    owm_peers_collect(driver->peers, step_seen, &collecting);
    owm_engine_step(driver->engine, &(struct owm_event){.kind = OWM_EVENT_TICK}, now_ms);
}

static void every_second(struct owm_driver *driver, int64_t now_ms)
{
    if (now_ms < driver->next_second_ms && driver->next_second_ms - now_ms <= 1000) return;
    driver->next_second_ms = now_ms + 1000;
    set_view(driver);
    note_traffic(driver);
    owm_page_update(driver->page, driver->engine, owm_inbox_length(driver->inbox));
}

static bool turn(struct owm_driver *driver)
{
    struct owm_post *posts = owm_inbox_take(driver->inbox, OWM_DRIVER_BATCH_POSTS, TICK_MS / 2);
    int64_t now_ms = owm_clock_wall_ms();
    step_posts(driver, posts, now_ms);
    step_time(driver, now_ms);
    bool going = flush(driver);
    free_posts(posts);
    if (!going) return false;
    every_second(driver, now_ms);
    owm_page_turn(driver->page, driver->engine, now_ms, owm_inbox_length(driver->inbox));
    return true;
}

void *owm_driver_main(void *ctx)
{
    struct owm_driver *driver = ctx;
    bool going = true;
    owm_engine_start(driver->engine, owm_clock_wall_ms());
    if (!owm_engine_model(driver->engine)) owm_round_genesis(driver);
    going = flush(driver);
    while (going && !(atomic_load(&driver->stop) && owm_inbox_length(driver->inbox) == 0))
        going = turn(driver);
    if (!going) {
        atomic_store(&driver->failed, true);
        owm_inbox_stop(driver->inbox);
    }
    return NULL;
}
