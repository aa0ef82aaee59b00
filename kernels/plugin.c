/* plugin.c: libowm-cuda.so and libowm-hip.so: where they are looked for, how one is opened, and why
 * one is not there. */
#include "plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYMBOL         "owm_plugin_backend"
#define PATH_MAX_BYTES 1024

struct plugin {
    const char *name;
    const struct owm_backend *backend;
    struct owm_error why; /* Why backend is NULL. */
};

static struct plugin plugins[] = {{.name = "cuda"}, {.name = "hip"}}; /* Fastest first. */
#define PLUGINS (sizeof plugins / sizeof *plugins)

owm_status owm_backend_load(const char *path, const struct owm_backend **backend,
                            struct owm_error *error)
{
    if (access(path, R_OK) != 0)
        return owm_fail(error, OWM_E_NOTFOUND, "%s: %s", path, strerror(errno));
    void *file = dlopen(path, RTLD_LOCAL | RTLD_NOW);
    if (!file) return owm_fail(error, OWM_E_UNSUPPORTED, "it does not open: %s", dlerror());
    const struct owm_backend *found = dlsym(file, SYMBOL);
    owm_status status = OWM_OK;
    if (!found)
        status =
            owm_fail(error, OWM_E_UNSUPPORTED, "%s is no plug-in: it has no symbol " SYMBOL, path);
    else if (found->abi != OWM_BACKEND_ABI)
        status = owm_fail(error, OWM_E_UNSUPPORTED,
                          "%s has plug-in version %u and this program needs %u; install the "
                          "plug-in that came with the program",
                          path, found->abi, OWM_BACKEND_ABI);
    if (status == OWM_OK)
        *backend = found;
    else
        (void)dlclose(file);
    return status;
}

/* The folder of the running program, without the last slash; "." if the system does not tell. */
static void program_folder(char folder[PATH_MAX_BYTES])
{
    ssize_t bytes = readlink("/proc/self/exe", folder, PATH_MAX_BYTES - 1);
    folder[bytes > 0 ? bytes : 0] = 0;
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = 0;
    else
        memcpy(folder, ".", 2);
}

static owm_status open_in(struct plugin *p, const char *folder, const char *below)
{
    char path[PATH_MAX_BYTES + 64];
    snprintf(path, sizeof path, "%s%s/libowm-%s.so", folder, below, p->name);
    return owm_backend_load(path, &p->backend, &p->why);
}

static void open_plugin(struct plugin *p)
{
    char beside[PATH_MAX_BYTES];
    const char *named = secure_getenv("OWM_PLUGIN_DIR");
    program_folder(beside);
    owm_status status = open_in(p, named ? named : beside, "");
    if (named || status != OWM_E_NOTFOUND) return;
    if (open_in(p, beside, "/../lib") == OWM_E_NOTFOUND)
        (void)owm_fail(&p->why, OWM_E_NOTFOUND,
                       "libowm-%s.so is neither in %s nor in the lib folder beside it; build it "
                       "with the preset '%s'",
                       p->name, beside, p->name);
}

static void open_all(void)
{
    for (size_t i = 0; i < PLUGINS; i++) open_plugin(&plugins[i]);
}

static void open_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, open_all);
}

const struct owm_backend *owm_plugin_at(size_t index)
{
    open_once();
    for (size_t i = 0; i < PLUGINS; i++)
        if (plugins[i].backend && index-- == 0) return plugins[i].backend;
    return NULL;
}

const char *owm_backend_missing(const char *name)
{
    open_once();
    for (size_t i = 0; i < PLUGINS; i++)
        if (strcmp(plugins[i].name, name) == 0)
            return plugins[i].backend ? NULL : plugins[i].why.text;
    for (size_t i = 0; owm_backend_at(i); i++)
        if (strcmp(owm_backend_at(i)->name, name) == 0) return NULL;
    return "there is no plug-in of that name; there are cuda and hip";
}
