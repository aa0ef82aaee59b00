/* plugin_double.c: stands in for libowm-cuda.so in test_backend: the cpu under another name.
 * $OWM_TEST_PLUGIN says whether it is good, has no device, or has a fault in one op. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/backend.h"

#ifndef ABI
#define ABI OWM_BACKEND_ABI
#endif

static struct owm_backend opened;

static bool way(const char *name)
{
    const char *asked = getenv("OWM_TEST_PLUGIN");
    return asked && strcmp(asked, name) == 0;
}

static int double_count(void)
{
    return way("no device") ? 0 : 1;
}

static owm_status double_info(int index, struct owm_device_info *info)
{
    owm_status status = owm_backend_cpu.device_info(index, info);
    if (!way("no device")) return status;
    *info = (struct owm_device_info){0};
    snprintf(info->refusal, sizeof info->refusal, "planted: no driver");
    return OWM_E_ARG;
}

static owm_status bad_add(struct owm_device *device, float *out, const float *a, const float *b,
                          size_t count)
{
    (void)device;
    for (size_t i = 0; i < count; i++) out[i] = a[i] - b[i];
    return OWM_OK;
}

static owm_status double_open(struct owm_device **device, const struct owm_device_config *config,
                              struct owm_error *error)
{
    owm_status status = owm_backend_cpu.open(device, config, error);
    if (status != OWM_OK) return status;
    opened = *(*device)->backend;
    opened.name = "cuda";
    if (way("fault")) opened.add = bad_add;
    (*device)->backend = &opened;
    return OWM_OK;
}

static void double_close(struct owm_device *device)
{
    owm_backend_cpu.close(device);
}

extern const struct owm_backend owm_plugin_backend;
__attribute__((visibility("default"))) const struct owm_backend owm_plugin_backend = {
    .abi = ABI,
    .name = "cuda",
    .device_count = double_count,
    .device_info = double_info,
    .open = double_open,
    .close = double_close,
};
