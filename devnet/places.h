/* places.h: what a network finds on disk and on the loopback address before its programs start. */
#ifndef OWM_DEVNET_PLACES_H
#define OWM_DEVNET_PLACES_H

#include "network.h"

/** places_programs: the folder of our own program, where the others lie too. Returns: OWM_E_IO. */
owm_status places_programs(struct network *network, struct owm_error *error) OWM_MUST_USE;

/** places_open: resolve and make the folder (setting an old one aside with --fresh), and lock it.
 *  Returns: OWM_E_STATE another network runs there; OWM_E_IO. */
owm_status places_open(struct network *network, struct owm_error *error) OWM_MUST_USE;

/** places_ports: the usual ports, or free ones where those are taken, which is told. */
void places_ports(struct network *network);
void places_mining_ports(struct network *network);

/** Configuration files from the options and ports; index counts from 0. */
owm_status places_coordinator_config(const struct network *network,
                                     struct owm_error *error) OWM_MUST_USE;
owm_status places_node_config(const struct network *network, unsigned index,
                              struct owm_error *error) OWM_MUST_USE;

/** places_slasher_config: with the coordinator's key, which its certificate has. */
owm_status places_slasher_config(const struct network *network,
                                 struct owm_error *error) OWM_MUST_USE;

owm_status places_pool_config(const struct network *network, struct owm_error *error) OWM_MUST_USE;

/** places_write_addresses: devnet.json. */
owm_status places_write_addresses(const struct network *network,
                                  struct owm_error *error) OWM_MUST_USE;

#endif
