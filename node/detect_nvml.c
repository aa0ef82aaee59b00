/* detect_nvml.c: NVIDIA GPUs through the driver's own library, opened at run time: no CUDA needed,
 * and a machine without the driver simply has none. */
#include "node/detect.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* The few declarations of nvml.h that are used; its ABI is stable by NVIDIA's promise. */
typedef struct nvml_device *nvml_device;
struct nvml_memory {
    unsigned long long total, free, used;
};
#define NVML_OK 0

struct nvml {
    int (*init)(void);
    int (*shutdown)(void);
    int (*count)(unsigned *);
    int (*handle)(unsigned, nvml_device *);
    int (*memory)(nvml_device, struct nvml_memory *);
    int (*name)(nvml_device, char *, unsigned);
};

/** load: false if a function is missing. dlsym's void * holds a function on every POSIX system. */
static bool load(void *library, struct nvml *nvml)
{
    const struct {
        const char *name;
        void *place;
    } wanted[] = {
        {"nvmlInit_v2", &nvml->init},
        {"nvmlShutdown", &nvml->shutdown},
        {"nvmlDeviceGetCount_v2", &nvml->count},
        {"nvmlDeviceGetHandleByIndex_v2", &nvml->handle},
        {"nvmlDeviceGetMemoryInfo", &nvml->memory},
        {"nvmlDeviceGetName", &nvml->name},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *symbol = dlsym(library, wanted[i].name);
        if (symbol == NULL) return false;
        memcpy(wanted[i].place, &symbol, sizeof symbol);
    }
    return true;
}

/** largest: the GPU with the most memory. */
static void largest(const struct nvml *nvml, unsigned count, struct owm_machine *machine)
{
    for (unsigned i = 0; i < count; i++) {
        nvml_device device = NULL;
        struct nvml_memory memory = {0};
        if (nvml->handle(i, &device) != NVML_OK || nvml->memory(device, &memory) != NVML_OK)
            continue;
        machine->gpus++;
        if (memory.total <= machine->vram_bytes) continue;
        machine->vram_bytes = memory.total;
        char name[OWM_DEVICE_NAME_MAX] = "";
        if (nvml->name(device, name, sizeof name) != NVML_OK) name[0] = '\0';
        name[sizeof name - 1] = '\0';
        snprintf(machine->device, sizeof machine->device, "%s", name[0] ? name : "NVIDIA GPU");
    }
}

bool owm_detect_nvml(const char *library, struct owm_machine *machine)
{
    void *handle = dlopen(library ? library : "libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) return false;
    struct nvml nvml;
    unsigned count = 0;
    if (load(handle, &nvml) && nvml.init() == NVML_OK) {
        if (nvml.count(&count) == NVML_OK) largest(&nvml, count, machine);
        nvml.shutdown();
    }
    dlclose(handle);
    if (machine->gpus == 0) return false;
    snprintf(machine->backend, sizeof machine->backend, "cuda");
    snprintf(machine->vram_source, sizeof machine->vram_source,
             "NVML, total memory of the largest of %u GPU%s", machine->gpus,
             machine->gpus == 1 ? "" : "s");
    return true;
}
