/* main.c: owm-ots, OpenTimestamps from stamp to block. */
#include <string.h>

#include "base/log.h"
#include "calendar/command.h"
#include "commands.h"

const struct command commands[] = {
    {"info", command_info},     {"stamp", command_stamp},     {"upgrade", command_upgrade},
    {"verify", command_verify}, {"headers", command_headers}, {NULL, NULL},
};

int main(int argc, char **argv)
{
    struct options options;
    struct owm_error error = {.text = ""};
    owm_log_program_set("owm-ots");
    if (argc > 1 && strcmp(argv[1], "calendar") == 0) return calendar_command(argc - 1, argv + 1);
    if (options_parse(argc, argv, &options, &error) != OWM_OK) {
        fprintf(stderr, "owm-ots: %s\n", error.text);
        return EXIT_OPTIONS;
    }
    if (options.help) {
        options_help(stdout);
        return EXIT_DONE;
    }
    return options.command->run(&options);
}
