/* emu.h: inside the emulator of a GPU.
 *
 * A kernel's threads are fibers on one thread of the host, block after block. Between two
 * synchronisations a thread runs alone, so every order of threads is as good as any other, and
 * OWM_EMU_ORDER picks one. The compiler tells us of every load and store of a kernel: the sources
 * are compiled with -fsanitize=thread, whose calls access.c answers instead of a sanitizer.
 *
 * A fault ends the process with the kernel, the block, the thread, the line and a sentence:
 *  1. barriers: threads at different __syncthreads(), or gone while others wait;
 *  2. votes and shuffles: a lane that is missing, elsewhere, or not in the mask;
 *  3. shared memory: outside an array, read before it is written, misaligned, two threads at one
 *     word without a barrier between them (one of them writing, not both atomic);
 *  4. device memory: outside an allocation or after its end, misaligned; host memory in a kernel,
 *     device memory in host code (it is not accessible while no kernel runs);
 *  5. a thread that waits for another one in a loop; one that fills its stack.
 * Launches and calls of the runtime that CUDA refuses are refused, with a line on stderr.
 */
#ifndef OWM_TESTS_KERNELS_EMU_EMU_H
#define OWM_TESTS_KERNELS_EMU_EMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cuda_runtime.h"
#include "fiber.h"
#include "machine.h"

#define EMU_THREADS_MAX   1024
#define EMU_WARPS_MAX     32
#define EMU_STACK_BYTES   ((size_t)256 << 10)
#define EMU_GUARD_BYTES   ((size_t)64 << 10)  /* Below a stack: more than one frame's arrays. */
#define EMU_SHARED_USUAL  ((size_t)48 << 10)  /* Of a block, without asking. */
#define EMU_SHARED_MAX    ((size_t)227 << 10) /* Of a block that asked. */
#define EMU_SHARED_ARRAYS 32
#define EMU_PROCESSORS    4
#define EMU_MEMORY_BYTES  ((size_t)2 << 30)

enum emu_state { EMU_READY, EMU_AT_BARRIER, EMU_AT_VOTE, EMU_EXITED };

/** emu_site: where in the source a thread is. */
struct emu_site {
    const char *file;
    int line;
};

struct emu_thread {
    struct emu_context context;
    enum emu_state state;
    struct emu_dim index; /* threadIdx */
    unsigned rank;        /* In the block. */
    struct emu_site site; /* Of what it waits for, and: */
    enum emu_vote vote;
    uint64_t mask, value, result;
    unsigned source; /* The lane that it reads from. */
};

/** emu_block: the block under way; the only one. */
struct emu_block {
    const struct emu_call *call; /* NULL: no kernel runs. */
    struct emu_dim index;        /* blockIdx */
    unsigned threads, warps;
    uint32_t serial;                    /* Other in each block. */
    uint32_t epoch;                     /* Counts barriers of all blocks so far. */
    uint32_t warp_epoch[EMU_WARPS_MAX]; /* Counts __syncwarp of all lanes. */
    struct emu_thread *thread;          /* The one that runs; NULL in the scheduler. */
    struct emu_thread of[EMU_THREADS_MAX];
    uint8_t *stack_low; /* Of `thread`. */
    uint64_t touches;   /* Loads and stores since it was switched to. */
};

extern struct emu_block emu_block;
extern unsigned emu_warp_size;

enum emu_order { EMU_FORWARD, EMU_REVERSE, EMU_SHUFFLE };

/** emu_order: as OWM_EMU_ORDER says; emu_random: the next number of its seed. */
enum emu_order emu_order(void);
uint64_t emu_random(void);

/** emu_run: all blocks of a launch that was found good. */
void emu_run(const struct emu_call *call, void *params);

/** emu_stacks: the memory of all fibers, with guards between them. */
const uint8_t *emu_stacks(size_t *bytes);

/* access.c: shared memory of the block under way. */
void emu_shared_begin(void);
size_t emu_shared_declared(void); /* Bytes of static arrays so far. */

/* memory.c: device memory. */
struct emu_allocation {
    uint8_t *base, *map;
    size_t bytes, map_bytes;
    bool live;
};
void emu_memory_begin(void);                         /* Idempotent. */
void emu_memory_open(const void *mem, size_t bytes); /* Inside one allocation: accessible */
void emu_memory_close(void);                         /* until here. */
bool emu_memory_is_open(const void *mem);
const struct emu_allocation *emu_allocation_at(const void *mem);
cudaError_t emu_device_alloc(void **mem, size_t bytes);
cudaError_t emu_device_free(void *mem);
size_t emu_device_free_bytes(void);
cudaError_t emu_host_alloc(void **mem, size_t bytes);
cudaError_t emu_host_free(void *mem);
bool emu_in_arena(const void *mem);
bool emu_pinned(const void *mem, size_t bytes);
bool emu_static(const void *mem); /* A variable of the program that the kernels are in. */
/** emu_where: "12 bytes after the end of allocation 3 of 400 bytes". */
void emu_where(const void *mem, char *text, size_t text_bytes);

/** emu_fault: say where, then the sentence, and end the process. pc or site may be NULL. */
__attribute__((noreturn, format(printf, 3, 4))) void
emu_fault(const struct emu_thread *thread, const void *pc, const char *format, ...);
__attribute__((noreturn, format(printf, 3, 4))) void
emu_fault_at(const struct emu_thread *thread, struct emu_site site, const char *format, ...);

/** emu_line: "file:line" of an instruction, or where it lies in which file. */
void emu_line(const void *pc, char *text, size_t text_bytes);

/** emu_refuse: a line on stderr; keeps `error` for cudaGetLastError and returns it. */
__attribute__((format(printf, 2, 3))) cudaError_t emu_refuse(cudaError_t error, const char *format,
                                                             ...);

#endif
