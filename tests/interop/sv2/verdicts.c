/* verdicts.c: the pool's hall judges shares that were judged by channels_sv2 before: same verdict,
 * same error code, or one of the differences of the table below, each of which must be seen.
 *
 *   verdicts JUDGE [SHARES [SEED [LIE]]]
 *
 * JUDGE (owm-interop-sv2) is run as a child at the other end of a socket pair; src/judge.rs says
 * what goes through it. Of share number LIE it turns the verdict round, which must be found. The
 * hall has a clock of its own, templates of which a share is valid once in
 * a few hashes, vardiff that works, and these channels: standard and extended ones in groups, with
 * short and long extranonces, and standard ones that want no groups. Jobs change within a tip, tips
 * change, and one comes back.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "pool/hall_world.h"

#define SHARES_DEFAULT   1000000
#define ROUNDS           64
#define ROUND_SHARES_MAX (1 << 20)
#define BATCH            1024
#define RECORD_BYTES     128
#define CODE_BYTES       40
#define FRAME_BYTES_MAX  80
#define SESSIONS         2
#define ROUND_MS         3000
#define BITS             0x20040000u /* 64 hashes a block. */
#define CHANNELS         7
#define HASHES_A_SHARE   6 /* About; what vardiff makes of it while rates change. */

/* Faults that are planted; src/draw.rs has the same list. */
enum {
    JOB = 1,
    GONE = 2,
    VERSION = 4,
    NTIME = 8,
    EXTRANONCE = 16,
    CHANNEL = 32,
    COPY = 64,
    AGED = 128
};

/** difference: where the pool deliberately judges otherwise than the reference. "": accepted. */
struct difference {
    const char *ours, *theirs;
    uint8_t fault; /* Planted in it. */
    const char *why;
};
static const struct difference differences[] = {
    {"invalid-ntime", "invalid-share", NTIME,
     "the reference has no name of its own for a wrong time; a miner with a wrong clock should see "
     "what is wrong"},
    {"stale-share", "invalid-job-id", GONE,
     "the reference forgets a job that eight newer or two tips have pushed out; the pool knows by "
     "its number that it was given, and that it is too old"},
    {"duplicate-share", "", COPY,
     "the reference forgets all shares with their tip, so when a tip comes back (A, B, A) the same "
     "work is paid twice (stratum issue 2396); the pool remembers three tips"},
    {"", "invalid-share", AGED,
     "the reference has no clock and ends a job's times 7200 s behind its minimum; the pool goes "
     "by "
     "the node's clock, which has gone on, as consensus does"},
    {"difficulty-too-low", "invalid-share", AGED, "as before, where the hash was no share"},
};
#define DIFFERENCES (sizeof differences / sizeof differences[0])

/** Which of two planted faults is named depends on the order of the checks. */
struct name {
    const char *code;
    uint8_t faults;
};
static const struct name names[] = {
    {"invalid-job-id", JOB | GONE},
    {"stale-share", GONE},
    {"invalid-non-rollable-version-bit", VERSION},
    {"invalid-ntime", NTIME},
    {"invalid-share", NTIME},
    {"bad-extranonce-size", EXTRANONCE},
};

struct record {
    uint8_t faults, block, code_bytes, frame_bytes, session, unused[3];
    char code[CODE_BYTES];
    uint8_t frame[FRAME_BYTES_MAX];
};
_Static_assert(sizeof(struct record) == RECORD_BYTES, "as src/judge.rs writes it");

/** answer: what the hall said to one share of the batch. */
struct answer {
    char code[CODE_BYTES];
    bool block;
};

struct bench;

/** guest: one session, played by this program. */
struct guest {
    struct bench *bench;
    struct owm_session *session;
    uint8_t number;
    uint8_t payload[16384];
};

struct bench {
    struct world world;
    struct guest guest[SESSIONS];
    int judge;
    pid_t child;
    uint32_t first; /* Sequence number of the batch's first share. */
    uint32_t count;
    struct record record[BATCH];
    struct answer answer[BATCH];
    uint64_t shares, accepted, blocks, acknowledged, targets, seen[DIFFERENCES];
    uint64_t rejected, pairs;
    double shares_a_minute;
};

static void fail(const char *what)
{
    fprintf(stderr, "verdicts: %s\n", what);
    exit(1);
}

static void write_all(int fd, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    while (bytes) {
        ssize_t done = write(fd, at, bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) fail("the judge hears no more: see its words above");
        at += done;
        bytes -= (size_t)done;
    }
}

static void read_all(int fd, void *data, size_t bytes)
{
    uint8_t *at = data;
    while (bytes) {
        ssize_t done = read(fd, at, bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) fail("the judge has ended: see its words above");
        at += done;
        bytes -= (size_t)done;
    }
}

static void tell(struct bench *bench, char kind, uint8_t session, const void *data, uint32_t bytes)
{
    uint8_t head[8] = {(uint8_t)kind, session};
    for (int i = 0; i < 4; i++) head[4 + i] = (uint8_t)(bytes >> 8 * i);
    write_all(bench->judge, head, sizeof head);
    write_all(bench->judge, data, bytes);
}

static void tell_u32(struct bench *bench, char kind, uint32_t value)
{
    uint8_t data[4];
    for (int i = 0; i < 4; i++) data[i] = (uint8_t)(value >> 8 * i);
    tell(bench, kind, 0, data, sizeof data);
}

/* ------------------------------------------------------------- what the hall says */

static uint8_t *sink_reserve(void *ctx, uint32_t bytes)
{
    struct guest *guest = ctx;
    OWM_ASSERT(bytes + OWM_SV2_HEADER_BYTES <= sizeof guest->payload);
    return guest->payload + OWM_SV2_HEADER_BYTES;
}

static void on_error(struct bench *bench, const uint8_t *payload, uint32_t bytes)
{
    struct owm_sv2_submit_error error;
    if (!owm_sv2_read_submit_error(payload, bytes, &error)) fail("malformed SubmitShares.Error");
    uint32_t at = error.sequence_number - bench->first;
    if (at >= bench->count || bench->answer[at].code[0]) fail("an Error for no share of ours");
    if (error.error_code.count >= CODE_BYTES) fail("a code that is too long");
    memcpy(bench->answer[at].code, error.error_code.data, error.error_code.count);
}

static void on_success(struct bench *bench, const uint8_t *payload, uint32_t bytes)
{
    struct owm_sv2_submit_success success;
    if (!owm_sv2_read_submit_success(payload, bytes, &success))
        fail("malformed SubmitShares.Success");
    bench->acknowledged += success.new_submits_accepted_count;
}

static void sink_commit(void *ctx, uint16_t extension, uint8_t type, uint32_t bytes)
{
    struct guest *guest = ctx;
    struct bench *bench = guest->bench;
    uint8_t *payload = guest->payload + OWM_SV2_HEADER_BYTES;
    if (type == OWM_SV2_TYPE_submit_error) {
        on_error(bench, payload, bytes);
        return;
    }
    if (type == OWM_SV2_TYPE_submit_success) {
        on_success(bench, payload, bytes);
        return;
    }
    if (type == OWM_SV2_TYPE_set_target) bench->targets++;
    guest->payload[0] = (uint8_t)extension;
    guest->payload[1] = (uint8_t)(extension >> 8);
    guest->payload[2] = type;
    for (int i = 0; i < 3; i++) guest->payload[3 + i] = (uint8_t)(bytes >> 8 * i);
    tell(bench, 'F', guest->number, guest->payload, OWM_SV2_HEADER_BYTES + bytes);
}

static void sink_close(void *ctx, enum owm_close reason, bool flush)
{
    (void)ctx;
    (void)flush;
    fail(owm_close_text(reason));
}

/* ------------------------------------------------------------- sessions and channels */

static void say(struct guest *guest, uint16_t extension, uint8_t type, uint8_t *payload,
                size_t bytes)
{
    OWM_ASSERT(bytes > 0);
    struct owm_sv2_frame frame = {extension, type, (uint32_t)bytes, payload};
    owm_session_frame(guest->session, &frame);
}

static void open_channel(struct guest *guest, uint32_t hashes, bool extended, uint16_t extranonce)
{
    uint8_t payload[512];
    struct owm_sv2_open_extended open = {
        .user_identity = owm_sv2_view_of("judged.rig", 10),
        .nominal_hash_rate = (float)(hashes * guest->bench->shares_a_minute / 60),
        .min_extranonce_size = extranonce,
    };
    struct owm_sv2_open_standard standard = {
        .user_identity = open.user_identity,
        .nominal_hash_rate = open.nominal_hash_rate,
    };
    memset(open.max_target.byte, 0xff, 31);
    open.max_target.byte[31] = (uint8_t)(0x100 / hashes - 1);
    standard.max_target = open.max_target;
    if (extended)
        say(guest, OWM_SV2_FRAME_EXT_open_extended, OWM_SV2_TYPE_open_extended, payload,
            owm_sv2_write_open_extended(payload, sizeof payload, &open));
    else
        say(guest, OWM_SV2_FRAME_EXT_open_standard, OWM_SV2_TYPE_open_standard, payload,
            owm_sv2_write_open_standard(payload, sizeof payload, &standard));
    world_turn(&guest->bench->world, 0);
}

static void enter(struct bench *bench, uint8_t number, uint32_t flags)
{
    static const uint8_t hash[32] = {1};
    uint8_t payload[512];
    struct guest *guest = &bench->guest[number];
    struct owm_sink sink = {sink_reserve, sink_commit, sink_close, guest};
    struct owm_sv2_setup_connection setup = {
        .min_version = OWM_SV2_VERSION, .max_version = OWM_SV2_VERSION, .flags = flags};
    guest->bench = bench;
    guest->number = number;
    guest->session =
        owm_session_enter(bench->world.hall, &sink, &(struct owm_peer){"198.51.100.7:4242", 1});
    if (!guest->session) fail("no room for a session");
    owm_session_secured(guest->session, hash);
    say(guest, OWM_SV2_FRAME_EXT_setup_connection, OWM_SV2_TYPE_setup_connection, payload,
        owm_sv2_write_setup_connection(payload, sizeof payload, &setup));
}

/** Another work. Every round but the first few of a tip is on the same one; one tip in three is the
 *  one before the last come back. */
static void next_work(struct bench *bench, unsigned round)
{
    static const uint32_t tips[] = {1, 2, 1, 3, 4, 3};
    enum { ROUNDS_ON_TIP = ROUNDS / (sizeof tips / sizeof tips[0]) + 1 };
    unsigned on_tip = round % ROUNDS_ON_TIP;
    if (round % 2) world_turn(&bench->world, ROUND_MS); /* Else the same template again. */
    if (round % 8 == 4) bench->world.now.wall_ms -= 2 * ROUND_MS; /* A node's clock is put back. */
    tell_u32(bench, 'C', (uint32_t)(bench->world.now.mono_ns / 1000000000));
    world_work(&bench->world, on_tip ? 0 : tips[round / ROUNDS_ON_TIP], BITS);
}

/** Late channels know only some of the jobs. */
static void open_late(struct bench *bench, unsigned round)
{
    if (round == 3) open_channel(&bench->guest[0], 2, true, 8);
    if (round == 5) open_channel(&bench->guest[1], 4, false, 0);
}

/* ------------------------------------------------------------- comparing */

static bool named(const char *code, uint8_t faults)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i].code, code) == 0) return (names[i].faults & faults) != 0;
    return false;
}

static bool allowed(struct bench *bench, const struct record *record, const char *ours)
{
    for (size_t i = 0; i < DIFFERENCES; i++) {
        const struct difference *known = &differences[i];
        if (strcmp(known->ours, ours) || strcmp(known->theirs, record->code)
            || record->faults != known->fault)
            continue;
        bench->seen[i]++;
        return true;
    }
    bool two = __builtin_popcount(record->faults) == 2;
    if (!two || !named(ours, record->faults) || !named(record->code, record->faults)) return false;
    bench->pairs++;
    return true;
}

static void compare(struct bench *bench, uint32_t at)
{
    const struct record *record = &bench->record[at];
    const struct answer *answer = &bench->answer[at];
    if (answer->code[0]) bench->rejected++;
    bool same = strcmp(answer->code, record->code) == 0;
    if (same && !answer->code[0] && answer->block != (record->block == 1))
        fail("an accepted share is a block for one side alone");
    if (same || allowed(bench, record, answer->code)) return;
    fprintf(stderr, "verdicts: share %u, planted faults %02x: pool \"%s\", reference \"%s\"\n",
            bench->first + at, record->faults, answer->code, record->code);
    exit(1);
}

/** The journal's double has the accepted ones in their order: which of them were blocks? */
static void find_blocks(struct bench *bench, uint64_t from)
{
    uint64_t next = from;
    for (uint32_t i = 0; i < bench->count; i++) {
        if (bench->answer[i].code[0]) continue;
        if (next == bench->world.appended) fail("a share was neither rejected nor accepted");
        bench->answer[i].block = bench->world.share[next++ % WORLD_SHARES_MAX].share.block;
        bench->blocks += bench->answer[i].block;
    }
    if (next != bench->world.appended) fail("more shares were accepted than sent");
    bench->accepted += next - from;
}

static void judge_batch(struct bench *bench)
{
    uint64_t from = bench->world.appended;
    read_all(bench->judge, bench->record, bench->count * sizeof bench->record[0]);
    memset(bench->answer, 0, sizeof bench->answer);
    for (uint32_t i = 0; i < bench->count; i++) {
        struct record *record = &bench->record[i];
        uint8_t *frame = record->frame;
        if (record->session >= SESSIONS) fail("a share of no session");
        struct owm_sv2_frame parsed = {
            .extension = (uint16_t)(frame[0] | frame[1] << 8),
            .type = frame[2],
            .bytes = (uint32_t)(record->frame_bytes - OWM_SV2_HEADER_BYTES),
            .payload = frame + OWM_SV2_HEADER_BYTES,
        };
        owm_session_frame(bench->guest[record->session].session, &parsed);
    }
    world_turn(&bench->world, 0);
    find_blocks(bench, from);
    for (uint32_t i = 0; i < bench->count; i++) compare(bench, i);
    bench->first += bench->count;
    bench->shares += bench->count;
}

static void run_round(struct bench *bench, unsigned round, uint32_t shares)
{
    next_work(bench, round);
    open_late(bench, round);
    tell_u32(bench, 'D', shares);
    while (shares) {
        bench->count = shares < BATCH ? shares : BATCH;
        judge_batch(bench);
        shares -= bench->count;
    }
}

/* ------------------------------------------------------------- start and end */

static void start_judge(struct bench *bench, const char *program, const char *seed, const char *lie)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) fail("no socket pair");
    signal(SIGPIPE, SIG_IGN);
    bench->judge = pair[0];
    bench->child = fork();
    if (bench->child < 0) fail("no child process");
    if (bench->child == 0) {
        dup2(pair[1], STDIN_FILENO);
        dup2(pair[1], STDOUT_FILENO);
        close(pair[0]);
        close(pair[1]);
        execl(program, program, "judge", "--seed", seed, "--lie", lie, (char *)NULL);
        perror(program);
        _exit(127);
    }
    close(pair[1]);
}

static void open_all(struct bench *bench)
{
    world_open(&bench->world, &(struct owm_hall_options){
                                  .share_table = 1 << 19,
                                  .batch_max = BATCH,
                                  .acks_max = 4 * BATCH,
                                  .rejects_in_row_max = UINT32_MAX,
                                  .vardiff = {.shares_per_minute = bench->shares_a_minute},
                              });
    enter(bench, 0, 0);
    enter(bench, 1, OWM_SV2_REQUIRES_STANDARD_JOBS);
    next_work(bench, 0);
    open_channel(&bench->guest[0], 2, true, 4);
    open_channel(&bench->guest[0], 4, true, 20);
    open_channel(&bench->guest[0], 2, false, 0);
    open_channel(&bench->guest[0], 8, false, 0);
    open_channel(&bench->guest[1], 2, false, 0);
}

static void close_all(struct bench *bench)
{
    int status;
    close(bench->judge);
    while (waitpid(bench->child, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status)) fail("the judge has failed");
    for (int i = 0; i < SESSIONS; i++) owm_session_leave(bench->guest[i].session);
    world_close(&bench->world);
}

static void report(const struct bench *bench, uint64_t ms)
{
    printf("verdicts: %llu shares judged by both in %llu ms: %llu accepted (%llu blocks), %llu "
           "rejected, %llu targets changed\n",
           (unsigned long long)bench->shares, (unsigned long long)ms,
           (unsigned long long)bench->accepted, (unsigned long long)bench->blocks,
           (unsigned long long)bench->rejected, (unsigned long long)bench->targets);
    printf("  %llu with two faults, of which each side named one\n",
           (unsigned long long)bench->pairs);
    for (size_t i = 0; i < DIFFERENCES; i++)
        printf("  %llu times \"%s\" for \"%s\": %s\n", (unsigned long long)bench->seen[i],
               differences[i].ours, differences[i].theirs, differences[i].why);
    for (size_t i = 0; i < DIFFERENCES; i++)
        if (!bench->seen[i]) fail("a difference of the table was never seen: is it one?");
    if (bench->acknowledged != bench->accepted) fail("accepted shares were not acknowledged");
    if (!bench->targets || !bench->blocks || !bench->pairs) fail("something was never tried");
}

int main(int argc, char **argv)
{
    static struct bench bench;
    uint64_t start_ms = owm_clock_mono_ms();
    uint32_t shares = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : SHARES_DEFAULT;
    if (argc < 2 || shares < ROUNDS || shares / ROUNDS > ROUND_SHARES_MAX) {
        fprintf(stderr, "verdicts JUDGE [SHARES [SEED [LIE]]]\n");
        return 2;
    }
    owm_log_level_set(OWM_LOG_WARN); /* Rejections are what this is about. */
    start_judge(&bench, argv[1], argc > 3 ? argv[3] : "1", argc > 4 ? argv[4] : "0");
    bench.first = 1;
    bench.shares_a_minute =
        shares * 60.0 / ROUNDS / (ROUND_MS / 2000.0) / CHANNELS / HASHES_A_SHARE;
    open_all(&bench);
    for (unsigned round = 1; round <= ROUNDS; round++)
        run_round(&bench, round, shares / ROUNDS + (round == 1 ? shares % ROUNDS : 0));
    close_all(&bench);
    report(&bench, owm_clock_mono_ms() - start_ms);
    return 0;
}
