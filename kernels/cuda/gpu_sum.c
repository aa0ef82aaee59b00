/* gpu_sum.c: sums over several GPUs by NCCL (RCCL has the same functions), if the machine has it.
 * Opened by name at the first call. The communicator of a set of devices is kept for the next call,
 * since making one takes seconds. */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/gpu_vendor.h"

#define DEVICES_MAX 64
#define FLOAT32     7 /* ncclFloat32 */
#define SUM         0 /* ncclSum */

static struct {
    pthread_mutex_t lock;
    bool tried;
    void *file;
    int (*init_all)(void **comm, int count, const int *device);
    int (*destroy)(void *comm);
    int (*group_start)(void);
    int (*group_end)(void);
    int (*all_reduce)(const void *from, void *to, size_t count, int type, int op, void *comm,
                      cudaStream_t stream);
    int device[DEVICES_MAX];
    void *comm[DEVICES_MAX];
    int count;
} nccl = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool load(void)
{
    if (!nccl.tried) {
        nccl.tried = true;
        nccl.file = gpu_dlopen(gpu_vendor.sum_file);
        if (nccl.file) {
            nccl.init_all = (int (*)(void **, int, const int *))dlsym(nccl.file, "ncclCommInitAll");
            nccl.destroy = (int (*)(void *))dlsym(nccl.file, "ncclCommDestroy");
            nccl.group_start = (int (*)(void))dlsym(nccl.file, "ncclGroupStart");
            nccl.group_end = (int (*)(void))dlsym(nccl.file, "ncclGroupEnd");
            nccl.all_reduce = (int (*)(const void *, void *, size_t, int, int, void *,
                                       cudaStream_t))dlsym(nccl.file, "ncclAllReduce");
        }
    }
    return nccl.init_all && nccl.destroy && nccl.group_start && nccl.group_end && nccl.all_reduce;
}

static owm_status join(struct owm_device *const *device, uint32_t count)
{
    int index[DEVICES_MAX];
    for (uint32_t i = 0; i < count; i++) index[i] = device[i]->index;
    bool same = nccl.count == (int)count && memcmp(index, nccl.device, count * sizeof *index) == 0;
    if (same) return OWM_OK;
    for (int i = 0; i < nccl.count; i++) (void)nccl.destroy(nccl.comm[i]);
    nccl.count = 0;
    if (nccl.init_all(nccl.comm, (int)count, index) != 0) return OWM_E_DEVICE;
    memcpy(nccl.device, index, count * sizeof *index);
    nccl.count = (int)count;
    return OWM_OK;
}

static owm_status reduce(struct owm_device *const *device, float *const *buffer, uint32_t count,
                         size_t n)
{
    int code = nccl.group_start();
    for (uint32_t i = 0; i < count && code == 0; i++)
        code = nccl.all_reduce(buffer[i], buffer[i], n, FLOAT32, SUM, nccl.comm[i],
                               gpu_stream(device[i]));
    int ended = nccl.group_end();
    owm_status status = code == 0 && ended == 0 ? OWM_OK : OWM_E_DEVICE;
    for (uint32_t i = 0; i < count; i++) {
        owm_status waited = gpu_sync(device[i]);
        if (status == OWM_OK) status = waited;
    }
    return status;
}

owm_status gpu_all_sum(struct owm_device *const *device, float *const *buffer, uint32_t count,
                       size_t n)
{
    if (!device || !buffer || count == 0 || count > DEVICES_MAX || n == 0) return OWM_E_ARG;
    for (uint32_t i = 0; i < count; i++) {
        if (!device[i] || !buffer[i] || device[i]->backend != device[0]->backend) return OWM_E_ARG;
        for (uint32_t j = 0; j < i; j++)
            if (device[j]->index == device[i]->index) return OWM_E_ARG;
    }
    if (count == 1) return gpu_sync(device[0]); /* The sum over one device is there already. */
    pthread_mutex_lock(&nccl.lock);
    owm_status status = load() ? join(device, count) : OWM_E_UNSUPPORTED;
    if (status == OWM_OK) status = reduce(device, buffer, count, n);
    pthread_mutex_unlock(&nccl.lock);
    return status;
}
