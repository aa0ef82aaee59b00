/* cpu.h: the opened cpu device, and the tables that cpu/simd compiles per instruction set. */
#ifndef OWM_KERNELS_CPU_CPU_H
#define OWM_KERNELS_CPU_CPU_H

#include "kernels/backend.h"

/* Packed block of b in gemm: depth x columns. 256 x 1024 f32 is 1 MiB, half of a usual L2. */
#define CPU_PACK_DEPTH 256
#define CPU_PACK_COLS  1024

/* Partial sums of ops that reduce over rows: the partition is fixed, so the bits are. */
#define CPU_PARTS 16

/* Per-worker scratch of attention at its largest: three packed [T][E] and two [32][T] score blocks,
 * with room for padding. Virtual memory: only what a shape uses is ever touched. */
#define CPU_SCRATCH_FLOATS                                                                         \
    ((size_t)4 * (OWM_ATTENTION_TIME_MAX + 64) * (OWM_ATTENTION_DIM_MAX + 32))

struct linear_path;
struct sha256d_path;

struct cpu_device {
    struct owm_device base;
    unsigned workers;
    const struct sha256d_path *sha256d; /* The fastest that the instruction set allows, */
    const struct sha256d_path *sha256;  /* and the fastest for one long message. */
    const struct linear_path *linear;   /* As sha256d. */
    uint8_t *linear_x;                  /* LINEAR_X_BYTES (linear_path.h): prepared activations. */
    float *pack;     /* [CPU_PACK_DEPTH][CPU_PACK_COLS], shared by the workers. */
    float *partials; /* [CPU_PARTS][OWM_NORM_COLS_MAX] */
    float *scratch;  /* [workers][CPU_SCRATCH_FLOATS] */
    size_t mapped_bytes;
    void *arena; /* See cpu_arena. */
    size_t arena_bytes;
    uint64_t event_ns[OWM_EVENTS_MAX]; /* When it was recorded; 0: never. */
};

static inline struct cpu_device *cpu_of(struct owm_device *device)
{
    return (struct cpu_device *)device;
}

static inline float *cpu_scratch(struct cpu_device *cpu, unsigned worker)
{
    return cpu->scratch + worker * CPU_SCRATCH_FLOATS;
}

/** cpu_arena: work space whose size depends on the vectors: mapped at the first op that wants so
 *  much, kept for the next one, 64-byte aligned, with whatever is left in it. NULL: no memory. */
void *cpu_arena(struct cpu_device *cpu, size_t bytes);

/* Shared by the tables. */
owm_status cpu_open(struct owm_device **, const struct owm_device_config *, struct owm_error *);
void cpu_close(struct owm_device *);
const char *cpu_isa_best(void);

/* memory.c: host memory as a device. Everything is done when it returns, so the queues are empty.
 */
#if OWM_CPU_X86
bool cpu_has_avx2(void);   /* with fma */
bool cpu_has_avx512(void); /* F, VL, DQ, BW */
#endif
int cpu_device_count(void);
owm_status cpu_device_info(int index, struct owm_device_info *info);
owm_status cpu_mem_alloc(struct owm_device *, void **mem, size_t bytes);
void cpu_mem_free(struct owm_device *, void *mem);
owm_status cpu_mem_copy(struct owm_device *, void *dst, const void *src, size_t bytes);
owm_status cpu_mem_zero(struct owm_device *, void *mem, size_t bytes);
owm_status cpu_sync(struct owm_device *);
owm_status cpu_event_record(struct owm_device *, enum owm_queue queue, unsigned event);
owm_status cpu_event_wait(struct owm_device *, enum owm_queue queue, unsigned event);
owm_status cpu_event_elapsed(struct owm_device *, unsigned from, unsigned to, double *ms);
owm_status cpu_all_sum(struct owm_device *const *device, float *const *buffer, uint32_t count,
                       size_t n);

/** The entries of a table that are no ops, alike in all tables of host memory. */
/* clang-format off */
#define CPU_TABLE_DEVICE                                                                           \
    .abi = OWM_BACKEND_ABI, .device_count = cpu_device_count, .device_info = cpu_device_info,      \
    .close = cpu_close, .mem_alloc = cpu_mem_alloc, .mem_free = cpu_mem_free,                      \
    .mem_put = cpu_mem_copy, .mem_get = cpu_mem_copy, .mem_zero = cpu_mem_zero, .sync = cpu_sync,  \
    .host_alloc = cpu_mem_alloc, .host_free = cpu_mem_free, .put_async = cpu_mem_copy,             \
    .get_async = cpu_mem_copy, .event_record = cpu_event_record, .event_wait = cpu_event_wait,     \
    .event_elapsed = cpu_event_elapsed, .all_sum = cpu_all_sum
/* clang-format on */

extern const struct owm_backend cpu_table_generic, cpu_table_avx2, cpu_table_avx512;

#endif
