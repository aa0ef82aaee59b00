/* payment_command.c: what a test says about payments and asks of them. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "command.h"

static const char *const reasons[] = {
    "NONE",     "TIMEOUT", "NO_ROUTE", "ERROR", "INCORRECT_PAYMENT_DETAILS", "INSUFFICIENT_BALANCE",
    "CANCELED",
};
#define REASONS (sizeof reasons / sizeof reasons[0])

static int reason_find(const char *name)
{
    for (size_t i = 0; i < REASONS; i++)
        if (strcmp(reasons[i], name) == 0) return (int)i;
    return -1;
}

static bool reason_read(const struct words *words, Lnrpc__PaymentFailureReason *reason)
{
    const char *name = word_option(words, "reason");
    int found = name ? reason_find(name) : LNRPC__PAYMENT_FAILURE_REASON__FAILURE_REASON_NO_ROUTE;
    *reason = found < 0 ? 0 : (Lnrpc__PaymentFailureReason)found;
    return found >= 0;
}

static struct rule *rule_take(struct lnd_double *node, const char *destination)
{
    uint8_t key[KEY_BYTES];
    if (strcmp(destination, "default") == 0) return &node->default_rule;
    if (strlen(destination) != 2 * KEY_BYTES
        || owm_hex_decode(destination, key, KEY_BYTES) != OWM_OK)
        return NULL;
    struct rule *rule = rule_for(node, key);
    if (rule != &node->default_rule) return rule;
    if (node->rule_count == LND_DOUBLE_RULES_MAX) return NULL;
    rule = &node->rules[node->rule_count++];
    memcpy(rule->destination, key, KEY_BYTES);
    return rule;
}

static owm_status run_pay(struct lnd_double *node, struct words *words)
{
    static const char *const plans[] = {"succeed", "fail", "hang", "stall"};
    int plan = 0;
    while (plan < 4 && strcmp(plans[plan], words->word[2]) != 0) plan++;
    if (plan == 4) return wrong(words, "pay: succeed, fail, hang or stall");
    Lnrpc__PaymentFailureReason reason;
    if (!reason_read(words, &reason)) return wrong(words, "pay: no such reason");
    struct rule *rule = rule_take(node, words->word[1]);
    if (!rule)
        return wrong(words, "pay: a key of 66 hex digits or default, %d at most",
                     LND_DOUBLE_RULES_MAX);
    rule->plan = (enum payment_plan)plan;
    rule->reason = reason;
    rule->after_ms = (unsigned)word_number(words, "after", 0);
    rule->fee_msat = word_number(words, "fee", 0);
    rule->cut = (int)word_number(words, "cut", -1);
    rule->refuse = (unsigned)word_number(words, "refuse", 0);
    return OWM_OK;
}

static struct payment *named(struct lnd_double *node, struct words *words)
{
    uint8_t hash[32];
    struct payment *payment = NULL;
    if (strlen(words->word[1]) == 64 && owm_hex_decode(words->word[1], hash, 32) == OWM_OK)
        payment = payment_find(node, hash);
    if (!payment) (void)!wrong(words, "%s: no payment %s", words->word[0], words->word[1]);
    return payment;
}

static owm_status run_end(struct lnd_double *node, struct words *words)
{
    struct payment *payment = named(node, words);
    if (!payment) return OWM_E_NOTFOUND;
    Lnrpc__PaymentFailureReason reason;
    uint8_t preimage[32];
    const char *given = word_option(words, "preimage");
    if (!reason_read(words, &reason)) return wrong(words, "end: no such reason");
    bool succeed = strcmp(words->word[2], "succeed") == 0;
    memcpy(preimage, payment->preimage, 32);
    if (given && (strlen(given) != 64 || owm_hex_decode(given, preimage, 32) != OWM_OK))
        return wrong(words, "end: preimage= 64 hex digits");
    if (succeed && !given && !payment->has_preimage)
        return wrong(words, "end: this double does not know the preimage");
    payment_end(node, payment, succeed ? preimage : NULL, reason);
    return OWM_OK;
}

static void payment_print(const struct payment *payment, FILE *out)
{
    static const char *const states[] = {"unknown", "in_flight", "succeeded", "failed",
                                         "initiated"};
    char hash[65], key[KEY_TEXT], record[2 * RECORD_BYTES + 1];
    owm_hex_encode(payment->hash, 32, hash);
    owm_hex_encode(payment->destination, KEY_BYTES, key);
    owm_hex_encode(payment->record, payment->record_bytes, record);
    fprintf(out,
            "%s %s %s amount=%lld fee=%lld accepted=%u refused=%u settled=%u at=%lld record=%s",
            hash, states[payment->status], key, (long long)payment->amount_msat,
            (long long)payment->fee_msat, payment->accepted, payment->refused, payment->settled,
            (long long)payment->arrived_us, record);
}

static owm_status run_payment(struct lnd_double *node, struct words *words)
{
    const struct payment *payment = named(node, words);
    if (!payment) return OWM_E_NOTFOUND;
    payment_print(payment, words->out);
    return OWM_OK;
}

static owm_status run_payments(struct lnd_double *node, struct words *words)
{
    for (size_t i = 0; i < node->payment_count; i++) {
        if (i) fputc('\n', words->out);
        payment_print(&node->payments[i], words->out);
    }
    return OWM_OK;
}

static int by_record(const void *left, const void *right)
{
    const struct payment *a = *(const struct payment *const *)left;
    const struct payment *b = *(const struct payment *const *)right;
    if (a->record_bytes != b->record_bytes) return a->record_bytes < b->record_bytes ? -1 : 1;
    return memcmp(a->record, b->record, a->record_bytes);
}

/* One that was settled more than once, or two of one record: nobody may be paid twice. */
static owm_status run_paid_twice(struct lnd_double *node, struct words *words)
{
    const struct payment **paid = calloc(node->payment_count + 1, sizeof(struct payment *));
    OWM_ASSERT(paid);
    size_t count = 0;
    for (size_t i = 0; i < node->payment_count; i++)
        if (node->payments[i].settled > 0) paid[count++] = &node->payments[i];
    qsort(paid, count, sizeof *paid, by_record);
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        bool again = i > 0 && paid[i]->record_bytes > 0 && by_record(&paid[i - 1], &paid[i]) == 0;
        if (!again && paid[i]->settled < 2) continue;
        if (!first) fputc('\n', words->out);
        first = false;
        payment_print(paid[i], words->out);
    }
    free(paid);
    return OWM_OK;
}

const struct command payment_commands[] = {
    {"pay", 3, run_pay},
    {"end", 3, run_end},
    {"payment", 2, run_payment},
    {"payments", 1, run_payments},
    {"paid-twice", 1, run_paid_twice},
    {NULL, 0, NULL},
};
