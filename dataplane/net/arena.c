/* arena.c: equal slots of memory that is reserved at start and touched on first use. */
#include <sys/mman.h>

#include "net_internal.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes)   ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

owm_status net_arena_open(struct net_arena *arena, size_t slot_bytes, size_t slots)
{
    OWM_ASSERT(slot_bytes % sizeof(void *) == 0 && slots > 0);
    arena->free = NULL;
    arena->slot_bytes = slot_bytes;
    arena->slots = slots;
    atomic_init(&arena->touched, 0);
    void *memory = mmap(NULL, slot_bytes * slots, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    arena->memory = memory == MAP_FAILED ? NULL : memory;
    return arena->memory ? OWM_OK : OWM_E_NOMEM;
}

void net_arena_close(struct net_arena *arena)
{
    if (!arena->memory) return;
    ASAN_UNPOISON_MEMORY_REGION(arena->memory, arena->slot_bytes * arena->slots);
    (void)munmap(arena->memory, arena->slot_bytes * arena->slots);
    arena->memory = NULL;
}

void *net_arena_take(struct net_arena *arena)
{
    void *slot = arena->free;
    if (slot) {
        if (arena->guarded) ASAN_UNPOISON_MEMORY_REGION(slot, arena->slot_bytes);
        arena->free = *(void **)slot;
        return slot;
    }
    size_t touched = atomic_load_explicit(&arena->touched, memory_order_relaxed);
    if (touched == arena->slots) return NULL;
    atomic_store_explicit(&arena->touched, touched + 1, memory_order_relaxed);
    return arena->memory + touched * arena->slot_bytes;
}

void net_arena_give(struct net_arena *arena, void *slot)
{
    *(void **)slot = arena->free;
    arena->free = slot;
    if (arena->guarded) ASAN_POISON_MEMORY_REGION(slot, arena->slot_bytes);
}
