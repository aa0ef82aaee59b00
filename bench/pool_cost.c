/* pool_cost.c: encryption and hashes alone. */
#include "pool_cost.h"

#include <string.h>

#include "dataplane/sv2/messages.h"
#include "dataplane/sv2/noise.h"

#define COUNT      1024
#define ROWS       64
#define HANDSHAKES 256
#define ROW_BYTES  512
#define LONG_BYTES 2048

static struct owm_sv2_transport from = {.send.key = {1}}, to = {.receive.key = {1}};
static uint8_t sealed[COUNT][OWM_SV2_SEALED_HEADER_BYTES + OWM_SV2_MAC_BYTES + 64];

double cost_open(uint32_t payload_bytes)
{
    static const uint8_t payload[64];
    struct owm_sv2_frame frame;
    size_t used, opened = 0;
    size_t bytes = owm_sv2_sealed_bytes(payload_bytes);
    OWM_ASSERT(bytes <= sizeof sealed[0]);
    for (int i = 0; i < COUNT; i++)
        owm_sv2_seal(&from, OWM_SV2_CHANNEL_BIT, OWM_SV2_TYPE_submit_standard, payload,
                     payload_bytes, sealed[i]);
    to.receive.nonce = from.send.nonce - 2 * COUNT;
    double start = pool_cpu_s();
    for (int i = 0; i < COUNT; i++)
        opened += owm_sv2_open(&to, sealed[i], bytes, 64, &frame, &used) == OWM_SV2_FRAME;
    double seconds = pool_cpu_s() - start;
    OWM_ASSERT(opened == COUNT);
    return seconds / COUNT;
}

double cost_seal(uint32_t payload_bytes)
{
    static const uint8_t payload[LONG_BYTES];
    static uint8_t out[LONG_BYTES + OWM_SV2_SEALED_HEADER_BYTES + OWM_SV2_MAC_BYTES];
    OWM_ASSERT(payload_bytes <= LONG_BYTES);
    double start = pool_cpu_s();
    for (int i = 0; i < COUNT; i++)
        owm_sv2_seal(&from, OWM_SV2_CHANNEL_BIT, OWM_SV2_TYPE_submit_success, payload,
                     payload_bytes, out);
    return (pool_cpu_s() - start) / COUNT;
}

double cost_hash(struct owm_device *device)
{
    static uint8_t header[COUNT][80], hash[COUNT][32];
    const struct owm_sha256d_batch batch = {hash[0], header[0], sizeof header[0], COUNT, 80};
    double start = pool_cpu_s();
    (void)!device->backend->sha256d_batch(device, &batch);
    return (pool_cpu_s() - start) / COUNT;
}

double cost_root(struct owm_device *device, const struct owm_work *work)
{
    static uint8_t row[ROWS][ROW_BYTES], root[ROWS][32];
    const struct owm_coinbase *coinbase = &work->coinbase[OWM_COINBASE_SHORT];
    const struct owm_sha256d_merkle merkle = {
        .root = root[0],
        .coinbase = row[0],
        .branch = work->block->branch[0],
        .stride = ROW_BYTES,
        .count = ROWS,
        .bytes = coinbase->prefix_bytes + coinbase->extranonce_bytes + coinbase->suffix_bytes,
        .branches = work->block->branches,
    };
    double start = pool_cpu_s();
    for (int i = 0; i < COUNT / ROWS; i++) (void)!device->backend->sha256d_merkle(device, &merkle);
    return (pool_cpu_s() - start) / COUNT;
}

double cost_handshake(const struct owm_sv2_credentials *credentials)
{
    struct owm_sv2_initiator initiator;
    struct owm_sv2_transport transport;
    uint8_t act1[OWM_SV2_ACT1_BYTES], act2[OWM_SV2_ACT2_BYTES], hash[32];
    int done = 0;
    owm_status status = owm_sv2_initiate(&initiator, act1);
    double start = pool_cpu_s();
    for (int i = 0; i < HANDSHAKES; i++) {
        struct owm_sv2_ephemeral ephemeral;
        if (status == OWM_OK) status = owm_sv2_ephemeral_make(&ephemeral);
        if (status == OWM_OK)
            status = owm_sv2_respond(credentials, &ephemeral, act1, act2, &transport, hash);
        done += status == OWM_OK;
    }
    double seconds = pool_cpu_s() - start;
    OWM_ASSERT(done == HANDSHAKES);
    return seconds / HANDSHAKES;
}
