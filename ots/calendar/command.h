/* command.h: owm-ots calendar: our own calendar server, from its command line to its end. */
#ifndef OWM_OTS_CALENDAR_COMMAND_H
#define OWM_OTS_CALENDAR_COMMAND_H

/** calendar_command: argv[0] is "calendar". Runs until a signal. Returns: an exit code of
 *  options.h. */
int calendar_command(int argc, char **argv);

#endif
