/* pool_miner.c: the miners' process: one thread, epoll, as little work a share as possible. */
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "dataplane/sv2/messages.h"
#include "dataplane/sv2/noise.h"
#include "pool_miners.h"

#define EVENTS          512
#define SHAKING_MAX     128 /* Handshakes under way at once. */
#define LEFT_BYTES      1200
#define READ_BYTES      65536
#define ROLLED_BYTES    8
#define SHARE_BYTES_MAX 80 /* Sealed. */
#define SAMPLES_MAX     (8u << 20)
#define PATIENCE_MS     20000
#define PACE_TICK_NS    200000
#define PACE_FEW        32
#define PACE_LATE_NS    1000000
#define WARM_SHARE      0.2 /* Of a paced run's time: its samples are not kept. */

enum miner_state { MINER_NONE, MINER_ACT2, MINER_SETUP, MINER_READY, MINER_FAILED };

struct miner {
    int fd;
    enum miner_state state;
    struct owm_sv2_initiator initiator;
    struct owm_sv2_transport transport;
    uint32_t channel_id, job_id, version, ntime;
    uint32_t sent, acked, watched_job;
    uint64_t sent_ns[MINERS_WINDOW_MAX];
    uint16_t left_bytes;
    uint8_t left[LEFT_BYTES];
};

/** crowd: everything of this process. */
static struct crowd {
    const struct miners_plan *plan;
    struct miners_command command;
    struct miner *miner;
    struct miners_report report;
    double *sample;
    uint64_t keep_from_ns, wanted;
    uint32_t started, shaking, ready, fresh;
    int epoll;
    bool refill; /* Acknowledged shares are replaced at once. */
} crowd;

static void fail_with(const char *why)
{
    if (!crowd.report.failed++) snprintf(crowd.report.why, sizeof crowd.report.why, "%s", why);
}

static void fail(struct miner *miner, const char *why)
{
    if (miner->state == MINER_FAILED) return;
    if (miner->state == MINER_ACT2) crowd.shaking--;
    miner->state = MINER_FAILED;
    fail_with(why);
    if (miner->fd >= 0) close(miner->fd);
    miner->fd = -1;
}

static void put(struct miner *miner, const uint8_t *data, size_t bytes)
{
    if (send(miner->fd, data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)bytes)
        fail(miner, "its socket took less than it had to send");
}

static void keep_sample(double ms)
{
    if (crowd.report.samples < SAMPLES_MAX) crowd.sample[crowd.report.samples++] = ms;
}

/* ------------------------------------------------------------------ what a miner says */

/** SEAL(miner, at, name, …): one message, sealed at `at`, which moves on. */
#define SEAL(miner_, at_, name, ...)                                                               \
    do {                                                                                           \
        const struct owm_sv2_##name message_ = {__VA_ARGS__};                                      \
        uint8_t payload_[512];                                                                     \
        size_t bytes_ = owm_sv2_write_##name(payload_, sizeof payload_, &message_);                \
        (at_) += owm_sv2_seal(&(miner_)->transport, (uint16_t)OWM_SV2_FRAME_EXT_##name,            \
                              OWM_SV2_TYPE_##name, payload_, (uint32_t)bytes_, at_);               \
    } while (0)

static struct owm_sv2_view text(const char *string)
{
    return owm_sv2_view_of(string, strlen(string));
}

static void set_up(struct miner *miner)
{
    uint8_t out[1024], *at = out;
    char name[32];
    owm_sv2_u256 target;
    snprintf(name, sizeof name, "miner%u.rig", (unsigned)(miner - crowd.miner) % 1024);
    memcpy(target.byte, crowd.plan->easiest, sizeof target.byte);
    SEAL(miner, at, setup_connection, .min_version = 2, .max_version = 2,
         .flags = crowd.plan->extended ? 0 : OWM_SV2_REQUIRES_STANDARD_JOBS,
         .endpoint_host = text("127.0.0.1"), .vendor = text("owm-bench"));
    if (crowd.plan->extended)
        SEAL(miner, at, open_extended, .request_id = 1, .user_identity = text(name),
             .nominal_hash_rate = 1, .max_target = target, .min_extranonce_size = ROLLED_BYTES);
    else
        SEAL(miner, at, open_standard, .request_id = 1, .user_identity = text(name),
             .nominal_hash_rate = 1, .max_target = target);
    put(miner, out, (size_t)(at - out));
}

static size_t seal_share(struct miner *miner, uint8_t *out)
{
    uint8_t *at = out;
    uint64_t rolled = miner->sent;
    uint32_t number = miner->sent++;
    if (crowd.plan->extended)
        SEAL(miner, at, submit_extended, miner->channel_id, number, miner->job_id, number,
             miner->ntime, miner->version, owm_sv2_view_of(&rolled, sizeof rolled));
    else
        SEAL(miner, at, submit_standard, miner->channel_id, number, miner->job_id, number,
             miner->ntime, miner->version);
    return (size_t)(at - out);
}

static void submit(struct miner *miner, uint32_t count, uint64_t now_ns)
{
    uint8_t out[MINERS_WINDOW_MAX * SHARE_BYTES_MAX];
    size_t bytes = 0;
    if (miner->state != MINER_READY || miner->sent - miner->acked + count > MINERS_WINDOW_MAX) {
        fail(miner, "it has too much on the way");
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        miner->sent_ns[miner->sent % MINERS_WINDOW_MAX] = now_ns;
        bytes += seal_share(miner, out + bytes);
    }
    crowd.report.submitted += count;
    put(miner, out, bytes);
}

/* ------------------------------------------------------------------ what a miner hears */

static void on_success(struct miner *miner, const struct owm_sv2_submit_success *success)
{
    uint32_t count = success->new_submits_accepted_count;
    uint64_t now_ns = owm_clock_mono_ns();
    if (count > miner->sent - miner->acked
        || success->last_sequence_number != miner->acked + count - 1)
        fail(miner, "a Success that is not what it sent");
    for (uint32_t i = 0; i < count && miner->state == MINER_READY; i++, miner->acked++) {
        uint64_t sent_ns = miner->sent_ns[miner->acked % MINERS_WINDOW_MAX];
        if (crowd.command.task == MINERS_PACE && sent_ns >= crowd.keep_from_ns)
            keep_sample((double)(now_ns - sent_ns) / 1e6);
        crowd.report.done++;
    }
    uint32_t open = miner->sent - miner->acked;
    if (crowd.refill && miner->state == MINER_READY && open <= crowd.command.window / 2)
        submit(miner, crowd.command.window - open, now_ns);
}

static void on_prev_hash(struct miner *miner, const struct owm_sv2_set_prev_hash *message)
{
    miner->ntime = message->min_ntime;
    miner->job_id = message->job_id;
    if (crowd.command.task == MINERS_WATCH && miner->job_id != miner->watched_job) {
        miner->watched_job = miner->job_id;
        keep_sample((double)owm_clock_mono_ns() / 1e6);
        crowd.report.done++;
    }
    if (miner->state == MINER_SETUP && miner->channel_id) {
        miner->state = MINER_READY;
        crowd.ready++;
        crowd.report.done++;
    }
}

/** READ(frame, name): into m, or the pool's message is wrong. */
#define READ(name)                                                                                 \
    struct owm_sv2_##name m;                                                                       \
    if (!owm_sv2_read_##name(frame->payload, frame->bytes, &m)) {                                  \
        fail(miner, "a malformed " #name);                                                         \
        return;                                                                                    \
    }

static void hear_job(struct miner *miner, const struct owm_sv2_frame *frame)
{
    if (frame->type == OWM_SV2_TYPE_new_job) {
        READ(new_job);
        miner->version = m.version;
    } else if (frame->type == OWM_SV2_TYPE_new_extended_job) {
        READ(new_extended_job);
        miner->version = m.version;
    } else {
        READ(set_prev_hash);
        on_prev_hash(miner, &m);
    }
}

static void hear_opened(struct miner *miner, const struct owm_sv2_frame *frame)
{
    if (frame->type == OWM_SV2_TYPE_open_standard_success) {
        READ(open_standard_success);
        miner->channel_id = m.channel_id;
    } else {
        READ(open_extended_success);
        miner->channel_id = m.channel_id;
    }
}

static void hear(struct miner *miner, const struct owm_sv2_frame *frame)
{
    switch (frame->type) {
    case OWM_SV2_TYPE_submit_success: {
        READ(submit_success);
        on_success(miner, &m);
        return;
    }
    case OWM_SV2_TYPE_new_job:
    case OWM_SV2_TYPE_new_extended_job:
    case OWM_SV2_TYPE_set_prev_hash:
        hear_job(miner, frame);
        return;
    case OWM_SV2_TYPE_open_standard_success:
    case OWM_SV2_TYPE_open_extended_success:
        hear_opened(miner, frame);
        return;
    case OWM_SV2_TYPE_submit_error:
        crowd.report.refused++;
        return;
    case OWM_SV2_TYPE_open_error:
    case OWM_SV2_TYPE_setup_error:
        fail(miner, "its set-up or channel was refused");
        return;
    default:
        return;
    }
}

/* ------------------------------------------------------------------ bytes */

static size_t finish_handshake(struct miner *miner, const uint8_t *data, size_t bytes)
{
    struct owm_sv2_expectation expect = {crowd.plan->authority,
                                         (uint64_t)owm_clock_wall_ms() / 1000};
    uint8_t hash[32];
    struct owm_error error;
    if (bytes < OWM_SV2_ACT2_BYTES) return 0;
    if (owm_sv2_initiate_finish(&miner->initiator, data, &expect, &miner->transport, hash,
                                &error)) {
        fail(miner, error.text);
        return 0;
    }
    crowd.shaking--;
    miner->state = MINER_SETUP;
    set_up(miner);
    return OWM_SV2_ACT2_BYTES;
}

static size_t use(struct miner *miner, uint8_t *data, size_t bytes)
{
    size_t at = 0, used = 0;
    struct owm_sv2_frame frame;
    if (miner->state == MINER_ACT2) at = finish_handshake(miner, data, bytes);
    if (miner->state < MINER_SETUP) return at;
    while (miner->state != MINER_FAILED) {
        enum owm_sv2_receipt receipt =
            owm_sv2_open(&miner->transport, data + at, bytes - at, READ_BYTES, &frame, &used);
        at += used;
        if (receipt == OWM_SV2_MORE) break;
        if (receipt == OWM_SV2_FRAME)
            hear(miner, &frame);
        else
            fail(miner, "a frame that does not decrypt");
    }
    return at;
}

static void receive(struct miner *miner)
{
    static uint8_t data[LEFT_BYTES + READ_BYTES];
    memcpy(data, miner->left, miner->left_bytes);
    ssize_t got = recv(miner->fd, data + miner->left_bytes, READ_BYTES, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        fail(miner, got ? strerror(errno) : "the pool closed it");
        return;
    }
    size_t bytes = miner->left_bytes + (size_t)got, used = use(miner, data, bytes);
    if (miner->state == MINER_FAILED) return;
    if (bytes - used > LEFT_BYTES) {
        fail(miner, "a frame too long");
        return;
    }
    miner->left_bytes = (uint16_t)(bytes - used);
    memcpy(miner->left, data + used, miner->left_bytes);
}

/** Look after the sockets for at most so long. */
static void pump(int64_t wait_ns)
{
    struct epoll_event event[EVENTS];
    struct timespec wait = {wait_ns / 1000000000, wait_ns % 1000000000};
    int count = epoll_pwait2(crowd.epoll, event, EVENTS, &wait, NULL);
    for (int i = 0; i < count; i++) {
        struct miner *miner = event[i].data.ptr;
        if (miner->state != MINER_FAILED) receive(miner);
    }
}

/** A connection whose act 1 is sent; false: none. */
static bool dial(struct miner *miner, const uint8_t *act1)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(crowd.command.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = miner};
    int one = 1;
    miner->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (miner->fd < 0 || connect(miner->fd, (struct sockaddr *)&to, sizeof to)
        || setsockopt(miner->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)
        || epoll_ctl(crowd.epoll, EPOLL_CTL_ADD, miner->fd, &event))
        return false;
    return send(miner->fd, act1, OWM_SV2_ACT1_BYTES, MSG_NOSIGNAL) == OWM_SV2_ACT1_BYTES;
}

/* ------------------------------------------------------------------ tasks */

/** Gone without the wait of a TCP connection that was closed in order: ports are few. */
static void hang_up(struct miner *miner)
{
    struct linger now = {.l_onoff = 1};
    if (miner->fd < 0) return;
    setsockopt(miner->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(miner->fd);
    miner->fd = -1;
}

static void connect_all(void)
{
    uint64_t until_ms = owm_clock_mono_ms() + PATIENCE_MS + 5 * crowd.plan->count;
    while (crowd.ready < crowd.plan->count && !crowd.report.failed
           && owm_clock_mono_ms() < until_ms) {
        while (crowd.shaking < SHAKING_MAX && crowd.started < crowd.plan->count) {
            struct miner *miner = &crowd.miner[crowd.started++];
            uint8_t act1[OWM_SV2_ACT1_BYTES];
            miner->state = MINER_ACT2;
            crowd.shaking++;
            if (owm_sv2_initiate(&miner->initiator, act1) || !dial(miner, act1))
                fail(miner, strerror(errno));
        }
        pump(10000000);
    }
    if (crowd.ready < crowd.plan->count) fail_with("some were not ready in time");
}

/** Until everything that was sent is acknowledged. */
static void drain(void)
{
    uint64_t until_ms = owm_clock_mono_ms() + PATIENCE_MS;
    while (crowd.report.done < crowd.report.submitted && !crowd.report.failed
           && !crowd.report.refused && owm_clock_mono_ms() < until_ms)
        pump(1000000);
}

static void flood(void)
{
    uint64_t start_ns = owm_clock_mono_ns();
    uint64_t until_ns = start_ns + (uint64_t)(crowd.command.seconds * 1e9);
    crowd.refill = true;
    for (uint32_t i = 0; i < crowd.plan->count; i++) {
        if (crowd.miner[i].sent == crowd.miner[i].acked)
            submit(&crowd.miner[i], crowd.command.window, start_ns);
        if (i % 64 == 63) pump(0);
    }
    while (owm_clock_mono_ns() < until_ns && !crowd.report.failed) pump(1000000);
    crowd.refill = false;
    drain();
}

/** Those that are due, a few at a time: acknowledgements must not wait for them. Returns: the time
 *  of the next one. */
static uint64_t submit_due(uint64_t start_ns, uint64_t *sent)
{
    double gap_ns = 1e9 / crowd.command.rate;
    for (int few = 0; few < PACE_FEW; few++, ++*sent) {
        uint64_t now_ns = owm_clock_mono_ns();
        uint64_t due_ns = start_ns + (uint64_t)((double)*sent * gap_ns);
        if (due_ns > now_ns || *sent == crowd.wanted) return due_ns;
        crowd.report.late += now_ns - due_ns > PACE_LATE_NS;
        submit(&crowd.miner[*sent % crowd.plan->count], 1, now_ns);
    }
    return 0;
}

static void pace(void)
{
    uint64_t start_ns = owm_clock_mono_ns(), sent = 0;
    crowd.wanted = (uint64_t)(crowd.command.seconds * crowd.command.rate);
    crowd.keep_from_ns = start_ns + (uint64_t)(crowd.command.seconds * WARM_SHARE * 1e9);
    while (sent < crowd.wanted && !crowd.report.failed)
        pump(submit_due(start_ns, &sent) ? PACE_TICK_NS : 0);
    drain();
}

static void watch(void)
{
    uint64_t until_ms = owm_clock_mono_ms() + PATIENCE_MS;
    while (crowd.report.done < crowd.plan->count && !crowd.report.failed
           && owm_clock_mono_ms() < until_ms)
        pump(1000000);
    if (crowd.report.done < crowd.plan->count) fail_with("some did not get the job in time");
}

static void shake_hands(struct miner *miner, const uint8_t *act1)
{
    uint8_t act2[OWM_SV2_ACT2_BYTES];
    ssize_t got = recv(miner->fd, act2, sizeof act2, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got > 0) miner->left_bytes = (uint16_t)(miner->left_bytes + got);
    if (got > 0 && miner->left_bytes < OWM_SV2_ACT2_BYTES) return;
    hang_up(miner);
    crowd.report.done += got > 0;
    if (got <= 0) fail_with("the pool closed it");
    miner->left_bytes = 0;
    if (!dial(miner, act1)) fail_with(strerror(errno));
}

static void handshakes(void)
{
    struct owm_sv2_initiator initiator;
    uint8_t act1[OWM_SV2_ACT1_BYTES];
    uint64_t until_ns = owm_clock_mono_ns() + (uint64_t)(crowd.command.seconds * 1e9);
    if (owm_sv2_initiate(&initiator, act1)) fail_with("no random bytes");
    for (uint32_t i = 0; i < crowd.plan->count; i++)
        if (!dial(&crowd.miner[i], act1)) fail_with(strerror(errno));
    while (owm_clock_mono_ns() < until_ns && !crowd.report.failed) {
        struct epoll_event event[EVENTS];
        int count = epoll_wait(crowd.epoll, event, EVENTS, 10);
        for (int i = 0; i < count; i++) shake_hands(event[i].data.ptr, act1);
    }
    for (uint32_t i = 0; i < crowd.plan->count; i++) hang_up(&crowd.miner[i]);
}

static void run(void)
{
    static void (*const tasks[])(void) = {[MINERS_CONNECT] = connect_all,
                                          [MINERS_FLOOD] = flood,
                                          [MINERS_PACE] = pace,
                                          [MINERS_WATCH] = watch,
                                          [MINERS_HANDSHAKES] = handshakes};
    uint64_t start_ns = owm_clock_mono_ns();
    double cpu_s = pool_cpu_s();
    crowd.report = (struct miners_report){0};
    tasks[crowd.command.task]();
    crowd.report.seconds = (double)(owm_clock_mono_ns() - start_ns) / 1e9;
    crowd.report.cpu_s = pool_cpu_s() - cpu_s;
}

static bool give(int fd, const void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t put_bytes = send(fd, (const char *)data + at, bytes - at, MSG_NOSIGNAL);
        if (put_bytes <= 0) return false;
        at += (size_t)put_bytes;
    }
    return true;
}

void miners_main(int fd, const struct miners_plan *plan)
{
    crowd.plan = plan;
    crowd.epoll = epoll_create1(EPOLL_CLOEXEC);
    crowd.miner = calloc(plan->count, sizeof *crowd.miner);
    crowd.sample = calloc(SAMPLES_MAX, sizeof *crowd.sample);
    if (crowd.epoll < 0 || !crowd.miner || !crowd.sample) return;
    for (uint32_t i = 0; i < plan->count; i++) crowd.miner[i].fd = -1;
    while (recv(fd, &crowd.command, sizeof crowd.command, MSG_WAITALL) == sizeof crowd.command) {
        if (!give(fd, "b", 1)) break;
        run();
        if (!give(fd, &crowd.report, sizeof crowd.report)
            || !give(fd, crowd.sample, crowd.report.samples * sizeof *crowd.sample))
            break;
    }
    for (uint32_t i = 0; i < plan->count; i++) hang_up(&crowd.miner[i]);
}
