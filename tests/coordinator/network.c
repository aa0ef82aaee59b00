/* network.c: the child process and the operator's side; the node double is fake_node.c. */
#include "network.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/http_client.h"
#include "base/pg/pg.h"
#include "test.h"

#define INTERNAL(name) "/owm.internal.v1.InternalService/" name

void coordinator_option(struct coordinator *c, const char *option)
{
    assert_true(c->option_count < 32);
    snprintf(c->options[c->option_count++], sizeof(c->options[0]), "%s", option);
}

static void make_folder(struct coordinator *c)
{
    char path[128];
    snprintf(c->folder, sizeof(c->folder), "/tmp/owm-coord-XXXXXX");
    assert_non_null(mkdtemp(c->folder));
    snprintf(c->log, sizeof(c->log), "%s/log", c->folder);
    snprintf(path, sizeof(path), "%s/operator.key", c->folder);
    assert_ok(owm_identity_load_or_create(path, &c->operator_identity, NULL, NULL));
}

static void spawn(struct coordinator *c)
{
    char data[128], hex[65], keys[128], nodes[64], internal[64], http[64];
    const char *argv[48] = {OWM_COORDINATOR, data, keys, nodes, internal, http};
    int count = 6;
    owm_hex_encode(owm_identity_public_key(c->operator_identity), 32, hex);
    snprintf(data, sizeof(data), "--server.data_dir=%s/data", c->folder);
    snprintf(keys, sizeof(keys), "--internal.allowed_keys=%s", hex);
    snprintf(nodes, sizeof(nodes), "--server.listen=127.0.0.1:%d", c->nodes_port);
    snprintf(internal, sizeof(internal), "--server.internal_listen=127.0.0.1:%d", c->internal_port);
    snprintf(http, sizeof(http), "--http.port=%d", c->http_port);
    for (int i = 0; i < c->option_count; i++) argv[count++] = c->options[i];
    argv[count] = NULL;
    c->pid = fork();
    if (c->pid != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(c->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 2);
    setenv("DATABASE_URL", c->url, 1);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

/* The last "ready" line after `from` bytes of the log. */
static bool read_ports(struct coordinator *c, size_t from)
{
    uint8_t *text = NULL;
    size_t bytes = 0;
    if (owm_fs_read(c->log, 64 << 20, &text, &bytes, NULL) != OWM_OK) return false;
    const char *at = bytes > from ? strstr((char *)text + from, "ready nodes_port=") : NULL;
    bool found = at
                 && sscanf(at, "ready nodes_port=%d internal_port=%d http_port=%d", &c->nodes_port,
                           &c->internal_port, &c->http_port)
                        == 3;
    free(text);
    return found;
}

static void read_certificate(struct coordinator *c)
{
    char path[128];
    uint8_t *text = NULL;
    size_t bytes = 0;
    snprintf(path, sizeof(path), "%s/data/coordinator.crt", c->folder);
    assert_ok(owm_fs_read(path, 65536, &text, &bytes, NULL));
    free(c->certificate);
    c->certificate = (char *)text;
    assert_ok(owm_cert_public_key(c->certificate, bytes, c->key));
}

static void open_operator(struct coordinator *c)
{
    char target[64];
    struct owm_cert cert = {0};
    snprintf(target, sizeof(target), "127.0.0.1:%d", c->internal_port);
    assert_ok(owm_identity_cert(c->operator_identity, "operator", NULL, &cert, NULL));
    assert_ok(owm_rpc_client_open(
        &c->operator_client,
        &(struct owm_rpc_client_config){.target = target,
                                        .server_certificate_pem = c->certificate,
                                        .certificate_pem = cert.cert_pem,
                                        .key_pem = cert.key_pem,
                                        .reconnect_min_ms = 50,
                                        .reconnect_max_ms = 200,
                                        .wait_for_ready = true},
        NULL));
    owm_cert_deinit(&cert);
}

void coordinator_launch(struct coordinator *c)
{
    uint8_t *text = NULL;
    c->log_bytes = 0;
    if (!c->folder[0]) make_folder(c);
    if (owm_fs_read(c->log, 64 << 20, &text, &c->log_bytes, NULL) == OWM_OK) free(text);
    /* A fork in the middle of gRPC's life disturbs its connections: a new client each time. */
    owm_rpc_client_close(c->operator_client);
    c->operator_client = NULL;
    spawn(c);
}

void coordinator_await(struct coordinator *c)
{
    for (int i = 0; i < 400 && !read_ports(c, c->log_bytes); i++) {
        if (waitpid(c->pid, NULL, WNOHANG) == c->pid) fail_msg("it ended; see %s", c->log);
        if (i == 399) fail_msg("not ready; see %s", c->log);
        owm_clock_sleep_ms(50);
    }
    read_certificate(c);
    open_operator(c);
}

void coordinator_start(struct coordinator *c)
{
    coordinator_launch(c);
    coordinator_await(c);
}

void coordinator_kill(struct coordinator *c)
{
    if (c->pid <= 0) return;
    kill(c->pid, SIGKILL);
    waitpid(c->pid, NULL, 0);
    c->pid = 0;
}

int coordinator_wait(struct coordinator *c)
{
    int status = -1;
    waitpid(c->pid, &status, 0);
    c->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int coordinator_stop(struct coordinator *c)
{
    kill(c->pid, SIGTERM);
    return coordinator_wait(c);
}

void coordinator_close(struct coordinator *c)
{
    coordinator_kill(c);
    owm_rpc_client_close(c->operator_client);
    owm_identity_close(c->operator_identity);
    free(c->certificate);
    if (getenv("OWM_TEST_KEEP")) return; /* to look at the log */
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", c->folder, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
    memset(c, 0, sizeof(*c));
}

bool coordinator_logged(const struct coordinator *c, const char *text)
{
    uint8_t *log = NULL;
    size_t bytes = 0;
    if (owm_fs_read(c->log, 64 << 20, &log, &bytes, NULL) != OWM_OK) return false; /* not yet */
    bool found = strstr((char *)log, text) != NULL;
    free(log);
    return found;
}

int64_t coordinator_count(const struct coordinator *c, const char *sql)
{
    struct owm_pg *pg = NULL;
    struct owm_pg_rows *rows = NULL;
    struct owm_error error = {""};
    assert_ok(owm_pg_open(c->url, &pg, NULL));
    if (owm_pg_query(pg, sql, NULL, &rows, &error) != OWM_OK) fail_msg("%s", error.text);
    int64_t value = owm_pg_rows_count(rows) ? owm_pg_get_i64(rows, 0, 0) : 0;
    owm_pg_rows_free(rows);
    owm_pg_close(pg);
    return value;
}

char *coordinator_page(const struct coordinator *c, const char *path)
{
    char url[128];
    struct owm_http_result result;
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", c->http_port, path);
    assert_ok(owm_http_fetch(&(struct owm_http_call){.url = url}, &result, NULL));
    assert_int_equal(result.status, 200);
    return (char *)result.body;
}

static void *ask(struct coordinator *c, const char *path, const ProtobufCMessageDescriptor *type)
{
    struct owm_rpc_reply reply = {0};
    owm_status status =
        owm_rpc_call_unary(c->operator_client, path, (const uint8_t *)"", 0, 20000, &reply);
    if (status != OWM_OK) fail_msg("%s: %s", path, reply.text);
    void *message = protobuf_c_message_unpack(type, NULL, reply.length, reply.bytes);
    owm_rpc_reply_free(&reply);
    assert_non_null(message);
    return message;
}

PBI(NetworkStatusResponse) * ask_network(struct coordinator *c)
{
    return ask(c, INTERNAL("NetworkStatus"),
               &owm__internal__v1__network_status_response__descriptor);
}

PBI(AuditResponse) * ask_audit(struct coordinator *c)
{
    return ask(c, INTERNAL("AuditLedger"), &owm__internal__v1__audit_response__descriptor);
}

void try_inference(struct coordinator *c, const char *key, const char *min_tier,
                   char task_id[static 40], char code[static 32])
{
    PB(InferencePayload) payload = OWM__COORDINATOR__V1__INFERENCE_PAYLOAD__INIT;
    PBI(SubmitTaskRequest) request = OWM__INTERNAL__V1__SUBMIT_TASK_REQUEST__INIT;
    uint8_t inner[256], outer[512];
    struct owm_rpc_reply reply = {0};
    payload.prompt = (char *)"What is a satoshi?";
    payload.max_tokens = 8;
    request.task_type = (char *)"inference";
    request.payload = (ProtobufCBinaryData){
        owm__coordinator__v1__inference_payload__pack(&payload, inner), inner};
    request.timeout_seconds = 60;
    request.min_tier = (char *)min_tier;
    request.idempotency_key = (char *)key;
    size_t bytes = owm__internal__v1__submit_task_request__pack(&request, outer);
    if (owm_rpc_call_unary(c->operator_client, "/owm.internal.v1.InternalService/SubmitTask", outer,
                           bytes, 10000, &reply)
        != OWM_OK)
        fail_msg("SubmitTask: %s", reply.text);
    PBI(SubmitTaskResponse) *answer =
        owm__internal__v1__submit_task_response__unpack(NULL, reply.length, reply.bytes);
    snprintf(code, 32, "%s", answer->error);
    snprintf(task_id, 40, "%s", answer->task_id);
    owm__internal__v1__submit_task_response__free_unpacked(answer, NULL);
    owm_rpc_reply_free(&reply);
}

void ask_inference(struct coordinator *c, const char *key, char *task_id)
{
    char code[32], id[40];
    try_inference(c, key, "", id, code);
    assert_string_equal(code, "");
    if (task_id) memcpy(task_id, id, sizeof(id));
}

PBI(ListRoundsResponse) * ask_rounds(struct coordinator *c)
{
    return ask(c, INTERNAL("ListRounds"), &owm__internal__v1__list_rounds_response__descriptor);
}

PBI(ListVersionsResponse) * ask_versions(struct coordinator *c)
{
    return ask(c, INTERNAL("ListVersions"), &owm__internal__v1__list_versions_response__descriptor);
}
