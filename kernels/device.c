/* device.c: opening a device that one may rely on: chosen, opened, and every op of it tried. */
#include <string.h>

#include "selftest.h"

static owm_status open_tested(const struct owm_backend *backend, struct owm_device **device,
                              const struct owm_device_config *config, struct owm_error *error)
{
    struct owm_device *opened = NULL;
    owm_status status = backend->open(&opened, config, error);
    if (status != OWM_OK) return status;
    status = owm_selftest(opened, error);
    if (status != OWM_OK) {
        backend->close(opened);
        return status;
    }
    *device = opened;
    return OWM_OK;
}

/* The list is fastest first and ends with the reference, which nobody wants for its speed. */
static owm_status open_automatic(struct owm_device **device, const struct owm_device_config *config,
                                 struct owm_error *error)
{
    const struct owm_backend *b;
    owm_status status = OWM_E_UNSUPPORTED;
    for (size_t i = 0; (b = owm_backend_at(i)) && b != &owm_backend_reference; i++) {
        struct owm_device_info info;
        bool last = b == &owm_backend_cpu;
        bool usable = b->device_info(config->index, &info) == OWM_OK && info.usable;
        if (!usable && !last) continue;
        status = open_tested(b, device, config, error);
        if (status == OWM_OK) return OWM_OK;
    }
    return status;
}

owm_status owm_device_open(struct owm_device **device, const struct owm_device_config *config,
                           struct owm_error *error)
{
    *device = NULL;
    if (!config->backend || strcmp(config->backend, "auto") == 0)
        return open_automatic(device, config, error);
    const struct owm_backend *backend = owm_backend_pick(config->backend, error);
    return backend ? open_tested(backend, device, config, error) : OWM_E_UNSUPPORTED;
}
