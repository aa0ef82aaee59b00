/* killed.c: see killed.h. */
#include "killed.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controlplane/payments/ledger.h"

owm_status (*killed_fetch)(const char *address, int64_t amount_msat,
                           char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error);

/* Outlives whoever dies by it. */
static struct {
    _Atomic int at;
    _Atomic unsigned left; /* times to come there, with the last one */
    _Atomic unsigned deaths[KILLED_STEPS];
} * plan;

static bool ends_at(enum killed_step step)
{
    return plan && atomic_load(&plan->at) == (int)step;
}

static void come_to(enum killed_step step)
{
    if (!ends_at(step) || atomic_fetch_sub(&plan->left, 1) != 1) return;
    atomic_fetch_add(&plan->deaths[step], 1);
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* ---------------------------------------------------------------------------- a life */

static void make_plan(void)
{
    if (plan) return;
    plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (plan == MAP_FAILED) abort();
}

static _Noreturn void live(struct world *world)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    world->pg = world->pool = NULL; /* the parent's connections */
    if (owm_metrics_open(0, &world->metrics) != OWM_OK) _exit(1);
    world->options.metrics = world->metrics;
    if (owm_pay_open(&world->options, &world->pay) != OWM_OK) _exit(1);
    for (;;) pause();
}

pid_t killed_begin(struct world *world, enum killed_step at, unsigned nth)
{
    make_plan();
    atomic_store(&plan->left, nth);
    atomic_store(&plan->at, (int)at);
    fflush(NULL);
    pid_t life = fork();
    assert_true(life >= 0);
    if (life == 0) live(world);
    return life;
}

bool killed_ended(pid_t life)
{
    siginfo_t info = {0};
    assert_int_equal(waitid(P_PID, (id_t)life, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    if (info.si_pid == 0) return false;
    if (info.si_code != CLD_KILLED || info.si_status != SIGKILL)
        fail_msg("the payer ended with %d, not with SIGKILL", info.si_status);
    return true;
}

void killed_end(pid_t life)
{
    kill(life, SIGKILL);
    waitpid(life, NULL, 0);
    atomic_store(&plan->at, KILLED_NEVER);
}

unsigned killed_deaths(enum killed_step step)
{
    return plan ? atomic_load(&plan->deaths[step]) : 0;
}

const char *killed_at(enum killed_step step)
{
    static const char *const words[KILLED_STEPS] = {
        [KILLED_CLAIMED] = "rows claimed",
        [KILLED_INVOICE_ASKED] = "before an address is asked for an invoice",
        [KILLED_INVOICE_TOLD] = "the address has given one",
        [KILLED_ATTEMPT_WRITTEN] = "attempt written",
        [KILLED_ATTEMPT_COMMITTED] = "attempt committed",
        [KILLED_PAY_ASKED] = "before the node is asked to pay",
        [KILLED_PAY_TAKEN] = "the node has taken it",
        [KILLED_PAY_TOLD] = "the node has answered",
        [KILLED_TRACK_ASKED] = "before the node is asked what became of it",
        [KILLED_TRACK_TOLD] = "the node has said what became of it",
        [KILLED_END_KNOWN] = "before the end is written",
        [KILLED_END_WRITTEN] = "end written",
        [KILLED_END_COMMITTED] = "end committed",
    };
    return words[step];
}

/* ---------------------------------------------------------------------------- its calls */

static _Thread_local enum { NOTHING, ATTEMPT, END } written; /* in this transaction */

#define CALL(name, ...)                                                                            \
    owm_status __real_##name(__VA_ARGS__);                                                         \
    owm_status __wrap_##name(__VA_ARGS__);                                                         \
    owm_status __wrap_##name(__VA_ARGS__)

CALL(owm_pay_ledger_begin, struct owm_pay_ledger *ledger, struct owm_error *error)
{
    written = NOTHING;
    return __real_owm_pay_ledger_begin(ledger, error);
}

CALL(owm_pay_ledger_due, struct owm_pay_ledger *ledger, const struct owm_pay_claim *claim,
     struct owm_payment **list, size_t *count, struct owm_error *error)
{
    owm_status status = __real_owm_pay_ledger_due(ledger, claim, list, count, error);
    if (status == OWM_OK && *count > 0) come_to(KILLED_CLAIMED);
    return status;
}

CALL(owm_pay_ledger_attempt, struct owm_pay_ledger *ledger, const struct owm_payment *payment,
     int64_t now_ms, struct owm_error *error)
{
    owm_status status = __real_owm_pay_ledger_attempt(ledger, payment, now_ms, error);
    if (status != OWM_OK) return status;
    written = ATTEMPT;
    come_to(KILLED_ATTEMPT_WRITTEN);
    return OWM_OK;
}

static owm_status end(owm_status status)
{
    if (status != OWM_OK) return status;
    written = END;
    come_to(KILLED_END_WRITTEN);
    return OWM_OK;
}

CALL(owm_pay_ledger_settled, struct owm_pay_ledger *ledger, const struct owm_payment *payment,
     const struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    come_to(KILLED_END_KNOWN);
    return end(__real_owm_pay_ledger_settled(ledger, payment, outcome, error));
}

CALL(owm_pay_ledger_dead, struct owm_pay_ledger *ledger, const struct owm_payment *payment,
     const struct owm_step *step, struct owm_error *error)
{
    come_to(KILLED_END_KNOWN);
    return end(__real_owm_pay_ledger_dead(ledger, payment, step, error));
}

CALL(owm_pay_ledger_commit, struct owm_pay_ledger *ledger, struct owm_error *error)
{
    owm_status status = __real_owm_pay_ledger_commit(ledger, error);
    if (status == OWM_OK && written == ATTEMPT) come_to(KILLED_ATTEMPT_COMMITTED);
    if (status == OWM_OK && written == END) come_to(KILLED_END_COMMITTED);
    return status;
}

CALL(owm_lightning_address_fetch, const char *address, int64_t amount_msat,
     char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error)
{
    come_to(KILLED_INVOICE_ASKED);
    owm_status status = (killed_fetch ? killed_fetch : __real_owm_lightning_address_fetch)(
        address, amount_msat, invoice, error);
    come_to(KILLED_INVOICE_TOLD);
    return status;
}

CALL(owm_lightning_pay, owm_lightning *lightning, const struct owm_lightning_order *order,
     unsigned wait_ms, struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    come_to(KILLED_PAY_ASKED);
    if (ends_at(KILLED_PAY_TAKEN)) wait_ms = 0; /* No more than that the node has it. */
    owm_status status = __real_owm_lightning_pay(lightning, order, wait_ms, outcome, error);
    if (status == OWM_OK) come_to(KILLED_PAY_TAKEN);
    come_to(KILLED_PAY_TOLD);
    return status;
}

CALL(owm_lightning_track, owm_lightning *lightning, const uint8_t payment_hash[32],
     struct owm_lightning_outcome *outcome, struct owm_error *error)
{
    come_to(KILLED_TRACK_ASKED);
    owm_status status = __real_owm_lightning_track(lightning, payment_hash, outcome, error);
    come_to(KILLED_TRACK_TOLD);
    return status;
}
