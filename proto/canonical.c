/* canonical.c: fields in the order of their numbers, each with its length, behind a domain. */
#include "proto/canonical.h"

#include <string.h>

static void put_text(struct owm_writer *writer, const char *text)
{
    size_t bytes = text ? strlen(text) : 0;
    owm_write_u32_le(writer, (uint32_t)bytes);
    owm_write_bytes(writer, text ? text : "", bytes);
}

static void put_bytes(struct owm_writer *writer, const ProtobufCBinaryData *data)
{
    owm_write_u32_le(writer, (uint32_t)data->len);
    owm_write_bytes(writer, data->data ? data->data : (const uint8_t *)"", data->len);
}

static void put_capabilities(struct owm_writer *writer,
                             const Owm__Coordinator__V1__NodeCapabilities *capabilities)
{
    owm_write_u8(writer, capabilities != NULL);
    if (!capabilities) return;
    put_text(writer, capabilities->tier);
    owm_write_f32_le(writer, capabilities->vram_gb);
    owm_write_f32_le(writer, capabilities->ram_gb);
    owm_write_f32_le(writer, capabilities->bandwidth_mbps);
    owm_write_u32_le(writer, (uint32_t)capabilities->n_supported_task_types);
    for (size_t i = 0; i < capabilities->n_supported_task_types && owm_writer_ok(writer); i++)
        put_text(writer, capabilities->supported_task_types[i]);
    put_text(writer, capabilities->device);
    put_text(writer, capabilities->backend);
    owm_write_u32_le(writer, capabilities->max_concurrent_tasks);
    owm_write_u8(writer, capabilities->tier_overridden ? 1 : 0);
}

static void begin(struct owm_writer *writer, uint8_t *out, const char *domain,
                  const uint8_t coordinator_key[static 32])
{
    owm_writer_init(writer, out, OWM_CANONICAL_BYTES_MAX);
    put_text(writer, domain);
    owm_write_bytes(writer, coordinator_key, 32);
}

static owm_status end(const struct owm_writer *writer, size_t *bytes)
{
    *bytes = writer->at;
    return owm_writer_ok(writer) ? OWM_OK : OWM_E_LIMIT;
}

owm_status owm_canonical_register(uint8_t out[static OWM_CANONICAL_BYTES_MAX], size_t *bytes,
                                  const Owm__Coordinator__V1__RegisterNodeRequest *request,
                                  const uint8_t coordinator_key[static 32])
{
    struct owm_writer writer;
    begin(&writer, out, OWM_DOMAIN_REGISTER, coordinator_key);
    put_text(&writer, request->public_key);
    put_text(&writer, request->ln_node_uri);
    put_capabilities(&writer, request->capabilities);
    put_bytes(&writer, &request->challenge);
    owm_write_u64_le(&writer, (uint64_t)request->timestamp_ms);
    owm_write_u32_le(&writer, request->protocol);
    put_text(&writer, request->onion_address);
    put_text(&writer, request->alias);
    put_text(&writer, request->stake_statement);
    put_text(&writer, request->stake_signature);
    put_text(&writer, request->payout_to);
    return end(&writer, bytes);
}

owm_status owm_canonical_manifest(uint8_t out[static OWM_CANONICAL_BYTES_MAX], size_t *bytes,
                                  const Owm__Coordinator__V1__CapabilityManifest *manifest,
                                  const uint8_t coordinator_key[static 32])
{
    struct owm_writer writer;
    begin(&writer, out, OWM_DOMAIN_MANIFEST, coordinator_key);
    put_text(&writer, manifest->node_id);
    put_capabilities(&writer, manifest->capabilities);
    owm_write_u64_le(&writer, (uint64_t)manifest->timestamp_ms);
    owm_write_u64_le(&writer, manifest->sequence);
    return end(&writer, bytes);
}

owm_status owm_canonical_result(uint8_t out[static OWM_CANONICAL_BYTES_MAX], size_t *bytes,
                                const Owm__Coordinator__V1__TaskResult *result,
                                const uint8_t coordinator_key[static 32])
{
    struct owm_writer writer;
    begin(&writer, out, OWM_DOMAIN_RESULT, coordinator_key);
    put_text(&writer, result->task_id);
    put_text(&writer, result->node_id);
    put_bytes(&writer, &result->output_hash);
    owm_write_u64_le(&writer, (uint64_t)result->execution_ms);
    owm_write_u64_le(&writer, result->lease_token);
    put_text(&writer, result->error);
    return end(&writer, bytes);
}
