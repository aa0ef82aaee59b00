/* edit.c: lists of inputs and outputs, and their bytes. */
#include "edit.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"

#define IN_BYTES      41 /* Without a script. */
#define SHOWN_BYTES   3  /* One item, of one byte, OP_TRUE. */
#define VERSION_BYTES 4

bool edit_read(struct edit *edit, const struct wire_block *block)
{
    *edit = (struct edit){.version = block->tx[0].version, .lock_time = block->tx[0].lock_time};
    for (uint32_t i = 0; i < block->ins; i++) {
        struct edit_in in = {.key.index = block->in[i].index, .sequence = block->in[i].sequence};
        memcpy(in.key.txid, block->in[i].txid, 32);
        if (!edit_add_in(edit, &in)) return false;
    }
    for (uint32_t i = 0; i < block->outs; i++) {
        const struct edit_out out = {block->out[i].value_sats, block->out[i].script};
        if (!edit_add_out(edit, i, &out)) return false;
    }
    return true;
}

bool edit_add_in(struct edit *edit, const struct edit_in *in)
{
    if (edit->ins == EDIT_INS_MAX) return false;
    edit->in[edit->ins++] = *in;
    return true;
}

bool edit_add_out(struct edit *edit, uint32_t at, const struct edit_out *out)
{
    if (edit->outs == EDIT_OUTS_MAX || at > edit->outs) return false;
    memmove(&edit->out[at + 1], &edit->out[at], (edit->outs - at) * sizeof *out);
    edit->out[at] = *out;
    edit->outs++;
    return true;
}

static uint32_t count_bytes(uint32_t count)
{
    return count < 0xfd ? 1 : count <= 0xffff ? 3 : 5;
}

static bool shows(const struct edit *edit)
{
    for (uint32_t i = 0; i < edit->ins; i++)
        if (edit->in[i].kind == COIN_WITNESS_TRUE) return true;
    return false;
}

static size_t stripped_bytes(const struct edit *edit)
{
    size_t bytes = VERSION_BYTES + count_bytes(edit->ins) + IN_BYTES * (size_t)edit->ins
                   + count_bytes(edit->outs) + 4;
    for (uint32_t i = 0; i < edit->outs; i++)
        bytes += 8 + count_bytes(edit->out[i].script.bytes) + edit->out[i].script.bytes;
    return bytes;
}

static size_t witness_bytes(const struct edit *edit)
{
    size_t bytes = 2;
    if (!shows(edit)) return 0;
    for (uint32_t i = 0; i < edit->ins; i++)
        bytes += edit->in[i].kind == COIN_WITNESS_TRUE ? SHOWN_BYTES : 1;
    return bytes;
}

int64_t edit_vbytes(const struct edit *edit)
{
    return (int64_t)((4 * stripped_bytes(edit) + witness_bytes(edit) + 3) / 4);
}

int64_t edit_in_sats(const struct edit *edit)
{
    int64_t sum_sats = 0;
    for (uint32_t i = 0; i < edit->ins; i++) sum_sats += edit->in[i].value_sats;
    return sum_sats;
}

int64_t edit_out_sats(const struct edit *edit)
{
    int64_t sum_sats = 0;
    for (uint32_t i = 0; i < edit->outs; i++) sum_sats += edit->out[i].value_sats;
    return sum_sats;
}

static void write_count(struct owm_writer *w, uint32_t count)
{
    const uint32_t bytes = count_bytes(count);
    if (bytes > 1) owm_write_u8(w, bytes == 3 ? 0xfd : 0xfe);
    for (uint32_t i = 0; i < (bytes > 1 ? bytes - 1 : 1); i++)
        owm_write_u8(w, (uint8_t)(count >> 8 * i));
}

static void write_all(struct owm_writer *w, const struct edit *edit, bool witnesses)
{
    owm_write_u32_le(w, edit->version);
    if (witnesses) owm_write_bytes(w, (const uint8_t[]){0, 1}, 2);
    write_count(w, edit->ins);
    for (uint32_t i = 0; i < edit->ins; i++) {
        owm_write_bytes(w, edit->in[i].key.txid, 32);
        owm_write_u32_le(w, edit->in[i].key.index);
        owm_write_u8(w, 0);
        owm_write_u32_le(w, edit->in[i].sequence);
    }
    write_count(w, edit->outs);
    for (uint32_t i = 0; i < edit->outs; i++) {
        owm_write_u64_le(w, (uint64_t)edit->out[i].value_sats);
        write_count(w, edit->out[i].script.bytes);
        owm_write_bytes(w, edit->out[i].script.data, edit->out[i].script.bytes);
    }
    for (uint32_t i = 0; witnesses && i < edit->ins; i++) {
        const bool shown = edit->in[i].kind == COIN_WITNESS_TRUE;
        owm_write_bytes(w, (const uint8_t[]){shown, 1, 0x51}, shown ? SHOWN_BYTES : 1);
    }
    owm_write_u32_le(w, edit->lock_time);
}

uint8_t *edit_write(const struct edit *edit, bool witnesses, size_t *bytes)
{
    struct owm_writer w;
    const size_t room = stripped_bytes(edit) + (witnesses ? witness_bytes(edit) : 0);
    uint8_t *data = malloc(room);
    if (!data) return NULL;
    owm_writer_init(&w, data, room);
    write_all(&w, edit, witnesses && shows(edit));
    OWM_ASSERT(owm_writer_ok(&w) && w.at == room);
    *bytes = room;
    return data;
}
