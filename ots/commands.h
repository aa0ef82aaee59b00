/* commands.h: what the words behind owm-ots do. Each returns an exit code and prints as it goes. */
#ifndef OWM_OTS_COMMANDS_H
#define OWM_OTS_COMMANDS_H

#include "options.h"

int command_info(const struct options *options);
int command_stamp(const struct options *options);
int command_upgrade(const struct options *options);
int command_verify(const struct options *options);
int command_headers(const struct options *options);

#endif
