/* chain.c: btcd, and JSON-RPC to it. */
#include "chain.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/http_client.h"
#include "base/json.h"

#define START_TIMEOUT_MS 30000
#define CALL_TIMEOUT_MS  60000
#define REPLY_BYTES_MAX  ((size_t)4 << 20)

/* The answer's "result", a new reference. */
static owm_status take_result(const struct owm_http_result *answer, json_t **result,
                              struct owm_error *error)
{
    json_t *reply;
    owm_status status = owm_json_parse((const char *)answer->body, answer->body_bytes,
                                       REPLY_BYTES_MAX, &reply, error);
    if (status) return status;
    const char *message =
        json_string_value(json_object_get(json_object_get(reply, "error"), "message"));
    if (message)
        status = owm_fail(error, OWM_E_STATE, "btcd: %s", message);
    else
        *result = json_incref(json_object_get(reply, "result"));
    json_decref(reply);
    return status;
}

/* One JSON-RPC call; parameters are the text between the brackets. */
static owm_status ask(struct chain *chain, const char *method, const char *parameters,
                      json_t **result, struct owm_error *error)
{
    char url[128], body[256];
    struct owm_http_result answer;
    *result = NULL;
    snprintf(url, sizeof url, "https://%s:%s@127.0.0.1:%u/", chain->user, chain->password,
             chain->port);
    int bytes = snprintf(body, sizeof body,
                         "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"%s\",\"params\":[%s]}", method,
                         parameters);
    struct owm_http_call call = {.url = url,
                                 .body = body,
                                 .body_bytes = (size_t)bytes,
                                 .content_type = "application/json",
                                 .ca_file = chain->certificate,
                                 .deadline_ms = CALL_TIMEOUT_MS};
    owm_status status = owm_http_fetch(&call, &answer, error);
    if (status) return status;
    status = take_result(&answer, result, error);
    owm_http_result_deinit(&answer);
    return status;
}

static owm_status wait_for_answer(struct chain *chain, struct owm_error *error)
{
    uint64_t give_up_ms = owm_clock_mono_ms() + START_TIMEOUT_MS;
    unsigned height;
    while (owm_clock_mono_ms() < give_up_ms) {
        if (!process_alive(&chain->process))
            return owm_fail(error, OWM_E_IO, "btcd ended with %s; its log is %s",
                            process_end_text(&chain->process), chain->log);
        if (chain_height(chain, &height, NULL) == OWM_OK) return OWM_OK;
        owm_clock_sleep_ms(50);
    }
    return owm_fail(error, OWM_E_TIMEOUT, "btcd did not answer within %d s; its log is %s",
                    START_TIMEOUT_MS / 1000, chain->log);
}

owm_status chain_start(struct chain *chain, struct owm_error *error)
{
    char data[CHAIN_PATH_MAX + 16], logs[CHAIN_PATH_MAX + 16], listen[64], user[32], password[64];
    char certificate[CHAIN_PATH_MAX + 32], key[CHAIN_PATH_MAX + 32], address[160];
    snprintf(data, sizeof data, "--datadir=%s", chain->folder);
    snprintf(logs, sizeof logs, "--logdir=%s", chain->folder);
    snprintf(listen, sizeof listen, "--rpclisten=127.0.0.1:%u", chain->port);
    snprintf(user, sizeof user, "--rpcuser=%s", chain->user);
    snprintf(password, sizeof password, "--rpcpass=%s", chain->password);
    snprintf(certificate, sizeof certificate, "--rpccert=%s", chain->certificate);
    snprintf(key, sizeof key, "--rpckey=%s/rpc.key", chain->folder);
    snprintf(address, sizeof address, "--miningaddr=%s", chain->address);
    const char *const argv[] = {chain->program,
                                "--simnet",
                                "--txindex",
                                "--nolisten",
                                "--configfile=/dev/null",
                                data,
                                logs,
                                listen,
                                user,
                                password,
                                certificate,
                                key,
                                *chain->address ? address : NULL,
                                NULL};
    owm_status status = process_start(&chain->process, "btcd", argv,
                                      &(struct process_options){.log_path = chain->log}, error);
    return status ? status : wait_for_answer(chain, error);
}

owm_status chain_mine(struct chain *chain, unsigned blocks, struct owm_error *error)
{
    char count[16];
    json_t *result;
    snprintf(count, sizeof count, "%u", blocks);
    owm_status status = ask(chain, "generate", count, &result, error);
    if (status == OWM_OK) json_decref(result);
    return status;
}

owm_status chain_height(struct chain *chain, unsigned *height, struct owm_error *error)
{
    json_t *result;
    owm_status status = ask(chain, "getblockcount", "", &result, error);
    if (status) return status;
    *height = (unsigned)json_integer_value(result);
    json_decref(result);
    return OWM_OK;
}

owm_status chain_waiting(struct chain *chain, unsigned *transactions, struct owm_error *error)
{
    json_t *result;
    owm_status status = ask(chain, "getrawmempool", "", &result, error);
    if (status) return status;
    *transactions = (unsigned)json_array_size(result);
    json_decref(result);
    return OWM_OK;
}
