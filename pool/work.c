/* work.c: a template made ready for mining. */
#include "work.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "dataplane/chain/target.h"

/** shared: a work with its count of references, which its readers need not see. */
struct shared {
    struct owm_work work;
    atomic_uint references;
};

static const uint32_t form_bytes[OWM_COINBASE_FORMS] = {
    [OWM_COINBASE_SHORT] = OWM_EXTRANONCE_SHORT_BYTES,
    [OWM_COINBASE_LONG] = OWM_EXTRANONCE_LONG_BYTES,
};

static struct owm_basis basis_of(const struct owm_template *block,
                                 const struct owm_work_options *options)
{
    struct owm_basis basis = {
        .height = block->height,
        .bits = block->bits,
        .subsidy_sats = owm_block_subsidy_sats(block->height, options->halving_interval),
        .fees_sats = options->pay_fees ? block->fees_sats : 0,
        .pay_basis_points = options->pay_basis_points,
    };
    memcpy(basis.previous, block->previous, sizeof basis.previous);
    return basis;
}

static owm_status build_coinbases(struct owm_work *work, const struct owm_work_options *options,
                                  struct owm_error *error)
{
    struct owm_coinbase_plan plan = {.script_bytes = options->script_bytes};
    memcpy(plan.script, options->script, sizeof plan.script);
    memcpy(plan.tag, options->tag, sizeof plan.tag);
    for (int form = 0; form < OWM_COINBASE_FORMS; form++) {
        plan.extranonce_bytes = form_bytes[form];
        owm_status status = owm_coinbase_build(work->block, &plan, &work->coinbase[form], error);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

owm_status owm_work_make(struct owm_template *block, const struct owm_work_options *options,
                         struct owm_work_place place, struct owm_work **work,
                         struct owm_error *error)
{
    struct shared *shared = calloc(1, sizeof *shared);
    if (!shared) {
        owm_template_release(block);
        return owm_fail(error, OWM_E_NOMEM, "no memory for a new work of %zu bytes",
                        sizeof *shared);
    }
    atomic_init(&shared->references, 1);
    shared->work = (struct owm_work){
        .number = place.number,
        .tip = place.tip,
        .block = block,
        .basis = basis_of(block, options),
        .made_ms = (int64_t)owm_clock_mono_ms(),
    };
    owm_status status = build_coinbases(&shared->work, options, error);
    if (status != OWM_OK) {
        owm_work_release(&shared->work);
        return status;
    }
    *work = &shared->work;
    return OWM_OK;
}

struct owm_work *owm_work_retain(struct owm_work *work)
{
    struct shared *shared = (struct shared *)work;
    atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    return work;
}

void owm_work_release(struct owm_work *work)
{
    struct shared *shared = (struct shared *)work;
    if (!work) return;
    if (atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) != 1) return;
    owm_template_release(work->block);
    free(shared);
}
