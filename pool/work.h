/* work.h: one template made ready for mining: what the template thread builds once and every loop
 * reads. Immutable after owm_work_make, shared by counting references.
 *
 * Extranonce layout: prefix of 8 bytes | what the miner rolls (8, or 24 for those who ask)
 *
 *   prefix = epoch u16 | loop u8 | channel number u40, big endian
 *
 * The epoch counts starts of the pool and is stored, so no prefix is ever given out twice while a
 * share on it could still be credited; a standard channel's rolled part is fixed to zeros.
 */
#ifndef OWM_POOL_WORK_H
#define OWM_POOL_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "dataplane/chain/template.h"
#include "share.h"

#define OWM_EXTRANONCE_PREFIX_BYTES 8

/** Two lengths of extranonce, each with a coinbase of its own since the length is in its script. */
enum owm_coinbase_form { OWM_COINBASE_SHORT, OWM_COINBASE_LONG, OWM_COINBASE_FORMS };
#define OWM_EXTRANONCE_SHORT_BYTES 16
#define OWM_EXTRANONCE_LONG_BYTES  32

struct owm_work {
    uint64_t number; /* Counts works of this process from 1. */
    uint64_t tip;    /* Counts changes of the tip from 1: shares of an older one are stale. */
    struct owm_template *block;
    struct owm_coinbase coinbase[OWM_COINBASE_FORMS];
    struct owm_basis basis;
    int64_t made_ms; /* owm_clock_mono_ms */
};

/** owm_work_options: of the pool's configuration. */
struct owm_work_options {
    uint8_t script[OWM_SCRIPT_BYTES_MAX];
    uint32_t script_bytes;
    char tag[48];
    bool pay_fees; /* Count fees into the price of a share. */
    uint16_t pay_basis_points;
    uint32_t halving_interval;
};

/** owm_work_make: Takes: block (also on failure). Returns: OWM_OK with one reference; as
 *  owm_coinbase_build; OWM_E_NOMEM. */
struct owm_work_place {
    uint64_t number, tip;
};
OWM_MUST_USE owm_status owm_work_make(struct owm_template *block,
                                      const struct owm_work_options *options,
                                      struct owm_work_place place, struct owm_work **work,
                                      struct owm_error *error);
struct owm_work *owm_work_retain(struct owm_work *work);
void owm_work_release(struct owm_work *work); /* NULL is allowed. Thread: any. */

#endif
