/* provenance_ask.c: calendars: who is asked, for promises and for blocks. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "provenance_internal.h"

#define PUBLIC_WORD   "public"
#define CALENDARS_MIN 3 /* SRS-OTS-02; on regtest there may be fewer. */

/* --- the list --------------------------------------------------------------------------------- */

static struct owm_ots_bytes bytes_of(const char *url)
{
    return (struct owm_ots_bytes){(const uint8_t *)url, (uint32_t)strlen(url)};
}

static owm_status add_url(struct owm_provenance *p, const char *url, bool own,
                          struct owm_error *error)
{
    if (p->url_count == OWM_OTS_CALENDARS_MAX)
        return owm_fail(error, OWM_E_CONFIG, "provenance.calendars names more than %d",
                        OWM_OTS_CALENDARS_MAX);
    if ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
        || strlen(url) > OWM_OTS_URI_BYTES_MAX)
        return owm_fail(error, OWM_E_CONFIG,
                        "provenance.calendars names '%.100s': each is '" PUBLIC_WORD
                        "' or a URL as https://HOST",
                        url);
    for (size_t i = 0; i < p->url_count; i++)
        if (owm_ots_calendar_same(bytes_of(p->urls[i]), bytes_of(url)))
            return owm_fail(error, OWM_E_CONFIG, "provenance.calendars names '%.100s' twice", url);
    p->urls[p->url_count++] = url;
    if (own) p->own[p->calendars.own_count++] = url;
    return OWM_OK;
}

static owm_status add_word(struct owm_provenance *p, const char *word, struct owm_error *error)
{
    if (strcmp(word, PUBLIC_WORD) != 0) return add_url(p, word, true, error);
    owm_status status = OWM_OK;
    for (size_t i = 0; status == OWM_OK && i < owm_ots_aggregator_count; i++)
        status = add_url(p, owm_ots_aggregators[i], false, error);
    return status;
}

static owm_status add_words(struct owm_provenance *p, char *text, struct owm_error *error)
{
    owm_status status = OWM_OK;
    for (bool more = true; status == OWM_OK && more;) {
        text += strspn(text, " ");
        size_t length = strcspn(text, ", ");
        char *behind = text + length + strspn(text + length, " ");
        more = *behind == ',';
        text[length] = 0;
        if (length > 0) status = add_word(p, text, error);
        text = behind + more;
    }
    return status;
}

owm_status prov_calendars_parse(struct owm_provenance *p, struct owm_error *error)
{
    const struct owm_provenance_options *options = &p->options;
    p->list = strdup(options->calendars);
    if (!p->list) return owm_fail(error, OWM_E_NOMEM, "no memory for a list of calendars");
    p->calendars.own = p->own;
    owm_status status = add_words(p, p->list, error);
    if (status != OWM_OK) return status;
    if (options->calendars_needed < 1 || options->calendars_needed > p->url_count)
        return owm_fail(error, OWM_E_CONFIG,
                        "provenance.calendars_needed is %u and provenance.calendars names %zu",
                        options->calendars_needed, p->url_count);
    if (p->url_count < CALENDARS_MIN && options->bitcoin_network != OWM_REGTEST)
        return owm_fail(error, OWM_E_CONFIG,
                        "provenance.calendars names %zu; each version goes to at least %d",
                        p->url_count, CALENDARS_MIN);
    return OWM_OK;
}

/* --- promises --------------------------------------------------------------------------------- */

/* The promise of another calendar than those before it in the tree. */
static bool is_new(const struct owm_ots_tree *tree, uint32_t index)
{
    const struct owm_ots_attestation *a = &tree->attestations[index];
    for (uint32_t i = 0; i < index; i++)
        if (tree->attestations[i].kind == OWM_OTS_PENDING
            && owm_ots_calendar_same(tree->attestations[i].detail, a->detail))
            return false;
    return true;
}

unsigned prov_promises(const struct owm_provenance *p, const struct owm_ots_tree *tree)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < tree->attestation_count; i++) {
        const struct owm_ots_attestation *a = &tree->attestations[i];
        if (a->kind == OWM_OTS_PENDING && owm_ots_calendar_listed(&p->calendars, a->detail, NULL)
            && is_new(tree, i))
            count++;
    }
    return count;
}

static bool holds_promise(const struct owm_ots_tree *tree, const char *url)
{
    const struct owm_ots_bytes uri = bytes_of(url);
    for (uint32_t i = 0; i < tree->attestation_count; i++)
        if (tree->attestations[i].kind == OWM_OTS_PENDING
            && owm_ots_calendar_same(tree->attestations[i].detail, uri))
            return true;
    return false;
}

/* What is known of this process's own questions; a new entry takes the oldest one's place. */
static struct prov_answered *answered_of(struct owm_provenance *p, const uint8_t *hash)
{
    for (size_t i = 0; i < PROV_ANSWERED_MAX; i++)
        if (memcmp(p->answered[i].hash, hash, 32) == 0) return &p->answered[i];
    struct prov_answered *fresh = &p->answered[p->answered_next++ % PROV_ANSWERED_MAX];
    memcpy(fresh->hash, hash, 32);
    fresh->mask = 0;
    return fresh;
}

void prov_unanswered(struct owm_provenance *p, const uint8_t hash[static 32])
{
    answered_of(p, hash)->mask = 0;
}

/* Of a calendar that collects for others the promise bears another name than its URL. So one that
 * answered before a restart may be asked again; its second promise does no harm. */
static size_t list_missing(struct owm_provenance *p, const struct owm_ots_tree *tree,
                           const struct prov_answered *answered, size_t *missing)
{
    size_t count = 0;
    if (prov_promises(p, tree) >= p->url_count) return 0;
    for (size_t i = 0; i < p->url_count; i++)
        if (!(answered->mask >> i & 1) && !holds_promise(tree, p->urls[i])) missing[count++] = i;
    return count;
}

/* The hidden message that calendars have been given, or a new one. */
static owm_status find_leaf(struct owm_ots_tree *tree, struct owm_ots_leaf *leaf,
                            struct owm_error *error)
{
    uint8_t nonce[OWM_OTS_NONCE_BYTES];
    *leaf = (struct owm_ots_leaf){tree, OWM_OTS_ROOT};
    uint32_t child = tree->nodes[OWM_OTS_ROOT].child;
    for (; child != OWM_OTS_NONE; child = tree->nodes[child].next) {
        const struct owm_ots_node *node = &tree->nodes[child];
        if (node->op.tag != OWM_OTS_APPEND || node->op.argument.bytes != OWM_OTS_NONCE_BYTES)
            continue;
        memcpy(nonce, node->op.argument.data, sizeof(nonce));
        return owm_ots_blind(leaf, nonce, error);
    }
    if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
        return owm_fail(error, OWM_E_IO, "the system gives no random bytes");
    return owm_ots_blind(leaf, nonce, error);
}

/* Count what came; the reason of the last one that did not answer goes to error. */
static owm_status hear(struct owm_provenance *p, const struct owm_ots_submission *submission,
                       const size_t *missing, struct prov_answered *answered, bool *changed,
                       struct owm_error *error)
{
    owm_status status = OWM_OK;
    for (size_t i = 0; i < submission->count; i++) {
        const struct owm_ots_told *told = &submission->told[i];
        prov_meters_asked(p, "stamps", told);
        if (told->status == OWM_OK) {
            answered->mask |= 1u << missing[i];
            *changed = true;
        } else {
            status = owm_fail(error, OWM_E_NET, "%s", told->error.text);
        }
    }
    return status;
}

owm_status prov_stamp(struct owm_provenance *p, struct owm_ots_tree *tree, size_t *asked,
                      bool *changed, struct owm_error *error)
{
    size_t missing[OWM_OTS_CALENDARS_MAX];
    const char *urls[OWM_OTS_CALENDARS_MAX];
    struct owm_ots_leaf leaf;
    struct prov_answered *answered = answered_of(p, tree->nodes[OWM_OTS_ROOT].message.data);
    *changed = false;
    if (tree->attestation_count == 0) answered->mask = 0; /* What was promised is lost. */
    *asked = list_missing(p, tree, answered, missing);
    if (*asked == 0) return OWM_OK;
    for (size_t i = 0; i < *asked; i++) urls[i] = p->urls[missing[i]];
    struct owm_ots_told *told = calloc(*asked, sizeof(*told));
    if (!told) return owm_fail(error, OWM_E_NOMEM, "no memory to ask calendars");
    owm_status status = find_leaf(tree, &leaf, error);
    p->calendars.deadline_ms = OWM_OTS_CALENDAR_DEADLINE_MS;
    const struct owm_ots_submission submission = {urls, *asked, 0, told};
    if (status == OWM_OK) status = owm_ots_submit(&p->calendars, &submission, &leaf, error);
    if (status == OWM_OK) status = hear(p, &submission, missing, answered, changed, error);
    free(told);
    return status;
}

/* --- blocks ----------------------------------------------------------------------------------- */

/* What is not true, or not known to be, would stay in the file for ever. */
static owm_status is_true(void *ctx, const struct owm_ots_tree *answer, struct owm_error *error)
{
    struct owm_ots_verdict verdict;
    owm_status status = owm_ots_verify(answer, ctx, &verdict, error);
    if (status != OWM_OK) return status;
    if (verdict.outcome == OWM_OTS_REFUTED)
        return owm_fail(error, OWM_E_PROTO, "the calendar's answer is wrong: %.300s",
                        verdict.why.text);
    if (verdict.height == 0)
        return owm_fail(error, OWM_E_AGAIN, "the calendar's answer leads to no block yet: %.300s",
                        verdict.why.text);
    return OWM_OK;
}

static uint32_t deadline_ms(const struct owm_ots_tree *tree)
{
    uint32_t promises = 0;
    for (uint32_t i = 0; i < tree->attestation_count; i++)
        promises += tree->attestations[i].kind == OWM_OTS_PENDING;
    if (promises > OWM_OTS_ASKED_MAX) promises = OWM_OTS_ASKED_MAX;
    uint32_t each = PROV_RESERVE_MS / (promises ? promises : 1);
    return each < OWM_OTS_CALENDAR_DEADLINE_MS ? each : OWM_OTS_CALENDAR_DEADLINE_MS;
}

owm_status prov_upgrade(struct owm_provenance *p, struct owm_ots_tree *tree,
                        struct owm_ots_headers *headers, struct owm_error *error)
{
    const struct owm_ots_check check = {headers, is_true};
    struct owm_ots_upgraded *upgraded = calloc(1, sizeof(*upgraded));
    if (!upgraded) return owm_fail(error, OWM_E_NOMEM, "no memory to ask calendars");
    p->calendars.deadline_ms = deadline_ms(tree);
    owm_status status = owm_ots_upgrade(&p->calendars, tree, &check, upgraded, error);
    const char *why = "";
    for (size_t i = 0; i < upgraded->asked; i++) {
        const struct owm_ots_told *told = &upgraded->told[i];
        if (told->status == OWM_E_PERM) continue;
        prov_meters_asked(p, "upgrades", told);
        if (told->status != OWM_OK && (!why[0] || told->status != OWM_E_AGAIN))
            why = told->error.text;
    }
    if (status == OWM_OK && upgraded->added == 0)
        status = owm_fail(error, OWM_E_AGAIN, "%s",
                          why[0] ? why : "the proof holds no promise of a calendar");
    free(upgraded);
    return status;
}
