/* gpu_blas.c: large f32 products by the vendor's library, if the machine has it. It is opened by
 * name when the first such product comes; its functions are called through types of our own, so no
 * header of it is needed to build. Without it our kernel does the work. */
#include <dlfcn.h>
#include <stdlib.h>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/gpu_vendor.h"

/* Multiplications from which the library is ahead, and the smallest side it is good at. */
#define WORK_MIN ((uint64_t)1 << 27)
#define SIDE_MIN 64

typedef int sgemm_fn(void *handle, int op_a, int op_b, int m, int n, int k, const float *alpha,
                     const float *a, int lda, const float *b, int ldb, const float *beta, float *c,
                     int ldc);

struct gpu_library {
    void *file, *handle;
    int (*destroy)(void *handle);
    sgemm_fn *sgemm;
};

void *gpu_dlopen(const char *const name[GPU_LIBRARY_NAMES_MAX])
{
    for (int i = 0; i < GPU_LIBRARY_NAMES_MAX && name[i]; i++) {
        void *file = dlopen(name[i], RTLD_LOCAL | RTLD_NOW);
        if (file) return file;
    }
    return NULL;
}

static bool start(struct gpu_library *lib, cudaStream_t stream)
{
    int (*create)(void **) = (int (*)(void **))dlsym(lib->file, gpu_vendor.blas_create);
    int (*set_stream)(void *, cudaStream_t) =
        (int (*)(void *, cudaStream_t))dlsym(lib->file, gpu_vendor.blas_stream);
    lib->destroy = (int (*)(void *))dlsym(lib->file, gpu_vendor.blas_destroy);
    lib->sgemm = (sgemm_fn *)dlsym(lib->file, gpu_vendor.blas_sgemm);
    if (!create || !set_stream || !lib->destroy || !lib->sgemm) return false;
    if (create(&lib->handle) != 0) return false;
    return set_stream(lib->handle, stream) == 0;
}

/* The file stays open: what it has registered with the driver outlives its handles. */
static void stop(struct gpu_library *lib)
{
    if (lib->handle) (void)lib->destroy(lib->handle);
    free(lib);
}

static struct gpu_library *load(struct owm_device *device)
{
    struct gpu_device *gpu = gpu_of(device);
    if (gpu->blas_tried) return gpu->blas;
    gpu->blas_tried = true;
    struct gpu_library *lib = calloc(1, sizeof *lib);
    if (!lib) return NULL;
    lib->file = gpu_dlopen(gpu_vendor.blas_file);
    if (lib->file && start(lib, gpu_stream(device)))
        gpu->blas = lib;
    else
        stop(lib);
    return gpu->blas;
}

static bool worth_it(const struct owm_gemm *g)
{
    return g->m >= SIDE_MIN && g->n >= SIDE_MIN && g->k >= SIDE_MIN
           && (uint64_t)g->m * g->n * g->k >= WORK_MIN && g->ldc <= INT32_MAX && g->lda <= INT32_MAX
           && g->ldb <= INT32_MAX;
}

/* The library is column-major: it sees our row-major c as its transpose, b a instead of a b. */
owm_status gpu_blas_gemm(struct owm_device *device, const struct owm_gemm *g)
{
    if (!worth_it(g)) return OWM_E_UNSUPPORTED;
    struct gpu_library *lib = load(device);
    if (!lib) return OWM_E_UNSUPPORTED;
    const float one = 1, beta = g->accumulate ? 1 : 0;
    int op_a = g->trans_a ? gpu_vendor.blas_transposed : gpu_vendor.blas_plain;
    int op_b = g->trans_b ? gpu_vendor.blas_transposed : gpu_vendor.blas_plain;
    (void)gpu_stream(device);
    int code = lib->sgemm(lib->handle, op_b, op_a, (int)g->n, (int)g->m, (int)g->k, &one, g->b,
                          (int)g->ldb, g->a, (int)g->lda, &beta, g->c, (int)g->ldc);
    return code == 0 ? OWM_OK : OWM_E_DEVICE;
}

void gpu_blas_close(struct gpu_device *gpu)
{
    if (gpu->blas) stop(gpu->blas);
    gpu->blas = NULL;
}
