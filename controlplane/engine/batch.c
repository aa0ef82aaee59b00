/* batch.c: the growing lists of effects and outputs of one batch. */
#include "state.h"

#include <stdlib.h>
#include <string.h>

static void *grow(void *items, size_t *room, size_t count, size_t item_bytes)
{
    if (count < *room) return items;
    *room = *room ? *room * 2 : 64;
    items = realloc(items, *room * item_bytes);
    OWM_ASSERT(items); /* engine.h says why this loses nothing */
    return items;
}

static struct owm_effect *effect(owm_engine *e, enum owm_effect_kind kind)
{
    e->effect = grow(e->effect, &e->effect_room, e->effect_count, sizeof(e->effect[0]));
    struct owm_effect *effect = &e->effect[e->effect_count++];
    memset(effect, 0, sizeof(*effect)); /* padding too: the same bytes each time (I10) */
    effect->kind = kind;
    return effect;
}

void emit_node(owm_engine *e, const struct node *node)
{
    effect(e, OWM_EFFECT_NODE)->node = node->row;
}

void emit_heartbeat(owm_engine *e, const struct node *node)
{
    struct owm_heartbeat_row *row = &effect(e, OWM_EFFECT_HEARTBEAT)->heartbeat;
    memcpy(row->node_id, node->row.node_id, 16);
    row->last_heartbeat_ms = node->row.last_heartbeat_ms;
    row->stake_read_ms = node->row.stake_read_ms;
    row->reliability_ppm = node->row.reliability_ppm;
    row->reliability = node->row.reliability;
}

void emit_task(owm_engine *e, const struct owm_task_row *row, bool with_payload)
{
    struct owm_task_row *to = &effect(e, OWM_EFFECT_TASK)->task;
    *to = *row;
    if (with_payload) return;
    to->payload = NULL;
    to->payload_bytes = 0;
}

void emit_log(owm_engine *e, const struct owm_task_row *row, enum owm_log_what what)
{
    struct owm_task_log_row *to = &effect(e, OWM_EFFECT_TASK_LOG)->log;
    to->sequence = ++e->log_sequence;
    memcpy(to->task_id, row->task_id, 16);
    memcpy(to->node_id, row->assigned_node, 16);
    to->lease_token = row->lease_token;
    to->attempt = row->attempt;
    to->what = what;
    to->at_ms = e->now_ms;
    TEXT(to->reason, row->reason);
}

void emit_round(owm_engine *e)
{
    effect(e, OWM_EFFECT_ROUND)->round = e->round.row;
    output(e, OWM_OUTPUT_ROUND_CHANGED, 0)->round = e->round.row;
}

void emit_participant(owm_engine *e, const struct owm_participant_row *row)
{
    effect(e, OWM_EFFECT_PARTICIPANT)->participant = *row;
}

void emit_model(owm_engine *e, const struct owm_model_row *row)
{
    effect(e, OWM_EFFECT_MODEL)->model = *row;
}

void emit_payable(owm_engine *e, const struct owm_payable_row *row)
{
    effect(e, OWM_EFFECT_PAYABLE)->payable = *row;
}

void emit_signal(owm_engine *e, const struct owm_signal_row *row)
{
    effect(e, OWM_EFFECT_SIGNAL)->signal = *row;
}

struct owm_output *output(owm_engine *e, enum owm_output_kind kind, uint64_t cookie)
{
    e->output = grow(e->output, &e->output_room, e->output_count, sizeof(e->output[0]));
    struct owm_output *output = &e->output[e->output_count++];
    memset(output, 0, sizeof(*output));
    output->kind = kind;
    output->cookie = cookie;
    return output;
}

void answer_done(owm_engine *e, uint64_t cookie, enum owm_code code)
{
    output(e, OWM_OUTPUT_DONE, cookie)->done.code = code;
}

void bury(owm_engine *e, const void *payload)
{
    if (!payload) return;
    e->grave = grow(e->grave, &e->grave_room, e->grave_count, sizeof(e->grave[0]));
    e->grave[e->grave_count++] = (void *)payload;
}

void batch_clear(owm_engine *e)
{
    for (size_t i = 0; i < e->grave_count; i++) free(e->grave[i]);
    e->grave_count = e->effect_count = e->output_count = 0;
}

void text_set(char *to, size_t bytes, const char *from)
{
    size_t length = strnlen(from, bytes - 1);
    memmove(to, from, length);
    memset(to + length, 0, bytes - length);
}

bool is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != 0) return false;
    return true;
}
