/* machine.h: what device.h asks of the emulator: the calls behind the language of kernels. */
#ifndef OWM_TESTS_KERNELS_EMU_MACHINE_H
#define OWM_TESTS_KERNELS_EMU_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EMU_PARAM_BYTES_MAX 4096 /* What CUDA gives the arguments of a launch. */

struct emu_dim {
    unsigned x, y, z;
};

/** emu_call: one launch, as written in the source. */
struct emu_call {
    const char *kernel, *file;
    int line;
    struct emu_dim grid, block;
    size_t shared;
    const void *function;
    void (*entry)(const void *params); /* Calls the kernel with them. */
    size_t param_bytes;
};

enum emu_vote {
    EMU_SYNC,
    EMU_SHUFFLE_LANE,
    EMU_BALLOT,
    EMU_ANY,
    EMU_ALL,
    EMU_MATCH,
    EMU_ADD,
    EMU_MIN,
    EMU_MAX,
    EMU_AND,
    EMU_OR,
    EMU_XOR
};

enum emu_count { EMU_COUNT, EMU_COUNT_ANY, EMU_COUNT_ALL };

/** emu_array: a shared array's place in the source; filled anew in each block. */
struct emu_array {
    const char *name, *type, *file;
    int line;
    size_t bytes, element, align;
    uint32_t serial; /* Of the block in which `at` was given out. */
    void *at;
};

#ifdef __cplusplus
extern "C" {
#endif

/** emu_launch: put it on the stream; params are copied. A refusal is kept for cudaGetLastError. */
void emu_launch(const struct emu_call *call, const void *params, cudaStream_t stream);
cudaError_t emu_function_shared(const void *function, int bytes);

void emu_barrier(const char *file, int line);
int emu_barrier_count(enum emu_count how, int predicate, const char *file, int line);
/** emu_vote: meet the lanes of the mask; source is a lane, for EMU_SHUFFLE_LANE. */
uint64_t emu_vote(enum emu_vote vote, uint64_t mask, uint64_t value, unsigned source,
                  const char *file, int line);

void *emu_shared(struct emu_array *array);
void *emu_shared_dynamic(void);
void emu_atomic(const void *mem, size_t bytes);
__attribute__((noreturn)) void emu_trap(const char *file, int line);

#ifdef __cplusplus
}
#endif
#endif
