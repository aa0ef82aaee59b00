/* fuzz_ots_calendar.c: what calendars answer to a digest and to the question for a block. Input:
 * the HTTP status (two bytes, big-endian), the body. What is merged can be written and read again.
 *
 * The linker puts this file's owm_http_fetch in the place of the real one. */
#include <stdlib.h>
#include <string.h>

#include "base/http_client.h"
#include "dataplane/ots/calendar.h"

#define URL "http://calendar.test"

static const uint8_t *input;
static size_t input_bytes;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

owm_status __wrap_owm_http_fetch(const struct owm_http_call *call, struct owm_http_result *result,
                                 struct owm_error *error);

static void check(bool good)
{
    if (!good) abort();
}

owm_status __wrap_owm_http_fetch(const struct owm_http_call *call, struct owm_http_result *result,
                                 struct owm_error *error)
{
    size_t bytes = input_bytes - 2;
    *result = (struct owm_http_result){.status = (unsigned)(input[0] << 8 | input[1])};
    if (bytes > call->reply_bytes_max) return owm_fail(error, OWM_E_LIMIT, "too large");
    result->body = malloc(bytes + 1);
    check(result->body != NULL);
    memcpy(result->body, input + 2, bytes);
    result->body[bytes] = 0;
    result->body_bytes = bytes;
    return OWM_OK;
}

static void printable(const char *text)
{
    for (; *text; text++) check(*text >= ' ' && *text < 0x7f);
}

static void told(const struct owm_ots_told *told)
{
    check((told->status == OWM_OK) == (told->error.text[0] == 0));
    printable(told->error.text);
}

static void reread(const struct owm_ots_proof *proof)
{
    uint8_t *written = NULL;
    size_t bytes = 0;
    struct owm_ots_proof again;
    if (owm_ots_proof_write(proof, &written, &bytes, NULL) != OWM_OK) return; /* A limit. */
    check(owm_ots_proof_read(written, bytes, &again, NULL) == OWM_OK);
    check(again.tree.attestation_count == proof->tree.attestation_count);
    owm_ots_proof_deinit(&again);
    free(written);
}

static void submit(const struct owm_ots_calendars *calendars, struct owm_ots_proof *proof)
{
    struct owm_error error = {""};
    struct owm_ots_told answers[1];
    const struct owm_ots_leaf root = {&proof->tree, OWM_OTS_ROOT};
    const struct owm_ots_submission submission = {
        .urls = calendars->own, .count = 1, .needed = 1, .told = answers};
    owm_status status = owm_ots_submit(calendars, &submission, &root, &error);
    check(status == OWM_OK || error.text[0] != 0);
    check((status == OWM_OK) == (proof->tree.attestation_count > 0));
    told(&answers[0]);
}

static void upgrade(const struct owm_ots_calendars *calendars, struct owm_ots_proof *proof)
{
    static struct owm_ots_upgraded upgraded;
    struct owm_error error = {""};
    const struct owm_ots_attestation promise = {.kind = OWM_OTS_PENDING,
                                                .detail = {(const uint8_t *)URL, sizeof URL - 1}};
    if (owm_ots_add_attestation(&proof->tree, OWM_OTS_ROOT, &promise, NULL, NULL) != OWM_OK) return;
    uint32_t before = proof->tree.attestation_count;
    check(owm_ots_upgrade(calendars, &proof->tree, NULL, &upgraded, &error) == OWM_OK);
    check(proof->tree.attestation_count == before + upgraded.added);
    for (size_t i = 0; i < upgraded.asked; i++) told(&upgraded.told[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const char *const own[] = {URL};
    static const uint8_t digest[32] = {1};
    const struct owm_ots_calendars calendars = {.own = own, .own_count = 1};
    struct owm_ots_proof proof;
    if (bytes < 2) return 0;
    input = data;
    input_bytes = bytes;
    const struct owm_ots_bytes root = {digest, sizeof digest};
    check(owm_ots_proof_init(&proof, OWM_OTS_SHA256, root, NULL) == OWM_OK);
    submit(&calendars, &proof);
    upgrade(&calendars, &proof);
    reread(&proof);
    owm_ots_proof_deinit(&proof);
    return 0;
}
