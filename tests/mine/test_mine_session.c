/* test_mine_session.c: a miner's session against the double of a pool: both kinds of channels, the
 * order in which jobs, tips and targets count, identity, refusals, deadlines, hostile bytes.
 */
#include "base/bytes.h"
#include "base/clock.h"
#include "dataplane/sv2/node_auth.h"
#include "pool_double.h"
#include "test.h"

/* What the session told us. */
struct heard {
    struct owm_mine_work *work;
    unsigned works, opens, accepted, rejected, reconnects;
    uint64_t difficulty_sum;
    bool proven;
    char code[OWM_MINE_CODE_BYTES], host[256];
};

static void on_work(void *ctx, struct owm_mine_work *work)
{
    struct heard *heard = ctx;
    owm_mine_work_release(heard->work);
    heard->work = work;
    heard->works++;
}

static void on_open(void *ctx, uint32_t channel_id, bool proven)
{
    struct heard *heard = ctx;
    assert_int_equal(channel_id, 5);
    heard->opens++;
    heard->proven = proven;
}

static void on_accepted(void *ctx, uint32_t count, uint64_t difficulty_sum, double latency_ms)
{
    struct heard *heard = ctx;
    heard->accepted += count;
    heard->difficulty_sum += difficulty_sum;
    assert_true(latency_ms >= 0);
}

static void on_rejected(void *ctx, uint32_t sequence, const char *code)
{
    struct heard *heard = ctx;
    (void)sequence;
    heard->rejected++;
    memcpy(heard->code, code, strlen(code) + 1);
}

static void on_reconnect(void *ctx, const char *host, uint16_t port)
{
    struct heard *heard = ctx;
    heard->reconnects++;
    memcpy(heard->host, host, strlen(host) + 1);
    assert_int_equal(port, 3334);
}

struct fixture {
    struct pool_double pool;
    struct heard heard;
    owm_identity *identity;
    struct owm_mine_session *session;
    bool extended, stock, unpinned;
};

static void open_session(struct fixture *f)
{
    const uint8_t seed[32] = {1, 2, 3};
    pool_double_open(&f->pool);
    if (!f->stock) assert_ok(owm_identity_from_seed(seed, &f->identity));
    struct owm_mine_session_options options = {
        .identity = f->identity,
        .authority = f->unpinned ? NULL : f->pool.authority_key,
        .user = "account.rig",
        .worker = "rig-1",
        .host = "pool.example",
        .device_id = "rig-1",
        .port = 3333,
        .connection = 9,
        .extended = f->extended,
        .rate_hashes_per_s = 1e9,
    };
    struct owm_mine_session_events events = {
        .on_work = on_work,
        .on_open = on_open,
        .on_accepted = on_accepted,
        .on_rejected = on_rejected,
        .on_reconnect = on_reconnect,
        .ctx = &f->heard,
    };
    assert_ok(owm_mine_session_open(&options, &events, f->pool.now_ms, &f->session));
}

static void close_session(struct fixture *f)
{
    owm_mine_session_close(f->session);
    owm_mine_work_release(f->heard.work);
    owm_identity_close(f->identity);
    pool_double_close(&f->pool);
}

static void expect(struct fixture *f, uint16_t extension, uint8_t type)
{
    assert_true(pool_double_next(&f->pool));
    assert_int_equal(f->pool.frame.extension, extension);
    assert_int_equal(f->pool.frame.type, type);
}

static void set_up(struct fixture *f, uint32_t flags)
{
    struct owm_sv2_setup_connection setup;
    open_session(f);
    pool_double_accept(&f->pool, f->session);
    assert_ok(f->pool.heard);
    expect(f, OWM_SV2_FRAME_EXT_setup_connection, OWM_SV2_TYPE_setup_connection);
    assert_int_equal(
        owm_sv2_read_setup_connection(f->pool.frame.payload, f->pool.frame.bytes, &setup),
        f->pool.frame.bytes);
    assert_int_equal(setup.min_version, 2);
    assert_int_equal(setup.flags, f->extended ? 0 : OWM_SV2_REQUIRES_STANDARD_JOBS);
    struct owm_sv2_setup_success success = {.used_version = 2, .flags = flags};
    POOL_SAY(&f->pool, setup_success, &success);
}

static const uint8_t easy[32] = {[31] = 0x7f};

static void open_channel(struct fixture *f)
{
    uint8_t prefix[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    if (f->extended) {
        expect(f, OWM_SV2_FRAME_EXT_open_extended, OWM_SV2_TYPE_open_extended);
        struct owm_sv2_open_extended_success m = {
            .request_id = 1, .channel_id = 5, .extranonce_size = 8, .group_channel_id = 3};
        m.extranonce_prefix = owm_sv2_view_of(prefix, sizeof prefix);
        memcpy(m.target.byte, easy, 32);
        POOL_SAY(&f->pool, open_extended_success, &m);
    } else {
        expect(f, OWM_SV2_FRAME_EXT_open_standard, OWM_SV2_TYPE_open_standard);
        struct owm_sv2_open_standard_success m = {.request_id = 1, .channel_id = 5};
        m.extranonce_prefix = owm_sv2_view_of(prefix, sizeof prefix);
        memcpy(m.target.byte, easy, 32);
        POOL_SAY(&f->pool, open_standard_success, &m);
    }
    assert_ok(f->pool.heard);
    assert_int_equal(f->heard.opens, 1);
}

static void say_job(struct fixture *f, uint32_t job_id, struct owm_sv2_option min_ntime)
{
    struct owm_sv2_new_job job = {.channel_id = 5,
                                  .job_id = job_id,
                                  .min_ntime = min_ntime,
                                  .version = 0x20000000,
                                  .merkle_root = {{(uint8_t)job_id}}};
    POOL_SAY(&f->pool, new_job, &job);
}

static void say_tip(struct fixture *f, uint32_t job_id, uint8_t tip)
{
    struct owm_sv2_set_prev_hash m = {.channel_id = 5,
                                      .job_id = job_id,
                                      .prev_hash = {{tip}},
                                      .min_ntime = 1700000000,
                                      .nbits = 0x207fffff};
    POOL_SAY(&f->pool, set_prev_hash, &m);
}

static const struct owm_sv2_option later = {.present = false};

/* A stock miner on a standard channel, up to its first work. */
static void stock_with_work(struct fixture *f)
{
    f->stock = true;
    set_up(f, 0);
    open_channel(f);
    say_job(f, 1, later);
    assert_int_equal(f->heard.works, 0);
    say_tip(f, 1, 0xaa);
    assert_ok(f->pool.heard);
    assert_int_equal(f->heard.works, 1);
}

static void jobs_tips_and_targets_count_in_their_order(void **state)
{
    struct fixture f = {0};
    (void)state;
    stock_with_work(&f);
    assert_int_equal(f.heard.work->job_id, 1);
    assert_int_equal(f.heard.work->version_mask, OWM_SV2_VERSION_MASK);
    assert_memory_equal(f.heard.work->target, easy, 32);
    struct owm_sv2_set_target target = {.channel_id = 5, .maximum_target = {{[30] = 1}}};
    POOL_SAY(&f.pool, set_target, &target);
    assert_int_equal(f.heard.works, 1); /* Not for the job that is being mined. */
    say_job(&f, 2, (struct owm_sv2_option){.present = true, .value = 1700000100});
    assert_int_equal(f.heard.work->job_id, 2);
    assert_int_equal(f.heard.work->min_time_s, 1700000100);
    assert_memory_equal(f.heard.work->target, target.maximum_target.byte, 32);
    assert_int_equal(f.heard.work->previous[0], 0xaa);
    say_job(&f, 3, later);
    assert_int_equal(f.heard.work->job_id, 2);
    say_tip(&f, 3, 0xbb);
    assert_int_equal(f.heard.work->job_id, 3);
    assert_int_equal(f.heard.work->previous[0], 0xbb);
    assert_true(f.heard.work->tip == 2);
    say_tip(&f, 77, 0xcc); /* A job that never came. */
    assert_int_equal(f.pool.heard, OWM_E_PROTO);
    close_session(&f);
}

static void shares_go_out_and_answers_come_back(void **state)
{
    struct fixture f = {0};
    (void)state;
    stock_with_work(&f);
    uint32_t sequence = 99;
    struct owm_mine_share share = {.work = f.heard.work, .version = 0x20000020, .nonce = 42};
    share.time_s = 1700000001;
    assert_ok(owm_mine_session_submit(f.session, &share, f.pool.now_ms, &sequence));
    assert_int_equal(sequence, 0);
    expect(&f, OWM_SV2_FRAME_EXT_submit_standard, OWM_SV2_TYPE_submit_standard);
    struct owm_sv2_submit_standard m;
    assert_true(owm_sv2_read_submit_standard(f.pool.frame.payload, f.pool.frame.bytes, &m) > 0);
    assert_int_equal(m.nonce, 42);
    assert_int_equal(m.version, 0x20000020);
    struct owm_sv2_submit_success success = {
        .channel_id = 5, .new_submits_accepted_count = 1, .new_shares_sum = 7};
    POOL_SAY(&f.pool, submit_success, &success);
    assert_int_equal(f.heard.accepted, 1);
    assert_true(f.heard.difficulty_sum == 7);
    struct owm_sv2_submit_error error = {.channel_id = 5, .sequence_number = 1};
    error.error_code = owm_sv2_view_of("stale-share\n", 12);
    POOL_SAY(&f.pool, submit_error, &error);
    assert_string_equal(f.heard.code, "stale-share?");

    struct owm_mine_work *old = owm_mine_work_retain(f.heard.work);
    share.work = old;
    say_job(&f, 2, later);
    say_tip(&f, 2, 0xbb);
    assert_int_equal(owm_mine_session_submit(f.session, &share, f.pool.now_ms, &sequence),
                     OWM_E_STATE); /* Of a tip that is gone: not sent … */
    share.block = true;
    assert_ok(owm_mine_session_submit(f.session, &share, f.pool.now_ms, &sequence)); /* … unless */
    old->connection = 8;
    assert_int_equal(owm_mine_session_submit(f.session, &share, f.pool.now_ms, &sequence),
                     OWM_E_STATE); /* Another connection's. */
    owm_mine_work_release(old);
    close_session(&f);
}

/* SRS-POOL-02: the node signs this connection's handshake hash. */
static void a_node_proves_its_key(void **state)
{
    struct fixture f = {0};
    (void)state;
    set_up(&f, 0);
    expect(&f, OWM_SV2_FRAME_EXT_request_extensions, OWM_SV2_TYPE_request_extensions);
    uint8_t known[2] = {OWM_SV2_EXT_NODE_IDENTITY & 0xff, OWM_SV2_EXT_NODE_IDENTITY >> 8};
    struct owm_sv2_extensions_success yes = {.request_id = 1, .supported = {known, 1}};
    POOL_SAY(&f.pool, extensions_success, &yes);
    expect(&f, OWM_SV2_FRAME_EXT_node_auth, OWM_SV2_TYPE_node_auth);
    struct owm_sv2_node_auth auth;
    struct owm_sv2_binding binding;
    assert_true(owm_sv2_read_node_auth(f.pool.frame.payload, f.pool.frame.bytes, &auth) > 0);
    memcpy(binding.handshake_hash, f.pool.handshake_hash, 32);
    memcpy(binding.authority, f.pool.authority_key, 32);
    assert_ok(owm_sv2_node_auth_check(&auth, &binding, (uint64_t)owm_clock_wall_ms() / 1000));
    struct owm_sv2_node_auth_success success = {.time_s = auth.time_s};
    POOL_SAY(&f.pool, node_auth_success, &success);
    open_channel(&f);
    assert_true(f.heard.proven);
    close_session(&f);
}

/* A pool that ignores extensions, as some do, costs the time of one deadline and no more. */
static void a_silent_pool_gets_the_key_as_a_name(void **state)
{
    struct fixture f = {0};
    struct owm_error error;
    int64_t next_ms;
    (void)state;
    set_up(&f, 0);
    expect(&f, OWM_SV2_FRAME_EXT_request_extensions, OWM_SV2_TYPE_request_extensions);
    assert_ok(owm_mine_session_tick(f.session, f.pool.now_ms, &next_ms, &error));
    assert_false(pool_double_next(&f.pool));
    f.pool.now_ms = next_ms;
    assert_ok(owm_mine_session_tick(f.session, f.pool.now_ms, &next_ms, &error));
    assert_true(pool_double_next(&f.pool));
    struct owm_sv2_open_standard open;
    assert_true(owm_sv2_read_open_standard(f.pool.frame.payload, f.pool.frame.bytes, &open) > 0);
    char key[65];
    owm_hex_encode(owm_identity_public_key(f.identity), 32, key);
    assert_int_equal(open.user_identity.count, 64 + strlen(".rig-1"));
    assert_memory_equal(open.user_identity.data, key, 64);
    f.pool.now_ms = next_ms;
    assert_int_equal(owm_mine_session_tick(f.session, f.pool.now_ms, &next_ms, &error),
                     OWM_E_TIMEOUT);
    assert_non_null(strstr(error.text, "opening of a channel"));
    close_session(&f);
}

static void say_extended_job(struct fixture *f, bool rolling)
{
    uint8_t path[64] = {1}, prefix[50] = {2}, suffix[40] = {3};
    struct owm_sv2_new_extended_job job = {
        .channel_id = 3, /* The group's. */
        .job_id = 1,
        .version = 0x20000000,
        .version_rolling_allowed = rolling,
        .merkle_path = {path, 2},
        .coinbase_prefix = {prefix, sizeof prefix},
        .coinbase_suffix = {suffix, sizeof suffix},
    };
    POOL_SAY(&f->pool, new_extended_job, &job);
}

static void an_extended_channel_rolls_its_extranonce(void **state)
{
    struct fixture f = {.extended = true, .stock = true};
    (void)state;
    set_up(&f, 0);
    open_channel(&f);
    say_extended_job(&f, true);
    say_tip(&f, 1, 0xaa);
    assert_ok(f.pool.heard);
    const struct owm_mine_work *work = f.heard.work;
    assert_non_null(work);
    assert_int_equal(work->extended.coinbase_bytes, 50 + 16 + 40);
    assert_int_equal(work->extended.rolled_at, 58);
    assert_int_equal(work->extended.coinbase[50 + 7], 7);
    uint8_t zero[32], one[32];
    owm_mine_work_root(work, 0, zero);
    owm_mine_work_root(work, 1, one);
    assert_memory_not_equal(zero, one, 32);
    uint32_t sequence;
    struct owm_mine_share share = {.work = f.heard.work, .extranonce = 0x0102};
    assert_ok(owm_mine_session_submit(f.session, &share, f.pool.now_ms, &sequence));
    expect(&f, OWM_SV2_FRAME_EXT_submit_extended, OWM_SV2_TYPE_submit_extended);
    struct owm_sv2_submit_extended m;
    assert_true(owm_sv2_read_submit_extended(f.pool.frame.payload, f.pool.frame.bytes, &m) > 0);
    const uint8_t rolled[8] = {0, 0, 0, 0, 0, 0, 1, 2};
    assert_int_equal(m.extranonce.count, 8);
    assert_memory_equal(m.extranonce.data, rolled, 8);
    close_session(&f);
}

static void a_fixed_version_is_not_rolled(void **state)
{
    struct fixture f = {.extended = true, .stock = true};
    (void)state;
    set_up(&f, OWM_SV2_REQUIRES_FIXED_VERSION);
    open_channel(&f);
    say_extended_job(&f, true);
    say_tip(&f, 1, 0xaa);
    assert_int_equal(f.heard.work->version_mask, 0);
    close_session(&f);
}

static void refusals_say_why(void **state)
{
    struct fixture f = {.stock = true};
    (void)state;
    set_up(&f, OWM_SV2_REQUIRES_EXTENDED_CHANNELS);
    assert_int_equal(f.pool.heard, OWM_E_UNSUPPORTED);
    assert_true(owm_mine_session_wants_extended(f.session));
    close_session(&f);

    struct fixture g = {.stock = true};
    set_up(&g, 0);
    expect(&g, OWM_SV2_FRAME_EXT_open_standard, OWM_SV2_TYPE_open_standard);
    struct owm_sv2_open_error no = {.error_code = owm_sv2_view_of("unknown-user", 12)};
    POOL_SAY(&g.pool, open_error, &no);
    assert_int_equal(g.pool.heard, OWM_E_UNSUPPORTED);
    assert_non_null(strstr(g.pool.error.text, "unknown-user"));
    close_session(&g);

    struct fixture h = {0};
    stock_with_work(&h);
    struct owm_sv2_reconnect away = {.new_host = owm_sv2_view_of("two.example", 11),
                                     .new_port = 3334};
    POOL_SAY(&h.pool, reconnect, &away);
    assert_int_equal(h.pool.heard, OWM_E_CANCELLED);
    assert_string_equal(h.heard.host, "two.example");
    close_session(&h);

    struct fixture i = {0}; /* A host that would begin a line of the log. */
    stock_with_work(&i);
    away.new_host = owm_sv2_view_of("two\nexample", 11);
    POOL_SAY(&i.pool, reconnect, &away);
    assert_int_equal(i.pool.heard, OWM_E_PROTO);
    assert_int_equal(i.heard.reconnects, 0);
    close_session(&i);
}

static void another_authority_is_not_believed(void **state)
{
    struct fixture f = {.stock = true};
    (void)state;
    open_session(&f);
    f.pool.authority_key[3] ^= 1; /* Borrowed by the session: what it expects is wrong now. */
    pool_double_accept(&f.pool, f.session);
    assert_int_equal(f.pool.heard, OWM_E_CRYPTO);
    close_session(&f);
}

static void hostile_bytes_end_the_session(void **state)
{
    struct fixture f = {0};
    (void)state;
    stock_with_work(&f);
    uint8_t noise[64];
    memset(noise, 0x5a, sizeof noise);
    assert_int_equal(owm_mine_session_receive(f.session, noise, sizeof noise, 0, &f.pool.error),
                     OWM_E_CRYPTO);
    close_session(&f);

    struct fixture g = {0};
    stock_with_work(&g);
    uint8_t short_job[3] = {5, 0, 0};
    pool_double_send(&g.pool, OWM_SV2_FRAME_EXT_new_job, OWM_SV2_TYPE_new_job, short_job, 3);
    assert_int_equal(g.pool.heard, OWM_E_PROTO);
    close_session(&g);

    struct fixture h = {0};
    stock_with_work(&h); /* What is unknown is ignored. */
    pool_double_send(&h.pool, 0x7abc, 0x99, short_job, 3);
    assert_ok(h.pool.heard);
    close_session(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_tips_and_targets_count_in_their_order),
        cmocka_unit_test(shares_go_out_and_answers_come_back),
        cmocka_unit_test(a_node_proves_its_key),
        cmocka_unit_test(a_silent_pool_gets_the_key_as_a_name),
        cmocka_unit_test(an_extended_channel_rolls_its_extranonce),
        cmocka_unit_test(a_fixed_version_is_not_rolled),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(another_authority_is_not_believed),
        cmocka_unit_test(hostile_bytes_end_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
