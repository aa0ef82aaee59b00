/* telemetry.c: NVML, opened at run time; a machine without the driver has none. */
#include "telemetry.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

/* The few declarations of nvml.h that are used; its ABI is stable by NVIDIA's promise. */
typedef struct nvml_device *nvml_device;
#define NVML_OK              0
#define NVML_TEMPERATURE_GPU 0

struct telemetry {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    int (*handle)(unsigned, nvml_device *);
    int (*temperature)(nvml_device, int, unsigned *);
    int (*fan)(nvml_device, unsigned *);
    int (*power)(nvml_device, unsigned *); /* Milliwatts. */
};

/* dlsym's void * holds a function on every POSIX system. */
static bool load(struct telemetry *nvml)
{
    const struct {
        const char *name;
        void *place;
    } wanted[] = {
        {"nvmlInit_v2", &nvml->init},
        {"nvmlShutdown", &nvml->shutdown},
        {"nvmlDeviceGetHandleByIndex_v2", &nvml->handle},
        {"nvmlDeviceGetTemperature", &nvml->temperature},
        {"nvmlDeviceGetFanSpeed", &nvml->fan},
        {"nvmlDeviceGetPowerUsage", &nvml->power},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *symbol = dlsym(nvml->library, wanted[i].name);
        if (symbol == NULL) return false;
        memcpy(wanted[i].place, &symbol, sizeof symbol);
    }
    return true;
}

struct telemetry *telemetry_open(void)
{
    struct telemetry *nvml = calloc(1, sizeof *nvml);
    if (nvml == NULL) return NULL;
    nvml->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (nvml->library != NULL && load(nvml) && nvml->init() == NVML_OK) return nvml;
    if (nvml->library != NULL) dlclose(nvml->library);
    free(nvml);
    return NULL;
}

void telemetry_close(struct telemetry *nvml)
{
    if (nvml == NULL) return;
    nvml->shutdown();
    dlclose(nvml->library);
    free(nvml);
}

bool telemetry_read(struct telemetry *nvml, unsigned index, struct telemetry_reading *reading)
{
    nvml_device device;
    unsigned value;
    *reading = (struct telemetry_reading){-1, -1, -1};
    if (nvml == NULL || nvml->handle(index, &device) != NVML_OK) return false;
    if (nvml->temperature(device, NVML_TEMPERATURE_GPU, &value) == NVML_OK)
        reading->temperature_c = (int)value;
    if (nvml->fan(device, &value) == NVML_OK) reading->fan_percent = (int)value;
    if (nvml->power(device, &value) == NVML_OK) reading->power_w = (int)(value / 1000);
    return true;
}
