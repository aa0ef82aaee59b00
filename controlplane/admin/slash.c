/* slash.c: owm-admin slash list | show | ack | dismiss | overturn. */
#include "controlplane/admin/slash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "controlplane/admin/case_message.h"
#include "controlplane/admin/evidence.h"
#include "controlplane/admin/link.h"
#include "controlplane/slashing/canonical.h"

typedef Owm__Internal__V1__Case case_message;
typedef Owm__Internal__V1__ListCasesResponse cases_reply;

int owm_admin_complain(owm_status status, const struct owm_error *error)
{
    fprintf(stderr, "owm-admin: %s\n", *error->text ? error->text : owm_status_text(status));
    return status == OWM_E_CONFIG ? OWM_ADMIN_USAGE : OWM_ADMIN_FAILED;
}

/* Foreign text on a terminal. */
static void print_clean(const char *text)
{
    for (; *text; text++) putchar((unsigned char)*text < 32 || *text == 127 ? '?' : *text);
}

static void print_time(const char *label, int64_t ms)
{
    char text[32];
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    if (ms <= 0) return;
    gmtime_r(&seconds, &utc);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &utc);
    printf("  %-14s %s\n", label, text);
}

static void print_hex(const char *label, const ProtobufCBinaryData *data)
{
    char text[2 * 64 + 1];
    if (data->len == 0 || data->len > 64) return;
    owm_hex_encode(data->data, data->len, text);
    printf("  %-14s %s\n", label, text);
}

static uint32_t count_acts(const case_message *message, const char *act)
{
    uint32_t count = 0;
    for (size_t i = 0; i < message->n_acts; i++) count += strcmp(message->acts[i]->act, act) == 0;
    return count;
}

/* ---------------------------------------------------------------------------- list */

static int list(struct owm_admin_link *link)
{
    cases_reply *reply = NULL;
    struct owm_error error = {""};
    owm_status status = owm_admin_link_cases(link, "", &reply, &error);
    if (status != OWM_OK) return owm_admin_complain(status, &error);
    if (reply->n_cases == 0)
        puts("no case is open, decided or being evicted");
    else
        printf("%-36s  %-4s  %-9s  %-7s  %-6s  %s\n", "case", "tier", "state", "signals", "acks",
               "reason");
    for (size_t i = 0; i < reply->n_cases; i++) {
        const case_message *c = reply->cases[i];
        printf("%-36.36s  %-4.4s  %-9.10s  %7zu  %u of %u  ", c->case_id, c->tier, c->state,
               c->n_signals, count_acts(c, "acknowledge"), c->acknowledgements_needed);
        print_clean(c->reason);
        putchar('\n');
    }
    owm__internal__v1__list_cases_response__free_unpacked(reply, NULL);
    return OWM_ADMIN_OK;
}

/* ---------------------------------------------------------------------------- find */

/* The one case whose id begins so. */
static owm_status complete_id(struct owm_admin_link *link, const char *beginning, char id[37],
                              struct owm_error *error)
{
    cases_reply *reply = NULL;
    size_t found = 0, length = strlen(beginning);
    if (length >= 36) {
        snprintf(id, 37, "%s", beginning);
        return OWM_OK;
    }
    if (length == 0)
        return owm_fail(error, OWM_E_CONFIG, "which case? 'owm-admin slash list' shows them");
    owm_status status = owm_admin_link_cases(link, "", &reply, error);
    if (status != OWM_OK) return status;
    for (size_t i = 0; i < reply->n_cases; i++) {
        if (strncmp(reply->cases[i]->case_id, beginning, length) != 0) continue;
        snprintf(id, 37, "%s", reply->cases[i]->case_id);
        found++;
    }
    owm__internal__v1__list_cases_response__free_unpacked(reply, NULL);
    if (found == 1) return OWM_OK;
    return owm_fail(error, OWM_E_CONFIG,
                    found ? "%zu cases begin with %s: say more of the id"
                          : "%zu cases begin with %s; one that has ended needs its whole id",
                    found, beginning);
}

static owm_status find(struct owm_admin_link *link, const char *word, cases_reply **reply,
                       struct owm_case *c, struct owm_error *error)
{
    char id[37];
    owm_status status = complete_id(link, word, id, error);
    if (status == OWM_OK) status = owm_admin_link_cases(link, id, reply, error);
    if (status == OWM_OK && (*reply)->n_cases != 1)
        status = owm_fail(error, OWM_E_CONFIG, "there is no case %s", id);
    if (status == OWM_OK)
        status =
            owm_case_from_message((*reply)->cases[0], owm_admin_link_coordinator(link), c, error);
    return status;
}

/* ---------------------------------------------------------------------------- show */

static void print_signals(const case_message *message)
{
    printf("signals:\n");
    for (size_t i = 0; i < message->n_signals; i++) {
        const Owm__Internal__V1__CaseSignal *signal = message->signals[i];
        printf("  %-18s round %u\n", signal->signal_type, signal->round);
        print_time("  seen", signal->detected_ms);
        print_hex("  evidence", &signal->evidence_hash);
    }
}

static void print_acts(const case_message *message, const struct owm_case *c,
                       const uint8_t coordinator_key[32])
{
    if (message->n_acts) printf("acts:\n");
    for (size_t i = 0; i < message->n_acts; i++) {
        const Owm__Internal__V1__CaseAct *act = message->acts[i];
        bool good = owm_act_verify(c, coordinator_key, &c->acts[i]) == OWM_OK;
        printf("  %-14s %s ", act->act, good ? "signature valid" : "SIGNATURE INVALID");
        print_clean(act->reason);
        putchar('\n');
        print_hex("  by", &act->maintainer_key);
        print_time("  at", act->at_ms);
    }
}

static void print_case(const case_message *message, const struct owm_case *c,
                       const uint8_t coordinator_key[32])
{
    printf("case %s: %s\n", message->case_id, message->state);
    printf("  %-14s %s\n", "node", message->node_id);
    print_hex("key", &message->public_key);
    print_hex("Lightning key", &message->ln_key);
    printf("  %-14s %s\n  %-14s ", "tier", message->tier, "reason");
    print_clean(message->reason);
    putchar('\n');
    if (message->channel_point[0]) printf("  %-14s %s\n", "channel", message->channel_point);
    print_time("opened", message->opened_ms);
    print_time("decided", message->decided_ms);
    print_time("appeal until", message->appeal_until_ms);
    print_hex("evidence", &message->evidence_hash);
    if (message->acknowledgements_needed && !message->decided_ms)
        printf("  %-14s %u of %u\n", "acknowledged", count_acts(message, "acknowledge"),
               message->acknowledgements_needed);
    print_signals(message);
    print_acts(message, c, coordinator_key);
}

/* ---------------------------------------------------------------------------- say */

/* Nobody should acknowledge what they have not seen come out the same. */
static owm_status replay(struct owm_admin_link *link, const struct owm_admin_options *options,
                         const struct owm_case *c, bool *holds, struct owm_error *error)
{
    struct owm_evidence_source source = {.ctx = link,
                                         .fetch = owm_admin_link_fetch,
                                         .heldout_file = options->heldout,
                                         .heldout_bytes = options->heldout_bytes,
                                         .out = stdout};
    owm_status status = OWM_OK;
    memcpy(source.coordinator_key, owm_admin_link_coordinator(link), 32);
    *holds = true;
    for (uint32_t i = 0; status == OWM_OK && i < c->signal_count; i++) {
        uint8_t *data = NULL;
        size_t bytes = 0;
        enum owm_finding finding = OWM_EVIDENCE_UNDECIDED;
        status = owm_evidence_fetch(&source, c->signals[i].evidence_hash, OWM_EVIDENCE_BYTES_MAX,
                                    &data, &bytes, error);
        if (status == OWM_OK) status = owm_evidence_verify(&source, data, bytes, &finding, error);
        free(data);
        if (finding != OWM_EVIDENCE_HOLDS) *holds = false;
    }
    return status;
}

static owm_status send_act(struct owm_admin_link *link, const char *case_id,
                           const struct owm_case_act *act, struct owm_error *error)
{
    Owm__Internal__V1__CaseAct message = OWM__INTERNAL__V1__CASE_ACT__INIT;
    Owm__Internal__V1__DecideCaseRequest request = OWM__INTERNAL__V1__DECIDE_CASE_REQUEST__INIT;
    Owm__Internal__V1__DecideCaseResponse *reply = NULL;
    message.maintainer_key = (ProtobufCBinaryData){32, (uint8_t *)act->maintainer_key};
    message.act = (char *)owm_act_name(act->act);
    message.signature = (ProtobufCBinaryData){64, (uint8_t *)act->signature};
    message.at_ms = act->at_ms;
    message.reason = (char *)act->reason;
    request.case_id = (char *)case_id;
    request.act = &message;
    owm_status status = owm_admin_link_decide(link, &request, &reply, error);
    if (status != OWM_OK) return status;
    if (reply->error[0])
        status = owm_fail(error, OWM_E_STATE, "%s: %s", reply->error, reply->message);
    owm__internal__v1__decide_case_response__free_unpacked(reply, NULL);
    return status;
}

static owm_status say(struct owm_admin_link *link, const struct owm_admin_options *options,
                      enum owm_act kind, const char *case_id, const struct owm_case *c,
                      struct owm_error *error)
{
    struct owm_case_act act = {.act = kind, .at_ms = owm_clock_wall_ms()};
    bool holds = true;
    owm_status status = OWM_OK;
    if (strlen(options->reason) >= sizeof(act.reason))
        return owm_fail(error, OWM_E_CONFIG, "--reason: at most %zu bytes", sizeof(act.reason) - 1);
    if (kind == OWM_ACT_ACKNOWLEDGE) status = replay(link, options, c, &holds, error);
    if (kind == OWM_ACT_ACKNOWLEDGE && options->anyway) {
        holds = true;
        status = OWM_OK;
    }
    if (status == OWM_OK && !holds)
        return owm_fail(error, OWM_E_STATE,
                        "not all of the evidence could be replayed; nothing was signed (--anyway "
                        "signs all the same)");
    if (status != OWM_OK) return status;
    memcpy(act.reason, options->reason, strlen(options->reason) + 1);
    owm_act_sign(c, owm_admin_link_coordinator(link), owm_admin_link_identity(link), &act);
    return send_act(link, case_id, &act, error);
}

static int with_case(struct owm_admin_link *link, const struct owm_admin_options *options)
{
    static const struct {
        const char *word;
        enum owm_act act;
        const char *done;
    } words[] = {{"ack", OWM_ACT_ACKNOWLEDGE, "acknowledged"},
                 {"dismiss", OWM_ACT_DISMISS, "your word to dismiss it is recorded"},
                 {"overturn", OWM_ACT_OVERTURN, "your word to overturn it is recorded"}};
    cases_reply *reply = NULL;
    struct owm_error error = {""};
    struct owm_case *c = calloc(1, sizeof(*c));
    owm_status status = c ? find(link, options->words[2], &reply, c, &error) : OWM_E_NOMEM;
    if (status == OWM_OK && strcmp(options->words[1], "show") == 0)
        print_case(reply->cases[0], c, owm_admin_link_coordinator(link));
    for (size_t i = 0; status == OWM_OK && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(options->words[1], words[i].word) != 0) continue;
        status = say(link, options, words[i].act, reply->cases[0]->case_id, c, &error);
        if (status == OWM_OK) printf("case %s: %s\n", reply->cases[0]->case_id, words[i].done);
    }
    if (reply) owm__internal__v1__list_cases_response__free_unpacked(reply, NULL);
    free(c);
    return status == OWM_OK ? OWM_ADMIN_OK : owm_admin_complain(status, &error);
}

int owm_admin_slash(const struct owm_admin_options *options)
{
    static const char *const known[] = {"list", "show", "ack", "dismiss", "overturn"};
    struct owm_admin_link *link = NULL;
    struct owm_error error = {""};
    bool found = false;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        found |= strcmp(options->words[1], known[i]) == 0;
    if (!found) {
        (void)owm_fail(&error, OWM_E_CONFIG, "there are slash list, show, ack, dismiss, overturn");
        return owm_admin_complain(OWM_E_CONFIG, &error);
    }
    owm_status status = owm_admin_link_open(options, &link, &error);
    if (status != OWM_OK) return owm_admin_complain(status, &error);
    int code = strcmp(options->words[1], "list") == 0 ? list(link) : with_case(link, options);
    owm_admin_link_close(link);
    return code;
}
