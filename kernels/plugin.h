/* plugin.h: the shared libraries that hold backends. What backend.c needs of them, and no more. */
#ifndef OWM_KERNELS_PLUGIN_H
#define OWM_KERNELS_PLUGIN_H

#include "backend.h"

/** owm_plugin_at: the plug-ins that opened, fastest first; NULL past the end. The first call opens
 *  them; they stay open until the process ends. Thread: any. */
const struct owm_backend *owm_plugin_at(size_t index);

#endif
