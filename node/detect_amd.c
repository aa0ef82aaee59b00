/* detect_amd.c: AMD GPUs from the files of the amdgpu kernel driver; rocm-smi reads the same. */
#include "node/detect.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** read_line: first line of a small file, without its newline. */
static bool read_line(const char *path, char *line, size_t bytes)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    bool ok = fgets(line, (int)bytes, file) != NULL;
    fclose(file);
    if (ok) line[strcspn(line, "\n")] = '\0';
    return ok;
}

/** add_card: count a card whose driver tells its memory. */
static void add_card(const char *folder, const char *card, struct owm_machine *machine)
{
    char path[1024], line[OWM_DEVICE_NAME_MAX];
    snprintf(path, sizeof path, "%s/%s/device/mem_info_vram_total", folder, card);
    if (!read_line(path, line, sizeof line)) return;
    unsigned long long bytes = strtoull(line, NULL, 10);
    machine->gpus++;
    if (bytes <= machine->vram_bytes) return;
    machine->vram_bytes = bytes;
    snprintf(path, sizeof path, "%s/%s/device/product_name", folder, card);
    bool named = read_line(path, line, sizeof line) && line[0];
    snprintf(machine->device, sizeof machine->device, "%s", named ? line : "AMD GPU");
}

bool owm_detect_amd(const char *sysfs, struct owm_machine *machine)
{
    char folder[256];
    snprintf(folder, sizeof folder, "%s/class/drm", sysfs ? sysfs : "/sys");
    DIR *dir = opendir(folder);
    if (dir == NULL) return false;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        /* "card0" is a card, "card0-DP-1" a connector of it. */
        if (strncmp(entry->d_name, "card", 4) == 0 && strchr(entry->d_name, '-') == NULL)
            add_card(folder, entry->d_name, machine);
    }
    closedir(dir);
    if (machine->gpus == 0) return false;
    snprintf(machine->backend, sizeof machine->backend, "hip");
    snprintf(machine->vram_source, sizeof machine->vram_source,
             "amdgpu sysfs, total memory of the largest of %u GPU%s", machine->gpus,
             machine->gpus == 1 ? "" : "s");
    return true;
}
