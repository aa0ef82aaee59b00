/* arena.c: pieces of one block of device memory. */
#include "arena.h"

owm_status owm_arena_init(struct owm_arena *arena, struct owm_device *device, size_t bytes)
{
    void *base = NULL;
    owm_status status = device->backend->mem_alloc(device, &base, bytes);
    if (status != OWM_OK) return status;
    *arena = (struct owm_arena){.device = device, .base = base, .bytes = bytes};
    return OWM_OK;
}

void owm_arena_deinit(struct owm_arena *arena)
{
    if (arena->base) arena->device->backend->mem_free(arena->device, arena->base);
    *arena = (struct owm_arena){0};
}

void *owm_arena_take(struct owm_arena *arena, size_t bytes)
{
    /* Aligned by address: the block itself is aligned to 64 bytes only. */
    uintptr_t free_at = (uintptr_t)arena->base + arena->used;
    size_t gap = (size_t)(-free_at & (OWM_ARENA_ALIGN - 1));
    if (gap > arena->bytes - arena->used || bytes > arena->bytes - arena->used - gap) return NULL;
    arena->used += gap + bytes;
    if (arena->used > arena->most) arena->most = arena->used;
    return (void *)(free_at + gap);
}

void owm_arena_reset(struct owm_arena *arena, size_t mark)
{
    OWM_ASSERT(mark <= arena->used);
    arena->used = mark;
}
