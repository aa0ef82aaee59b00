/* network.h: a real owm-coordinator as a child process over a real private PostgreSQL, and a test
 * double of a node that speaks the protocol by hand, rightly or wrongly. */
#ifndef OWM_TESTS_NETWORK_H
#define OWM_TESTS_NETWORK_H

#include <coordinator.pb-c.h>
#include <internal.pb-c.h>
#include <stdbool.h>

#include "base/identity.h"
#include "base/rpc/rpc.h"
#include "dataplane/fl/receipt.h"
#include "pg_fixture.h"

#define PB(name)  Owm__Coordinator__V1__##name
#define PBI(name) Owm__Internal__V1__##name

/** coordinator: one child process. */
struct coordinator {
    char folder[64], url[256], log[96];
    char options[32][96]; /* "--section.key=value" */
    int option_count;
    int nodes_port, internal_port, http_port; /* 0 before the first start */
    pid_t pid;
    size_t log_bytes; /* before the last launch */
    char *certificate;
    uint8_t key[32];
    owm_identity *operator_identity;
    struct owm_rpc_client *operator_client;
};

/** coordinator_start: folder and keys are made once, later starts use the same ports. Fails the
 *  test if it is not ready within 20 s. */
void coordinator_start(struct coordinator *c);

/** coordinator_launch, _await: the two halves of a start, for one that has to stand by. */
void coordinator_launch(struct coordinator *c);
void coordinator_await(struct coordinator *c);

void coordinator_kill(struct coordinator *c); /* SIGKILL */
int coordinator_stop(struct coordinator *c);  /* SIGTERM; the exit code */
int coordinator_wait(struct coordinator *c);  /* for one that ends by itself; the exit code */
void coordinator_close(struct coordinator *c);

/** coordinator_option: before the first start. */
void coordinator_option(struct coordinator *c, const char *option);
/** coordinator_count: the first number that this query gives; 0 if it gives no row. */
int64_t coordinator_count(const struct coordinator *c, const char *sql);

/** coordinator_page: GET this path of the status server; malloc'ed. */
char *coordinator_page(const struct coordinator *c, const char *path);
bool coordinator_logged(const struct coordinator *c, const char *text);

/** Internal service. ask_* free with the generated functions. */
PBI(NetworkStatusResponse) * ask_network(struct coordinator *c);
PBI(AuditResponse) * ask_audit(struct coordinator *c);
PBI(ListRoundsResponse) * ask_rounds(struct coordinator *c);
PBI(ListVersionsResponse) * ask_versions(struct coordinator *c);

/** ask_inference: submit a task with this idempotency key; its id in task_id [40], or NULL.
 *  try_inference: one that may be refused, for nodes of a tier or better, "": any; code is "" if
 *  it was not. */
void ask_inference(struct coordinator *c, const char *key, char *task_id);
void try_inference(struct coordinator *c, const char *key, const char *min_tier,
                   char task_id[static 40], char code[static 32]);

struct ln_signer;

/** fake_answer: what RegisterNode said. */
struct fake_answer {
    char status[16], message[700], stake_note[300], treasury_uri[256];
    char statement[200]; /* of Hello before it */
    bool stake_bound;
    int64_t stake_sats, required_stake_sats;
    double stake_bonus;
};

/** fake_node: a test double of a node. */
struct fake_node {
    struct coordinator *coordinator;
    owm_identity *identity;
    struct owm_cert cert;
    struct owm_rpc_client *client;
    struct owm_rpc_stream *stream;
    char node_id[40], alias[16];
    char done[40]; /* the last task it reported: told again, it is ignored */
    uint64_t boot_id;
    uint32_t slots;    /* 2; to be changed before it registers */
    unsigned packages; /* made so far; makes each one different */
    uint32_t round;    /* of the last package, and its hash */
    uint8_t package_hash[32];
    size_t package_bytes;
    /* where stakes are asked for */
    const struct ln_signer *lightning; /* its Lightning node; NULL: ln_node_uri is made up */
    const char *tier, *payout_to;      /* NULL: t1, "" */
    const char *statement, *proof;     /* NULL: what Hello gives, signed; "" sends none */
    struct fake_answer answer;         /* to the last registration */
};

void fake_node_open(struct fake_node *node, struct coordinator *c, const char *alias);
void fake_node_close(struct fake_node *node);
void fake_node_reconnect(struct fake_node *node); /* after a restart: client, register, stream */

/** What a registration does wrong. */
enum fault {
    FAULT_NONE,
    FAULT_SIGNATURE,
    FAULT_KEY,      /* another node's public_key, signed with that node's key */
    FAULT_TIME,     /* an hour ago */
    FAULT_PROTOCOL, /* version 7 */
    FAULT_CHALLENGE /* one that nobody issued */
};

/** fake_node_register: returns the response's error code ("" when registered). */
const char *fake_node_register(struct fake_node *node, enum fault fault);

/** The raw bytes of the last RegisterNode request, for a replay. */
const char *fake_node_replay(struct fake_node *node);

/** fake_node_beat: a heartbeat's answer; fails the test if there is none. */
PB(HeartbeatResponse) * fake_node_beat(struct fake_node *node);
enum owm_rpc_code fake_node_heartbeat(struct fake_node *node, const char *node_id);
void fake_node_stream(struct fake_node *node);

/** fake_node_task: the next task within timeout_ms, payload opened into plain; NULL: none. */
PB(Task)
*fake_node_task(struct fake_node *node, unsigned timeout_ms, uint8_t **plain, size_t *bytes);

/** What is wrong with a result or package. */
struct wrong {
    bool hash, signature, lease;        /* of a result */
    bool truncated, nonce, base, round; /* of a package */
    const char *error;                  /* of a result: it failed, and why */
    bool zero, flipped;                 /* of an update: nothing in it; against the gradient */
    bool huge;                          /* and far too large: beyond doubt */
    bool resumed; /* nothing wrong: the upload breaks off half way and goes on from there */
};

/** fake_node_answer: an inference result; returns the refusal's code, "" when accepted. */
const char *fake_node_answer(struct fake_node *node, const PB(Task) * task, const char *text,
                             struct wrong wrong);

/** fake_node_gradient: [parameters], set by a test whose honest updates shall lower the held-out
 *  loss; NULL: their signs are random. */
extern const float *fake_node_gradient;

/** fake_node_train: make, upload and report a delta for this task. As fake_node_answer. */
const char *fake_node_train(struct fake_node *node, const PB(Task) * task, const uint8_t *plain,
                            size_t bytes, struct wrong wrong);

/** fake_node_upload: only the first half of fake_node_train; fake_node_report: the second, for the
 *  last package. */
const char *fake_node_upload(struct fake_node *node, const PB(Task) * task, const uint8_t *plain,
                             size_t bytes, struct wrong wrong);
const char *fake_node_report(struct fake_node *node, const PB(Task) * task, struct wrong wrong);

/** fake_node_receipt: what GetReceipt says of the last package: the verdict, and the signed receipt
 *  where there is one (receipt->verdict 0: none). */
const char *fake_node_receipt(struct fake_node *node, struct owm_receipt *receipt);

/** fake_node_model: GetModelVersion; NULL: there is none. */
PB(ModelVersion) * fake_node_model(struct fake_node *node, const char *id);

/** fake_node_earnings: GetEarnings, newest first. */
PB(EarningsResponse) * fake_node_earnings(struct fake_node *node, uint32_t limit);

#endif
