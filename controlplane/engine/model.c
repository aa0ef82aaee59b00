/* model.c: the current checkpoint, and what checkpoints may be used for.
 *
 * Where proofs are wanted (design promise 3), no round begins on a checkpoint before its proof is
 * good enough, and inference takes the newest one that may serve, which is an older one while the
 * newest waits for its block. So nodes are not sent what they must refuse.
 */
#include "state.h"

#include <string.h>

void model_keep(owm_engine *e, const struct owm_model_row *row)
{
    e->model = *row;
    e->model.is_current = true;
    e->model.manifest = NULL; /* borrowed; only the effect needs it */
    e->model.manifest_bytes = 0;
    e->has_model = true;
    e->model_trains = !e->config.proofs_wanted;
    if (e->config.proofs_wanted) return;
    e->has_serving = true;
    e->serving = (struct owm_proven_event){
        .model_bytes = row->model_bytes, .round = row->round, .training = true, .serving = true};
    memcpy(e->serving.model_hash, row->model_hash, 32);
}

void model_next(owm_engine *e, const struct owm_model_row *model, uint32_t round)
{
    struct owm_model_row row = *model;
    row.round = round;
    row.is_current = true;
    row.created_ms = e->now_ms;
    emit_model(e, &row);
    model_keep(e, &row);
}

void model_first(owm_engine *e, const struct owm_model_row *model)
{
    if (!e->has_model) model_next(e, model, 0);
}

void model_proven(owm_engine *e, const struct owm_proven_event *event)
{
    if (!e->config.proofs_wanted) return;
    if (e->has_model && memcmp(event->model_hash, e->model.model_hash, 32) == 0) {
        e->model_trains = event->training; /* no longer: its proof was lost */
        if (event->training) e->round_wanted = true;
    }
    bool served = e->has_serving && memcmp(event->model_hash, e->serving.model_hash, 32) == 0;
    if (served && !event->serving) e->has_serving = false;
    if (!event->serving || (e->has_serving && event->round < e->serving.round)) return;
    e->serving = *event;
    e->has_serving = true;
}

const struct owm_model_row *owm_engine_model(const owm_engine *e)
{
    return e->has_model ? &e->model : NULL;
}

const struct owm_proven_event *owm_engine_serving(const owm_engine *e)
{
    return e->has_serving ? &e->serving : NULL;
}

bool owm_engine_awaits_proof(const owm_engine *e)
{
    return e->has_model && !e->model_trains;
}
