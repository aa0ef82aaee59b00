/* gate.c: credentials that another thread renews, and key pairs made ahead. */
#include "gate.h"

#include <sodium.h>
#include <stdlib.h>

owm_status owm_gate_init(struct owm_gate *gate, const struct owm_sv2_credentials *credentials,
                         uint32_t ephemerals)
{
    *gate = (struct owm_gate){.credentials = *credentials};
    pthread_mutex_init(&gate->lock, NULL);
    gate->max = ephemerals < OWM_GATE_EPHEMERALS_MAX ? ephemerals : OWM_GATE_EPHEMERALS_MAX;
    gate->ephemeral = calloc(gate->max, sizeof *gate->ephemeral);
    return gate->ephemeral ? OWM_OK : OWM_E_NOMEM;
}

void owm_gate_deinit(struct owm_gate *gate)
{
    pthread_mutex_destroy(&gate->lock);
    if (gate->ephemeral) sodium_memzero(gate->ephemeral, gate->ready * sizeof *gate->ephemeral);
    free(gate->ephemeral);
    sodium_memzero(gate, sizeof *gate);
}

void owm_gate_replace(struct owm_gate *gate, const struct owm_sv2_credentials *credentials)
{
    pthread_mutex_lock(&gate->lock);
    gate->next = *credentials;
    atomic_store_explicit(&gate->has_next, true, memory_order_release);
    pthread_mutex_unlock(&gate->lock);
}

/** The lock is taken once an hour, when there is something to take. */
void owm_gate_refresh(struct owm_gate *gate)
{
    if (!atomic_load_explicit(&gate->has_next, memory_order_acquire)) return;
    pthread_mutex_lock(&gate->lock);
    gate->credentials = gate->next;
    owm_sv2_credentials_wipe(&gate->next);
    atomic_store_explicit(&gate->has_next, false, memory_order_relaxed);
    pthread_mutex_unlock(&gate->lock);
}

bool owm_gate_fill(struct owm_gate *gate, uint32_t count)
{
    for (; count && gate->ready < gate->max; count--) {
        if (owm_sv2_ephemeral_make(&gate->ephemeral[gate->ready]) != OWM_OK) return false;
        gate->ready++;
    }
    return gate->ready < gate->max;
}

owm_status owm_gate_respond(struct owm_gate *gate, const uint8_t act1[OWM_SV2_ACT1_BYTES],
                            uint8_t act2[OWM_SV2_ACT2_BYTES], struct owm_sv2_transport *transport,
                            uint8_t handshake_hash[32], bool *missed)
{
    *missed = gate->ready == 0;
    if (*missed) owm_gate_fill(gate, 1);
    if (!gate->ready) return OWM_E_CRYPTO;
    return owm_sv2_respond(&gate->credentials, &gate->ephemeral[--gate->ready], act1, act2,
                           transport, handshake_hash);
}
