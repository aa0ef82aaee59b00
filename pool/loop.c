/* loop.c: one core's part of the pool, as the handler of a net's loop. */
#include "loop.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gate.h"
#include "link.h"

#define EPHEMERALS_A_TURN 4 /* About 140 us, */
#define EPHEMERALS_MS     1 /* and then somebody else may want the core. */
#define NONE              UINT32_MAX

/** mail: a work on its way to the loop. */
struct mail {
    struct owm_work *work;
    uint64_t posted_ns;
};

/** farewell: where its miners shall go. */
struct farewell {
    char host[OWM_SV2_STRING_BYTES_MAX + 1];
    uint16_t port;
};

/** seat: a connection's place in the loop. */
struct seat {
    struct owm_link link;
    struct owm_pool_loop *loop;
    struct owm_net_conn *conn;
    uint8_t address[16];
    char peer[OWM_PEER_TEXT_BYTES];
    uint32_t next_free;
    bool shaking; /* Counts as an unfinished handshake. */
};

struct owm_pool_loop {
    struct owm_hall *hall;
    struct owm_admission *admission;
    struct owm_journal *journal;
    struct owm_gate gate;
    struct seat *seat;
    uint32_t seats, free_seat;
    int64_t wall_offset_ms; /* Of the wall clock from the monotonic one, as of this turn. */
    bool received, told_failed;
    _Atomic(struct mail *) mail;
    _Atomic(struct farewell *) farewell;
    pthread_mutex_t waking; /* For net_loop: whoever wakes it must be done before it goes. */
    struct owm_net_loop *net_loop;
};

/* The journal as the hall sees it. */

static owm_status log_append(void *ctx, const struct owm_share *share,
                             const struct owm_miner *miner, const struct owm_worker *worker,
                             uint64_t *sequence)
{
    struct owm_pool_loop *loop = ctx;
    owm_status status = owm_journal_append(loop->journal, share, miner, worker, sequence);
    if (status == OWM_E_IO && !loop->told_failed) {
        const char *why = owm_journal_failed(loop->journal);
        owm_log(OWM_LOG_ERROR, "journal_failed reason=\"%s\" effect=\"no share is accepted\"",
                why ? why : "unknown");
        loop->told_failed = true;
    }
    return status;
}

static void log_commit(void *ctx)
{
    owm_journal_commit(((struct owm_pool_loop *)ctx)->journal);
}

static uint64_t log_durable(void *ctx)
{
    return owm_journal_durable(((struct owm_pool_loop *)ctx)->journal);
}

static void wake(struct owm_pool_loop *loop)
{
    pthread_mutex_lock(&loop->waking);
    if (loop->net_loop) owm_net_wake(loop->net_loop);
    pthread_mutex_unlock(&loop->waking);
}

static void set_net_loop(struct owm_pool_loop *loop, struct owm_net_loop *net_loop)
{
    pthread_mutex_lock(&loop->waking);
    loop->net_loop = net_loop;
    pthread_mutex_unlock(&loop->waking);
}

static void on_durable(void *ctx)
{
    wake(ctx);
}

/* Time. */

static struct owm_pool_time time_now(const struct owm_pool_loop *loop)
{
    uint64_t mono_ns = owm_clock_mono_ns();
    return (struct owm_pool_time){mono_ns, (int64_t)(mono_ns / 1000000) + loop->wall_offset_ms};
}

static void read_wall_clock(struct owm_pool_loop *loop)
{
    loop->wall_offset_ms = owm_clock_wall_ms() - (int64_t)owm_clock_mono_ms();
}

/* Open and close. */

static owm_status take_seats(struct owm_pool_loop *loop, uint32_t count, struct owm_error *error)
{
    loop->seat = calloc(count, sizeof *loop->seat);
    if (!loop->seat)
        return owm_fail(error, OWM_E_NOMEM,
                        "no memory for %u connections of a loop: lower "
                        "pool.connections",
                        count);
    loop->seats = count;
    for (uint32_t i = 0; i < count; i++) {
        loop->seat[i].loop = loop;
        loop->seat[i].next_free = i + 1 < count ? i + 1 : NONE;
    }
    return OWM_OK;
}

static owm_status open_parts(struct owm_pool_loop *loop,
                             const struct owm_pool_loop_options *options, struct owm_error *error)
{
    struct owm_hall_options hall = options->hall;
    hall.log = (struct owm_share_log){log_append, log_commit, log_durable, loop};
    hall.clock_ns = owm_clock_mono_ns;
    memcpy(hall.authority, options->credentials->authority, sizeof hall.authority);
    if (!hall.sessions_max) hall.sessions_max = 65536;
    if (owm_gate_init(&loop->gate, options->credentials, hall.sessions_max) != OWM_OK)
        return owm_fail(error, OWM_E_NOMEM, "no memory for the keys of a loop's handshakes");
    owm_status status = take_seats(loop, hall.sessions_max, error);
    if (status == OWM_OK) status = owm_hall_open(&hall, time_now(loop), &loop->hall, error);
    if (status != OWM_OK) return status;
    struct owm_admission_options admission = options->admission;
    admission.connections_max = hall.sessions_max;
    status = owm_admission_open(&admission, &loop->admission);
    if (status != OWM_OK)
        return owm_fail(error, status, "the pool's limits per address: %s",
                        owm_status_text(status));
    struct owm_journal_options journal = {
        .folder = options->journal_folder,
        .loop = options->hall.loop,
        .segment_bytes = options->journal_segment_bytes,
        .on_durable = on_durable,
        .ctx = loop,
    };
    return owm_journal_open(&journal, &loop->journal, error);
}

owm_status owm_pool_loop_open(const struct owm_pool_loop_options *options,
                              struct owm_pool_loop **out, struct owm_error *error)
{
    struct owm_pool_loop *loop = calloc(1, sizeof *loop);
    if (!loop) return owm_fail(error, OWM_E_NOMEM, "no memory for a loop of the pool");
    pthread_mutex_init(&loop->waking, NULL);
    read_wall_clock(loop);
    owm_status status = open_parts(loop, options, error);
    if (status != OWM_OK) {
        owm_pool_loop_close(loop);
        return status;
    }
    *out = loop;
    return OWM_OK;
}

static void drop_mail(struct mail *mail)
{
    if (!mail) return;
    owm_work_release(mail->work);
    free(mail);
}

void owm_pool_loop_close(struct owm_pool_loop *loop)
{
    if (!loop) return;
    owm_journal_close(loop->journal);
    drop_mail(atomic_exchange(&loop->mail, NULL));
    free(atomic_exchange(&loop->farewell, NULL));
    owm_hall_close(loop->hall);
    owm_admission_close(loop->admission);
    if (loop->gate.max) owm_gate_deinit(&loop->gate);
    pthread_mutex_destroy(&loop->waking);
    free(loop->seat);
    free(loop);
}

/* What other threads have for it. */

owm_status owm_pool_loop_post_work(struct owm_pool_loop *loop, struct owm_work *work)
{
    struct mail *mail = malloc(sizeof *mail);
    if (!mail) return OWM_E_NOMEM;
    *mail = (struct mail){owm_work_retain(work), owm_clock_mono_ns()};
    drop_mail(atomic_exchange(&loop->mail, mail));
    wake(loop);
    return OWM_OK;
}

void owm_pool_loop_set_credentials(struct owm_pool_loop *loop,
                                   const struct owm_sv2_credentials *credentials)
{
    owm_gate_replace(&loop->gate, credentials);
    wake(loop);
}

owm_status owm_pool_loop_reconnect(struct owm_pool_loop *loop, const char *host, uint16_t port)
{
    if (strlen(host) > OWM_SV2_STRING_BYTES_MAX) return OWM_E_ARG;
    struct farewell *farewell = calloc(1, sizeof *farewell);
    if (!farewell) return OWM_E_NOMEM;
    snprintf(farewell->host, sizeof farewell->host, "%s", host);
    farewell->port = port;
    free(atomic_exchange(&loop->farewell, farewell));
    wake(loop);
    return OWM_OK;
}

static void take_farewell(struct owm_pool_loop *loop)
{
    struct farewell *farewell = atomic_exchange(&loop->farewell, NULL);
    if (!farewell) return;
    owm_hall_reconnect(loop->hall, farewell->host, farewell->port);
    free(farewell);
}

static void take_mail(struct owm_pool_loop *loop)
{
    struct mail *mail = atomic_exchange(&loop->mail, NULL);
    if (!mail) return;
    owm_hall_work(loop->hall, mail->work, mail->posted_ns);
    free(mail);
}

const struct owm_pool_stats *owm_pool_loop_stats(const struct owm_pool_loop *loop)
{
    return owm_hall_stats(loop->hall);
}

struct owm_workers *owm_pool_loop_workers(struct owm_pool_loop *loop)
{
    return owm_hall_workers(loop->hall);
}

const struct owm_journal *owm_pool_loop_journal(const struct owm_pool_loop *loop)
{
    return loop->journal;
}

/* The wire of a connection. */

/** No room: a slow reader, unless nothing waits for it, since then it is gone already. */
static uint8_t *wire_reserve(void *ctx, size_t bytes)
{
    struct seat *seat = ctx;
    uint8_t *out = owm_net_reserve(seat->conn, bytes);
    if (!out && owm_net_waiting(seat->conn) == 0)
        owm_session_end(seat->link.session, OWM_CLOSE_PEER);
    return out;
}

static void wire_commit(void *ctx, size_t bytes)
{
    owm_net_commit(((struct seat *)ctx)->conn, bytes);
}

static void wire_close(void *ctx, const char *reason, bool flush)
{
    owm_net_close_conn(((struct seat *)ctx)->conn, reason, flush);
}

/* The handler. */

static owm_status on_start(void *ctx, struct owm_net_loop *net_loop, struct owm_error *error)
{
    struct owm_pool_loop *loop = ctx;
    (void)error;
    set_net_loop(loop, net_loop);
    owm_hall_clock(loop->hall, time_now(loop));
    take_mail(loop);
    return OWM_OK;
}

static void on_stop(void *ctx)
{
    set_net_loop(ctx, NULL);
}

static void write_peer(const struct owm_net_peer *peer, char *text)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char address[INET6_ADDRSTRLEN] = "?";
    bool v4 = memcmp(peer->address, mapped, sizeof mapped) == 0;
    inet_ntop(v4 ? AF_INET : AF_INET6, peer->address + (v4 ? 12 : 0), address, sizeof address);
    snprintf(text, OWM_PEER_TEXT_BYTES, v4 ? "%s:%u" : "[%s]:%u", address, peer->port);
}

/** Refused before anything is read: a connection costs its address a token. */
static bool admit(struct owm_pool_loop *loop, const struct owm_net_peer *peer)
{
    static const enum owm_close reasons[] = {
        [OWM_REFUSED_RATE] = OWM_CLOSE_RATE,
        [OWM_REFUSED_HANDSHAKES] = OWM_CLOSE_HANDSHAKES,
        [OWM_REFUSED_ADDRESS] = OWM_CLOSE_ADDRESS,
        [OWM_REFUSED_FULL] = OWM_CLOSE_SESSIONS,
    };
    int64_t now_ms = (int64_t)owm_clock_mono_ms();
    enum owm_admission_answer answer = owm_admission_enter(loop->admission, peer->address, now_ms);
    if (answer == OWM_ADMITTED) return true;
    owm_count(&owm_hall_counters(loop->hall)->closed[reasons[answer]], 1);
    return false;
}

static void *on_accept(void *ctx, struct owm_net_conn *conn, const struct owm_net_peer *peer)
{
    struct owm_pool_loop *loop = ctx;
    if (!admit(loop, peer)) return NULL;
    struct owm_link_owner owner = {loop->hall, &loop->gate};
    struct seat *seat = loop->free_seat == NONE ? NULL : &loop->seat[loop->free_seat];
    struct owm_wire wire = {wire_reserve, wire_commit, wire_close, seat};
    owm_hall_clock(loop->hall, time_now(loop));
    if (seat) {
        seat->conn = conn;
        write_peer(peer, seat->peer);
    }
    struct owm_peer who = {seat ? seat->peer : "",
                           owm_admission_key(loop->admission, peer->address)};
    if (!seat || !owm_link_open(&seat->link, &owner, &wire, &who)) {
        owm_admission_done(loop->admission);
        owm_admission_leave(loop->admission, peer->address);
        owm_count(&owm_hall_counters(loop->hall)->closed[OWM_CLOSE_SESSIONS], 1);
        return NULL;
    }
    loop->free_seat = seat->next_free;
    memcpy(seat->address, peer->address, sizeof seat->address);
    seat->shaking = true;
    return seat;
}

static void end_of_handshake(struct seat *seat)
{
    if (!seat->shaking) return;
    seat->shaking = false;
    owm_admission_done(seat->loop->admission);
}

/** Once per address: what speaks Stratum v1 tries again for ever (SRS-SEC-16). */
static void tell_of_text(struct seat *seat)
{
    struct owm_pool_loop *loop = seat->loop;
    if (!owm_admission_tell_once(loop->admission, seat->address, (int64_t)owm_clock_mono_ms()))
        return;
    owm_log(OWM_LOG_WARN,
            "stratum_v1_refused peer=%s help=\"this port speaks Stratum v2 only: use firmware with "
            "Stratum v2, or a translator proxy in front of the miner (docs/mining-pool.md)\"",
            seat->peer);
}

static size_t on_receive(void *ctx, void *conn_ctx, uint8_t *data, size_t bytes)
{
    struct owm_pool_loop *loop = ctx;
    struct seat *seat = conn_ctx;
    owm_hall_clock(loop->hall, time_now(loop));
    loop->received = true;
    size_t used = owm_link_receive(&seat->link, data, bytes);
    if (seat->link.state != OWM_LINK_ACT1) end_of_handshake(seat);
    if (seat->link.spoke_text) tell_of_text(seat);
    return used;
}

static void on_wake(void *ctx)
{
    struct owm_pool_loop *loop = ctx;
    owm_hall_clock(loop->hall, time_now(loop));
    owm_gate_refresh(&loop->gate);
    take_mail(loop);
    take_farewell(loop);
    owm_hall_acks(loop->hall);
}

static int64_t on_turn_end(void *ctx, int64_t now_ms)
{
    struct owm_pool_loop *loop = ctx;
    read_wall_clock(loop);
    owm_hall_clock(loop->hall, time_now(loop));
    int64_t next_ms = owm_hall_turn(loop->hall);
    bool more = !loop->received && owm_gate_fill(&loop->gate, EPHEMERALS_A_TURN);
    loop->received = false;
    if (more && next_ms > now_ms + EPHEMERALS_MS) next_ms = now_ms + EPHEMERALS_MS;
    return next_ms ? next_ms : now_ms;
}

static void on_closed(void *ctx, void *conn_ctx, const char *reason)
{
    struct owm_pool_loop *loop = ctx;
    struct seat *seat = conn_ctx;
    (void)reason; /* The session knows: it asked for it, or its peer went away. */
    owm_hall_clock(loop->hall, time_now(loop));
    end_of_handshake(seat);
    owm_admission_leave(loop->admission, seat->address);
    owm_link_gone(&seat->link);
    seat->next_free = loop->free_seat;
    loop->free_seat = (uint32_t)(seat - loop->seat);
}

const struct owm_net_handler owm_pool_loop_handler = {
    .start = on_start,
    .stop = on_stop,
    .accept = on_accept,
    .receive = on_receive,
    .turn_end = on_turn_end,
    .wake = on_wake,
    .closed = on_closed,
};
