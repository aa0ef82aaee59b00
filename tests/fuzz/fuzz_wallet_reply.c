/* fuzz_wallet_reply.c: any bytes as the answer of a Bitcoin node's wallet: the envelope, then every
 * result that a calendar reads. */
#include <stdlib.h>

#include "dataplane/ots/bitcoin_rpc.h"
#include "ots/calendar/wallet_read.h"

static struct wallet_draft draft;
static struct wallet_found found;
static uint8_t data[ANCHOR_TRANSACTION_BYTES];

static void must_say(owm_status status, const struct owm_error *error)
{
    if (status != OWM_OK && error->text[0] == 0) abort();
}

static void read_all(const json_t *answer)
{
    struct owm_error error = {.text = ""};
    struct wallet_chain chain = {0};
    struct wallet_block block = {.count = 0};
    int64_t sat;
    uint64_t rate;
    uint32_t bytes = 0;
    must_say(wallet_read_sat(answer, &sat, &error), &error);
    must_say(wallet_read_rate(answer, "feerate", &rate, &error), &error);
    must_say(wallet_read_rate(answer, "mempoolminfee", &rate, &error), &error);
    must_say(wallet_read_chain(answer, &chain, &error), &error);
    must_say(wallet_read_draft(answer, &draft, &error), &error);
    must_say(wallet_read_found(answer, &found, &error), &error);
    owm_status status = wallet_read_signed(answer, data, &bytes, &error);
    if (bytes > sizeof data) abort();
    must_say(status, &error);
    status = wallet_read_block(answer, &block, &error);
    if ((status == OWM_OK) != (block.txids != NULL)) abort();
    free(block.txids);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    json_t *result = NULL;
    int code = 0;
    struct owm_error error = {.text = ""};
    owm_status status =
        owm_ots_bitcoin_reply_read("http://host/", bytes, count, &result, &code, &error);
    if ((status == OWM_OK) != (result != NULL)) abort();
    must_say(status, &error);
    if (status == OWM_OK) read_all(result);
    json_decref(result);
    return 0;
}
