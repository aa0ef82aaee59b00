/* memory.c: host memory as a device. Copies and ops are done when they return, so a queue is always
 * empty and an event is the time at which it was recorded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "cpu.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_MIN  ((size_t)4 << 20) /* Arrays from this size on are given huge pages. */

int cpu_device_count(void)
{
    return 1;
}

static void read_model_name(char *name, size_t name_bytes)
{
    char line[256];
    snprintf(name, name_bytes, "CPU");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value) continue;
        value += strspn(value, ": \t");
        value[strcspn(value, "\n")] = 0;
        snprintf(name, name_bytes, "%s", value);
        break;
    }
    (void)fclose(file);
}

owm_status cpu_device_info(int index, struct owm_device_info *info)
{
    *info = (struct owm_device_info){0};
    if (index != 0) {
        snprintf(info->refusal, sizeof info->refusal, "there is one device, index 0, and no %d",
                 index);
        return OWM_E_ARG;
    }
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    read_model_name(info->name, sizeof info->name);
    snprintf(info->arch, sizeof info->arch, "%s", cpu_isa_best());
    info->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * page;
    info->memory_free_bytes = (uint64_t)sysconf(_SC_AVPHYS_PAGES) * page;
    info->usable = true;
    return OWM_OK;
}

/* Ops that read many arrays at once would miss the page table's cache often. Only a wish. */
static void ask_for_huge_pages(char *mem, size_t bytes)
{
    size_t skip = -(uintptr_t)mem % HUGE_PAGE;
    if (bytes >= skip + HUGE_PAGE)
        (void)madvise(mem + skip, (bytes - skip) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
}

owm_status cpu_mem_alloc(struct owm_device *device, void **mem, size_t bytes)
{
    (void)device;
    if (bytes > SIZE_MAX - 63) return OWM_E_NOMEM;
    size_t rounded = (bytes + 63) & ~(size_t)63;
    size_t alignment = rounded >= HUGE_MIN ? HUGE_PAGE : 64;
    *mem = NULL;
    if (posix_memalign(mem, alignment, rounded ? rounded : 64) != 0) return OWM_E_NOMEM;
    if (rounded >= HUGE_MIN) ask_for_huge_pages(*mem, rounded);
    memset(*mem, 0, rounded);
    return OWM_OK;
}

void cpu_mem_free(struct owm_device *device, void *mem)
{
    (void)device;
    free(mem);
}

owm_status cpu_mem_copy(struct owm_device *device, void *dst, const void *src, size_t bytes)
{
    (void)device;
    if (bytes) memcpy(dst, src, bytes);
    return OWM_OK;
}

owm_status cpu_mem_zero(struct owm_device *device, void *mem, size_t bytes)
{
    (void)device;
    if (bytes) memset(mem, 0, bytes);
    return OWM_OK;
}

owm_status cpu_sync(struct owm_device *device)
{
    (void)device;
    return OWM_OK;
}

owm_status cpu_event_record(struct owm_device *device, enum owm_queue queue, unsigned event)
{
    if (event >= OWM_EVENTS_MAX || (unsigned)queue >= OWM_QUEUES) return OWM_E_ARG;
    cpu_of(device)->event_ns[event] = owm_clock_mono_ns();
    return OWM_OK;
}

owm_status cpu_event_wait(struct owm_device *device, enum owm_queue queue, unsigned event)
{
    if (event >= OWM_EVENTS_MAX || (unsigned)queue >= OWM_QUEUES) return OWM_E_ARG;
    return cpu_of(device)->event_ns[event] ? OWM_OK : OWM_E_STATE;
}

owm_status cpu_event_elapsed(struct owm_device *device, unsigned from, unsigned to, double *ms)
{
    if (from >= OWM_EVENTS_MAX || to >= OWM_EVENTS_MAX || !ms) return OWM_E_ARG;
    const uint64_t *at = cpu_of(device)->event_ns;
    if (!at[from] || !at[to]) return OWM_E_STATE;
    *ms = ((double)at[to] - (double)at[from]) / 1e6;
    return OWM_OK;
}

owm_status cpu_all_sum(struct owm_device *const *device, float *const *buffer, uint32_t count,
                       size_t n)
{
    if (!device || !buffer || count == 0 || n == 0) return OWM_E_ARG;
    for (uint32_t d = 0; d < count; d++) {
        if (!device[d] || !buffer[d]) return OWM_E_ARG;
        if (strcmp(device[d]->backend->name, device[0]->backend->name) != 0) return OWM_E_ARG;
        for (uint32_t before = 0; before < d; before++)
            if (device[before] == device[d]) return OWM_E_ARG;
    }
    for (size_t i = 0; i < n; i++) {
        float sum = buffer[0][i];
        for (uint32_t d = 1; d < count; d++) sum += buffer[d][i];
        for (uint32_t d = 0; d < count; d++) buffer[d][i] = sum;
    }
    return OWM_OK;
}
