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
    const struct sha256d_path *sha256d; /* The fastest that the instruction set allows. */
    const struct linear_path *linear;   /* As sha256d. */
    uint8_t *linear_x;                  /* LINEAR_X_BYTES (linear_path.h): prepared activations. */
    float *pack;     /* [CPU_PACK_DEPTH][CPU_PACK_COLS], shared by the workers. */
    float *partials; /* [CPU_PARTS][OWM_NORM_COLS_MAX] */
    float *scratch;  /* [workers][CPU_SCRATCH_FLOATS] */
    size_t mapped_bytes;
    void *arena; /* See cpu_arena. */
    size_t arena_bytes;
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
int cpu_device_count(void);
owm_status cpu_open(struct owm_device **, const struct owm_device_config *, struct owm_error *);
void cpu_close(struct owm_device *);
owm_status cpu_mem_alloc(struct owm_device *, void **mem, size_t bytes);
void cpu_mem_free(struct owm_device *, void *mem);
owm_status cpu_mem_copy(struct owm_device *, void *dst, const void *src, size_t bytes);
owm_status cpu_mem_zero(struct owm_device *, void *mem, size_t bytes);
owm_status cpu_sync(struct owm_device *);

extern const struct owm_backend cpu_table_generic, cpu_table_avx2, cpu_table_avx512;

#endif
