/* memory.c: the memory of the device: address space of its own, in which nothing is given out twice
 * and every allocation lies between pages that do not exist. While no kernel and no copy runs, none
 * of it is accessible, so that host code which reads a device pointer ends, and is told so: a
 * granule becomes accessible when a kernel or a copy first touches it, until that is over. */
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "emu.h"

#define ARENA_BYTES     ((size_t)1 << 38)
#define GRANULE_BYTES   ((size_t)64 << 10)
#define GRANULES        (ARENA_BYTES / GRANULE_BYTES)
#define ALLOCATIONS_MAX ((size_t)1 << 18)
#define ALIGN_BYTES     256 /* Of cudaMalloc. */
#define POISON_BYTES    ((size_t)1 << 20)
#define PINNED_MAX      1024

static uint8_t *arena;
static size_t next_granule = 1;
static uint32_t owner[GRANULES]; /* Number of the allocation whose granule it is; 0: none. */
static struct emu_allocation allocations[ALLOCATIONS_MAX];
static uint32_t allocation_count;
static uint32_t live[ALLOCATIONS_MAX], live_count;
static size_t live_bytes;
static bool opened[GRANULES]; /* Accessible now, and which those are: */
static uint32_t opened_list[GRANULES], opened_count;

static struct {
    uint8_t *base;
    size_t bytes;
} pinned[PINNED_MAX];
static unsigned pinned_count;

static struct sigaction before;

const struct emu_allocation *emu_allocation_at(const void *mem)
{
    size_t offset = (uintptr_t)mem - (uintptr_t)arena;
    if (offset >= ARENA_BYTES || !owner[offset / GRANULE_BYTES]) return NULL;
    return &allocations[owner[offset / GRANULE_BYTES]];
}

bool emu_in_arena(const void *mem)
{
    return arena && (uintptr_t)mem - (uintptr_t)arena < ARENA_BYTES;
}

bool emu_pinned(const void *mem, size_t bytes)
{
    for (unsigned i = 0; i < pinned_count; i++) {
        size_t offset = (uintptr_t)mem - (uintptr_t)pinned[i].base;
        if (offset < pinned[i].bytes && bytes <= pinned[i].bytes - offset) return true;
    }
    return false;
}

/* The segments of the file that this function is in. */
static int find_segments(struct dl_phdr_info *info, size_t size, void *range)
{
    (void)size;
    uintptr_t *bounds = range, low = UINTPTR_MAX, high = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
        uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        uintptr_t end = begin + info->dlpi_phdr[i].p_memsz;
        low = begin < low ? begin : low;
        high = end > high ? end : high;
    }
    uintptr_t here = (uintptr_t)&find_segments;
    if (here < low || here >= high) return 0;
    bounds[0] = low, bounds[1] = high;
    return 1;
}

bool emu_static(const void *mem)
{
    static uintptr_t bounds[2];
    if (!bounds[1]) dl_iterate_phdr(find_segments, bounds);
    return (uintptr_t)mem >= bounds[0] && (uintptr_t)mem < bounds[1];
}

/* The last allocation that begins at or before `mem`, live or not. */
static const struct emu_allocation *nearest(const void *mem, uint32_t *number)
{
    size_t granule = ((uintptr_t)mem - (uintptr_t)arena) / GRANULE_BYTES;
    size_t lowest = granule > 4096 ? granule - 4096 : 0;
    /* Before its first byte an allocation's own granule, or the guard before it, is hit. */
    if (granule + 1 < GRANULES && !owner[granule] && owner[granule + 1]
        && (uintptr_t)mem % GRANULE_BYTES >= GRANULE_BYTES / 2)
        granule++;
    while (granule > lowest && !owner[granule]) granule--;
    *number = owner[granule];
    return *number ? &allocations[*number] : NULL;
}

void emu_where(const void *mem, char *text, size_t text_bytes)
{
    uint32_t number;
    const struct emu_allocation *a = nearest(mem, &number);
    const uint8_t *at = mem;
    if (!a)
        snprintf(text, text_bytes, "that was never allocated");
    else if (at < a->base)
        snprintf(text, text_bytes, "%td bytes before allocation %u of %zu bytes", a->base - at,
                 number, a->bytes);
    else if (at >= a->base + a->bytes)
        snprintf(text, text_bytes, "%td bytes after the end of allocation %u of %zu bytes",
                 at - (a->base + a->bytes), number, a->bytes);
    else
        snprintf(text, text_bytes, "at byte %td of allocation %u of %zu bytes%s", at - a->base,
                 number, a->bytes, a->live ? "" : ", which was freed");
}

/* Which kind of access raised the signal. Returns: whether it was a right one. */
static bool explain(const void *mem, const void *pc, const char *verb)
{
    const uint8_t *at = mem;
    char where[200];
    size_t all;
    const uint8_t *stacks = emu_stacks(&all);
    if (emu_in_arena(mem)) {
        const struct emu_allocation *a = emu_allocation_at(mem);
        if (emu_block.thread && a && a->live && at >= a->base && at < a->base + a->bytes) {
            emu_memory_open(mem, 1); /* By a function of the C library, of which we are not told. */
            return true;
        }
        emu_where(mem, where, sizeof where);
        if (emu_block.thread)
            emu_fault(emu_block.thread, pc, "out of bounds: it %s device memory %s", verb, where);
        emu_fault(NULL, pc, "host code %s device memory %s; it must use mem_get and mem_put", verb,
                  where);
    }
    if (stacks && (const uint8_t *)mem >= stacks && (const uint8_t *)mem < stacks + all)
        emu_fault(emu_block.thread, pc, "its local variables fill a stack of %zu bytes",
                  EMU_STACK_BYTES);
    if (emu_block.thread) emu_fault(emu_block.thread, pc, "it %s memory at %p", verb, mem);
    return false;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    const ucontext_t *at = context;
    const char *verb = "touches";
    const uint8_t *pc = NULL;
#ifdef __x86_64__
    verb = at->uc_mcontext.gregs[REG_ERR] & 2 ? "writes" : "reads";
    pc = (const uint8_t *)at->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    pc = (const uint8_t *)at->uc_mcontext.pc;
#else
    (void)at;
#endif
    if (explain(info->si_addr, pc ? pc + 1 : NULL, verb)) return;
    sigaction(number, &before, NULL); /* Not ours: the instruction runs again, under the old one. */
}

void emu_memory_begin(void)
{
    static _Thread_local bool has_stack;
    if (!has_stack) { /* A fiber that has filled its stack has no room for a handler. */
        static _Thread_local uint8_t stack[64 << 10];
        sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
        has_stack = true;
    }
    if (arena) return;
    arena = mmap(NULL, ARENA_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED) {
        fprintf(stderr, "emulator: %zu GiB of address space are refused\n", ARENA_BYTES >> 30);
        abort();
    }
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before);
}

/* The part of an allocation that lies in one granule. */
static void protect(size_t granule, int how)
{
    const struct emu_allocation *a = &allocations[owner[granule]];
    uint8_t *begin = arena + granule * GRANULE_BYTES, *end = begin + GRANULE_BYTES;
    if (end > a->map + a->map_bytes) end = a->map + a->map_bytes;
    if (mprotect(begin, (size_t)(end - begin), how) != 0) abort();
}

void emu_memory_open(const void *mem, size_t bytes)
{
    size_t first = ((uintptr_t)mem - (uintptr_t)arena) / GRANULE_BYTES;
    size_t last = ((uintptr_t)mem + bytes - 1 - (uintptr_t)arena) / GRANULE_BYTES;
    for (size_t g = first; g <= last; g++) {
        if (opened[g]) continue;
        protect(g, PROT_READ | PROT_WRITE);
        opened[g] = true;
        opened_list[opened_count++] = (uint32_t)g;
    }
}

bool emu_memory_is_open(const void *mem)
{
    return opened[((uintptr_t)mem - (uintptr_t)arena) / GRANULE_BYTES];
}

void emu_memory_close(void)
{
    while (opened_count) {
        uint32_t g = opened_list[--opened_count];
        opened[g] = false;
        protect(g, PROT_NONE);
    }
}

cudaError_t emu_device_alloc(void **mem, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t span = (bytes + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
    size_t map_bytes = (span + page - 1) & ~(page - 1);
    size_t granules = (map_bytes + GRANULE_BYTES - 1) / GRANULE_BYTES;
    if (bytes > EMU_MEMORY_BYTES - live_bytes) return cudaErrorMemoryAllocation;
    if (next_granule + granules + 1 >= GRANULES || allocation_count + 1 == ALLOCATIONS_MAX)
        return emu_refuse(cudaErrorMemoryAllocation, "more allocations than a test should make");
    struct emu_allocation *a = &allocations[++allocation_count];
    a->map = arena + next_granule * GRANULE_BYTES;
    a->map_bytes = map_bytes;
    a->base = a->map + map_bytes - span; /* Its end is the end of its last page. */
    a->bytes = bytes;
    a->live = true;
    for (size_t g = 0; g < granules; g++) owner[next_granule + g] = allocation_count;
    next_granule += granules + 1;
    live[live_count++] = allocation_count;
    live_bytes += bytes;
    size_t poisoned = bytes < POISON_BYTES ? bytes : POISON_BYTES;
    emu_memory_open(a->base, poisoned);
    memset(a->base, 0xff, poisoned);
    *mem = a->base;
    return cudaSuccess;
}

cudaError_t emu_device_free(void *mem)
{
    char where[200];
    struct emu_allocation *a = (struct emu_allocation *)emu_allocation_at(mem);
    if (!a || !a->live || a->base != mem) {
        if (emu_in_arena(mem))
            emu_where(mem, where, sizeof where);
        else
            snprintf(where, sizeof where, "of the host");
        return emu_refuse(cudaErrorInvalidValue, "cudaFree of memory %s", where);
    }
    uint32_t i = 0;
    while (&allocations[live[i]] != a) i++;
    live[i] = live[--live_count];
    live_bytes -= a->bytes;
    a->live = false;
    emu_memory_close();
    if (mprotect(a->map, a->map_bytes, PROT_NONE) != 0) abort();
    return madvise(a->map, a->map_bytes, MADV_DONTNEED) == 0 ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t emu_host_alloc(void **mem, size_t bytes)
{
    void *base = aligned_alloc(ALIGN_BYTES, (bytes + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1));
    if (!base || pinned_count == PINNED_MAX) {
        free(base);
        return emu_refuse(cudaErrorMemoryAllocation, "no more pinned memory");
    }
    pinned[pinned_count].base = base;
    pinned[pinned_count++].bytes = bytes;
    *mem = base;
    return cudaSuccess;
}

cudaError_t emu_host_free(void *mem)
{
    for (unsigned i = 0; i < pinned_count; i++) {
        if (pinned[i].base != mem) continue;
        pinned[i] = pinned[--pinned_count];
        free(mem);
        return cudaSuccess;
    }
    return emu_refuse(cudaErrorInvalidValue,
                      "cudaFreeHost of memory that cudaMallocHost never gave");
}

size_t emu_device_free_bytes(void)
{
    return EMU_MEMORY_BYTES - live_bytes;
}
