/* detect_host.c: memory, processor name and the speed of the network. */
#include "node/detect.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** find_line: the text behind "key" and its colon in a file of /proc. */
static bool find_line(const char *root, const char *name, const char *key, char *value,
                      size_t bytes)
{
    char path[256], line[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        const char *text = strchr(line, ':');
        if (text == NULL) continue;
        for (text++; isspace((unsigned char)*text); text++)
            ;
        snprintf(value, bytes, "%s", text);
        value[strcspn(value, "\n")] = '\0';
        found = true;
    }
    fclose(file);
    return found;
}

static void detect_ram(const char *procfs, struct owm_machine *machine)
{
    char value[64];
    if (find_line(procfs, "meminfo", "MemTotal", value, sizeof value))
        machine->ram_bytes = strtoull(value, NULL, 10) * 1024;
    snprintf(machine->ram_source, sizeof machine->ram_source,
             machine->ram_bytes ? "MemTotal of %s/meminfo" : "%s/meminfo cannot be read", procfs);
}

/** link_speed: of one interface in Mbit/s; 0 if it is down, virtual or does not say. */
static double link_speed(const char *folder, const char *name)
{
    char path[1024], line[32] = "";
    if (strcmp(name, "lo") == 0 || name[0] == '.') return 0;
    snprintf(path, sizeof path, "%s/%s/speed", folder, name);
    FILE *file = fopen(path, "re");
    if (file == NULL) return 0;
    /* Reading fails with EINVAL while the link is down. */
    long speed = fgets(line, sizeof line, file) ? strtol(line, NULL, 10) : 0;
    fclose(file);
    return speed > 0 ? (double)speed : 0;
}

static void detect_bandwidth(const struct owm_detect_places *places, const char *sysfs,
                             struct owm_machine *machine)
{
    char *source = machine->bandwidth_source;
    if (places->bandwidth_mbps > 0) {
        machine->bandwidth_mbps = places->bandwidth_mbps;
        snprintf(source, OWM_SOURCE_TEXT_MAX, "node.bandwidth_mbps in owm.toml");
        return;
    }
    char folder[256];
    snprintf(folder, sizeof folder, "%s/class/net", sysfs);
    snprintf(source, OWM_SOURCE_TEXT_MAX,
             "no network card tells its speed; set node.bandwidth_mbps in owm.toml");
    DIR *dir = opendir(folder);
    if (dir == NULL) return;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        double speed = link_speed(folder, entry->d_name);
        if (speed <= machine->bandwidth_mbps) continue;
        machine->bandwidth_mbps = speed;
        snprintf(source, OWM_SOURCE_TEXT_MAX,
                 "link speed of %.32s; your line may be slower: set node.bandwidth_mbps",
                 entry->d_name);
    }
    closedir(dir);
}

void owm_detect_host(const struct owm_detect_places *places, struct owm_machine *machine)
{
    const char *procfs = places->procfs ? places->procfs : "/proc";
    detect_ram(procfs, machine);
    detect_bandwidth(places, places->sysfs ? places->sysfs : "/sys", machine);
    if (machine->gpus > 0) return;
    char model[64];
    bool named = find_line(procfs, "cpuinfo", "model name", model, sizeof model);
    snprintf(machine->device, sizeof machine->device, "cpu (%s)", named ? model : "unknown model");
    snprintf(machine->backend, sizeof machine->backend, "cpu");
}
