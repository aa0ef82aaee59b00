/* pool_world.c: a template as a node would write it, and what else a pool needs to run. */
#include "pool_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "dataplane/chain/hash.h"
#include "dataplane/chain/merkle.h"
#include "dataplane/chain/target.h"
#include "process.h"

#define TRANSACTIONS      ((1u << POOL_BRANCHES) - 1)
#define TRANSACTION_BYTES 61
#define BITS              UINT32_C(0x1702905c)
#define SHARES_A_MINUTE   1e12 /* Never reached, so no target ever gets harder. */
#define CERTIFICATE_S     86400

double pool_cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/** One input, one output. */
static void write_transaction(uint32_t number, uint8_t out[TRANSACTION_BYTES])
{
    static const uint8_t from[32] = {1};
    struct owm_writer w;
    owm_writer_init(&w, out, TRANSACTION_BYTES);
    owm_write_u32_le(&w, 2);
    owm_write_u8(&w, 1);
    owm_write_bytes(&w, from, sizeof from);
    owm_write_u32_le(&w, number);
    owm_write_u8(&w, 0);
    owm_write_u32_le(&w, UINT32_MAX);
    owm_write_u8(&w, 1);
    owm_write_u64_le(&w, 1000 + number);
    owm_write_u8(&w, 1);
    owm_write_u8(&w, 0x51);
    owm_write_u32_le(&w, 0);
    OWM_ASSERT(owm_writer_ok(&w) && w.at == TRANSACTION_BYTES);
}

/** The transactions as JSON; leaf [TRANSACTIONS + 1] gets their hashes from the second on. */
static void print_transactions(FILE *out, uint8_t (*leaf)[32])
{
    for (uint32_t i = 0; i < TRANSACTIONS; i++) {
        uint8_t data[TRANSACTION_BYTES];
        char hex[2 * TRANSACTION_BYTES + 1], txid[OWM_HASH_TEXT_BYTES];
        write_transaction(i, data);
        owm_sha256d(data, sizeof data, leaf[i + 1]);
        owm_hex_encode(data, sizeof data, hex);
        owm_hash_text(leaf[i + 1], txid);
        fprintf(out,
                "%s{\"data\":\"%s\",\"txid\":\"%s\",\"hash\":\"%s\",\"depends\":[],\"fee\":1000,"
                "\"sigops\":0,\"weight\":%d}",
                i ? "," : "", hex, txid, txid, 4 * TRANSACTION_BYTES);
    }
}

/** BIP 141: the root over the transactions and a reserved value of zeros, hashed. */
static void commitment_hex(uint8_t (*leaf)[32], char *hex)
{
    uint8_t pair[64] = {0}, hash[32];
    memset(leaf[0], 0, 32);
    owm_merkle_tree(leaf, TRANSACTIONS + 1, pair);
    owm_sha256d(pair, sizeof pair, hash);
    owm_hex_encode(hash, sizeof hash, hex);
}

static void print_template(FILE *out, uint8_t (*leaf)[32])
{
    char target_text[OWM_HASH_TEXT_BYTES], commitment[65];
    uint8_t target[32];
    OWM_ASSERT(owm_target_from_compact(BITS, target));
    owm_hash_text(target, target_text);
    fprintf(out, "{\"transactions\":[");
    print_transactions(out, leaf);
    commitment_hex(leaf, commitment);
    fprintf(out,
            "],\"version\":536870912,\"rules\":[\"csv\",\"!segwit\"],\"previousblockhash\":"
            "\"00000000000000000001d5b8a1ad5ff8d4d2ec0f8ee7a9d3c5d3cb2e1ac6bd14\","
            "\"coinbaseaux\":{},\"coinbasevalue\":316595000,\"longpollid\":\"1\","
            "\"target\":\"%s\",\"mintime\":%u,\"curtime\":%u,\"bits\":\"%08x\",\"height\":880000,"
            "\"default_witness_commitment\":\"6a24aa21a9ed%s\"}",
            target_text, 1700000001u, 1700000100u, BITS, commitment);
}

static owm_status make_template(struct owm_template **block, struct owm_error *error)
{
    char *text = NULL;
    size_t bytes = 0;
    owm_status status = OWM_E_NOMEM;
    uint8_t(*leaf)[32] = calloc(TRANSACTIONS + 2, sizeof *leaf);
    FILE *out = open_memstream(&text, &bytes);
    if (leaf && out) print_template(out, leaf);
    if (out && fclose(out) == 0 && leaf) status = owm_template_parse(text, bytes, block, error);
    free(text);
    free(leaf);
    return status;
}

owm_status pool_world_open(struct pool_world *world, const char *folder, struct owm_error *error)
{
    static const uint8_t secret[32] = {[31] = 7};
    *world = (struct pool_world){0};
    memset(world->easiest, 0xff, sizeof world->easiest);
    if (snprintf(world->folder, sizeof world->folder, "%s/owm-bench-XXXXXX",
                 folder ? folder : "/tmp")
            >= (int)sizeof world->folder
        || !mkdtemp(world->folder)) {
        *world->folder = 0;
        return owm_fail(error, OWM_E_IO, "no folder for journals can be made in %s",
                        folder ? folder : "/tmp");
    }
    owm_status status = make_template(&world->block, error);
    if (status == OWM_OK && world->block->branches != POOL_BRANCHES)
        status =
            owm_fail(error, OWM_E_STATE, "the template has %u branches", world->block->branches);
    if (status == OWM_OK) status = owm_sv2_authority_from_secret(secret, &world->authority);
    if (status == OWM_OK)
        status = owm_sv2_credentials_make(world->authority, (uint64_t)owm_clock_wall_ms() / 1000,
                                          CERTIFICATE_S, &world->credentials);
    return status;
}

void pool_world_close(struct pool_world *world)
{
    owm_template_release(world->block);
    owm_sv2_authority_close(world->authority);
    owm_sv2_credentials_wipe(&world->credentials);
    const char *const argv[] = {"/bin/rm", "-rf", world->folder, NULL};
    if (*world->folder
        && process_run("rm", argv, &(struct process_options){.log_path = "/dev/null"}, NULL))
        fprintf(stderr, "owm-bench: %s stays behind\n", world->folder);
}

owm_status pool_world_work(struct pool_world *world, struct owm_work **work,
                           struct owm_error *error)
{
    struct owm_work_options options = {
        .script = {0x00, 0x14, 1, 2, 3}, /* P2WPKH. */
        .script_bytes = 22,
        .tag = "/OWM/",
        .pay_basis_points = OWM_PAY_BASIS_POINTS,
        .halving_interval = 210000,
    };
    uint64_t number = ++world->works;
    return owm_work_make(owm_template_retain(world->block), &options,
                         (struct owm_work_place){number, number}, work, error);
}

static void no_block(void *ctx, const struct owm_found *found)
{
    (void)ctx;
    (void)found;
    OWM_ASSERT(!"a share of a benchmark solved a block of mainnet's difficulty");
}

owm_status pool_world_hall(const struct pool_world *world, uint32_t sessions,
                           struct owm_hall_options *options, struct owm_error *error)
{
    *options = (struct owm_hall_options){
        .epoch = 1,
        .sessions_max = sessions,
        .channels_max = sessions,
        .channels_per_address = sessions,
        .vardiff = {.shares_per_minute = SHARES_A_MINUTE},
        .on_block = no_block,
        .clock_ns = owm_clock_mono_ns,
    };
    memcpy(options->authority, world->credentials.authority, sizeof options->authority);
    return owm_backend_cpu.open(&options->device, &(struct owm_device_config){0}, error);
}
