/* measure_rpc.c: calls per second of a unary echo over mTLS, and the server's memory per idle
 * connection. A measurement, not a test of speed: it fails only if a call fails.
 *
 *     measure_rpc [clients [window [milliseconds [server_threads [client_threads [idle]]]]]]
 *
 * Server and clients are two processes, as in life; bind them with taskset to share cores.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/rpc/rpc.h"
#include "rpc_pki.h"

#define REQUEST_BYTES 64

static struct pki server_pki, client_pki;
static const uint8_t request[REQUEST_BYTES];

struct shape {
    unsigned clients, window, duration_ms, server_threads, client_threads, idle;
};

static atomic_ullong calls, failures;
static atomic_bool stop;
static atomic_uint in_flight;

static void on_echo(void *app, struct owm_rpc_call *call, const uint8_t *bytes, size_t length)
{
    (void)app;
    (void)owm_rpc_reply(call, bytes, length);
}

static const struct owm_rpc_method methods[] = {
    {.path = "/m/Echo", .kind = OWM_RPC_UNARY, .on_message = on_echo},
};

static void again(void *user, owm_status status, const struct owm_rpc_reply *reply)
{
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    if (status != OWM_OK && atomic_fetch_add(&failures, 1) == 0)
        fprintf(stderr, "%s: %s\n", owm_rpc_code_name(reply->code), reply->text);
    if (status == OWM_OK && !atomic_load_explicit(&stop, memory_order_relaxed)
        && owm_rpc_call_unary_async(user, "/m/Echo", request, sizeof request, 60000, again, user)
               == OWM_OK)
        return;
    atomic_fetch_sub(&in_flight, 1);
}

static void once(void *user, owm_status status, const struct owm_rpc_reply *reply)
{
    (void)user;
    if (status != OWM_OK && atomic_fetch_add(&failures, 1) == 0)
        fprintf(stderr, "%s: %s\n", owm_rpc_code_name(reply->code), reply->text);
    atomic_fetch_sub(&in_flight, 1);
}

static struct owm_rpc_client *open_one(const char *target, struct owm_rpc_cq *cq)
{
    struct owm_rpc_client_config config = {.target = target,
                                           .server_certificate_pem = server_pki.certificate_pem,
                                           .certificate_pem = client_pki.certificate_pem,
                                           .key_pem = client_pki.key_pem,
                                           .cq = cq};
    struct owm_rpc_client *client = NULL;
    struct owm_error error;
    if (owm_rpc_client_open(&client, &config, &error) != OWM_OK) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    return client;
}

static void start(struct owm_rpc_client *client, owm_rpc_done done)
{
    atomic_fetch_add(&in_flight, 1);
    if (owm_rpc_call_unary_async(client, "/m/Echo", request, sizeof request, 60000, done, client)
        != OWM_OK)
        exit(1);
}

static void settle(void)
{
    while (atomic_load(&in_flight) > 0) usleep(1000);
}

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
           + 1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* Connect and call once each, 32 at a time, so that handshakes do not pile up. */
static void connect_all(struct owm_rpc_client **clients, unsigned count, const char *target,
                        struct owm_rpc_cq *cq)
{
    for (unsigned i = 0; i < count; i++) {
        clients[i] = open_one(target, cq);
        start(clients[i], once);
        while (atomic_load(&in_flight) >= 32) usleep(200);
    }
    settle();
}

/* The child's side: calls, then idle connections held until the parent has looked. */
static int run_clients(const struct shape *shape, int port, int tell, int hear)
{
    char target[32], go;
    snprintf(target, sizeof target, "127.0.0.1:%d", port);
    struct owm_rpc_cq *cq;
    if (owm_rpc_cq_open(&cq, shape->client_threads) != OWM_OK) return 1;
    unsigned most = shape->clients > shape->idle ? shape->clients : shape->idle;
    struct owm_rpc_client **clients = calloc(most, sizeof *clients);
    if (!clients) return 1;
    connect_all(clients, shape->clients, target, cq);
    double begin = now_s(), cpu = cpu_s();
    for (unsigned i = 0; i < shape->clients * shape->window; i++)
        start(clients[i % shape->clients], again);
    usleep(shape->duration_ms * 1000);
    double done = (double)atomic_load(&calls), took = now_s() - begin;
    atomic_store(&stop, true);
    settle();
    cpu = cpu_s() - cpu;
    printf("unary echo of %d bytes over mTLS: %.0f calls/s (%u clients x %u in flight)\n",
           REQUEST_BYTES, done / took, shape->clients, shape->window);
    printf("client processor time: %.1f us per call\n", 1e6 * cpu / (double)atomic_load(&calls));
    for (unsigned i = 0; i < shape->clients; i++) owm_rpc_client_close(clients[i]);
    if (write(tell, "c", 1) != 1 || read(hear, &go, 1) != 1) return 1;
    begin = now_s();
    connect_all(clients, shape->idle, target, cq);
    printf("%u connections, handshake and one call each: %.0f per second\n", shape->idle,
           shape->idle / (now_s() - begin));
    if (write(tell, "i", 1) != 1 || read(hear, &go, 1) != 1) return 1;
    for (unsigned i = 0; i < shape->idle; i++) owm_rpc_client_close(clients[i]);
    owm_rpc_cq_close(cq);
    free(clients);
    return atomic_load(&failures) ? 1 : 0;
}

static double rss_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%*u %lu", &pages) != 1) pages = 0;
    if (file) fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static int run_server(const struct shape *shape, int port_to, int tell, int hear)
{
    static const char *const addresses[] = {"127.0.0.1:0"};
    struct owm_rpc_server_config config = {.addresses = addresses,
                                           .address_count = 1,
                                           .certificate_pem = server_pki.certificate_pem,
                                           .key_pem = server_pki.key_pem,
                                           .methods = methods,
                                           .method_count = 1,
                                           .threads = shape->server_threads};
    struct owm_rpc_server *server;
    struct owm_error error = {0};
    char event;
    if (owm_rpc_server_open(&server, &config, &error) != OWM_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    int port = owm_rpc_server_port(server, 0);
    bool fine = write(port_to, &port, sizeof port) == sizeof port && read(hear, &event, 1) == 1;
    double before = rss_bytes(), cpu = cpu_s();
    struct owm_rpc_counters counters;
    owm_rpc_server_counters(server, &counters);
    printf("server processor time: %.1f us per call\n", 1e6 * cpu / (double)counters.started);
    fine = fine && write(tell, "g", 1) == 1 && read(hear, &event, 1) == 1;
    if (fine && shape->idle)
        printf("server, per idle connection: %.0f bytes, %.0f us for its handshake\n",
               (rss_bytes() - before) / shape->idle, 1e6 * (cpu_s() - cpu) / shape->idle);
    fine = fine && write(tell, "g", 1) == 1;
    int status = 1;
    wait(&status);
    owm_rpc_server_close(server, 1000);
    return fine && status == 0 ? 0 : 1;
}

static unsigned argument(int argc, char **argv, int index, unsigned fallback)
{
    return argc > index ? (unsigned)strtoul(argv[index], NULL, 10) : fallback;
}

int main(int argc, char **argv)
{
    struct shape shape = {.clients = argument(argc, argv, 1, 8),
                          .window = argument(argc, argv, 2, 16),
                          .duration_ms = argument(argc, argv, 3, 300),
                          .server_threads = argument(argc, argv, 4, 2),
                          .client_threads = argument(argc, argv, 5, 2),
                          .idle = argument(argc, argv, 6, 100)};
    int to_child[2], to_parent[2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    pki_make(&server_pki, "owm-coordinator", true);
    pki_make(&client_pki, "owm-node", true);
    if (shape.clients == 0 || pipe(to_child) != 0 || pipe(to_parent) != 0) return 1;
    pid_t child = fork(); /* before gRPC starts its threads */
    if (child == 0) {
        int port;
        if (read(to_child[0], &port, sizeof port) != sizeof port) return 1;
        return run_clients(&shape, port, to_parent[1], to_child[0]);
    }
    return run_server(&shape, to_child[1], to_child[1], to_parent[0]);
}
