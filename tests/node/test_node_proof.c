/* test_node_proof.c: the policy of proofs, the manifest and the sources of block headers, each
 * refusal with its reason: SRS-NODE-10, SRS-OTS-05, design promise 3. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "fixture.h"
#include "made_proof.h"
#include "node/headers.h"
#include "node/proof.h"
#include "regtest_chain.h"
#include "test.h"

#define RIGHT  8  /* The block that holds it, */
#define BLOCKS 20 /* of so many. */
#define YOUNG  18

static const uint8_t sha256[32] = {1, 2, 3, 4};
static struct owm_ots_chain chain;
static struct owm_ots_headers headers;

static int make_chain(void **state)
{
    uint8_t root[32];
    struct owm_error error;
    (void)state;
    made_root(sha256, root);
    owm_ots_chain_init(&chain, OWM_REGTEST);
    regtest_mine(&chain, YOUNG, RIGHT, root);
    regtest_mine(&chain, BLOCKS, YOUNG, root);
    return owm_ots_chain_source(&chain, &headers, &error) == OWM_OK ? 0 : 1;
}

static int drop_chain(void **state)
{
    (void)state;
    owm_ots_chain_deinit(&chain);
    return 0;
}

/** policy: as model.proofs says on a network, two calendars needed. */
static struct proof_policy policy(enum owm_node_proofs proofs, const char *network)
{
    static const char *const own[] = {"http://127.0.0.1:14788"};
    static const struct owm_ots_calendars calendars = {.own = own, .own_count = 1};
    struct proof_policy p = {.calendars = &calendars, .calendars_needed = 2};
    const struct owm_node_config config = {.proofs = proofs};
    struct owm_error error = {""};
    assert_ok(proof_demands(&config, network, p.demand, &error));
    return p;
}

struct asked {
    struct proof_policy policy;
    enum model_use use;
    const struct owm_ots_headers *headers;
};

static enum refusal_code ask(const struct asked *asked, const struct made_wanted *wanted,
                             struct proof_facts *facts)
{
    struct made_proof made;
    struct refusal refusal;
    struct owm_error error = {""};
    made_proof_make(wanted, &made);
    const struct proof_question question = {.sha256 = sha256,
                                            .proof = made.data,
                                            .proof_bytes = made.bytes,
                                            .use = asked->use,
                                            .headers = asked->headers};
    assert_ok(proof_judge(&asked->policy, &question, facts, &refusal, &error));
    assert_int_equal(refusal.why.text[0] == '\0', refusal.code == REFUSAL_NONE);
    made_proof_free(&made);
    return refusal.code;
}

#define EXPECT(code, asked, ...)                                                                   \
    do {                                                                                           \
        struct proof_facts facts_of;                                                               \
        const struct made_wanted wanted_of = {.sha256 = sha256, __VA_ARGS__};                      \
        assert_string_equal(refusal_name(ask(asked, &wanted_of, &facts_of)),                       \
                            refusal_name(REFUSAL_##code));                                         \
    } while (0)

/* SRS-OTS-05: training goes on promises of enough listed calendars, or on a block. */
static void test_training(void **state)
{
    (void)state;
    struct asked a = {policy(OWM_PROOFS_AUTO, "mainnet"), MODEL_TRAINING, &headers};
    EXPECT(NONE, &a, .calendar = {CALENDAR_A, CALENDAR_B});
    EXPECT(NONE, &a, .calendar = {CALENDAR_A, "http://127.0.0.1:14788"});
    EXPECT(TOO_FEW_PROMISES, &a, .calendar = {CALENDAR_A});
    EXPECT(TOO_FEW_PROMISES, &a, .calendar = {CALENDAR_A, CALENDAR_A "/"});
    EXPECT(TOO_FEW_PROMISES, &a,
           .calendar = {CALENDAR_A, "https://ALICE.btc.calendar.opentimestamps.org"});
    EXPECT(UNLISTED_CALENDARS, &a, .calendar = {CALENDAR_A, CALENDAR_X});
    EXPECT(NONE, &a, .calendar = {CALENDAR_A, CALENDAR_X, CALENDAR_B});
    EXPECT(NONE, &a, .height = RIGHT);
    EXPECT(TOO_FEW_PROMISES, &a, .height = YOUNG);
    EXPECT(WRONG_BLOCK, &a, .height = RIGHT + 1);
    /* Promises do not heal a block that is wrong. */
    EXPECT(WRONG_BLOCK, &a, .calendar = {CALENDAR_A, CALENDAR_B}, .height = RIGHT + 1);
    a.headers = NULL;
    EXPECT(NO_HEADERS, &a, .height = RIGHT);
    EXPECT(NONE, &a, .calendar = {CALENDAR_A, CALENDAR_B}, .height = RIGHT);
}

/* SRS-OTS-05: serving goes on a block alone, which our own headers hold, six deep. */
static void test_serving(void **state)
{
    (void)state;
    struct asked a = {policy(OWM_PROOFS_POLICY, "devnet"), MODEL_SERVING, &headers};
    struct proof_facts facts;
    const struct made_wanted confirmed = {
        .sha256 = sha256, .calendar = {CALENDAR_A}, .height = RIGHT};
    assert_int_equal(ask(&a, &confirmed, &facts), REFUSAL_NONE);
    assert_int_equal(facts.state, PROOF_IN_BLOCK);
    assert_int_equal(facts.height, RIGHT);
    assert_int_equal(facts.time_s, REGTEST_TIME + 600 * RIGHT);
    assert_int_equal(facts.promises, 1);
    EXPECT(NOT_CONFIRMED, &a, .calendar = {CALENDAR_A, CALENDAR_B});
    EXPECT(NOT_CONFIRMED, &a, .height = YOUNG);
    EXPECT(NOT_CONFIRMED, &a, .height = BLOCKS + 100);
    EXPECT(WRONG_BLOCK, &a, .height = RIGHT - 1);
    a.headers = NULL;
    EXPECT(NO_HEADERS, &a, .height = RIGHT);
    EXPECT(NOT_CONFIRMED, &a, .calendar = {CALENDAR_A, CALENDAR_B});
}

/* Development networks: pending serves too, none asks for nothing; what is wrong is refused. */
static void test_development(void **state)
{
    (void)state;
    struct asked a = {policy(OWM_PROOFS_PENDING, "regtest"), MODEL_SERVING, &headers};
    EXPECT(NONE, &a, .calendar = {CALENDAR_A, CALENDAR_B});
    EXPECT(TOO_FEW_PROMISES, &a, .calendar = {CALENDAR_A});
    a.policy = policy(OWM_PROOFS_AUTO, "devnet");
    EXPECT(NONE, &a, .calendar = {CALENDAR_X});
    EXPECT(NONE, &a, .height = YOUNG);
    EXPECT(WRONG_BLOCK, &a, .height = RIGHT - 1);
    a.headers = NULL;
    EXPECT(NONE, &a, .height = RIGHT - 1);
}

/* No proof, one of something else, and no proof at all: in every mode but none. */
static void test_papers(void **state)
{
    (void)state;
    static const uint8_t other[32] = {9};
    struct proof_facts facts;
    struct refusal refusal;
    struct owm_error error = {""};
    const enum owm_node_proofs modes[] = {OWM_PROOFS_POLICY, OWM_PROOFS_PENDING, OWM_PROOFS_NONE};
    for (int i = 0; i < 6; i++) {
        struct asked a = {policy(modes[i / 2], "devnet"), (enum model_use)(i % 2), &headers};
        bool none = modes[i / 2] == OWM_PROOFS_NONE;
        struct made_proof made;
        struct proof_question q = {.sha256 = sha256, .use = a.use, .headers = &headers};
        assert_ok(proof_judge(&a.policy, &q, &facts, &refusal, &error));
        assert_int_equal(refusal.code, none ? REFUSAL_NONE : REFUSAL_NO_PROOF);
        assert_int_equal(facts.state, PROOF_ABSENT);
        const struct made_wanted wanted = {.sha256 = other, .calendar = {CALENDAR_A, CALENDAR_B}};
        assert_int_equal(ask(&a, &wanted, &facts), REFUSAL_WRONG_HASH);
        const struct made_wanted right = {.sha256 = sha256, .calendar = {CALENDAR_A, CALENDAR_B}};
        made_proof_make(&right, &made);
        q.proof = made.data;
        q.proof_bytes = made.bytes - 1;
        assert_ok(proof_judge(&a.policy, &q, &facts, &refusal, &error));
        assert_int_equal(refusal.code, REFUSAL_BAD_PROOF);
        made_proof_free(&made);
    }
}

/* model.proofs: auto follows the network; less than the policy is for development networks alone,
 * and a network that is not known yet gets the whole policy. */
static void test_modes(void **state)
{
    (void)state;
    struct owm_error error = {""};
    enum proof_demand d[MODEL_USES];
    struct owm_node_config config = {.proofs = OWM_PROOFS_AUTO};
    assert_ok(proof_demands(&config, "devnet", d, &error));
    assert_int_equal(d[MODEL_SERVING], PROOF_OPTIONAL);
    assert_ok(proof_demands(&config, "", d, &error));
    assert_int_equal(d[MODEL_SERVING], PROOF_CONFIRMED);
    assert_ok(proof_demands(&config, "testnet", d, &error));
    assert_int_equal(d[MODEL_SERVING], PROOF_CONFIRMED);
    assert_int_equal(d[MODEL_TRAINING], PROOF_PROMISED);
    for (int proofs = OWM_PROOFS_PENDING; proofs <= OWM_PROOFS_NONE; proofs++) {
        config.proofs = proofs;
        assert_ok(proof_demands(&config, "regtest", d, &error));
        assert_int_equal(proof_demands(&config, "mainnet", d, &error), OWM_E_CONFIG);
        assert_non_null(strstr(error.text, "SRS-NODE-10"));
        assert_int_equal(d[MODEL_SERVING], PROOF_CONFIRMED);
        assert_ok(proof_demands(&config, "", d, &error));
        assert_int_equal(d[MODEL_SERVING], PROOF_CONFIRMED);
    }
    config = (struct owm_node_config){.proofs = OWM_PROOFS_POLICY, .bitcoin_network = OWM_REGTEST};
    assert_ok(proof_demands(&config, "regtest", d, &error));
    assert_ok(proof_demands(&config, "", d, &error));
    assert_int_equal(proof_demands(&config, "mainnet", d, &error), OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "model.bitcoin_network = \"main\""));
    assert_int_equal(d[MODEL_SERVING], PROOF_CONFIRMED);
}

/* ------------------------------------------------------------------------------- by chance */

/** drawn: a random tree, and what somebody who reads the policy aloud would say of it. */
struct drawn {
    struct owm_ots_proof proof;
    unsigned listed, unlisted;
    bool confirmed, refuted, names_block;
};

static const char *const pool[] = {CALENDAR_A, CALENDAR_B,
                                   "https://finney.calendar.eternitywall.com", CALENDAR_X,
                                   "https://b.example.org"};

static void draw_promises(struct owm_rng *rng, struct drawn *drawn, uint32_t node)
{
    struct owm_ots_attestation attestation;
    for (size_t i = 0; i < sizeof pool / sizeof pool[0]; i++) {
        if (owm_rng_below(rng, 3) != 0) continue;
        char again[80];
        snprintf(again, sizeof again, "%s/", pool[i]);
        assert_ok(owm_ots_pending(pool[i], &attestation, NULL));
        assert_ok(owm_ots_add_attestation(&drawn->proof.tree, node, &attestation, NULL, NULL));
        assert_ok(owm_ots_pending(again, &attestation, NULL));
        assert_ok(
            owm_ots_add_attestation(&drawn->proof.tree, OWM_OTS_ROOT, &attestation, NULL, NULL));
        *(i < 3 ? &drawn->listed : &drawn->unlisted) += 1;
    }
}

static void draw_blocks(struct owm_rng *rng, struct drawn *drawn, uint32_t node)
{
    static const uint64_t heights[] = {RIGHT - 1, RIGHT, YOUNG - 1, YOUNG, BLOCKS + 3};
    bool young = false;
    for (size_t i = 0; i < sizeof heights / sizeof heights[0]; i++) {
        if (owm_rng_below(rng, 4) != 0) continue;
        const struct owm_ots_attestation attestation = owm_ots_bitcoin(heights[i]);
        assert_ok(owm_ots_add_attestation(&drawn->proof.tree, node, &attestation, NULL, NULL));
        drawn->names_block = true;
        if (heights[i] == RIGHT) drawn->confirmed = true;
        if (heights[i] == YOUNG && !drawn->confirmed) young = true;
        if (heights[i] == RIGHT - 1 || heights[i] == YOUNG - 1) drawn->refuted = true;
    }
    if (drawn->confirmed || young) drawn->refuted = false; /* One right block is enough. */
}

static void draw(struct owm_rng *rng, struct drawn *drawn)
{
    static const char *const texts[] = {"sixteen bytes of", "a merkle branch"};
    const struct owm_ots_op hash = {.tag = OWM_OTS_SHA256};
    uint32_t node = OWM_OTS_ROOT;
    memset(drawn, 0, sizeof *drawn);
    assert_ok(owm_ots_proof_init(&drawn->proof, OWM_OTS_SHA256, (struct owm_ots_bytes){sha256, 32},
                                 NULL));
    for (int i = 0; i < 2; i++) {
        const struct owm_ots_op append = {OWM_OTS_APPEND,
                                          {(const uint8_t *)texts[i], (uint32_t)strlen(texts[i])}};
        assert_ok(owm_ots_add_op(&drawn->proof.tree, node, append, &node, NULL));
        assert_ok(owm_ots_add_op(&drawn->proof.tree, node, hash, &node, NULL));
    }
    draw_promises(rng, drawn, node);
    draw_blocks(rng, drawn, node);
    if (drawn->listed + drawn->unlisted == 0 && !drawn->names_block) {
        const struct owm_ots_attestation unknown = {.kind = OWM_OTS_UNKNOWN, .tag = {7}};
        assert_ok(owm_ots_add_attestation(&drawn->proof.tree, node, &unknown, NULL, NULL));
    }
}

static enum refusal_code expected(const struct drawn *drawn, enum proof_demand demand,
                                  bool headers_here)
{
    if (headers_here && drawn->refuted) return REFUSAL_WRONG_BLOCK;
    if ((headers_here && drawn->confirmed) || demand == PROOF_OPTIONAL) return REFUSAL_NONE;
    if (demand == PROOF_PROMISED && drawn->listed >= 2) return REFUSAL_NONE;
    if (drawn->names_block && !headers_here) return REFUSAL_NO_HEADERS;
    if (demand == PROOF_CONFIRMED) return REFUSAL_NOT_CONFIRMED;
    return drawn->listed + drawn->unlisted >= 2 ? REFUSAL_UNLISTED_CALENDARS
                                                : REFUSAL_TOO_FEW_PROMISES;
}

/* The policy over random trees, against its sentences. */
static void test_random(void **state)
{
    (void)state;
    struct owm_rng rng;
    struct owm_error error = {""};
    unsigned seen[REFUSAL_CODES] = {0};
    owm_rng_seed(&rng, 20261130);
    for (int i = 0; i < 3000; i++) {
        struct drawn drawn;
        struct proof_facts facts;
        struct refusal refusal;
        uint8_t *data = NULL;
        size_t bytes = 0;
        draw(&rng, &drawn);
        assert_ok(owm_ots_proof_write(&drawn.proof, &data, &bytes, &error));
        static const enum owm_node_proofs modes[] = {OWM_PROOFS_POLICY, OWM_PROOFS_PENDING,
                                                     OWM_PROOFS_NONE};
        const struct proof_policy p = policy(modes[i % 3], "devnet");
        bool here = owm_rng_below(&rng, 2) == 0;
        const struct proof_question question = {.sha256 = sha256,
                                                .proof = data,
                                                .proof_bytes = bytes,
                                                .use = (enum model_use)(i / 3 % 2),
                                                .headers = here ? &headers : NULL};
        assert_ok(proof_judge(&p, &question, &facts, &refusal, &error));
        enum refusal_code wanted = expected(&drawn, p.demand[question.use], here);
        assert_string_equal(refusal_name(refusal.code), refusal_name(wanted));
        seen[refusal.code]++;
        free(data);
        owm_ots_proof_deinit(&drawn.proof);
    }
    static const enum refusal_code all[] = {REFUSAL_NONE,          REFUSAL_TOO_FEW_PROMISES,
                                            REFUSAL_NOT_CONFIRMED, REFUSAL_UNLISTED_CALENDARS,
                                            REFUSAL_NO_HEADERS,    REFUSAL_WRONG_BLOCK};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) assert_true(seen[all[i]] > 20);
}

/* -------------------------------------------------------------------------------- headers */

static owm_status away(void *ctx, uint64_t *height, struct owm_error *error)
{
    (void)ctx;
    (void)height;
    return owm_fail(error, OWM_E_NET, "nobody answers");
}

/* A source that is away is no refusal: it matters only where nothing else is enough. */
static void test_away(void **state)
{
    (void)state;
    const struct owm_ots_headers source = {.network = OWM_REGTEST, .tip = away};
    struct proof_facts facts;
    struct refusal refusal;
    struct owm_error error = {""};
    struct made_proof made;
    const struct made_wanted wanted = {
        .sha256 = sha256, .calendar = {CALENDAR_A, CALENDAR_B}, .height = RIGHT};
    made_proof_make(&wanted, &made);
    struct proof_question q = {.sha256 = sha256,
                               .proof = made.data,
                               .proof_bytes = made.bytes,
                               .use = MODEL_SERVING,
                               .headers = &source};
    struct proof_policy p = policy(OWM_PROOFS_POLICY, "mainnet");
    assert_int_equal(proof_judge(&p, &q, &facts, &refusal, &error), OWM_E_NET);
    assert_non_null(strstr(error.text, "nobody answers"));
    q.use = MODEL_TRAINING;
    assert_ok(proof_judge(&p, &q, &facts, &refusal, &error));
    assert_int_equal(refusal.code, REFUSAL_NONE);
    assert_int_equal(facts.state, PROOF_PENDING);
    p.calendars_needed = 3;
    assert_int_equal(proof_judge(&p, &q, &facts, &refusal, &error), OWM_E_NET);
    made_proof_free(&made);
}

static void write_chain(const char *path, size_t count)
{
    struct owm_ots_chain part;
    struct owm_error error = {""};
    uint8_t *data = NULL;
    size_t bytes = 0;
    owm_ots_chain_init(&part, OWM_REGTEST);
    for (size_t i = 0; i < count; i++)
        assert_ok(owm_ots_chain_push(&part, chain.headers[i], &error));
    assert_ok(owm_ots_chain_write(&part, &data, &bytes, &error));
    assert_ok(owm_fs_write_atomic(path, data, bytes, 0600, &error));
    owm_ots_chain_deinit(&part);
    free(data);
}

/* A file of headers is read when it is first asked, again after it was changed, and its faults are
 * told with its name. */
static void test_headers_file(void **state)
{
    (void)state;
    char folder[128], path[192], nothing[] = "";
    fixture_folder(folder);
    snprintf(path, sizeof path, "%s/headers.dat", folder);
    struct owm_node_config config = {.bitcoin_rpc = nothing,
                                     .bitcoin_cookie = nothing,
                                     .headers_file = path,
                                     .bitcoin_network = OWM_REGTEST};
    node_headers *h = NULL;
    struct owm_error error = {""};
    uint64_t height = 0;
    uint8_t header[OWM_OTS_HEADER_BYTES];
    assert_ok(node_headers_open(&config, &h, &error));
    const struct owm_ots_headers source = node_headers_source(h);
    assert_int_equal(source.tip(source.ctx, &height, &error), OWM_E_NOTFOUND);
    assert_non_null(strstr(error.text, "headers.dat"));
    write_chain(path, 10);
    assert_ok(source.tip(source.ctx, &height, &error));
    assert_int_equal(height, 9);
    write_chain(path, BLOCKS);
    assert_ok(source.tip(source.ctx, &height, &error));
    assert_int_equal(height, BLOCKS - 1);
    assert_ok(source.header(source.ctx, RIGHT, header, &error));
    assert_memory_equal(header, chain.headers[RIGHT], sizeof header);
    fixture_write(folder, "headers.dat", "no headers");
    assert_int_equal(source.tip(source.ctx, &height, &error), OWM_E_PROTO);
    unlink(path);
    assert_int_equal(source.tip(source.ctx, &height, &error), OWM_E_NOTFOUND);
    node_headers_close(h);
    config.headers_file = nothing;
    assert_ok(node_headers_open(&config, &h, &error));
    assert_null(h);
    fixture_remove(folder);
}

/* model.calendars: what is no address is said with the key. */
static void test_calendars(void **state)
{
    (void)state;
    struct proof_calendars calendars;
    struct owm_error error = {""};
    assert_ok(proof_calendars_open("", &calendars, &error));
    assert_int_equal(calendars.list.own_count, 0);
    proof_calendars_close(&calendars);
    assert_ok(proof_calendars_open("https://a.example, http://b.example:1", &calendars, &error));
    assert_int_equal(calendars.list.own_count, 2);
    assert_string_equal(calendars.own[1], "http://b.example:1");
    proof_calendars_close(&calendars);
    assert_int_equal(proof_calendars_open("a.example", &calendars, &error), OWM_E_CONFIG);
    assert_non_null(strstr(error.text, "model.calendars"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training),    cmocka_unit_test(test_serving),
        cmocka_unit_test(test_development), cmocka_unit_test(test_papers),
        cmocka_unit_test(test_modes),       cmocka_unit_test(test_random),
        cmocka_unit_test(test_away),        cmocka_unit_test(test_headers_file),
        cmocka_unit_test(test_calendars),
    };
    return cmocka_run_group_tests(tests, make_chain, drop_chain);
}
