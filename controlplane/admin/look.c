/* look.c: owm-admin evidence verify and log verify. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "controlplane/admin/evidence.h"
#include "controlplane/admin/link.h"
#include "controlplane/admin/slash.h"
#include "controlplane/slashing/log.h"

#define URL_BYTES_MAX 2048
#define PAGES_MAX     1000000 /* of a log: no chain is longer */

/* ---------------------------------------------------------------------------- evidence */

static owm_status read_bundle(const struct owm_evidence_source *source, const char *word,
                              uint8_t **data, size_t *bytes, struct owm_error *error)
{
    uint8_t hash[32];
    if (access(word, F_OK) == 0)
        return owm_fs_read(word, OWM_EVIDENCE_BYTES_MAX, data, bytes, error);
    if (strlen(word) != 64 || owm_hex_decode(word, hash, 32) != OWM_OK)
        return owm_fail(error, OWM_E_CONFIG,
                        "'%.80s' is neither a file nor a hash of 64 hex digits", word);
    return owm_evidence_fetch(source, hash, OWM_EVIDENCE_BYTES_MAX, data, bytes, error);
}

int owm_admin_evidence(const struct owm_admin_options *options)
{
    struct owm_admin_link *link = NULL;
    struct owm_error error = {""};
    enum owm_finding finding = OWM_EVIDENCE_UNDECIDED;
    uint8_t *data = NULL;
    size_t bytes = 0;
    if (strcmp(options->words[1], "verify") != 0 || !options->words[2][0]) {
        (void)owm_fail(&error, OWM_E_CONFIG, "there is evidence verify HASH|FILE");
        return owm_admin_complain(OWM_E_CONFIG, &error);
    }
    owm_status status = owm_admin_link_open(options, &link, &error);
    if (status != OWM_OK) return owm_admin_complain(status, &error);
    struct owm_evidence_source source = {.ctx = link,
                                         .fetch = owm_admin_link_fetch,
                                         .heldout_file = options->heldout,
                                         .heldout_bytes = options->heldout_bytes,
                                         .out = stdout};
    memcpy(source.coordinator_key, owm_admin_link_coordinator(link), 32);
    status = read_bundle(&source, options->words[2], &data, &bytes, &error);
    if (status == OWM_OK) status = owm_evidence_verify(&source, data, bytes, &finding, &error);
    free(data);
    owm_admin_link_close(link);
    if (status != OWM_OK) return owm_admin_complain(status, &error);
    return finding == OWM_EVIDENCE_HOLDS   ? OWM_ADMIN_OK
           : finding == OWM_EVIDENCE_FAILS ? OWM_ADMIN_FAILED
                                           : OWM_ADMIN_UNDECIDED;
}

/* ---------------------------------------------------------------------------- log */

/** chain: how far the log was checked. */
struct chain {
    uint64_t sequence;
    uint8_t hash[32], key[32];
};

static bool is_url(const char *word)
{
    return strncmp(word, "http://", 7) == 0 || strncmp(word, "https://", 8) == 0;
}

static owm_status read_page(const char *word, uint64_t after, uint8_t **text, size_t *bytes,
                            struct owm_error *error)
{
    char url[URL_BYTES_MAX];
    struct owm_http_result result;
    if (!is_url(word)) return owm_fs_read(word, OWM_SLASH_PAGE_BYTES_MAX, text, bytes, error);
    size_t base = strcspn(word, "?");
    snprintf(url, sizeof(url), "%.*s?after=%llu&limit=%d", (int)base, word,
             (unsigned long long)after, OWM_SLASH_PAGE_MAX);
    owm_status status = owm_http_fetch(
        &(struct owm_http_call){.url = url, .reply_bytes_max = OWM_SLASH_PAGE_BYTES_MAX}, &result,
        error);
    if (status != OWM_OK) return status;
    if (result.status != 200) {
        status = owm_fail(error, OWM_E_NET, "%s answers with HTTP status %u", url, result.status);
        owm_http_result_deinit(&result);
        return status;
    }
    *text = result.body;
    *bytes = result.body_bytes;
    return OWM_OK;
}

static owm_status check_page(const char *word, struct chain *chain, bool *more,
                             struct owm_error *error)
{
    uint8_t *text = NULL;
    size_t bytes = 0, count = 0;
    struct owm_slash_entry *entries = calloc(OWM_SLASH_PAGE_MAX, sizeof(*entries));
    if (!entries) return OWM_E_NOMEM;
    owm_status status = read_page(word, chain->sequence, &text, &bytes, error);
    if (status == OWM_OK)
        status = owm_slash_page_read((const char *)text, bytes, entries, &count, more, error);
    for (size_t i = 0; status == OWM_OK && i < count; i++) {
        status = owm_slash_log_check(&entries[i], chain->sequence, chain->hash, chain->key, error);
        chain->sequence = entries[i].sequence;
        memcpy(chain->hash, entries[i].hash, 32);
    }
    if (status == OWM_OK && *more && count == 0)
        status = owm_fail(error, OWM_E_PROTO, "a page without entries names a next one");
    if (!is_url(word)) *more = false; /* a file is one page */
    free(text);
    free(entries);
    return status;
}

int owm_admin_log(const struct owm_admin_options *options)
{
    struct owm_error error = {""};
    struct chain chain = {0};
    const char *word = options->words[2];
    bool more = true;
    owm_status status = OWM_OK;
    if (strcmp(options->words[1], "verify") != 0 || !word[0])
        status = owm_fail(&error, OWM_E_CONFIG, "there is log verify URL|FILE");
    if (status == OWM_OK) status = owm_admin_coordinator_key(options, chain.key, &error);
    for (unsigned page = 0; status == OWM_OK && more && page < PAGES_MAX; page++)
        status = check_page(word, &chain, &more, &error);
    if (status != OWM_OK) {
        if (status == OWM_E_STATE || status == OWM_E_CRYPTO)
            printf("The log does not hold: %s.\n", error.text);
        return owm_admin_complain(status, &error);
    }
    char hash[65];
    owm_hex_encode(chain.hash, 32, hash);
    printf("The log holds: %llu entries, in order, unchanged, signed by the coordinator.\n"
           "Keep its last hash to see later that nothing was rewritten: %s\n",
           (unsigned long long)chain.sequence, hash);
    return OWM_ADMIN_OK;
}
