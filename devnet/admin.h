/* admin.h: `./owm admin slash|evidence|log|key …`: owm-admin, with the addresses and keys of the
 * network in a folder. */
#ifndef OWM_DEVNET_ADMIN_H
#define OWM_DEVNET_ADMIN_H

#include <stdbool.h>

/** admin_is_meant: whether this command line is one for owm-admin. */
bool admin_is_meant(int argc, char **argv);

/** admin_become: run it in our place. Returns only when it cannot: the exit code, with a sentence
 * on stderr. */
int admin_become(int argc, char **argv);

#endif
