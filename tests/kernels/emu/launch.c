/* launch.c: the blocks of a launch, one after another; the threads of a block, as fibers.
 *
 *   READY --runs--> AT_VOTE    --all lanes of its mask are there--> READY
 *                   AT_BARRIER --all threads of the block are-----> READY
 *                   EXITED
 *
 * A warp runs until none of its lanes can go on; then the next warp; then the barrier. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "emu.h"

/* What kernels know as threadIdx and so on: constants to the thread that reads them. */
struct emu_dim emu_thread_index, emu_block_index, emu_block_dim, emu_grid_dim;
int emu_warp_lanes = 32;

struct emu_block emu_block;
unsigned emu_warp_size = 32;

static struct emu_context scheduler;
static void *params_of_launch;
static uint8_t *stacks; /* Each with a guard before it that nobody may touch. */
static size_t stack_stride;

const uint8_t *emu_stacks(size_t *bytes)
{
    *bytes = stack_stride * EMU_THREADS_MAX;
    return stacks;
}

/* order: a walk over 0 .. count-1: start, start + step, ... modulo count. */
struct walk {
    unsigned count, at, step;
};

static unsigned common_divisor(unsigned a, unsigned b)
{
    while (b) {
        unsigned rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static struct walk walk_of(unsigned count)
{
    switch (emu_order()) {
    case EMU_FORWARD:
        return (struct walk){count, 0, 1};
    case EMU_REVERSE:
        return (struct walk){count, count - 1, count - 1};
    case EMU_SHUFFLE:
        break;
    }
    unsigned step = 1 + (unsigned)(emu_random() % count);
    while (common_divisor(step, count) != 1) step = step % count + 1;
    return (struct walk){count, (unsigned)(emu_random() % count), step};
}

static unsigned walk_next(struct walk *walk)
{
    unsigned at = walk->at;
    walk->at = (unsigned)(((uint64_t)walk->at + walk->step) % walk->count);
    return at;
}

static void leave(enum emu_state state)
{
    struct emu_thread *thread = emu_block.thread;
    thread->state = state;
    emu_block.thread = NULL;
    emu_context_switch(&thread->context, &scheduler);
}

static void enter(struct emu_thread *thread)
{
    emu_thread_index = thread->index;
    emu_block.thread = thread;
    emu_block.stack_low = stacks + stack_stride * (thread->rank + 1) - EMU_STACK_BYTES;
    emu_block.touches = 0;
    emu_context_switch(&scheduler, &thread->context);
}

/* A fiber lives as long as the process: it takes one block after another. */
static void fiber_main(void)
{
    for (;;) {
        emu_block.call->entry(params_of_launch);
        leave(EMU_EXITED);
    }
}

static void make_stacks(void)
{
    stack_stride = EMU_STACK_BYTES + EMU_GUARD_BYTES;
    stacks = mmap(NULL, stack_stride * EMU_THREADS_MAX, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED) {
        fprintf(stderr, "emulator: no memory for the stacks of a block\n");
        abort();
    }
    for (unsigned t = 0; t < EMU_THREADS_MAX; t++) {
        uint8_t *guard = stacks + stack_stride * t;
        if (mprotect(guard, EMU_GUARD_BYTES, PROT_NONE) != 0) abort();
        emu_block.of[t].rank = t;
        emu_context_make(&emu_block.of[t].context, guard + EMU_GUARD_BYTES, EMU_STACK_BYTES,
                         fiber_main);
    }
}

void emu_barrier(const char *file, int line)
{
    emu_block.thread->site = (struct emu_site){file, line};
    leave(EMU_AT_BARRIER);
}

static uint64_t barrier_result[3]; /* By enum emu_count, of the barrier just met. */

int emu_barrier_count(enum emu_count how, int predicate, const char *file, int line)
{
    emu_block.thread->value = predicate != 0;
    emu_barrier(file, line);
    return (int)barrier_result[how];
}

uint64_t emu_vote(enum emu_vote vote, uint64_t mask, uint64_t value, unsigned source,
                  const char *file, int line)
{
    struct emu_thread *thread = emu_block.thread;
    thread->site = (struct emu_site){file, line};
    thread->vote = vote;
    /* 0xffffffff means the whole warp, also where it is wider: HIP's votes take no mask. */
    thread->mask = mask == UINT32_MAX && emu_warp_size == 64 ? UINT64_MAX : mask;
    thread->value = value;
    thread->source = source;
    leave(EMU_AT_VOTE);
    return thread->result;
}

static const char *const vote_names[] = {
    [EMU_SYNC] = "__syncwarp",       [EMU_SHUFFLE_LANE] = "a shuffle",
    [EMU_BALLOT] = "__ballot_sync",  [EMU_ANY] = "__any_sync",
    [EMU_ALL] = "__all_sync",        [EMU_MATCH] = "__match_any_sync",
    [EMU_ADD] = "__reduce_add_sync", [EMU_MIN] = "__reduce_min_sync",
    [EMU_MAX] = "__reduce_max_sync", [EMU_AND] = "__reduce_and_sync",
    [EMU_OR] = "__reduce_or_sync",   [EMU_XOR] = "__reduce_xor_sync",
};

static const char *what_it_does(const struct emu_thread *thread)
{
    if (thread->state == EMU_EXITED) return "has ended";
    return thread->state == EMU_AT_BARRIER ? "waits at __syncthreads" : "waits elsewhere";
}

/* Lane `other` must be where `asks` is. */
static void check_lane(const struct emu_thread *asks, const struct emu_thread *other, unsigned lane)
{
    const char *name = vote_names[asks->vote];
    if (other->state != EMU_AT_VOTE)
        emu_fault_at(asks, asks->site, "%s names lane %u, which %s", name, lane,
                     what_it_does(other));
    if (other->site.line != asks->site.line || strcmp(other->site.file, asks->site.file) != 0
        || other->vote != asks->vote)
        emu_fault_at(asks, asks->site, "%s names lane %u, which is at %s in line %d", name, lane,
                     vote_names[other->vote], other->site.line);
    if (other->mask != asks->mask)
        emu_fault_at(asks, asks->site, "%s has mask %llx here and %llx in lane %u", name,
                     (unsigned long long)asks->mask, (unsigned long long)other->mask, lane);
}

static uint64_t fold(enum emu_vote vote, uint64_t a, uint64_t b)
{
    uint32_t x = (uint32_t)a, y = (uint32_t)b;
    switch (vote) {
    case EMU_ADD:
        return x + y;
    case EMU_MIN:
        return a < b ? a : b; /* Signed ones come with their sign bit turned. */
    case EMU_MAX:
        return a > b ? a : b;
    case EMU_AND:
        return a & b;
    case EMU_OR:
        return a | b;
    case EMU_XOR:
        return a ^ b;
    default:
        return 0;
    }
}

/* What all lanes of the mask get alike. */
static uint64_t common_result(const struct emu_thread *lanes, uint64_t mask)
{
    enum emu_vote vote = lanes[__builtin_ctzll(mask)].vote;
    uint64_t yes = 0, folded = 0;
    bool first = true;
    for (unsigned l = 0; l < emu_warp_size; l++) {
        if (!(mask >> l & 1)) continue;
        if (lanes[l].value) yes |= UINT64_C(1) << l;
        folded = first ? lanes[l].value : fold(vote, folded, lanes[l].value);
        first = false;
    }
    if (vote == EMU_ANY) return yes != 0;
    if (vote == EMU_ALL) return yes == mask;
    return vote == EMU_BALLOT ? yes : folded;
}

static uint64_t equal_lanes(const struct emu_thread *lanes, uint64_t mask, uint64_t value)
{
    uint64_t equal = 0;
    for (unsigned l = 0; l < emu_warp_size; l++)
        if ((mask >> l & 1) && lanes[l].value == value) equal |= UINT64_C(1) << l;
    return equal;
}

static void give_results(unsigned warp, struct emu_thread *lanes, uint64_t mask)
{
    enum emu_vote vote = lanes[__builtin_ctzll(mask)].vote;
    uint64_t result = common_result(lanes, mask);
    for (unsigned l = 0; l < emu_warp_size; l++) {
        struct emu_thread *lane = &lanes[l];
        if (!(mask >> l & 1)) continue;
        if (vote == EMU_SHUFFLE_LANE && !(mask >> lane->source & 1))
            emu_fault_at(lane, lane->site, "a shuffle reads lane %u, which is not in its mask %llx",
                         lane->source, (unsigned long long)mask);
        lane->result = vote == EMU_SHUFFLE_LANE ? lanes[lane->source].value
                       : vote == EMU_MATCH      ? equal_lanes(lanes, mask, lane->value)
                                                : result;
        lane->state = EMU_READY;
    }
    /* Votes and shuffles order no memory; __syncwarp does. */
    if (vote == EMU_SYNC) emu_block.warp_epoch[warp]++;
}

static unsigned lanes_of(unsigned warp)
{
    unsigned left = emu_block.threads - warp * emu_warp_size;
    return left < emu_warp_size ? left : emu_warp_size;
}

/* When no lane of the warp can go on: the votes. Returns: whether there was one. */
static bool meet_votes(unsigned warp)
{
    struct emu_thread *lanes = &emu_block.of[warp * emu_warp_size];
    unsigned count = lanes_of(warp);
    bool any = false;
    for (unsigned l = 0; l < count; l++) {
        struct emu_thread *asks = &lanes[l];
        if (asks->state != EMU_AT_VOTE) continue;
        uint64_t there = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
        if (asks->mask & ~there && asks->mask != UINT32_MAX && asks->mask != UINT64_MAX)
            emu_fault_at(asks, asks->site, "%s has mask %llx, and there are %u lanes",
                         vote_names[asks->vote], (unsigned long long)asks->mask, count);
        uint64_t mask = asks->mask & there;
        if (!(mask >> l & 1))
            emu_fault_at(asks, asks->site, "%s has mask %llx, and lane %u itself is not in it",
                         vote_names[asks->vote], (unsigned long long)asks->mask, l);
        for (unsigned other = 0; other < count; other++)
            if (mask >> other & 1) check_lane(asks, &lanes[other], other);
        give_results(warp, lanes, mask);
        any = true;
    }
    return any;
}

static void run_warp(unsigned warp)
{
    struct emu_thread *lanes = &emu_block.of[warp * emu_warp_size];
    do {
        struct walk walk = walk_of(lanes_of(warp));
        for (unsigned i = 0; i < walk.count; i++) {
            struct emu_thread *lane = &lanes[walk_next(&walk)];
            if (lane->state == EMU_READY) enter(lane);
        }
    } while (meet_votes(warp));
}

/* Every thread has stopped. Returns: whether they met at a barrier and go on. */
static bool meet_barrier(void)
{
    const struct emu_thread *waits = NULL, *ended = NULL;
    uint64_t yes = 0;
    for (unsigned t = 0; t < emu_block.threads; t++) {
        const struct emu_thread *thread = &emu_block.of[t];
        if (thread->state == EMU_EXITED) {
            ended = thread;
            continue;
        }
        yes += thread->value != 0;
        if (!waits) waits = thread;
        if (thread->site.line != waits->site.line
            || strcmp(thread->site.file, waits->site.file) != 0)
            emu_fault_at(thread, thread->site,
                         "barrier divergence: thread (%u,%u,%u) waits at the one in line %d",
                         waits->index.x, waits->index.y, waits->index.z, waits->site.line);
    }
    if (!waits) return false;
    if (ended)
        emu_fault_at(waits, waits->site,
                     "barrier divergence: it waits for thread (%u,%u,%u), which has ended",
                     ended->index.x, ended->index.y, ended->index.z);
    barrier_result[EMU_COUNT] = yes;
    barrier_result[EMU_COUNT_ANY] = yes != 0;
    barrier_result[EMU_COUNT_ALL] = yes == emu_block.threads;
    for (unsigned t = 0; t < emu_block.threads; t++) emu_block.of[t].state = EMU_READY;
    emu_block.epoch++;
    return true;
}

static void begin_block(struct emu_dim index)
{
    const struct emu_dim size = emu_block.call->block;
    emu_block.index = emu_block_index = index;
    emu_block.serial++;
    emu_block.epoch++;
    emu_shared_begin();
    for (unsigned t = 0; t < emu_block.threads; t++) {
        struct emu_thread *thread = &emu_block.of[t];
        thread->state = EMU_READY;
        thread->value = 0;
        thread->index = (struct emu_dim){t % size.x, t / size.x % size.y, t / (size.x * size.y)};
    }
}

static void run_block(struct emu_dim index)
{
    begin_block(index);
    do {
        struct walk walk = walk_of(emu_block.warps);
        for (unsigned w = 0; w < emu_block.warps; w++) run_warp(walk_next(&walk));
    } while (meet_barrier());
    size_t shared = emu_block.call->shared + emu_shared_declared();
    if (shared > EMU_SHARED_MAX)
        emu_fault_at(NULL, (struct emu_site){emu_block.call->file, emu_block.call->line},
                     "it uses %zu bytes of shared memory; a block has %zu", shared, EMU_SHARED_MAX);
    if (emu_shared_declared() > EMU_SHARED_USUAL)
        emu_fault_at(NULL, (struct emu_site){emu_block.call->file, emu_block.call->line},
                     "its static shared arrays are %zu bytes; %zu is the most",
                     emu_shared_declared(), EMU_SHARED_USUAL);
}

void emu_run(const struct emu_call *call, void *params)
{
    if (!stacks) make_stacks();
    emu_warp_lanes = (int)emu_warp_size;
    emu_block.call = call;
    params_of_launch = params;
    emu_grid_dim = call->grid;
    emu_block_dim = call->block;
    emu_block.threads = call->block.x * call->block.y * call->block.z;
    emu_block.warps = (emu_block.threads + emu_warp_size - 1) / emu_warp_size;
    uint64_t blocks = (uint64_t)call->grid.x * call->grid.y * call->grid.z;
    struct walk walk = walk_of((unsigned)blocks);
    for (uint64_t b = 0; b < blocks; b++) {
        unsigned i = walk_next(&walk);
        run_block((struct emu_dim){i % call->grid.x, i / call->grid.x % call->grid.y,
                                   i / (call->grid.x * call->grid.y)});
    }
    emu_block.call = NULL;
}
