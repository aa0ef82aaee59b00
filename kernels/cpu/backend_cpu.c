/* backend_cpu.c: host memory as a device, and the choice of an instruction set by cpuid. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/pool.h"
#include "cpu.h"
#include "linear_path.h"
#include "reference.h"
#include "sha256d_path.h"
#include "sparse_ref.h"

struct isa {
    const char *name;
    const struct owm_backend *table;
    bool (*here)(void);
};

static bool always(void)
{
    return true;
}

#if OWM_CPU_X86
bool cpu_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool cpu_has_avx512(void)
{
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
           && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}
#endif

static const struct isa isas[] = {
/* Best first. */
#if OWM_CPU_X86
    {"avx512", &cpu_table_avx512, cpu_has_avx512},
    {"avx2", &cpu_table_avx2, cpu_has_avx2},
#endif
    {"generic", &cpu_table_generic, always},
};

static const struct isa *pick_isa(const char *name)
{
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++)
        if ((!name || strcmp(name, isas[i].name) == 0) && isas[i].here()) return &isas[i];
    return NULL;
}

const char *cpu_isa_best(void)
{
    return pick_isa(NULL)->name;
}

/* One anonymous map holds all work space: zeroed, page-aligned, and untouched pages cost nothing.
 */
static owm_status map_work_space(struct cpu_device *cpu)
{
    size_t pack = (size_t)CPU_PACK_DEPTH * CPU_PACK_COLS;
    size_t partials = (size_t)CPU_PARTS * OWM_NORM_COLS_MAX;
    cpu->mapped_bytes =
        (pack + partials + cpu->workers * CPU_SCRATCH_FLOATS) * sizeof(float) + LINEAR_X_BYTES;
    void *mem = mmap(NULL, cpu->mapped_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) return OWM_E_NOMEM;
    cpu->pack = mem;
    cpu->partials = cpu->pack + pack;
    cpu->scratch = cpu->partials + partials;
    cpu->linear_x = (uint8_t *)(cpu->scratch + cpu->workers * CPU_SCRATCH_FLOATS);
    return OWM_OK;
}

void *cpu_arena(struct cpu_device *cpu, size_t bytes)
{
    const size_t step = (size_t)1 << 21;
    if (bytes <= cpu->arena_bytes) return cpu->arena;
    if (cpu->arena) (void)munmap(cpu->arena, cpu->arena_bytes);
    cpu->arena = NULL;
    cpu->arena_bytes = 0;
    bytes = (bytes + step - 1) & ~(step - 1);
    void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) return NULL;
    (void)madvise(mem, bytes, MADV_HUGEPAGE);
    cpu->arena = mem;
    cpu->arena_bytes = bytes;
    return mem;
}

static owm_status open_table(struct owm_device **device, const struct owm_device_config *config,
                             const struct owm_backend *table, struct owm_error *error)
{
    if (config->index != 0)
        return owm_fail(error, OWM_E_ARG, "the %s backend has one device, index 0, not %d",
                        table->name, config->index);
    struct cpu_device *cpu = calloc(1, sizeof *cpu);
    if (!cpu) return owm_fail(error, OWM_E_NOMEM, "no memory for a %s device", table->name);
    cpu->base = (struct owm_device){.backend = table, .pool = config->pool};
    cpu->sha256d = sha256d_path_best(config->isa);
    cpu->sha256 = sha256_path_best(config->isa);
    cpu->linear = linear_path_best(config->isa);
    cpu->workers = config->pool ? owm_pool_threads(config->pool) : 1;
    if (map_work_space(cpu) != OWM_OK) {
        (void)owm_fail(error, OWM_E_NOMEM, "no memory for the work space of %u threads (%zu bytes)",
                       cpu->workers, cpu->mapped_bytes);
        free(cpu);
        return OWM_E_NOMEM;
    }
    *device = &cpu->base;
    return OWM_OK;
}

owm_status cpu_open(struct owm_device **device, const struct owm_device_config *config,
                    struct owm_error *error)
{
    const struct isa *isa = pick_isa(config->isa);
    if (!isa)
        return owm_fail(error, OWM_E_UNSUPPORTED,
                        "this processor lacks the instruction set '%s'; leave it unset to use "
                        "the best there is",
                        config->isa);
    return open_table(device, config, isa->table, error);
}

static owm_status reference_open(struct owm_device **device, const struct owm_device_config *config,
                                 struct owm_error *error)
{
    return open_table(device, config, &owm_backend_reference, error);
}

void cpu_close(struct owm_device *device)
{
    if (!device) return;
    struct cpu_device *cpu = cpu_of(device);
    (void)munmap(cpu->pack, cpu->mapped_bytes);
    if (cpu->arena) (void)munmap(cpu->arena, cpu->arena_bytes);
    free(cpu);
}

/* What "cpu" means before it is opened; open gives the table of an instruction set. */
const struct owm_backend owm_backend_cpu = {
    CPU_TABLE_DEVICE,
    .name = "cpu",
    .open = cpu_open,
};

const struct owm_backend owm_backend_reference = {
    CPU_TABLE_DEVICE,
    .name = "reference",
    .open = reference_open,
    .gemm = ref_gemm,
    .packed_bytes = ref_packed_bytes,
    .pack = ref_pack,
    .linear = ref_linear,
    .linear_bwd = ref_linear_bwd,
    .rmsnorm = ref_rmsnorm,
    .rmsnorm_bwd = ref_rmsnorm_bwd,
    .rope = ref_rope,
    .swiglu = ref_swiglu,
    .swiglu_bwd = ref_swiglu_bwd,
    .attention = ref_attention,
    .attention_bwd = ref_attention_bwd,
    .attention_decode = ref_attention_decode,
    .embedding = ref_embedding,
    .embedding_bwd = ref_embedding_bwd,
    .cross_entropy = ref_cross_entropy,
    .adamw = ref_adamw,
    .add = ref_add,
    .sum_squares = ref_sum_squares,
    .weighted_sum = ref_weighted_sum,
    .trimmed_mean = ref_trimmed_mean,
    .gram = ref_gram,
    .clip = ref_clip,
    .kv_put = ref_kv_put,
    .attention_paged = ref_attention_paged,
    .softmax = ref_softmax,
    .sample = ref_sample,
    .topk = ref_topk,
    .threshold = ref_threshold,
    .feedback = ref_feedback,
    .quantise = ref_quantise,
    .scatter_add = ref_scatter_add,
    .sparse_sum = ref_sparse_sum,
    .sparse_gram = ref_sparse_gram,
    .apply_update = ref_apply_update,
    .sha256d_scan = ref_sha256d_scan,
    .sha256d_batch = ref_sha256d_batch,
    .sha256d_merkle = ref_sha256d_merkle,
    .sha256 = ref_sha256_op,
};
