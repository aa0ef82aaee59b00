/* backend.c: the list of compiled-in backends, and the choice of one at start. */
#include "backend.h"

#include <string.h>

static const struct owm_backend *const backends[] = {
    &owm_backend_cpu,
    &owm_backend_reference, /* Last: never what "auto" means, since the cpu is always there. */
};

const struct owm_backend *owm_backend_at(size_t index)
{
    return index < sizeof backends / sizeof *backends ? backends[index] : NULL;
}

const struct owm_backend *owm_backend_pick(const char *name, struct owm_error *error)
{
    const struct owm_backend *b;
    for (size_t i = 0; (b = owm_backend_at(i)); i++) {
        bool named = strcmp(name, b->name) == 0;
        if (!named && strcmp(name, "auto") != 0) continue;
        if (b->device_count() > 0) return b;
        if (!named) continue;
        (void)owm_fail(error, OWM_E_UNSUPPORTED,
                       "backend '%s' finds no device on this machine; use 'auto' or 'cpu'", name);
        return NULL;
    }
    (void)owm_fail(error, OWM_E_UNSUPPORTED,
                   "backend '%s' is not in this build; it has: auto, cpu, reference", name);
    return NULL;
}
