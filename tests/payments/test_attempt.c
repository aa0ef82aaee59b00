/* test_attempt.c: the decisions about a payment, against a simulated node, database and clock. */
#include "test.h"

#include "base/rng.h"
#include "controlplane/payments/attempt.h"

#define HISTORIES     120000
#define ATTEMPTS_MAX  64
#define STEPS_MAX     4000
#define DAY_MS        86400000ll
#define INVOICE_MS    600000
#define FAULTY_MS     (DAY_MS / 8) /* after this the node works and nobody dies any more */
#define SKEW_MS       120000       /* of the node's clock */
#define IN_TRANSIT_MS (OWM_ATTEMPT_TRANSIT_MS - 1000) /* the longest that a call is on its way */

static const struct owm_retry retry = {
    .min_ms = 1000, .max_ms = 3600000, .transit_ms = OWM_ATTEMPT_TRANSIT_MS};

/** What the node has of one hash, durably, and the calls that are still on their way to it. */
struct hash_at_node {
    enum { UNKNOWN, ALIVE, PAID, DEAD } state;
    int64_t ends_ms;    /* ALIVE */
    bool pays;          /* and then */
    int64_t arrives_ms; /* a call in transit; 0: none */
    int64_t expires_ms; /* 0: keysend */
    unsigned tries;
};

/** A row of payments and its newest attempt: what a crash leaves. */
struct row {
    enum { OWED, IN_FLIGHT, SETTLED, FAILED } state;
    int64_t next_ms;
    unsigned failures, attempts;
    enum owm_attempt_kind kind;
    int64_t expires_ms;
};

struct world {
    struct owm_rng rng;
    int64_t now_ms, skew_ms;
    struct hash_at_node hash[ATTEMPTS_MAX]; /* keysend: all in [0] */
    struct row row;
    bool faults;
    unsigned crashes;
};

static bool one_in(struct world *world, unsigned n)
{
    return owm_rng_below(&world->rng, n) == 0;
}

static int64_t up_to(struct world *world, int64_t ms)
{
    return (int64_t)owm_rng_below(&world->rng, (uint64_t)ms);
}

static struct hash_at_node *newest(struct world *world)
{
    return &world->hash[world->row.kind == OWM_ATTEMPT_KEYSEND ? 0 : world->row.attempts];
}

/* A node that takes a call: what facts about LND's control tower say. */
static owm_status node_takes(struct world *world, struct hash_at_node *hash)
{
    if (hash->state == ALIVE || hash->state == PAID) return OWM_E_EXISTS;
    if (hash->expires_ms && world->now_ms + world->skew_ms >= hash->expires_ms) return OWM_E_STATE;
    hash->state = ALIVE;
    hash->tries++;
    hash->ends_ms =
        world->now_ms
        + (world->faults && one_in(world, 8) ? up_to(world, DAY_MS) : up_to(world, 20000));
    hash->pays = !world->faults || one_in(world, 2);
    return OWM_OK;
}

/* Everything that happens at the node until now; and the two promises, at each moment. */
static void node_turns(struct world *world)
{
    unsigned alive = 0, paid = 0;
    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        struct hash_at_node *hash = &world->hash[i];
        if (hash->arrives_ms && hash->arrives_ms <= world->now_ms) {
            hash->arrives_ms = 0;
            (void)node_takes(world, hash);
        }
        if (hash->state == ALIVE && hash->ends_ms <= world->now_ms)
            hash->state = hash->pays ? PAID : DEAD;
        alive += hash->state == ALIVE;
        paid += hash->state == PAID;
    }
    assert_true(alive + paid <= 1);
}

static void tell(const struct hash_at_node *hash, struct owm_lightning_outcome *outcome)
{
    memset(outcome, 0, sizeof(*outcome));
    outcome->state = hash->state == PAID   ? OWM_LIGHTNING_SUCCEEDED
                     : hash->state == DEAD ? OWM_LIGHTNING_FAILED
                                           : OWM_LIGHTNING_IN_FLIGHT;
    snprintf(outcome->reason, sizeof(outcome->reason), "NO_ROUTE");
}

static const owm_status lost[] = {OWM_E_NET,   OWM_E_TIMEOUT, OWM_E_PROTO,
                                  OWM_E_AGAIN, OWM_E_PERM,    OWM_E_NOMEM};

/* A pay call with every kind of end: taken or not, told or not, taken later. */
static owm_status node_pay(struct world *world, struct owm_lightning_outcome *outcome)
{
    struct hash_at_node *hash = newest(world);
    if (world->faults && one_in(world, 4)) { /* nothing comes back, */
        unsigned how = (unsigned)owm_rng_below(&world->rng, 3);
        if (how == 0) (void)node_takes(world, hash); /* though it was taken, */
        if (how == 1 && !hash->arrives_ms)           /* or will be. */
            hash->arrives_ms = world->now_ms + 1 + up_to(world, IN_TRANSIT_MS);
        return lost[owm_rng_below(&world->rng, sizeof(lost) / sizeof(lost[0]))];
    }
    if (world->faults && one_in(world, 10) && hash->state != ALIVE && hash->state != PAID)
        return OWM_E_STATE;
    owm_status status = node_takes(world, hash);
    if (status == OWM_E_STATE) return status;
    world->now_ms += up_to(world, 3000); /* what pay waits for */
    node_turns(world);
    tell(hash, outcome);
    return OWM_OK;
}

static owm_status node_track(struct world *world, struct owm_lightning_outcome *outcome)
{
    const struct hash_at_node *hash = newest(world);
    if (world->faults && one_in(world, 5))
        return lost[owm_rng_below(&world->rng, sizeof(lost) / sizeof(lost[0]))];
    if (hash->state == UNKNOWN) return OWM_E_NOTFOUND;
    tell(hash, outcome);
    return OWM_OK;
}

/* A restart: memory is gone. */
static bool crash(struct world *world)
{
    if (!world->faults || !one_in(world, 10)) return false;
    world->crashes++;
    world->now_ms += up_to(world, 600000);
    return true;
}

static struct owm_moment moment(struct world *world)
{
    return (struct owm_moment){.retry = &retry,
                               .failures = world->row.failures,
                               .now_ms = world->now_ms,
                               .chance = (uint32_t)owm_rng_u64(&world->rng)};
}

static void write_owed(struct world *world, const struct owm_step *step)
{
    struct row *row = &world->row;
    assert_true(step->reason[0]);
    assert_true(step->at_ms > world->now_ms);
    row->state = OWED;
    row->failures++;
    row->next_ms = step->at_ms;
}

/* A new attempt: not while another may still be paid. */
static void write_attempt(struct world *world)
{
    struct row *row = &world->row;
    row->attempts++;
    assert_true(row->attempts < ATTEMPTS_MAX);
    bool invoice = one_in(world, 2) && row->failures < 40;
    row->kind = invoice ? OWM_ATTEMPT_INVOICE : OWM_ATTEMPT_KEYSEND;
    row->expires_ms = invoice ? world->now_ms + INVOICE_MS : 0;
    row->state = IN_FLIGHT;
    newest(world)->expires_ms = row->expires_ms;
    if (invoice) assert_int_equal(newest(world)->state, UNKNOWN);
}

/* One life of the process with this attempt. */
static void live(struct world *world, struct owm_attempt attempt, struct owm_step step)
{
    struct owm_lightning_outcome outcome;
    for (int i = 0; i < STEPS_MAX && world->row.state == IN_FLIGHT; i++) {
        if (step.at_ms > world->now_ms) world->now_ms = step.at_ms;
        world->faults = world->faults && world->now_ms < FAULTY_MS;
        node_turns(world);
        if (crash(world)) return;
        struct owm_heard heard = {.found = &outcome, .why = "no answer"};
        heard.of = step.kind == OWM_STEP_PAY ? OWM_HEARD_PAY : OWM_HEARD_TRACK;
        heard.status =
            step.kind == OWM_STEP_PAY ? node_pay(world, &outcome) : node_track(world, &outcome);
        node_turns(world);
        if (crash(world)) return;
        struct owm_moment now = moment(world);
        step = owm_attempt_step(&attempt, &heard, &now);
        if (step.kind == OWM_STEP_SETTLE) {
            assert_int_equal(newest(world)->state, PAID);
            world->row.state = SETTLED;
        } else if (step.kind == OWM_STEP_OWE) {
            assert_true(newest(world)->state == DEAD || newest(world)->state == UNKNOWN);
            write_owed(world, &step);
        }
    }
}

static void one_history(uint64_t seed, unsigned *crashes, unsigned *attempts)
{
    struct world world = {.faults = true, .now_ms = 1};
    owm_rng_seed(&world.rng, seed);
    world.skew_ms = up_to(&world, 2 * SKEW_MS) - SKEW_MS;
    for (int lives = 0; world.row.state != SETTLED; lives++) {
        assert_true(lives < STEPS_MAX); /* never forgotten, and it ends */
        struct owm_attempt attempt = {0};
        struct owm_step step = {.kind = OWM_STEP_PAY};
        bool restarted = world.row.state == IN_FLIGHT;
        if (!restarted) {
            if (world.row.next_ms > world.now_ms) world.now_ms = world.row.next_ms;
            world.faults = world.faults && world.now_ms < FAULTY_MS;
            if (crash(&world)) continue;
            write_attempt(&world);
            if (crash(&world)) continue;
        }
        attempt.kind = world.row.kind;
        attempt.expires_ms = world.row.expires_ms;
        if (restarted) {
            struct owm_heard nothing = {.of = OWM_HEARD_NOTHING};
            struct owm_moment now = moment(&world);
            step = owm_attempt_step(&attempt, &nothing, &now);
            assert_int_equal(step.kind, OWM_STEP_TRACK);
        }
        live(&world, attempt, step);
    }
    *crashes += world.crashes;
    *attempts += world.row.attempts;
}

/* Promise 1, over three hours of faults each: never two attempts alive, never paid twice, never
 * forgotten: settled once the node works. SRS-LN-05. */
static void test_histories(void **state)
{
    (void)state;
    unsigned crashes = 0, attempts = 0;
    unsigned histories = getenv("OWM_TEST_SMALL") ? HISTORIES / 20 : HISTORIES;
    for (uint64_t seed = 0; seed < histories; seed++) one_history(seed, &crashes, &attempts);
    printf("%u histories, %u crashes, %u attempts\n", histories, crashes, attempts);
    assert_true(crashes > histories / 2 && attempts > histories);
}

static void test_retry(void **state)
{
    (void)state;
    struct owm_retry few = {.min_ms = 1000, .max_ms = 8000, .failures_max = 3};
    struct owm_moment now = {.retry = &few, .now_ms = 5};
    for (now.failures = 0; now.failures < 100; now.failures++) {
        now.chance = 0;
        int64_t least = owm_retry_pause_ms(&now);
        now.chance = UINT32_MAX;
        int64_t most = owm_retry_pause_ms(&now);
        assert_true(least >= 500 && most <= 8000 && most > least);
    }
    now.failures = 1;
    assert_int_equal(owm_attempt_none("why", &now).kind, OWM_STEP_OWE);
    now.failures = 2;
    struct owm_step step = owm_attempt_none("why", &now);
    assert_int_equal(step.kind, OWM_STEP_FAIL);
    assert_string_equal(step.reason, "why");
}

/* A refused call is a failure at once only if no other call of the attempt can still be on its
 * way. */
static void test_refused(void **state)
{
    (void)state;
    struct owm_moment now = {.retry = &retry, .now_ms = 1000};
    struct owm_attempt attempt = {.kind = OWM_ATTEMPT_KEYSEND};
    struct owm_heard heard = {.of = OWM_HEARD_PAY, .status = OWM_E_STATE, .why = "no such peer"};
    assert_int_equal(owm_attempt_step(&attempt, &heard, &now).kind, OWM_STEP_OWE);
    heard.status = OWM_E_NET;
    assert_int_equal(owm_attempt_step(&attempt, &heard, &now).kind, OWM_STEP_TRACK);
    heard.status = OWM_E_STATE;
    assert_int_equal(owm_attempt_step(&attempt, &heard, &now).kind, OWM_STEP_TRACK);
    struct owm_heard never = {.of = OWM_HEARD_TRACK, .status = OWM_E_NOTFOUND, .why = "unknown"};
    assert_int_equal(owm_attempt_step(&attempt, &never, &now).kind, OWM_STEP_TRACK);
    now.now_ms += OWM_ATTEMPT_TRANSIT_MS;
    struct owm_step step = owm_attempt_step(&attempt, &never, &now);
    assert_int_equal(step.kind, OWM_STEP_OWE);
    assert_string_equal(step.reason, "no such peer");
}

/* A clock that is set back by a day keeps a payment that failed waiting for no longer than a call
 * may be on its way, and for no shorter. */
static void test_clock_set_back(void **state)
{
    (void)state;
    struct owm_attempt attempt = {.kind = OWM_ATTEMPT_KEYSEND, .unsure_ms = 10 * DAY_MS};
    struct owm_moment now = {.retry = &retry, .now_ms = 9 * DAY_MS};
    const struct owm_lightning_outcome failed = {.state = OWM_LIGHTNING_FAILED};
    const struct owm_heard heard = {.of = OWM_HEARD_TRACK, .found = &failed, .why = ""};
    assert_int_equal(owm_attempt_step(&attempt, &heard, &now).kind, OWM_STEP_TRACK);
    now.now_ms += OWM_ATTEMPT_TRANSIT_MS - 1;
    assert_int_equal(owm_attempt_step(&attempt, &heard, &now).kind, OWM_STEP_TRACK);
    now.now_ms += 1;
    assert_int_equal(owm_attempt_step(&attempt, &heard, &now).kind, OWM_STEP_OWE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),
        cmocka_unit_test(test_retry),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_clock_set_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
