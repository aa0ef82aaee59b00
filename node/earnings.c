/* earnings.c: the payments of the task log as a table, as JSON and as CSV. */
#include "node/earnings.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "node/beside.h"

#define PAGE_ROWS  200
#define TABLE_ROWS 50

struct books {
    owm_task_log *log;
    struct owm_task_totals totals;
    int64_t fetched_ms; /* when the coordinator's ledger was last copied; 0: never */
};

static void utc(int64_t at_ms, char text[static 24])
{
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm parts;
    if (at_ms <= 0)
        snprintf(text, 24, "-");
    else
        strftime(text, 24, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &parts));
}

static bool is(const struct owm_task_payment *payment, const char *state)
{
    return strcmp(payment->state, state) == 0;
}

void node_earning_why(const struct owm_task_payment *p, char *text)
{
    char when[24], hex[65] = "";
    const char *reason = p->reason[0] ? p->reason : "no reason was given";
    utc(p->updated_ms ? p->updated_ms : p->created_ms, when);
    if (is(p, "settled") && p->has_preimage) {
        owm_hex_encode(p->preimage, 32, hex);
        snprintf(text, OWM_ERROR_BYTES_MAX, "paid %s; preimage %s", when, hex);
    } else if (is(p, "settled"))
        snprintf(text, OWM_ERROR_BYTES_MAX, "paid %s, without a preimage%s%s", when,
                 p->reason[0] ? ": " : "", p->reason);
    else if (is(p, "in_flight"))
        snprintf(text, OWM_ERROR_BYTES_MAX, "in flight since %s, attempt %u%s%s", when, p->attempts,
                 p->reason[0] ? ": " : "", p->reason);
    else if (is(p, "owed") && p->attempts)
        snprintf(text, OWM_ERROR_BYTES_MAX, "owed after %u attempt%s, because: %s", p->attempts,
                 p->attempts == 1 ? "" : "s", reason);
    else
        snprintf(text, OWM_ERROR_BYTES_MAX, "%s because: %s", p->state, reason);
}

/* -------------------------------------------------------------------------------- table */

static void sats(FILE *out, const char *name, int64_t msat)
{
    fprintf(out, "%s %" PRId64 ".%03" PRId64 " sats", name, msat / 1000, msat % 1000);
}

static owm_status table(const struct books *books, FILE *out)
{
    static struct owm_task_payment rows[TABLE_ROWS];
    const struct owm_task_totals *t = &books->totals;
    size_t count = 0;
    char when[24], why[OWM_ERROR_BYTES_MAX];
    sats(out, "owed", t->owed_msat);
    sats(out, ", in flight", t->in_flight_msat);
    sats(out, ", paid", t->settled_msat);
    sats(out, ", failed", t->failed_msat);
    sats(out, ", cancelled", t->cancelled_msat);
    fprintf(out,
            "\ntasks %" PRId64 ", accepted %" PRId64 ", refused %" PRId64 ", waiting %" PRId64 "\n",
            t->tasks, t->accepted, t->refused, t->unsent);
    utc(books->fetched_ms, when);
    fprintf(out, "the coordinator's ledger as of %s\n\n", when);
    owm_status status = owm_task_log_payments(books->log, rows, 0, TABLE_ROWS, &count);
    for (size_t i = 0; i < count; i++) {
        utc(rows[i].created_ms, when);
        node_earning_why(&rows[i], why);
        fprintf(out, "%s  %-9.9s %-8.8s %8" PRId64 ".%03" PRId64 " sats  %-9s %s\n", when,
                rows[i].purpose, rows[i].task_id, rows[i].amount_msat / 1000,
                rows[i].amount_msat % 1000, rows[i].state, why);
    }
    if (status == OWM_OK && count == 0) fprintf(out, "No payment yet.\n");
    if (count == TABLE_ROWS) fprintf(out, "Older ones: owm-node earnings --csv, or --json.\n");
    return status;
}

/* --------------------------------------------------------------------------------- JSON */

static json_t *payment_json(const struct owm_task_payment *p)
{
    char hash[65] = "", preimage[65] = "", why[OWM_ERROR_BYTES_MAX];
    if (p->has_hash) owm_hex_encode(p->payment_hash, 32, hash);
    if (p->has_preimage) owm_hex_encode(p->preimage, 32, preimage);
    node_earning_why(p, why);
    return json_pack("{s:o,s:o,s:I,s:I,s:o,s:o,s:o,s:I,s:I,s:I,s:s,s:s}", "task_id",
                     owm_json_text(p->task_id), "purpose", owm_json_text(p->purpose), "round",
                     (json_int_t)p->round, "amount_msat", (json_int_t)p->amount_msat, "state",
                     owm_json_text(p->state), "reason", owm_json_text(p->reason), "why",
                     owm_json_text(why), "created_ms", (json_int_t)p->created_ms, "updated_ms",
                     (json_int_t)p->updated_ms, "attempts", (json_int_t)p->attempts, "payment_hash",
                     hash, "preimage", preimage);
}

/** each: give all payments to `take`, a page at a time. */
static owm_status each(owm_task_log *log,
                       void (*take)(void *ctx, const struct owm_task_payment *payment), void *ctx)
{
    static struct owm_task_payment rows[PAGE_ROWS];
    size_t count = PAGE_ROWS, skip = 0;
    owm_status status = OWM_OK;
    while (status == OWM_OK && count == PAGE_ROWS) {
        status = owm_task_log_payments(log, rows, skip, PAGE_ROWS, &count);
        for (size_t i = 0; status == OWM_OK && i < count; i++) take(ctx, &rows[i]);
        skip += count;
    }
    return status;
}

static void take_json(void *list, const struct owm_task_payment *payment)
{
    json_array_append_new(list, payment_json(payment));
}

static owm_status json(const struct books *books, FILE *out)
{
    const struct owm_task_totals *t = &books->totals;
    json_t *list = json_array();
    owm_status status = each(books->log, take_json, list);
    json_t *root = json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "owed_msat", (json_int_t)t->owed_msat,
                             "in_flight_msat", (json_int_t)t->in_flight_msat, "settled_msat",
                             (json_int_t)t->settled_msat, "failed_msat", (json_int_t)t->failed_msat,
                             "cancelled_msat", (json_int_t)t->cancelled_msat, "fetched_ms",
                             (json_int_t)books->fetched_ms, "payments", list);
    if (status == OWM_OK) {
        json_dumpf(root, out, JSON_INDENT(2));
        fputc('\n', out);
    }
    json_decref(root);
    return status;
}

/* ---------------------------------------------------------------------------------- CSV */

/** field: quoted (RFC 4180). A text that a spreadsheet would take for a formula gets a ' before. */
static void field(FILE *out, const char *text, const char *end)
{
    fputc('"', out);
    if (text[0] != '\0' && strchr("=+-@", text[0])) fputc('\'', out);
    for (const char *c = text; *c; c++) {
        if (*c == '"') fputc('"', out);
        fputc((unsigned char)*c < ' ' ? ' ' : *c, out);
    }
    fprintf(out, "\"%s", end);
}

static void take_csv(void *ctx, const struct owm_task_payment *p)
{
    FILE *out = ctx;
    char created[24], updated[24], hash[65] = "", preimage[65] = "";
    utc(p->created_ms, created);
    utc(p->updated_ms, updated);
    if (p->has_hash) owm_hex_encode(p->payment_hash, 32, hash);
    if (p->has_preimage) owm_hex_encode(p->preimage, 32, preimage);
    fprintf(out, "%s,%s,", created, updated);
    field(out, p->task_id, ",");
    field(out, p->purpose, ",");
    fprintf(out, "%u,%" PRId64 ",", p->round, p->amount_msat);
    field(out, p->state, ",");
    fprintf(out, "%u,%s,%s,", p->attempts, hash, preimage);
    field(out, p->reason, "\r\n");
}

static owm_status csv(const struct books *books, FILE *out)
{
    fputs("created,updated,task_id,purpose,round,amount_msat,state,attempts,payment_hash,preimage,"
          "reason\r\n",
          out);
    return each(books->log, take_csv, out);
}

owm_status node_earnings(const struct owm_node_config *config, enum earnings_form form, FILE *out,
                         struct owm_error *error)
{
    struct books books = {0};
    char stamp[24];
    owm_status status = node_beside_log(config, &books.log, error);
    if (status != OWM_OK) return status;
    status = owm_task_log_totals(books.log, &books.totals);
    if (owm_task_log_get(books.log, "earnings_ms", stamp, sizeof stamp) == OWM_OK)
        books.fetched_ms = strtoll(stamp, NULL, 10);
    if (status == OWM_OK)
        status = form == EARNINGS_JSON  ? json(&books, out)
                 : form == EARNINGS_CSV ? csv(&books, out)
                                        : table(&books, out);
    owm_task_log_close(books.log);
    if (status == OWM_OK) return OWM_OK;
    return owm_fail(error, status, "the task log in %s cannot be read", config->data_dir);
}
