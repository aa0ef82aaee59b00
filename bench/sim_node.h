/* sim_node.h: a node without a machine behind it: its own Ed25519 key, its own mTLS connection, and
 * the calls a node makes. A load generator's part, named as what it is.
 */
#ifndef OWM_BENCH_SIM_NODE_H
#define OWM_BENCH_SIM_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/identity.h"
#include "base/rpc/rpc.h"

#define SIM_COORDINATOR "/owm.coordinator.v1.CoordinatorService/"

struct sim_fleet;

struct sim_node {
    struct sim_fleet *fleet;
    owm_identity *identity;
    struct owm_rpc_client *rpc;
    char node_id[40]; /* Empty until registered. */
    uint8_t heartbeat[64];
    size_t heartbeat_bytes;
};

/** sim_fleet: all nodes of a run and the window of calls under way. */
struct sim_fleet {
    struct sim_node *nodes;
    unsigned count;
    struct owm_rpc_cq *cq;
    const char *certificate_pem; /* The coordinator's. */
    uint8_t coordinator_key[32];
    atomic_uint next, running, refused;
    atomic_ullong accepted;
    atomic_bool stop;
    char refusal[256]; /* The first one, for the report. */
};

/** sim_fleet_open: keys, certificates and clients; nothing is sent yet. */
owm_status sim_fleet_open(struct sim_fleet *fleet, unsigned count, const char *target,
                          const char *certificate_pem, struct owm_error *error) OWM_MUST_USE;
void sim_fleet_close(struct sim_fleet *fleet);

/** sim_fleet_register: Hello and RegisterNode for every node, `window` at a time.
 *  Returns: OWM_E_STATE when any was refused, with the first reason. */
owm_status sim_fleet_register(struct sim_fleet *fleet, unsigned window,
                              struct owm_error *error) OWM_MUST_USE;

/** sim_fleet_heartbeats: `window` heartbeats under way at all times, going round the nodes, for
 *  `seconds`. rate: accepted per second. */
owm_status sim_fleet_heartbeats(struct sim_fleet *fleet, unsigned window, unsigned seconds,
                                double *rate, struct owm_error *error) OWM_MUST_USE;

#endif
