/* net.c: open and close of all loops: limits, descriptors, listeners, memory, threads. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "net_internal.h"

#define CONNECTIONS_DEFAULT   65536
#define RECEIVE_BYTES_DEFAULT 4096
#define SEND_BYTES_DEFAULT    (256u << 10)
#define SHARED_SEND_DEFAULT   (64ull << 20)
#define RECEIVE_BYTES_MAX     (16u << 20)
#define SEND_BYTES_MAX        (1u << 30)
#define LOOP_FILES            8   /* Listener, spare, wake, ring or epoll, and some reserve. */
#define OTHER_FILES           128 /* Of the rest of the program. */
#define LARGE_PAGES_SHARE     4 /* A quarter of the send memory is for reservations over a page. */

static unsigned usable_cores(cpu_set_t *set)
{
    CPU_ZERO(set);
    if (sched_getaffinity(0, sizeof *set, set) != 0) return 0;
    return (unsigned)CPU_COUNT(set);
}

unsigned owm_net_loops_default(void)
{
    cpu_set_t set;
    unsigned cores = usable_cores(&set);
    return cores < 1 ? 1 : cores > OWM_NET_LOOPS_MAX ? OWM_NET_LOOPS_MAX : cores;
}

/* The index-th core that this process may use, over and over again; -1: unknown. */
static int nth_core(unsigned index)
{
    cpu_set_t set;
    unsigned cores = usable_cores(&set);
    if (cores == 0) return -1;
    index %= cores;
    for (int core = 0; core < CPU_SETSIZE; core++)
        if (CPU_ISSET((unsigned)core, &set) && index-- == 0) return core;
    return -1;
}

static void take_limits(struct owm_net *net, const struct owm_net_options *options)
{
    net->connections_max =
        options->connections_max ? options->connections_max : CONNECTIONS_DEFAULT;
    net->receive_bytes = options->receive_bytes ? options->receive_bytes : RECEIVE_BYTES_DEFAULT;
    net->send_bytes_max = options->send_bytes_max ? options->send_bytes_max : SEND_BYTES_DEFAULT;
    net->shared_send_bytes =
        options->shared_send_bytes ? options->shared_send_bytes : SHARED_SEND_DEFAULT;
    net->shared_receive_bytes = options->shared_receive_bytes
                                    ? options->shared_receive_bytes
                                    : (uint64_t)net->connections_max * net->receive_bytes;
    OWM_ASSERT(net->loops <= OWM_NET_LOOPS_MAX);
    OWM_ASSERT(net->connections_max <= OWM_NET_CONNECTIONS_MAX);
    OWM_ASSERT(net->receive_bytes <= RECEIVE_BYTES_MAX && net->send_bytes_max <= SEND_BYTES_MAX);
}

static owm_status allow_files(const struct owm_net *net, struct owm_error *error)
{
    struct rlimit limit;
    rlim_t need = (rlim_t)net->loops * (net->connections_max + LOOP_FILES) + OTHER_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need) return OWM_OK;
    rlim_t had = limit.rlim_cur;
    limit.rlim_cur = need;
    if (limit.rlim_max >= need && setrlimit(RLIMIT_NOFILE, &limit) == 0) return OWM_OK;
    return owm_fail(error, OWM_E_LIMIT,
                    "%u connections on each of %u loops need %llu open files and this program may "
                    "have %llu: run 'ulimit -n %llu' before it (systemd: LimitNOFILE=%llu), or "
                    "allow fewer connections",
                    net->connections_max, net->loops, (unsigned long long)need,
                    (unsigned long long)(limit.rlim_max < need ? limit.rlim_max : had),
                    (unsigned long long)need, (unsigned long long)need);
}

/* A named transport or none; AUTO takes epoll and says so where io_uring is off. */
static owm_status choose_transport(enum owm_net_transport wanted, struct owm_net *net,
                                   struct owm_error *error)
{
    struct owm_error why = {0};
    net->transport = wanted == OWM_NET_EPOLL ? &net_epoll : &net_uring;
    owm_status status = net->transport->check(&why);
    if (status == OWM_OK) return OWM_OK;
    if (wanted != OWM_NET_AUTO) return owm_fail(error, status, "%s", why.text);
    owm_log(OWM_LOG_INFO, "net_transport name=epoll reason=\"%s\"", why.text);
    net->transport = &net_epoll;
    return net->transport->check(error);
}

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static size_t at_least_one(uint64_t slots)
{
    return slots > 0 ? (size_t)slots : 1;
}

static owm_status open_memory(struct owm_net_loop *loop, struct owm_error *error)
{
    const struct owm_net *net = loop->net;
    uint64_t large = net->shared_send_bytes / LARGE_PAGES_SHARE;
    size_t kept_bytes = round_up(net->receive_bytes, 64);
    size_t conn_bytes = round_up(sizeof(struct owm_net_conn), 64);
    owm_status status = net_arena_open(&loop->conns, conn_bytes, net->connections_max);
    if (status == OWM_OK)
        status = net_arena_open(&loop->kept, kept_bytes,
                                at_least_one(net->shared_receive_bytes / net->receive_bytes));
    if (status == OWM_OK)
        status = net_arena_open(&loop->pages, NET_PAGE_BYTES,
                                at_least_one((net->shared_send_bytes - large) / NET_PAGE_BYTES));
    if (status == OWM_OK)
        status = net_arena_open(&loop->large_pages, NET_LARGE_BYTES,
                                at_least_one(large / NET_LARGE_BYTES));
    /* Those of connections are looked at when free: late events ask for their generation. */
    loop->kept.guarded = loop->pages.guarded = loop->large_pages.guarded = true;
    if (status == OWM_OK) return OWM_OK;
    return owm_fail(error, status, "no memory for %u connections", net->connections_max);
}

static owm_status open_loop(struct owm_net_loop *loop, const struct owm_net_options *options,
                            struct owm_error *error)
{
    struct owm_net *net = loop->net;
    uint16_t port = net->port ? net->port : options->port;
    owm_status status = net_listen(options, port, &loop->listener, error);
    if (status != OWM_OK) return status;
    if (!net->port) net->port = net_listen_port(loop->listener);
    loop->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->spare < 0 || loop->wake_fd < 0)
        return owm_fail(error, OWM_E_LIMIT, "no descriptor for a network thread: %s",
                        strerror(errno));
    return open_memory(loop, error);
}

static void init_loop(struct owm_net *net, unsigned index, const struct owm_net_options *options)
{
    struct owm_net_loop *loop = &net->loop[index];
    loop->net = net;
    loop->transport = net->transport;
    loop->handler = options->handler;
    loop->ctx = options->ctx[index];
    loop->index = index;
    loop->core = options->pin ? nth_core(index) : -1;
    loop->listener = loop->spare = loop->wake_fd = -1;
    (void)sem_init(&loop->started, 0, 0);
    (void)sem_init(&loop->go, 0, 0);
}

static void close_fd(int fd)
{
    if (fd >= 0) (void)close(fd);
}

static void free_net(struct owm_net *net)
{
    for (unsigned i = 0; i < net->loops && net->loop; i++) {
        struct owm_net_loop *loop = &net->loop[i];
        close_fd(loop->listener);
        close_fd(loop->spare);
        close_fd(loop->wake_fd);
        net_arena_close(&loop->conns);
        net_arena_close(&loop->kept);
        net_arena_close(&loop->pages);
        net_arena_close(&loop->large_pages);
        (void)sem_destroy(&loop->started);
        (void)sem_destroy(&loop->go);
    }
    free(net->loop);
    free(net);
}

static void wake_thread(struct owm_net_loop *loop)
{
    const uint64_t one = 1;
    if (atomic_exchange(&loop->wake_signalled, true)) return;
    ssize_t written = write(loop->wake_fd, &one, sizeof one);
    (void)written; /* It fails only when the counter is full, and then the loop is awake. */
}

/* Starts the threads one by one, so that a failing start() leaves as few as may be to take back.
 * Returns how many run. */
static unsigned start_loops(struct owm_net *net, owm_status *status, struct owm_error *error)
{
    sigset_t all, before;
    sigfillset(&all); /* Signals are for the program's own threads. */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    unsigned running = 0;
    *status = OWM_OK;
    while (running < net->loops && *status == OWM_OK) {
        struct owm_net_loop *loop = &net->loop[running];
        if (pthread_create(&loop->thread, NULL, net_loop_main, loop) != 0) {
            *status = owm_fail(error, OWM_E_NOMEM, "no thread for network loop %u", running);
            break;
        }
        while (sem_wait(&loop->started) != 0) {
        }
        running++;
        *status = loop->start_status;
        if (*status != OWM_OK && error) *error = loop->start_error;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return running;
}

static void join_loops(struct owm_net *net, unsigned running)
{
    for (unsigned i = 0; i < running; i++) {
        atomic_store(&net->loop[i].stop, true);
        wake_thread(&net->loop[i]);
        (void)sem_post(&net->loop[i].go);
    }
    for (unsigned i = 0; i < running; i++) (void)pthread_join(net->loop[i].thread, NULL);
}

static owm_status prepare(struct owm_net *net, const struct owm_net_options *options,
                          struct owm_error *error)
{
    net->loops = options->loops ? options->loops : owm_net_loops_default();
    take_limits(net, options);
    owm_status status = allow_files(net, error);
    if (status == OWM_OK) status = choose_transport(options->transport, net, error);
    if (status == OWM_OK && options->port) status = net_listen_check(options, error);
    if (status != OWM_OK) return status;
    /* Aligned, because each loop's counters and lists are another core's business. */
    size_t bytes = round_up(net->loops * sizeof *net->loop, 64);
    net->loop = aligned_alloc(64, bytes);
    if (!net->loop) return owm_fail(error, OWM_E_NOMEM, "no memory for %u loops", net->loops);
    memset(net->loop, 0, bytes);
    for (unsigned i = 0; i < net->loops; i++) init_loop(net, i, options);
    for (unsigned i = 0; i < net->loops && status == OWM_OK; i++)
        status = open_loop(&net->loop[i], options, error);
    return status;
}

owm_status owm_net_open(const struct owm_net_options *options, struct owm_net **out,
                        struct owm_error *error)
{
    *out = NULL;
    struct owm_net *net = calloc(1, sizeof *net);
    if (!net) return owm_fail(error, OWM_E_NOMEM, "no memory for the network");
    owm_status status = prepare(net, options, error);
    if (status == OWM_OK) {
        unsigned running = start_loops(net, &status, error);
        if (status != OWM_OK) join_loops(net, running);
    }
    if (status != OWM_OK) {
        free_net(net);
        return status;
    }
    for (unsigned i = 0; i < net->loops; i++) (void)sem_post(&net->loop[i].go);
    *out = net;
    return OWM_OK;
}

uint16_t owm_net_port(const struct owm_net *net)
{
    return net->port;
}

const char *owm_net_transport_name(const struct owm_net *net)
{
    return net->transport->name;
}

void owm_net_stop_accepting(struct owm_net *net)
{
    for (unsigned i = 0; i < net->loops; i++) {
        atomic_store(&net->loop[i].stop_accepting, true);
        wake_thread(&net->loop[i]);
    }
}

void owm_net_close(struct owm_net *net)
{
    if (!net) return;
    join_loops(net, net->loops);
    free_net(net);
}

void owm_net_wake(struct owm_net_loop *loop)
{
    atomic_store(&loop->wake, true);
    wake_thread(loop);
}

static uint64_t reserved_bytes(const struct net_arena *arena)
{
    return arena->slot_bytes * arena->slots;
}

static uint64_t touched_bytes(const struct net_arena *arena)
{
    return arena->slot_bytes * atomic_load_explicit(&arena->touched, memory_order_relaxed);
}

static uint64_t read_counter(const atomic_uint_least64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void owm_net_loop_stats(const struct owm_net *net, unsigned index, struct owm_net_stats *stats)
{
    OWM_ASSERT(index < net->loops);
    const struct owm_net_loop *loop = &net->loop[index];
    const struct net_counters *from = &loop->stats;
    const struct net_arena *arenas[] = {&loop->conns, &loop->kept, &loop->pages,
                                        &loop->large_pages};
    *stats = (struct owm_net_stats){
        .accepted = read_counter(&from->accepted),
        .refused = read_counter(&from->refused),
        .closed = read_counter(&from->closed),
        .received_bytes = read_counter(&from->received_bytes),
        .sent_bytes = read_counter(&from->sent_bytes),
        .turns = read_counter(&from->turns),
        .syscalls = read_counter(&from->syscalls),
        .connections = read_counter(&from->connections),
        .connections_peak = read_counter(&from->connections_peak),
        .memory_bytes = sizeof *loop + loop->transport_bytes,
        .memory_touched_bytes = sizeof *loop + loop->transport_bytes,
    };
    for (size_t i = 0; i < sizeof arenas / sizeof arenas[0]; i++) {
        stats->memory_bytes += reserved_bytes(arenas[i]);
        stats->memory_touched_bytes += touched_bytes(arenas[i]);
    }
}
