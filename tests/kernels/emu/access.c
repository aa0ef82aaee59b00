/* access.c: every load and store of a kernel comes by here: the compiler calls __tsan_read4() and
 * its kin, which are ours.
 *
 * Shared memory has a state per byte (outside an array, not yet written, written) and, per word,
 * who wrote and read it last and after which barrier: two threads are in order if a barrier of the
 * block, or a __syncwarp of their warp, was between them. An array of elements smaller than a word
 * keeps one writer per word, so some races between neighbours' bytes go unseen. */
#include <stdio.h>
#include <string.h>

#include "emu.h"

#define SHARED_BYTES ((size_t)512 << 10) /* Of a block, and gaps between its arrays. */
#define GAP          64                  /* Between arrays, at least. */
#define WAITS_MAX    (UINT64_C(1) << 28) /* Loads and stores of a thread between two switches. */

enum byte_state { OUTSIDE, UNWRITTEN, WRITTEN };
enum by { ONE_THREAD, ONE_WARP, SEVERAL_WARPS };
enum how { LOAD, STORE, ATOMIC_LOAD, ATOMIC_STORE };

/* last: the last load or the last store of a word. */
struct last {
    const void *pc;
    uint32_t epoch, warp_epoch;
    uint16_t rank;
    uint8_t bytes; /* Which of the word's four. */
    uint8_t by;    /* enum by: since the barrier; rank is the newest of them. */
    bool atomic;
};

struct word {
    struct last store, load;
};

static _Alignas(64) uint8_t shared[SHARED_BYTES];
static uint8_t state[SHARED_BYTES];
static struct word words[SHARED_BYTES / 4];
static struct emu_array *arrays[EMU_SHARED_ARRAYS];
static unsigned array_count;
static size_t used, declared;
static struct emu_array dynamic = {
    .name = "the dynamic array", .type = "bytes", .element = 1, .align = 16};

void emu_shared_begin(void)
{
    memset(state, OUTSIDE, used);
    array_count = 0;
    used = declared = 0;
}

size_t emu_shared_declared(void)
{
    return declared;
}

/* An address that is a multiple of `align` and of no more, so that a cast to a larger type shows.
 */
static size_t place_after(size_t at, size_t align)
{
    size_t both = 2 * align;
    return (at + GAP + both - 1) / both * both + align;
}

static void *place(struct emu_array *array)
{
    size_t at = place_after(used, array->align);
    if (array_count == EMU_SHARED_ARRAYS || at + array->bytes + GAP > SHARED_BYTES)
        emu_fault_at(emu_block.thread, (struct emu_site){array->file, array->line},
                     "more shared memory than a block has: %s, %zu bytes", array->name,
                     array->bytes);
    used = at + array->bytes + GAP;
    memset(state + at, UNWRITTEN, array->bytes);
    memset(shared + at, 0xff, array->bytes);
    arrays[array_count++] = array;
    array->serial = emu_block.serial;
    array->at = shared + at;
    return array->at;
}

void *emu_shared(struct emu_array *array)
{
    if (array->serial == emu_block.serial && array->at) return array->at;
    declared += array->bytes;
    return place(array);
}

void *emu_shared_dynamic(void)
{
    if (dynamic.serial == emu_block.serial && dynamic.at) return dynamic.at;
    dynamic.bytes = emu_block.call->shared;
    dynamic.file = emu_block.call->file, dynamic.line = emu_block.call->line;
    return place(&dynamic);
}

/* "element 40 of partial[32] of float" */
static void name_of(size_t at, char *text, size_t text_bytes)
{
    const struct emu_array *near = NULL;
    ptrdiff_t least = PTRDIFF_MAX;
    for (unsigned i = 0; i < array_count; i++) {
        ptrdiff_t begin = (uint8_t *)arrays[i]->at - shared;
        ptrdiff_t before = begin - (ptrdiff_t)at;
        ptrdiff_t after = (ptrdiff_t)at - (begin + (ptrdiff_t)arrays[i]->bytes) + 1;
        ptrdiff_t away = before > after ? before : after;
        if (away < least) least = away, near = arrays[i];
    }
    if (!near) {
        snprintf(text, text_bytes, "shared memory, of which it has none");
        return;
    }
    ptrdiff_t offset = shared + at - (uint8_t *)near->at;
    ptrdiff_t element = (ptrdiff_t)near->element;
    ptrdiff_t index = offset >= 0 ? offset / element : -((-offset + element - 1) / element);
    snprintf(text, text_bytes, "element %td of shared %s[%zu] (%s)", index, near->name,
             near->bytes / near->element, near->type);
}

static const char *verb(enum how how)
{
    return how == LOAD ? "reads" : how == STORE ? "writes" : "does an atomic on";
}

/* Whether `last` was before us in an order that synchronisation made. */
static bool in_order(const struct last *last, const struct emu_thread *thread)
{
    unsigned warp = thread->rank / emu_warp_size;
    if (last->epoch != emu_block.epoch) return true;
    if (last->by == ONE_THREAD && last->rank == thread->rank) return true;
    return last->by != SEVERAL_WARPS && last->rank / emu_warp_size == warp
           && last->warp_epoch != emu_block.warp_epoch[warp];
}

static void race(const struct last *last, bool was_store, enum how how, size_t at, const void *pc)
{
    char name[160], line[256];
    const struct emu_thread *other = &emu_block.of[last->rank];
    name_of(at, name, sizeof name);
    emu_line(last->pc, line, sizeof line);
    emu_fault(emu_block.thread, pc,
              "race: it %s %s, and thread (%u,%u,%u) %s it in %s, no barrier between", verb(how),
              name, other->index.x, other->index.y, other->index.z, was_store ? "wrote" : "read",
              line);
}

static enum by by_now(const struct last *last, const struct emu_thread *thread)
{
    unsigned warp = thread->rank / emu_warp_size;
    if (last->epoch != emu_block.epoch) return ONE_THREAD;
    if (last->rank / emu_warp_size != warp) return SEVERAL_WARPS;
    if (last->by == SEVERAL_WARPS) return SEVERAL_WARPS;
    if (last->warp_epoch != emu_block.warp_epoch[warp]) return ONE_THREAD;
    return last->rank == thread->rank ? last->by : ONE_WARP;
}

static void note(struct last *last, const struct emu_thread *thread, uint8_t bytes, bool atomic,
                 const void *pc)
{
    bool same = last->epoch == emu_block.epoch && last->rank == thread->rank;
    if (same || last->bytes & bytes) {
        last->by = by_now(last, thread);
        bytes = same ? (uint8_t)(bytes | last->bytes) : bytes;
    } else {
        last->by = ONE_THREAD; /* Other bytes of the word: the newest is kept. */
    }
    last->bytes = bytes;
    last->atomic = atomic;
    last->epoch = emu_block.epoch;
    last->warp_epoch = emu_block.warp_epoch[thread->rank / emu_warp_size];
    last->rank = (uint16_t)thread->rank;
    last->pc = pc;
}

/* One word of shared memory, or the part of it that `bytes` names. */
static void touch_word(size_t at, uint8_t bytes, enum how how, const void *pc)
{
    struct word *word = &words[at / 4];
    const struct emu_thread *thread = emu_block.thread;
    bool atomic = how >= ATOMIC_LOAD, store = how == STORE || how == ATOMIC_STORE;
    if ((word->store.bytes & bytes) && !(atomic && word->store.atomic)
        && !in_order(&word->store, thread))
        race(&word->store, true, how, at, pc);
    if (store && (word->load.bytes & bytes) && !(atomic && word->load.atomic)
        && !in_order(&word->load, thread))
        race(&word->load, false, how, at, pc);
    note(store ? &word->store : &word->load, thread, bytes, atomic, pc);
}

static void touch_shared(size_t at, size_t bytes, enum how how, const void *pc)
{
    char name[160];
    bool store = how == STORE || how == ATOMIC_STORE;
    for (size_t i = at; i < at + bytes; i++) {
        if (state[i] == OUTSIDE) {
            name_of(i, name, sizeof name);
            emu_fault(emu_block.thread, pc, "out of bounds: it %s %s", verb(how), name);
        }
        /* An atomic of a kernel reads, too: it comes here as a load first. */
        if (!store && state[i] == UNWRITTEN) {
            name_of(i, name, sizeof name);
            emu_fault(emu_block.thread, pc, "it %s %s, which nobody has written", verb(how), name);
        }
        if (store) state[i] = WRITTEN;
    }
    for (size_t i = at; i < at + bytes;) {
        size_t first = i % 4, last = at + bytes - (i - first) < 4 ? at + bytes - (i - first) : 4;
        touch_word(i, (uint8_t)(((1u << last) - 1) & ~((1u << first) - 1)), how, pc);
        i += last - first;
    }
}

/* Neither shared, nor of this thread's stack, nor of a live allocation. */
static void touch_elsewhere(const void *mem, size_t bytes, enum how how, const void *pc)
{
    char where[200];
    size_t all;
    const uint8_t *stacks = emu_stacks(&all);
    if (emu_in_arena(mem)) {
        emu_where(mem, where, sizeof where);
        emu_fault(emu_block.thread, pc, "out of bounds: it %s %zu bytes of device memory %s",
                  verb(how), bytes, where);
    }
    if ((const uint8_t *)mem >= stacks && (const uint8_t *)mem < stacks + all)
        emu_fault(emu_block.thread, pc, "it %s a local variable of another thread", verb(how));
    if (!emu_pinned(mem, bytes) && !emu_static(mem))
        emu_fault(emu_block.thread, pc, "it %s host memory at %p", verb(how), mem);
}

static void touch(const void *mem, size_t bytes, size_t align, enum how how, const void *pc)
{
    if (!emu_block.thread) return; /* A launcher, on the host. */
    uintptr_t at = (uintptr_t)mem;
    if (at - (uintptr_t)emu_block.stack_low < EMU_STACK_BYTES) return;
    if (at % align)
        emu_fault(emu_block.thread, pc, "misaligned: it %s %zu bytes at %p", verb(how), bytes, mem);
    if (++emu_block.touches > WAITS_MAX)
        emu_fault(emu_block.thread, pc, "it waits in a loop for what no other thread can do");
    if (at - (uintptr_t)shared < SHARED_BYTES) {
        touch_shared(at - (uintptr_t)shared, bytes, how, pc);
        return;
    }
    const struct emu_allocation *a = emu_allocation_at(mem);
    bool inside = a && a->live && (const uint8_t *)mem >= a->base
                  && (const uint8_t *)mem + bytes <= a->base + a->bytes;
    if (!inside)
        touch_elsewhere(mem, bytes, how, pc);
    else if (!emu_memory_is_open(mem) || !emu_memory_is_open((const uint8_t *)mem + bytes - 1))
        emu_memory_open(mem, bytes);
}

void emu_atomic(const void *mem, size_t bytes)
{
    const void *pc = __builtin_return_address(0);
    touch(mem, bytes, bytes, ATOMIC_LOAD, pc);
    touch(mem, bytes, bytes, ATOMIC_STORE, pc);
}

/* The names that the compiler calls. Those with "unaligned" are for what the source itself says may
 * be anywhere. Volatile accesses are how kernels wait for each other, so they race with none of
 * their kind. */
#define HERE __builtin_return_address(0)

#define ACCESS(n)                                                                                  \
    void __tsan_read##n(void *mem);                                                                \
    void __tsan_write##n(void *mem);                                                               \
    void __tsan_unaligned_read##n(void *mem);                                                      \
    void __tsan_unaligned_write##n(void *mem);                                                     \
    void __tsan_volatile_read##n(void *mem);                                                       \
    void __tsan_volatile_write##n(void *mem);                                                      \
    void __tsan_unaligned_volatile_read##n(void *mem);                                             \
    void __tsan_unaligned_volatile_write##n(void *mem);                                            \
    void __tsan_read##n(void *mem)                                                                 \
    {                                                                                              \
        touch(mem, n, n, LOAD, HERE);                                                              \
    }                                                                                              \
    void __tsan_write##n(void *mem)                                                                \
    {                                                                                              \
        touch(mem, n, n, STORE, HERE);                                                             \
    }                                                                                              \
    void __tsan_unaligned_read##n(void *mem)                                                       \
    {                                                                                              \
        touch(mem, n, 1, LOAD, HERE);                                                              \
    }                                                                                              \
    void __tsan_unaligned_write##n(void *mem)                                                      \
    {                                                                                              \
        touch(mem, n, 1, STORE, HERE);                                                             \
    }                                                                                              \
    void __tsan_volatile_read##n(void *mem)                                                        \
    {                                                                                              \
        touch(mem, n, n, ATOMIC_LOAD, HERE);                                                       \
    }                                                                                              \
    void __tsan_volatile_write##n(void *mem)                                                       \
    {                                                                                              \
        touch(mem, n, n, ATOMIC_STORE, HERE);                                                      \
    }                                                                                              \
    void __tsan_unaligned_volatile_read##n(void *mem)                                              \
    {                                                                                              \
        touch(mem, n, 1, ATOMIC_LOAD, HERE);                                                       \
    }                                                                                              \
    void __tsan_unaligned_volatile_write##n(void *mem)                                             \
    {                                                                                              \
        touch(mem, n, 1, ATOMIC_STORE, HERE);                                                      \
    }

ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __tsan_read_range(void *mem, size_t bytes);
void __tsan_write_range(void *mem, size_t bytes);
void __tsan_func_entry(void *pc);
void __tsan_func_exit(void);
void __tsan_init(void);
void __tsan_vptr_update(void **mem, void *value);
void __tsan_vptr_read(void **mem);

void __tsan_read_range(void *mem, size_t bytes)
{
    touch(mem, bytes, 1, LOAD, HERE);
}

void __tsan_write_range(void *mem, size_t bytes)
{
    touch(mem, bytes, 1, STORE, HERE);
}

void __tsan_func_entry(void *pc)
{
    (void)pc;
}

void __tsan_func_exit(void)
{
}

void __tsan_init(void)
{
}

void __tsan_vptr_update(void **mem, void *value)
{
    (void)mem, (void)value;
}

void __tsan_vptr_read(void **mem)
{
    (void)mem;
}
