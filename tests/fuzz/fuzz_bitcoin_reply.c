/* fuzz_bitcoin_reply.c: what a Bitcoin node answers. Input: the call (one byte), the HTTP body. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pool/bitcoin_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(bool good)
{
    if (!good) abort();
}

static void printable(const char *text, size_t room)
{
    check(memchr(text, 0, room) != NULL);
    for (; *text; text++) check(*text >= ' ' && *text < 0x7f);
}

/* A refusal has its sentence. */
static bool good(owm_status status, const struct owm_error *error)
{
    check(status == OWM_OK || error->text[0]);
    return status == OWM_OK;
}

static void read_template(const struct owm_bitcoin_reply *reply)
{
    struct owm_template *block = NULL;
    struct owm_error error = {""};
    owm_status status = owm_template_parse(reply->result, reply->result_bytes, &block, &error);
    check((status == OWM_OK) == (block != NULL));
    if (good(status, &error)) check(block->longpoll_id[OWM_LONGPOLL_ID_BYTES - 1] == 0);
    owm_template_release(block);
}

static void read_result(unsigned call, const struct owm_bitcoin_reply *reply)
{
    struct owm_bitcoin_chain chain;
    struct owm_bitcoin_peer peer;
    struct owm_bitcoin_verdict verdict;
    int64_t confirmations = 0;
    struct owm_error error = {""};
    const char *result = reply->result;
    size_t bytes = reply->result_bytes;
    switch (call % 5) {
    case 0:
        if (good(owm_bitcoin_chain_read(result, bytes, &chain, &error), &error))
            printable(chain.name, sizeof chain.name);
        return;
    case 1:
        if (good(owm_bitcoin_peer_read(result, bytes, &peer, &error), &error))
            printable(peer.subversion, sizeof peer.subversion);
        return;
    case 2:
        if (good(owm_bitcoin_confirmations_read(result, bytes, &confirmations, &error), &error))
            check(confirmations >= -1);
        return;
    case 3:
        if (good(owm_bitcoin_verdict_read(result, bytes, &verdict, &error), &error))
            printable(verdict.reason, sizeof verdict.reason);
        return;
    default:
        read_template(reply);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct owm_bitcoin_reply reply;
    struct owm_error error = {""};
    if (bytes < 1) return 0;
    /* A copy without room behind it, so that reading too far is seen. */
    char *text = malloc(bytes - 1 ? bytes - 1 : 1);
    if (!text) return 0;
    memcpy(text, data + 1, bytes - 1);
    if (good(owm_bitcoin_reply_read(text, bytes - 1, &reply, &error), &error)) {
        printable(reply.message, sizeof reply.message);
        if (!reply.failed) read_result(data[0], &reply);
    }
    free(text);
    return 0;
}
