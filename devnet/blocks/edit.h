/* edit.h: a transaction that is being written: the wallet adds inputs, change and witnesses. */
#ifndef OWM_DEVNET_BLOCKS_EDIT_H
#define OWM_DEVNET_BLOCKS_EDIT_H

#include "coins.h"

#define EDIT_INS_MAX  200
#define EDIT_OUTS_MAX 200

struct edit_in {
    struct coin_key key;
    uint32_t sequence;
    enum coin_kind kind; /* COIN_OTHER: not known, or nothing that can be spent. */
    int64_t value_sats;
};

struct edit_out {
    int64_t value_sats;
    struct wire_view script; /* Borrowed. */
};

struct edit {
    uint32_t version, lock_time, ins, outs;
    struct edit_in in[EDIT_INS_MAX];
    struct edit_out out[EDIT_OUTS_MAX];
};

/** edit_read: block->tx[0]; kinds and values of inputs are not known yet.
 *  Returns: false: more inputs or outputs than fit. */
bool edit_read(struct edit *edit, const struct wire_block *block);

/** edit_add_in, edit_add_out: at `at`, or behind the last. Returns: false: no room. */
bool edit_add_in(struct edit *edit, const struct edit_in *in);
bool edit_add_out(struct edit *edit, uint32_t at, const struct edit_out *out);

/** edit_vbytes: with witnesses. */
int64_t edit_vbytes(const struct edit *edit);

int64_t edit_in_sats(const struct edit *edit);
int64_t edit_out_sats(const struct edit *edit);

/** edit_write: malloc'ed; NULL without memory. `witnesses`: with what inputs have to show. */
uint8_t *edit_write(const struct edit *edit, bool witnesses, size_t *bytes);

#endif
