/* pool_peer.c: the pool's loop on a real socket, with a journal on disk and templates of its own in
 * place of a Bitcoin node, for the reference implementation's client (src/client.rs).
 *
 * It says "listening PORT AUTHORITY_KEY", takes commands on its input and answers each by "done":
 *   job   another template on the same tip       tip   one on the next tip
 *   move  ask all miners to connect again        end   say what was counted, and stop
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "chain/template_text.h"
#include "dataplane/chain/target.h"
#include "pool/loop.h"
#include "pool/share_maker.h"

#define BITS       0x1e00ffffu /* 2^24 hashes a block: no share here is one, or hardly. */
#define MINERS     64
#define WORKERS    16
#define VALID_S    7200
#define LINE_BYTES 16

struct peer {
    struct owm_pool_loop *loop;
    struct owm_net *net;
    struct owm_device *device;
    struct owm_sv2_authority *authority;
    char folder[64];
    uint64_t works, tip;
};

static void must(owm_status status, const struct owm_error *error)
{
    if (status == OWM_OK) return;
    fprintf(stderr, "pool_peer: %s\n", error->text);
    exit(1);
}

static void on_block(void *ctx, const struct owm_found *found)
{
    (void)ctx;
    (void)found;
}

static void set_text(json_t *root, const char *key, const char *text)
{
    json_object_set_new(root, key, json_string(text));
}

static struct owm_template *template_now(const struct peer *peer)
{
    uint8_t target[32];
    char text[65];
    json_t *root = template_json(2 + (uint32_t)peer->works % 5);
    int64_t now_s = owm_clock_wall_ms() / 1000;
    OWM_ASSERT(owm_target_from_compact(BITS, target));
    for (int i = 0; i < 32; i++) snprintf(text + 2 * i, 3, "%02x", target[31 - i]);
    set_text(root, "target", text);
    snprintf(text, sizeof text, "%08x", BITS);
    set_text(root, "bits", text);
    snprintf(text, sizeof text, "%064x", (unsigned)peer->tip);
    set_text(root, "previousblockhash", text);
    json_object_set_new(root, "curtime", json_integer(now_s));
    json_object_set_new(root, "mintime", json_integer(now_s - 3600));
    struct owm_template *block = template_parsed(root);
    json_decref(root);
    return block;
}

static void post_work(struct peer *peer)
{
    struct owm_work_options options = {
        .script = {0x51},
        .script_bytes = 1,
        .tag = "/OWM/",
        .pay_basis_points = OWM_PAY_BASIS_POINTS,
        .halving_interval = 150,
    };
    struct owm_work *work;
    struct owm_error error;
    struct owm_work_place place = {++peer->works, peer->tip};
    must(owm_work_make(template_now(peer), &options, place, &work, &error), &error);
    OWM_ASSERT(owm_pool_loop_post_work(peer->loop, work) == OWM_OK);
    owm_work_release(work);
}

static void open_loop(struct peer *peer)
{
    static const uint8_t secret[32] = {[31] = 7};
    struct owm_sv2_credentials credentials;
    struct owm_error error = {""};
    make_folder(peer->folder);
    must(owm_backend_cpu.open(&peer->device, &(struct owm_device_config){0}, &error), &error);
    OWM_ASSERT(owm_sv2_authority_from_secret(secret, &peer->authority) == OWM_OK);
    OWM_ASSERT(owm_sv2_credentials_make(peer->authority, (uint64_t)owm_clock_wall_ms() / 1000,
                                        VALID_S, &credentials)
               == OWM_OK);
    struct owm_pool_loop_options options = {
        .hall = {.sessions_max = MINERS,
                 .channels_max = MINERS,
                 .workers_max = MINERS,
                 .share_table = 1 << 16,
                 .acks_max = 4096,
                 .device = peer->device,
                 .on_block = on_block},
        .credentials = &credentials,
        .journal_folder = peer->folder,
    };
    must(owm_pool_loop_open(&options, &peer->loop, &error), &error);
}

static void start(struct peer *peer)
{
    struct owm_error error = {""};
    char key[OWM_SV2_AUTHORITY_TEXT_BYTES];
    uint8_t public[32];
    open_loop(peer);
    peer->tip = 1;
    post_work(peer);
    void *ctx[1] = {peer->loop};
    must(owm_net_open(&(struct owm_net_options){.bind = "127.0.0.1",
                                                .port_key = "port",
                                                .loops = 1,
                                                .connections_max = MINERS,
                                                .handler = &owm_pool_loop_handler,
                                                .ctx = ctx},
                      &peer->net, &error),
         &error);
    owm_sv2_authority_public(peer->authority, public);
    owm_sv2_authority_text(public, key);
    printf("listening %u %s\n", owm_net_port(peer->net), key);
}

static void count(struct peer *peer)
{
    struct owm_worker_view worker[WORKERS];
    const struct owm_pool_stats *stats = owm_pool_loop_stats(peer->loop);
    uint32_t workers = owm_workers_copy(owm_pool_loop_workers(peer->loop), 0, worker, WORKERS,
                                        (int64_t)owm_clock_mono_ms());
    printf("accepted %llu\n", (unsigned long long)owm_counted(&stats->accepted));
    for (int i = 0; i < OWM_REJECTS; i++)
        if (owm_counted(&stats->rejected[i]))
            printf("rejected %s %llu\n", owm_reject_text((enum owm_reject)i),
                   (unsigned long long)owm_counted(&stats->rejected[i]));
    for (uint32_t i = 0; i < workers; i++)
        printf("worker %s.%s %llu\n", worker[i].miner.text, worker[i].worker.text,
               (unsigned long long)worker[i].accepted);
}

static void stop(struct peer *peer)
{
    owm_net_close(peer->net);
    owm_pool_loop_close(peer->loop);
    owm_sv2_authority_close(peer->authority);
    peer->device->backend->close(peer->device);
    remove_folder(peer->folder);
}

/** false: stop. */
static bool obey(struct peer *peer, const char *command)
{
    if (strcmp(command, "end\n") == 0) {
        count(peer);
        return false;
    }
    if (strcmp(command, "tip\n") == 0) peer->tip++;
    if (strcmp(command, "move\n") == 0)
        OWM_ASSERT(owm_pool_loop_reconnect(peer->loop, "", 0) == OWM_OK);
    else
        post_work(peer);
    printf("done\n");
    return true;
}

int main(void)
{
    static struct peer peer;
    char line[LINE_BYTES];
    setvbuf(stdout, NULL, _IOLBF, 0);
    owm_log_level_set(OWM_LOG_WARN);
    start(&peer);
    while (fgets(line, sizeof line, stdin) && obey(&peer, line)) {
    }
    stop(&peer);
    return 0;
}
