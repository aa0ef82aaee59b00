/* client.c: the thread that keeps a miner connected: pools in turn, bytes to and fro. */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "dataplane/net/net.h"

#define CONNECT_MS      5000
#define LOOK_MS         1000 /* For a look whether the first pool is back. */
#define TICK_MS         1000
#define LASTING_MS      30000
#define RECEIVE_BYTES   16384
#define SHARE_BYTES_MAX 256 /* Of a frame with one share, and far more. */
#define RATE_FIRST      1e6 /* What a pool is told before anything was measured. */

static int64_t now_ms(void)
{
    return (int64_t)owm_clock_mono_ms();
}

static void on_work(void *ctx, struct owm_mine_work *work)
{
    struct owm_mine *mine = ctx;
    owm_mine_engine_work(mine->engine, work);
}

static void on_open(void *ctx, uint32_t channel_id, bool proven)
{
    struct owm_mine *mine = ctx;
    pthread_mutex_lock(&mine->lock);
    mine->stats.state = OWM_MINE_RUNNING;
    mine->stats.proven = proven;
    mine->stats.trouble[0] = '\0';
    mine->stats.connected_ms = now_ms();
    pthread_mutex_unlock(&mine->lock);
    owm_log(OWM_LOG_INFO, "mining channel=%u identity=%s", channel_id,
            proven ? "proven" : "by_name");
}

static void on_accepted(void *ctx, uint32_t count, uint64_t difficulty_sum, double latency_ms)
{
    struct owm_mine *mine = ctx;
    pthread_mutex_lock(&mine->lock);
    mine->stats.accepted += count;
    mine->stats.difficulty_sum += difficulty_sum;
    mine->stats.latency_ms = latency_ms;
    mine->stats.last_share_ms = now_ms();
    pthread_mutex_unlock(&mine->lock);
}

/* Under the lock. */
static void count_reason(struct owm_mine_stats *stats, const char *code)
{
    size_t at = 0;
    while (at < stats->reason_count && strcmp(stats->reasons[at].code, code) != 0) at++;
    if (at == OWM_MINE_REASONS_MAX) at--;
    if (at == stats->reason_count) {
        const char *name = at == OWM_MINE_REASONS_MAX - 1 ? "other" : code;
        snprintf(stats->reasons[at].code, sizeof stats->reasons[at].code, "%s", name);
        stats->reason_count++;
    }
    stats->reasons[at].count++;
}

static void on_rejected(void *ctx, uint32_t sequence, const char *code)
{
    struct owm_mine *mine = ctx;
    pthread_mutex_lock(&mine->lock);
    mine->stats.rejected++;
    count_reason(&mine->stats, code);
    pthread_mutex_unlock(&mine->lock);
    owm_log(OWM_LOG_DEBUG, "share_rejected sequence=%u reason=%s", sequence, code);
}

static void on_reconnect(void *ctx, const char *host, uint16_t port)
{
    struct owm_mine *mine = ctx;
    /* The new place must show a certificate of the same authority: host and port alone change. */
    struct owm_mine_pool *elsewhere = &mine->elsewhere;
    *elsewhere = mine->options.pools[mine->stats.pool];
    if (*host != '\0') snprintf(elsewhere->host, sizeof elsewhere->host, "%s", host);
    if (port != 0) elsewhere->port = port;
}

/* While the pool reads slowly, what was found waits in the queue of hits. */
static bool has_room(const struct owm_mine *mine)
{
    size_t waiting;
    owm_mine_session_output(mine->session, &waiting);
    return waiting + SHARE_BYTES_MAX <= OWM_MINE_OUT_BYTES;
}

/* Sends what was found. A share of a tip that is gone is not sent. */
static void send_hits(struct owm_mine *mine)
{
    struct owm_mine_share share;
    while (has_room(mine) && owm_mine_engine_hit(mine->engine, &share)) {
        uint32_t sequence;
        owm_status status = owm_mine_session_submit(mine->session, &share, now_ms(), &sequence);
        pthread_mutex_lock(&mine->lock);
        if (status != OWM_OK)
            mine->stats.stale_unsent++;
        else if (share.block)
            mine->stats.blocks_sent++;
        pthread_mutex_unlock(&mine->lock);
        owm_mine_work_release(share.work);
    }
}

static owm_status write_out(struct owm_mine *mine, int fd, struct owm_error *error)
{
    size_t bytes;
    const uint8_t *data = owm_mine_session_output(mine->session, &bytes);
    if (bytes == 0) return OWM_OK;
    ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return owm_fail(error, OWM_E_NET, "lost the pool: %s", strerror(errno));
    if (sent > 0) owm_mine_session_taken(mine->session, (size_t)sent);
    return OWM_OK;
}

static owm_status read_in(struct owm_mine *mine, int fd, struct owm_error *error)
{
    uint8_t data[RECEIVE_BYTES];
    ssize_t got = recv(fd, data, sizeof data, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return OWM_OK;
    if (got < 0) return owm_fail(error, OWM_E_NET, "lost the pool: %s", strerror(errno));
    if (got == 0) return owm_fail(error, OWM_E_NET, "the pool closed the connection");
    return owm_mine_session_receive(mine->session, data, (size_t)got, now_ms(), error);
}

static void note_difficulty(struct owm_mine *mine)
{
    pthread_mutex_lock(&mine->lock);
    mine->stats.difficulty = owm_mine_session_difficulty(mine->session);
    pthread_mutex_unlock(&mine->lock);
}

/* On a pool that is not the first: does the first one take connections again? */
static bool first_is_back(struct owm_mine *mine, int64_t *look_ms)
{
    if (mine->stats.pool == 0 || now_ms() < *look_ms) return false;
    *look_ms = now_ms() + OWM_MINE_RETURN_S * 1000;
    int fd;
    struct owm_error ignored;
    const struct owm_mine_pool *first = &mine->options.pools[0];
    if (owm_net_connect(first->host, first->port, LOOK_MS, &fd, &ignored) != OWM_OK) return false;
    close(fd);
    return true;
}

/* Until the connection ends; the error says why. OWM_OK: it is time to stop. */
static owm_status converse(struct owm_mine *mine, int fd, struct owm_error *error)
{
    int64_t look_ms = now_ms() + OWM_MINE_RETURN_S * 1000;
    while (!atomic_load(&mine->stop)) {
        int64_t next_ms;
        owm_status status = owm_mine_session_tick(mine->session, now_ms(), &next_ms, error);
        send_hits(mine);
        if (status == OWM_OK) status = write_out(mine, fd, error);
        if (status != OWM_OK) return status;
        if (first_is_back(mine, &look_ms))
            return owm_fail(error, OWM_E_CANCELLED, "the first pool is back");
        size_t waiting;
        owm_mine_session_output(mine->session, &waiting);
        struct pollfd poll_fds[2] = {
            {.fd = fd, .events = (short)(POLLIN | (waiting > 0 ? POLLOUT : 0))},
            {.fd = mine->wake_fd, .events = POLLIN},
        };
        poll(poll_fds, 2, TICK_MS);
        uint64_t ignored;
        if (poll_fds[1].revents != 0 && read(mine->wake_fd, &ignored, sizeof ignored) < 0) continue;
        if (poll_fds[0].revents & (POLLIN | POLLERR | POLLHUP)) status = read_in(mine, fd, error);
        if (status != OWM_OK) return status;
        double rate = owm_mine_engine_rate(mine->engine);
        if (rate > 0) owm_mine_session_rate(mine->session, rate);
        note_difficulty(mine);
    }
    return OWM_OK;
}

static owm_status open_session(struct owm_mine *mine, const struct owm_mine_pool *pool,
                               struct owm_error *error)
{
    double rate = owm_mine_engine_rate(mine->engine);
    struct owm_mine_session_options options = {
        .identity = mine->options.identity,
        .authority = pool->has_authority ? pool->authority : NULL,
        .user = mine->options.user,
        .worker = mine->options.worker,
        .host = pool->host,
        .device_id = mine->options.worker,
        .port = pool->port,
        .connection = ++mine->connection,
        .extended = mine->extended,
        .rate_hashes_per_s = rate > 0 ? rate : RATE_FIRST,
    };
    struct owm_mine_session_events events = {
        .on_work = on_work,
        .on_open = on_open,
        .on_accepted = on_accepted,
        .on_rejected = on_rejected,
        .on_reconnect = on_reconnect,
        .ctx = mine,
    };
    owm_status status = owm_mine_session_open(&options, &events, now_ms(), &mine->session);
    return status == OWM_OK ? OWM_OK : owm_fail(error, status, "no session with the pool");
}

static void note_end(struct owm_mine *mine, const char *trouble)
{
    pthread_mutex_lock(&mine->lock);
    mine->stats.state = OWM_MINE_WAITING;
    mine->stats.connected_ms = 0;
    mine->stats.proven = false;
    mine->stats.difficulty = 0;
    snprintf(mine->stats.trouble, sizeof mine->stats.trouble, "%s", trouble);
    pthread_mutex_unlock(&mine->lock);
}

/* Has this connection been one to come back to? */
static bool has_lasted(const struct owm_mine *mine)
{
    int64_t connected_ms = mine->stats.connected_ms;
    return connected_ms != 0 && now_ms() - connected_ms >= LASTING_MS;
}

/* One connection, from its first to its last byte. true: it worked for a while. */
static bool connect_once(struct owm_mine *mine, const struct owm_mine_pool *pool)
{
    struct owm_error error = {.text = ""};
    int fd = -1;
    owm_status status = owm_net_connect(pool->host, pool->port, CONNECT_MS, &fd, &error);
    if (status == OWM_OK) status = open_session(mine, pool, &error);
    if (status == OWM_OK) status = converse(mine, fd, &error);
    if (status == OWM_E_UNSUPPORTED && mine->session != NULL
        && owm_mine_session_wants_extended(mine->session))
        mine->extended = true;
    owm_mine_engine_work(mine->engine, NULL);
    owm_mine_session_close(mine->session);
    mine->session = NULL;
    if (fd >= 0) close(fd);
    if (status == OWM_OK) return true;
    bool lasted = has_lasted(mine);
    note_end(mine, error.text);
    owm_log(OWM_LOG_WARN, "pool_lost host=%s port=%u reason=\"%s\"", pool->host, pool->port,
            error.text);
    return lasted;
}

static void pause_until(struct owm_mine *mine, int64_t end_ms)
{
    while (!atomic_load(&mine->stop) && now_ms() < end_ms) {
        struct pollfd wake = {.fd = mine->wake_fd, .events = POLLIN};
        poll(&wake, 1, (int)(end_ms - now_ms()));
        uint64_t ignored;
        if (wake.revents != 0 && read(mine->wake_fd, &ignored, sizeof ignored) < 0) return;
    }
}

/* Where to go next: where the last pool sent us, else the next of the list. */
static struct owm_mine_pool choose(struct owm_mine *mine, size_t index)
{
    struct owm_mine_pool pool = mine->options.pools[index];
    if (mine->elsewhere.host[0] != '\0') pool = mine->elsewhere;
    mine->elsewhere.host[0] = '\0';
    pthread_mutex_lock(&mine->lock);
    mine->stats.state = OWM_MINE_CONNECTING;
    mine->stats.pool = index;
    mine->stats.pinned = pool.has_authority;
    pthread_mutex_unlock(&mine->lock);
    return pool;
}

void *client_run(void *arg)
{
    struct owm_mine *mine = arg;
    size_t index = 0;
    unsigned pause_s = 0;
    while (!atomic_load(&mine->stop)) {
        struct owm_mine_pool pool = choose(mine, index);
        bool mined = connect_once(mine, &pool);
        if (mined) { /* It worked: begin again at the first, soon. */
            index = 0;
            pause_s = 1;
        } else if (++index == mine->options.pool_count) {
            index = 0;
            pause_s = pause_s == 0 ? 1 : 2 * pause_s;
            if (pause_s > OWM_MINE_RETRY_S_MAX) pause_s = OWM_MINE_RETRY_S_MAX;
        } else {
            continue; /* The next one at once. */
        }
        pause_until(mine, now_ms() + 1000 * (int64_t)pause_s);
    }
    return NULL;
}
