/* rpc_payload.h: what fuzz_rpc_payload.c and its doubles share. */
#ifndef OWM_FUZZ_RPC_PAYLOAD_H
#define OWM_FUZZ_RPC_PAYLOAD_H

#include "base/rpc/rpc.h"

#define METHODS_MAX 32

/** owm_rpc_call, as the doubles of base/rpc see it. */
struct owm_rpc_call {
    const struct owm_rpc_method *method;
    int refs;
    void *user;
    bool answered, paused;
    unsigned sent;
    uint8_t key[32];
};

/** The method tables that the services would have served, in one row. */
extern struct owm_rpc_method fuzz_methods[METHODS_MAX];
extern size_t fuzz_method_count;

#endif
