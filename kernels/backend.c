/* backend.c: the list of backends, plug-ins first, and the choice of one at start. */
#include "backend.h"

#include <string.h>

#include "plugin.h"

static const struct owm_backend *const compiled_in[] = {
    &owm_backend_cpu,
    &owm_backend_reference, /* Last: never what "auto" means, since the cpu is always there. */
};

const struct owm_backend *owm_backend_at(size_t index)
{
    size_t opened = 0;
    while (owm_plugin_at(opened)) {
        if (opened == index) return owm_plugin_at(opened);
        opened++;
    }
    index -= opened;
    return index < sizeof compiled_in / sizeof *compiled_in ? compiled_in[index] : NULL;
}

/* The first device that can be used, or why the first one cannot. */
static bool has_device(const struct owm_backend *b, struct owm_device_info *info)
{
    struct owm_device_info next;
    if (b->device_info(0, info) == OWM_OK && info->usable) return true;
    for (int i = 1; i < b->device_count(); i++)
        if (b->device_info(i, &next) == OWM_OK && next.usable) return true;
    return false;
}

/* Those compiled in first: who asks for the cpu must not wait for the drivers of others. */
static const struct owm_backend *named(const char *name)
{
    const struct owm_backend *b;
    for (size_t i = 0; i < sizeof compiled_in / sizeof *compiled_in; i++)
        if (strcmp(name, compiled_in[i]->name) == 0) return compiled_in[i];
    for (size_t i = 0; (b = owm_plugin_at(i)); i++)
        if (strcmp(name, b->name) == 0) return b;
    return NULL;
}

static const struct owm_backend *automatic(struct owm_error *error)
{
    const struct owm_backend *b;
    struct owm_device_info info;
    for (size_t i = 0; (b = owm_backend_at(i)); i++)
        if (has_device(b, &info)) return b;
    (void)owm_fail(error, OWM_E_UNSUPPORTED, "no backend finds a device on this machine");
    return NULL;
}

const struct owm_backend *owm_backend_pick(const char *name, struct owm_error *error)
{
    struct owm_device_info info;
    if (!name || strcmp(name, "auto") == 0) return automatic(error);
    const struct owm_backend *b = named(name);
    if (b && has_device(b, &info)) return b;
    if (b)
        (void)owm_fail(error, OWM_E_UNSUPPORTED,
                       "backend '%s' has no usable device: %s; use 'auto' "
                       "or 'cpu' to go on without it",
                       name, info.refusal);
    else if (strcmp(name, "cuda") == 0 || strcmp(name, "hip") == 0)
        (void)owm_fail(error, OWM_E_UNSUPPORTED,
                       "backend '%s' is not there: %s; or use 'auto' or "
                       "'cpu'",
                       name, owm_backend_missing(name));
    else
        (void)owm_fail(error, OWM_E_UNSUPPORTED,
                       "there is no backend '%s'; there are auto, cuda, hip, cpu and reference",
                       name);
    return NULL;
}
