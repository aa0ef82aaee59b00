/* fuzz_ots_node.c: what answers as a Bitcoin node when headers are asked for. Input: the network
 * (one byte), then one reply a line: a digit (0: HTTP 401, 1: no answer, else 200), the body.
 *
 * The linker puts this file's owm_http_client_fetch in the place of the real one, so that replies
 * come from the input. */
#include <stdlib.h>
#include <string.h>

#include "base/http_client.h"
#include "dataplane/chain/hash.h"
#include "dataplane/ots/bitcoin_headers.h"

#define HEIGHT 0

static const uint8_t *at, *end;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

owm_status __wrap_owm_http_client_fetch(owm_http_client *client, const struct owm_http_call *call,
                                        struct owm_http_result *result, struct owm_error *error);

static void check(bool good)
{
    if (!good) abort();
}

/* The next line, without room behind it but for the zero byte, so that reading too far is seen. */
owm_status __wrap_owm_http_client_fetch(owm_http_client *client, const struct owm_http_call *call,
                                        struct owm_http_result *result, struct owm_error *error)
{
    (void)client;
    (void)call;
    *result = (struct owm_http_result){.status = 200};
    if (at == end || *at == '1') {
        at = end;
        return owm_fail(error, OWM_E_NET, "nobody answers");
    }
    if (*at++ == '0') result->status = 401;
    const uint8_t *line = memchr(at, '\n', (size_t)(end - at));
    result->body_bytes = (size_t)((line ? line : end) - at);
    result->body = malloc(result->body_bytes + 1);
    check(result->body != NULL);
    memcpy(result->body, at, result->body_bytes);
    result->body[result->body_bytes] = 0;
    at = line ? line + 1 : end;
    return OWM_OK;
}

static void read_block(struct owm_ots_headers *headers)
{
    struct owm_error error = {""};
    uint8_t header[OWM_OTS_HEADER_BYTES];
    uint64_t height = 0;
    if (headers->tip(headers->ctx, &height, &error) == OWM_OK)
        check(height <= OWM_OTS_HEIGHT_MAX);
    else
        check(error.text[0] != 0);
    error.text[0] = 0;
    if (headers->header(headers->ctx, HEIGHT, header, &error) == OWM_OK)
        check(owm_ots_header_work(headers->network, header, &error) == OWM_OK);
    else
        check(error.text[0] != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct owm_error error = {""};
    owm_ots_bitcoin_node *node = NULL;
    if (bytes < 1) return 0;
    at = data + 1;
    end = data + bytes;
    enum owm_network network = data[0] % 2 ? OWM_REGTEST : OWM_MAINNET;
    owm_status status =
        owm_ots_bitcoin_open("http://u:secret@127.0.0.1:1", NULL, network, &node, &error);
    check((status == OWM_OK) == (node != NULL));
    if (status == OWM_OK) {
        struct owm_ots_headers headers = owm_ots_bitcoin_source(node);
        read_block(&headers);
        read_block(&headers);
    } else {
        check(error.text[0] != 0 && !strstr(error.text, "secret@"));
    }
    owm_ots_bitcoin_close(node);
    return 0;
}
