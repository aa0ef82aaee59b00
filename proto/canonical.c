/* canonical.c: the exact bytes that are signed; see canonical.h. */
#include "proto/canonical.h"

#include <string.h>

static void put_text(struct owm_writer *w, const char *text)
{
    size_t bytes = text ? strlen(text) : 0;
    owm_write_u32_le(w, (uint32_t)bytes);
    if (bytes) owm_write_bytes(w, text, bytes);
}

static void put_bytes(struct owm_writer *w, ProtobufCBinaryData data)
{
    owm_write_u32_le(w, (uint32_t)data.len);
    if (data.len) owm_write_bytes(w, data.data, data.len);
}

static void put_flag(struct owm_writer *w, int flag)
{
    owm_write_u64_le(w, flag ? 1 : 0);
}

/* A missing sub-message reads as one with all defaults, as protobuf itself has it. */
static void put_capabilities(struct owm_writer *w, const Owm__Coordinator__V1__NodeCapabilities *c)
{
    static const Owm__Coordinator__V1__NodeCapabilities none =
        OWM__COORDINATOR__V1__NODE_CAPABILITIES__INIT;
    if (!c) c = &none;
    put_text(w, c->tier);
    owm_write_f32_le(w, c->vram_gb);
    owm_write_f32_le(w, c->ram_gb);
    owm_write_f32_le(w, c->bandwidth_mbps);
    owm_write_u32_le(w, (uint32_t)c->n_supported_task_types);
    for (size_t i = 0; i < c->n_supported_task_types; i++) put_text(w, c->supported_task_types[i]);
    put_text(w, c->device);
    put_text(w, c->backend);
    owm_write_u64_le(w, c->max_concurrent_tasks);
    put_flag(w, c->tier_overridden);
}

static void start(struct owm_writer *w, uint8_t *out, const char *domain, const uint8_t *key)
{
    owm_writer_init(w, out, OWM_CANONICAL_BYTES_MAX);
    put_text(w, domain);
    owm_write_bytes(w, key, 32);
}

static owm_status finish(const struct owm_writer *w, size_t *bytes)
{
    if (!owm_writer_ok(w)) return OWM_E_LIMIT;
    *bytes = w->at;
    return OWM_OK;
}

owm_status owm_canonical_register(uint8_t out[static OWM_CANONICAL_BYTES_MAX], size_t *bytes,
                                  const Owm__Coordinator__V1__RegisterNodeRequest *request,
                                  const uint8_t coordinator_key[static 32])
{
    struct owm_writer w;
    start(&w, out, OWM_DOMAIN_REGISTER, coordinator_key);
    put_text(&w, request->public_key);
    put_text(&w, request->ln_node_uri);
    put_capabilities(&w, request->capabilities);
    put_bytes(&w, request->challenge);
    owm_write_u64_le(&w, (uint64_t)request->timestamp_ms);
    owm_write_u64_le(&w, request->protocol);
    put_text(&w, request->onion_address);
    put_text(&w, request->alias);
    return finish(&w, bytes);
}

owm_status owm_canonical_manifest(uint8_t out[static OWM_CANONICAL_BYTES_MAX], size_t *bytes,
                                  const Owm__Coordinator__V1__CapabilityManifest *manifest,
                                  const uint8_t coordinator_key[static 32])
{
    struct owm_writer w;
    start(&w, out, OWM_DOMAIN_MANIFEST, coordinator_key);
    put_text(&w, manifest->node_id);
    put_capabilities(&w, manifest->capabilities);
    owm_write_u64_le(&w, (uint64_t)manifest->timestamp_ms);
    owm_write_u64_le(&w, manifest->sequence);
    return finish(&w, bytes);
}

owm_status owm_canonical_result(uint8_t out[static OWM_CANONICAL_BYTES_MAX], size_t *bytes,
                                const Owm__Coordinator__V1__TaskResult *result,
                                const uint8_t coordinator_key[static 32])
{
    struct owm_writer w;
    start(&w, out, OWM_DOMAIN_RESULT, coordinator_key);
    put_text(&w, result->task_id);
    put_text(&w, result->node_id);
    put_bytes(&w, result->output_hash);
    owm_write_u64_le(&w, (uint64_t)result->execution_ms);
    owm_write_u64_le(&w, result->lease_token);
    put_text(&w, result->error);
    return finish(&w, bytes);
}
