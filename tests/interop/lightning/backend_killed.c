/* backend_killed.c: the coordinator's payer and the lnd that it pays through, killed with -9 in the
 * middle of payments, with real nodes and a real PostgreSQL.
 *
 * The payer dies between any two of its steps (tests/payments/killed.h) and at random moments; lnd
 * dies under a payer that goes on. At the end every payment is settled once, the payee's lnd has
 * each of them once, and ledger and both nodes' books have the same sum to the millisat.
 *
 * One thing else may be, and nothing else: a payment that was in flight as lnd died, that LND keeps
 * IN_FLIGHT for good though no channel has an HTLC of it (see test_killed_while_paying). It stays
 * in flight in the ledger, too: the payee has nothing of it, and nobody pays it a second time.
 */
#include "backend.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "killed.h"

#define TIMES    2     /* how often the payer dies at each step */
#define LIFE_MS  15000 /* that a life waits for its step */
#define PACE_MS  100   /* while one lasts, a payment more is owed so often */
#define STUCK_MS 10000 /* nothing has moved so long: what is in flight stays so */
#define END_MS   60000

/* A node's config with texts of its own. */
struct node {
    struct owm_lightning_config config;
    char address[32], certificate[DAEMON_PATH_MAX + 16], credential[DAEMON_PATH_MAX + 32];
};

struct story {
    struct pair *pair;
    struct world world;
    struct node payer;
    uint8_t keysend[16], address[16]; /* the payee as two nodes of the network */
    unsigned lives, lnd_deaths;
};

static int64_t count_of(struct story *story, const char *state)
{
    char sql[96];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM payments WHERE state = '%s'", state);
    return world_number(story->world.pg, sql);
}

/* Half of them are keysends. Half of these and of those are dust: too small for an output of their
 * own on the chain. */
static void owe(struct story *story, unsigned payments)
{
    while (payments--) {
        unsigned n = story->world.made;
        int64_t base_msat = n / 2 % 2 ? 10001 : 700001;
        world_owe(&story->world, n % 2 ? story->keysend : story->address, base_msat + n);
    }
}

static struct node payee; /* as its owner has it */

static void node_of(const struct daemon *daemon, enum owm_lightning_role role, struct node *node)
{
    node->config = pair_config(daemon, role);
    snprintf(node->address, sizeof node->address, "%s", node->config.address);
    snprintf(node->certificate, sizeof node->certificate, "%s", node->config.certificate);
    snprintf(node->credential, sizeof node->credential, "%s", node->config.credential);
    node->config.address = node->address;
    node->config.certificate = node->certificate;
    node->config.credential = node->credential;
}

/* The double of an address's server: the invoice is a real one of the payee's lnd. */
static owm_status fetch(const char *address, int64_t amount_msat,
                        char invoice[OWM_LIGHTNING_INVOICE_BYTES], struct owm_error *error)
{
    uint8_t preimage[32];
    const struct owm_lightning_ask ask = {
        .preimage = preimage, .amount_msat = amount_msat, .expiry_s = 600, .memo = address};
    owm_lightning *lightning = NULL;
    owm_uuid_random(preimage);
    owm_uuid_random(preimage + 16);
    owm_status status = owm_lightning_open(&payee.config, &lightning, error);
    if (status == OWM_OK) status = owm_lightning_invoice_add(lightning, &ask, invoice, error);
    owm_lightning_close(lightning);
    return status;
}

static void begin(struct story *story, struct pair *pair)
{
    char uri[OWM_LIGHTNING_TEXT_BYTES];
    struct world *world = &story->world;
    story->pair = pair;
    world_databases(world, "killed");
    node_of(pair->treasury, OWM_LIGHTNING_PAY, &story->payer);
    node_of(pair->owner, OWM_LIGHTNING_INVOICE, &payee);
    world->options.node = story->payer.config;
    world->options.retry = (struct owm_retry){.min_ms = 200, .max_ms = 1000, .transit_ms = 2000};
    daemon_uri(pair->owner, uri);
    world_node(world, uri, "keysend", story->keysend);
    world_node(world, uri, "payee@example.com", story->address);
    killed_fetch = fetch;
    assert_ok(owm_pg_exec(world->pg, "CREATE TABLE flew_as_lnd_died (payment_id uuid)", NULL));
    pair_wait_active(pair);
}

static pid_t life_begin(struct story *story, enum killed_step at, unsigned nth)
{
    story->lives++;
    return killed_begin(&story->world, at, nth);
}

/* The payer lives until it comes to a step for the nth time, or for so long. */
static void one_life(struct story *story, enum killed_step at, unsigned nth, unsigned life_ms)
{
    uint64_t now_ms = owm_clock_mono_ms(), end_ms = now_ms + life_ms, owe_ms = now_ms + PACE_MS;
    owe(story, 2);
    pid_t payer = life_begin(story, at, nth);
    while (!killed_ended(payer) && now_ms < end_ms) {
        owm_clock_sleep_ms(5);
        now_ms = owm_clock_mono_ms();
        if (now_ms < owe_ms) continue;
        owe(story, 1);
        owe_ms += PACE_MS;
    }
    killed_end(payer);
}

static void payer_dies(struct story *story)
{
    for (unsigned nth = 1; nth <= TIMES; nth++) {
        for (int step = 0; step < KILLED_STEPS; step++)
            one_life(story, (enum killed_step)step, nth, LIFE_MS);
        assert_int_equal(killed_deaths(KILLED_CLAIMED), nth);
        one_life(story, KILLED_NEVER, 1, 200 + 150 * nth);
    }
    for (int step = 0; step < KILLED_STEPS; step++) {
        printf("%u deaths: %s\n", killed_deaths((enum killed_step)step),
               killed_at((enum killed_step)step));
        assert_true(killed_deaths((enum killed_step)step) > 0);
    }
}

/* lnd dies so long after payments are in flight, under a payer that goes on and dies as lnd is
 * back, or together with one that has just come to a step. */
static void lnd_dies(struct story *story, enum killed_step at, unsigned after_ms)
{
    static const char flying[] = "INSERT INTO flew_as_lnd_died SELECT payment_id FROM payments"
                                 " WHERE state = 'in_flight'";
    owe(story, 8);
    pid_t payer = life_begin(story, at, 1);
    uint64_t give_up_ms = owm_clock_mono_ms() + LIFE_MS;
    while ((at == KILLED_NEVER ? count_of(story, "owed") > 0 : !killed_ended(payer))
           && owm_clock_mono_ms() < give_up_ms)
        owm_clock_sleep_ms(2);
    owm_clock_sleep_ms(after_ms);
    daemon_kill(story->pair->treasury);
    story->lnd_deaths++;
    assert_ok(owm_pg_exec(story->world.pg, flying, NULL));
    owe(story, 2);
    pair_restart(story->pair, story->pair->treasury);
    pair_wait_active(story->pair);
    killed_end(payer);
}

/* A last life, in peace, until all is settled or nothing moves any more. */
static void last_life(struct story *story)
{
    uint64_t now_ms = owm_clock_mono_ms(), moved_ms = now_ms, give_up_ms = now_ms + END_MS;
    int64_t settled = 0;
    pid_t payer = life_begin(story, KILLED_NEVER, 1);
    while (settled < story->world.made && now_ms < moved_ms + STUCK_MS) {
        if (now_ms > give_up_ms) fail_msg("payments still move after %d s", END_MS / 1000);
        owm_clock_sleep_ms(50);
        now_ms = owm_clock_mono_ms();
        int64_t before = settled;
        settled = count_of(story, "settled");
        if (settled != before || count_of(story, "owed") > 0) moved_ms = now_ms;
    }
    killed_end(payer);
    pair_settle(story->pair); /* On no channel is an HTLC left. */
}

enum end { SETTLED, FLYING, DEAD };

/* A payment's attempts with one hash: what the ledger says of them is what both nodes say. */
static void judge(owm_lightning *payer_lnd, owm_lightning *payee_lnd,
                  const struct owm_pg_rows *rows, size_t row)
{
    struct owm_lightning_invoice invoice = {.state = OWM_LIGHTNING_INVOICE_OPEN};
    struct owm_lightning_outcome outcome = {.state = OWM_LIGHTNING_FAILED};
    uint8_t hash[32];
    owm_pg_get_hash(rows, row, 0, hash, sizeof hash);
    owm_status found = owm_lightning_invoice_find(payee_lnd, hash, &invoice, NULL);
    owm_status known = owm_lightning_track(payer_lnd, hash, &outcome, NULL);
    assert_true(found == OWM_OK || found == OWM_E_NOTFOUND);
    assert_true(known == OWM_OK || known == OWM_E_NOTFOUND);
    switch ((enum end)owm_pg_get_i64(rows, row, 2)) {
    case SETTLED:
        assert_int_equal(invoice.state, OWM_LIGHTNING_INVOICE_SETTLED);
        assert_int_equal(invoice.paid_msat, owm_pg_get_i64(rows, row, 1));
        assert_int_equal(outcome.state, OWM_LIGHTNING_SUCCEEDED);
        return;
    case FLYING:
        assert_true(owm_pg_get_bool(rows, row, 3)); /* It was as lnd died. */
        assert_int_not_equal(invoice.state, OWM_LIGHTNING_INVOICE_SETTLED);
        assert_int_equal(outcome.state, OWM_LIGHTNING_IN_FLIGHT);
        return;
    case DEAD:
        assert_int_not_equal(invoice.state, OWM_LIGHTNING_INVOICE_SETTLED);
        assert_int_equal(outcome.state, OWM_LIGHTNING_FAILED);
    }
}

static void judge_all(struct story *story)
{
    static const char sql[] =
        "SELECT a.payment_hash, p.amount_msat, CASE WHEN bool_or(a.state = 'succeeded') THEN 0"
        " WHEN bool_or(a.state = 'sent') THEN 1 ELSE 2 END, EXISTS (SELECT 1 FROM flew_as_lnd_died "
        "f"
        " WHERE f.payment_id = p.payment_id) FROM payments p JOIN payment_attempts a"
        " USING (payment_id) GROUP BY p.payment_id, a.payment_hash";
    owm_lightning *payer_lnd = pair_open(story->pair->treasury, OWM_LIGHTNING_PAY);
    owm_lightning *payee_lnd = pair_open(story->pair->owner, OWM_LIGHTNING_INVOICE);
    struct owm_pg_rows *rows = NULL;
    assert_ok(owm_pg_query(story->world.pg, sql, NULL, &rows, NULL));
    for (size_t i = 0; i < owm_pg_rows_count(rows); i++) judge(payer_lnd, payee_lnd, rows, i);
    printf("%zu payment hashes judged\n", owm_pg_rows_count(rows));
    owm_pg_rows_free(rows);
    owm_lightning_close(payer_lnd);
    owm_lightning_close(payee_lnd);
    world_ledgers_sound(&story->world);
}

/* Before any test that opens a node here: lives are forked, and a process in which gRPC has begun
 * must not be (it would share its sockets and its epoll with them).
 * SRS-LN-05: no payment is made twice and none is lost, whoever dies on the way. */
void test_payer_and_lnd_killed(void **state)
{
    struct pair *pair = *state;
    struct story story = {0};
    unsigned received_before, received;
    if (!pg_fixture_start(&server)) skip();
    uint64_t begun_ms = owm_clock_mono_ms();
    begin(&story, pair);
    int64_t payee_msat = pair_received(pair->owner, NULL, &received_before);
    int64_t payer_msat = pair_sent(pair->treasury);
    payer_dies(&story);
    lnd_dies(&story, KILLED_NEVER, 0);
    lnd_dies(&story, KILLED_NEVER, 30);
    lnd_dies(&story, KILLED_PAY_TAKEN, 0);
    last_life(&story);

    judge_all(&story);
    int64_t paid = count_of(&story, "settled"), flying = count_of(&story, "in_flight");
    assert_int_equal(paid + flying, story.world.made);
    int64_t ledger_msat = world_number(story.world.pg, "SELECT sum(settled_msat) FROM payments"
                                                       " WHERE state = 'settled'");
    assert_int_equal(pair_received(pair->owner, NULL, &received) - payee_msat, ledger_msat);
    assert_int_equal(received - received_before, paid);
    assert_int_equal(pair_sent(pair->treasury) - payer_msat, ledger_msat);
    int64_t flew = world_number(story.world.pg, "SELECT count(DISTINCT payment_id)"
                                                " FROM flew_as_lnd_died");
    printf("%u payments in %u lives of the payer and %u of lnd: %lld paid once, %lld msat in the"
           " ledger and on both sides; %.1f s\n",
           story.world.made, story.lives, story.lnd_deaths + 1, (long long)paid,
           (long long)ledger_msat, (double)(owm_clock_mono_ms() - begun_ms) / 1000);
    printf("of %lld in flight as lnd died, %lld are so for good in LND's books, and not paid\n",
           (long long)flew, (long long)flying);
    world_close(&story.world);
    pg_fixture_stop(&server);
}
