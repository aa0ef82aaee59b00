/* node_bond.c: NodeBond: a node makes a bond, looks at its bonds, leaves (controlplane/bonds). */
#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"
#include "controlplane/bonds/bonds.h"
#include "services_internal.h"

/** job: one question on its way through a worker, which may wait for the treasury's node. */
struct job {
    struct owm_services *services;
    struct owm_rpc_call *call; /* a reference */
    uint8_t node_id[16];
    struct owm_bond_ask ask;
    struct owm_bond bonds[OWM_BONDS_OF_NODE_MAX];
};

static const char *code_of(owm_status status)
{
    switch (status) {
    case OWM_OK:
        return "";
    case OWM_E_ARG:
        return "BOND_AMOUNT";
    case OWM_E_LIMIT:
        return "TOO_MANY_BONDS";
    case OWM_E_STATE:
        return "CASE_OPEN";
    case OWM_E_UNSUPPORTED:
        return "BOND_KIND";
    case OWM_E_AGAIN:
    case OWM_E_NET:
    case OWM_E_TIMEOUT:
        return "TREASURY_AWAY";
    default:
        return "BOND_FAILED";
    }
}

static void reply(struct job *job, owm_status status, size_t count, const struct owm_error *error)
{
    PB(BondResponse) response = OWM__COORDINATOR__V1__BOND_RESPONSE__INIT;
    PB(Bond) bond[OWM_BONDS_OF_NODE_MAX];
    PB(Bond) * list[OWM_BONDS_OF_NODE_MAX];
    char id[OWM_BONDS_OF_NODE_MAX][37];
    for (size_t i = 0; i < count; i++) {
        const PB(Bond) empty = OWM__COORDINATOR__V1__BOND__INIT;
        owm_uuid_format(job->bonds[i].bond_id, id[i]);
        bond[i] = empty;
        bond[i].bond_id = id[i];
        bond[i].kind = job->bonds[i].kind;
        bond[i].amount_sats = job->bonds[i].amount_msat / 1000;
        bond[i].state = job->bonds[i].state;
        bond[i].invoice = job->bonds[i].invoice;
        bond[i].until_ms = job->bonds[i].until_ms;
        bond[i].note = job->bonds[i].note;
        list[i] = &bond[i];
    }
    response.bonds = list;
    response.n_bonds = count;
    response.error = (char *)code_of(status);
    response.message = (char *)error->text;
    if (status != OWM_OK) wire_refuse(job->services, "NodeBond", response.error, job->call);
    wire_reply(job->call, &response.base);
}

static void run_job(void *ctx, void *arg)
{
    (void)ctx;
    struct job *job = arg;
    struct owm_error error = {""};
    size_t count = 0;
    owm_status status =
        owm_bonds_ask(job->services->bonds, job->node_id, &job->ask, job->bonds, &count, &error);
    reply(job, status, count, &error);
    owm_rpc_call_unref(job->call);
    free(job);
}

static void start_job(struct owm_services *services, struct owm_rpc_call *call,
                      const struct owm_peer *peer, const struct owm_bond_ask *ask)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job) {
        job->services = services;
        job->call = call;
        job->ask = *ask;
        memcpy(job->node_id, peer->node_id, 16);
        owm_rpc_call_ref(call);
        if (owm_workers_run(services->bonds_worker, run_job, NULL, job) == OWM_OK) return;
        owm_rpc_call_unref(call);
        free(job);
    }
    wire_busy(services, call, "NodeBond");
}

static bool kind_of(const char *text, enum owm_bond_kind *kind)
{
    *kind = strcmp(text, "hold") == 0   ? OWM_BOND_HOLD
            : strcmp(text, "paid") == 0 ? OWM_BOND_PAID
                                        : OWM_BOND_NONE;
    return *kind != OWM_BOND_NONE || text[0] == 0;
}

void on_bond(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    struct owm_services *services = app;
    struct owm_bond_ask ask = {.kind = OWM_BOND_NONE};
    PB(BondRequest) *request = wire_unpack(
        services, call, "NodeBond", &owm__coordinator__v1__bond_request__descriptor, bytes, length);
    if (!request) return;
    const struct owm_peer *peer = wire_peer(services, call, "NodeBond", request->node_id);
    ask.amount_sats = request->amount_sats;
    ask.leave = request->leave;
    if (peer && !services->bonds)
        wire_fail(services, call, "NodeBond", OWM_RPC_UNIMPLEMENTED, "BONDS_OFF",
                  "this network takes no bonds");
    else if (peer && !kind_of(request->kind, &ask.kind))
        wire_fail(services, call, "NodeBond", OWM_RPC_INVALID_ARGUMENT, "BOND_KIND",
                  "kind must be \"hold\", \"paid\" or empty");
    else if (peer)
        start_job(services, call, peer, &ask);
    owm__coordinator__v1__bond_request__free_unpacked(request, NULL);
}
