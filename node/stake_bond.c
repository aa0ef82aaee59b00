/* stake_bond.c: `owm-node stake bond`: what a node can forfeit beside its channel (NodeBond). */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "node/beside.h"
#include "node/lightning.h"
#include "node/stake_command.h"

#define BOND_SATS_MAX  INT64_C(2100000000000000)
#define PAY_WAIT_MS    20000
#define HOLD_WAIT_MS   3000  /* a payment that is held does not end: only a failure would show */
#define FEE_FLOOR_MSAT 10000 /* and 1 % */

struct bonding {
    const struct owm_node_config *config;
    struct node_contact contact;
    char network[NODE_WORD_MAX], node_id[NODE_ID_MAX];
    const char *kind; /* "" asks only */
    int64_t amount_sats;
};

static owm_status read_amount(const char *text, int64_t *sats, struct owm_error *error)
{
    char *end = NULL;
    errno = 0;
    *sats = text ? strtoll(text, &end, 10) : 0;
    if (text == NULL || errno || end == text || *end || *sats <= 0 || *sats > BOND_SATS_MAX)
        return owm_fail(error, OWM_E_ARG,
                        "say how many sats: owm-node stake bond hold SATS, or paid SATS");
    return OWM_OK;
}

/** prepare: who we are to this coordinator. */
static owm_status prepare(struct bonding *b, struct owm_error *error)
{
    owm_task_log *log = NULL;
    PB(HelloResponse) *hello = NULL;
    owm_status status = node_contact_open(b->config, NODE_CONTACT_ITSELF, &b->contact, error);
    if (status == OWM_OK) status = node_beside_log(b->config, &log, error);
    if (status == OWM_OK
        && owm_task_log_get(log, "node_id", b->node_id, sizeof b->node_id) != OWM_OK)
        status = owm_fail(error, OWM_E_STATE,
                          "this node is not registered yet; first the stake: owm-node stake");
    owm_task_log_close(log);
    if (status == OWM_OK) status = node_contact_hello(&b->contact, &hello, error);
    if (status == OWM_OK) snprintf(b->network, sizeof b->network, "%s", hello->network);
    link_free(hello);
    return status;
}

static owm_status call(struct bonding *b, bool leave, PB(BondResponse) * *answer,
                       struct owm_error *error)
{
    PB(BondRequest) request = OWM__COORDINATOR__V1__BOND_REQUEST__INIT;
    char kind[16];
    snprintf(kind, sizeof kind, "%s", b->kind);
    request.node_id = b->node_id;
    request.kind = kind;
    request.amount_sats = b->amount_sats;
    request.leave = leave;
    owm_status status = link_bond(b->contact.rpc, &request, answer, error);
    if (status != OWM_OK) return status;
    if ((*answer)->error[0] == '\0') return OWM_OK;
    status = owm_fail(error, OWM_E_STATE, "%.60s: %.400s", (*answer)->error, (*answer)->message);
    link_free(*answer);
    *answer = NULL;
    return status;
}

/* ------------------------------------------------------------------------------- paying */

/* Exactly what the operator said, to nobody else's account: the invoice is the coordinator's. */
static owm_status check_invoice(const struct bonding *b, owm_lightning *lightning,
                                const char *invoice, struct owm_lightning_order *order,
                                struct owm_error *error)
{
    struct owm_lightning_request request;
    owm_status status = owm_lightning_decode(lightning, invoice, &request, error);
    if (status != OWM_OK) return status;
    if (request.amount_msat != b->amount_sats * 1000)
        return owm_fail(error, OWM_E_PROTO,
                        "the invoice asks for %" PRId64 " msat, not for the %" PRId64
                        " sats that you said; it was not paid",
                        request.amount_msat, b->amount_sats);
    order->invoice = invoice;
    order->amount_msat = request.amount_msat;
    order->fee_limit_msat = request.amount_msat / 100 + FEE_FLOOR_MSAT;
    memcpy(order->payment_hash, request.payment_hash, 32);
    return OWM_OK;
}

static owm_status pay(const struct bonding *b, const char *invoice, const char **outcome,
                      struct owm_error *error)
{
    owm_lightning *lightning = NULL;
    struct owm_lightning_order order = {0};
    struct owm_lightning_outcome paid = {0};
    unsigned wait_ms = strcmp(b->kind, "hold") == 0 ? HOLD_WAIT_MS : PAY_WAIT_MS;
    owm_status status = node_lightning_open(b->config, b->network, &lightning, error);
    if (status == OWM_OK) status = check_invoice(b, lightning, invoice, &order, error);
    if (status == OWM_OK) status = owm_lightning_pay(lightning, &order, wait_ms, &paid, error);
    if (status == OWM_OK && paid.state == OWM_LIGHTNING_FAILED)
        status = owm_fail(error, OWM_E_STATE, "your Lightning node could not pay it: %.180s",
                          paid.reason);
    *outcome = paid.state == OWM_LIGHTNING_SUCCEEDED
                   ? "Paid by your Lightning node."
                   : "Under way from your Lightning node; a hold bond stays so: it is held, not "
                     "taken.";
    owm_lightning_close(lightning);
    return status;
}

/* The bond that this call has asked for waits for its payment. */
static owm_status settle(const struct bonding *b, const PB(BondResponse) * answer, bool json,
                         struct owm_error *error)
{
    const PB(Bond) *asked = NULL;
    const char *outcome = NULL;
    for (size_t i = 0; i < answer->n_bonds; i++) {
        const PB(Bond) *bond = answer->bonds[i];
        if (strcmp(bond->state, "asked") == 0 && strcmp(bond->kind, b->kind) == 0
            && bond->amount_sats == b->amount_sats && bond->invoice[0])
            asked = bond;
    }
    if (asked == NULL) return OWM_OK;
    owm_status status = pay(b, asked->invoice, &outcome, error);
    if (status == OWM_E_NOTFOUND) { /* lightning.backend is none */
        if (!json)
            printf("\nPay this invoice with your Lightning node:\n\n    %s\n", asked->invoice);
        return OWM_OK;
    }
    if (status == OWM_OK && !json) printf("\n%s\n", outcome);
    return status;
}

/* ------------------------------------------------------------------------------- print */

static void print_text(const PB(BondResponse) * answer)
{
    if (answer->message[0]) printf("%s\n", answer->message);
    if (answer->n_bonds == 0)
        printf("No bond. A bond is a sum that this node forfeits if it is caught at false work; "
               "the stake\nchannel itself can only be closed. hold: your own payment, held and "
               "never settled while you behave.\npaid: paid to the treasury, and paid back after "
               "the unbonding delay.\n");
    for (size_t i = 0; i < answer->n_bonds; i++) {
        const PB(Bond) *bond = answer->bonds[i];
        char until[24] = "";
        time_t seconds = (time_t)(bond->until_ms / 1000);
        struct tm utc;
        if (bond->until_ms > 0)
            strftime(until, sizeof until, "%Y-%m-%d %H:%M UTC", gmtime_r(&seconds, &utc));
        printf("%.8s  %-5s %10" PRId64 " sats  %-9s %s%s  %s\n", bond->bond_id, bond->kind,
               bond->amount_sats, bond->state, until[0] ? "until " : "", until, bond->note);
    }
}

static void print_json(const PB(BondResponse) * answer)
{
    json_t *list = json_array();
    for (size_t i = 0; i < answer->n_bonds; i++) {
        const PB(Bond) *b = answer->bonds[i];
        json_array_append_new(
            list,
            json_pack("{s:o,s:o,s:I,s:o,s:o,s:I,s:o}", "bond_id", owm_json_text(b->bond_id), "kind",
                      owm_json_text(b->kind), "amount_sats", (json_int_t)b->amount_sats, "state",
                      owm_json_text(b->state), "invoice", owm_json_text(b->invoice), "until_ms",
                      (json_int_t)b->until_ms, "note", owm_json_text(b->note)));
    }
    json_t *root = json_pack("{s:o,s:o}", "bonds", list, "message", owm_json_text(answer->message));
    json_dumpf(root, stdout, JSON_INDENT(2));
    printf("\n");
    json_decref(root);
}

owm_status stake_bond(const struct owm_node_config *config, const struct stake_options *options,
                      struct owm_error *error)
{
    const char *kind = options->word[1];
    struct bonding b = {.config = config, .kind = kind ? kind : ""};
    PB(BondResponse) *answer = NULL;
    if (kind && strcmp(kind, "hold") != 0 && strcmp(kind, "paid") != 0)
        return owm_fail(error, OWM_E_ARG, "a bond is `hold` or `paid`, not '%.40s'", kind);
    if (kind && options->leave)
        return owm_fail(error, OWM_E_ARG,
                        "--leave asks for every bond of this node: owm-node stake bond --leave");
    owm_status status = OWM_OK;
    if (kind) status = read_amount(options->word[2], &b.amount_sats, error);
    if (status == OWM_OK) status = prepare(&b, error);
    if (status == OWM_OK) status = call(&b, options->leave, &answer, error);
    if (status == OWM_OK) {
        if (options->json)
            print_json(answer);
        else
            print_text(answer);
        if (kind) status = settle(&b, answer, options->json, error);
    }
    link_free(answer);
    node_contact_close(&b.contact);
    return status;
}
