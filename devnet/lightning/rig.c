/* rig.c: the steps from three programs to a network with channels. */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "ports.h"

#define FIRST_BLOCKS    400 /* Segwit is active on simnet at 300, and a coinbase matures in 100. */
#define OPERATOR_SATS   12000000
#define FUNDS_MIN_SATS  5000000
#define CHANNEL_WAIT_MS 60000
#define STOP_TIMEOUT_MS 20000
#define FEE_SATS_PER_VB "2"

static void place_daemon(struct rig *rig, struct daemon *daemon, const char *programs,
                         const char *name)
{
    *daemon =
        (struct daemon){.chain = &rig->chain, .rpc_port = port_any(), .peer_port = port_any()};
    snprintf(daemon->name, sizeof daemon->name, "%s", name);
    snprintf(daemon->programs, sizeof daemon->programs, "%s", programs);
    snprintf(daemon->folder, sizeof daemon->folder, "%s/%s", rig->folder, name);
    snprintf(daemon->log, sizeof daemon->log, "%s/logs/lnd-%s.log", rig->folder, name);
}

static owm_status lock(struct rig *rig, struct owm_error *error)
{
    char path[CHAIN_PATH_MAX];
    snprintf(path, sizeof path, "%s/lock", rig->folder);
    rig->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (rig->lock_fd < 0) return owm_fail(error, OWM_E_IO, "%s: %s", path, strerror(errno));
    if (flock(rig->lock_fd, LOCK_EX | LOCK_NB))
        return owm_fail(error, OWM_E_STATE, "a Lightning network already runs in %s", rig->folder);
    return OWM_OK;
}

static owm_status place(struct rig *rig, const char *folder, const char *programs,
                        unsigned operator_count, struct owm_error *error)
{
    struct chain *chain = &rig->chain;
    char logs[CHAIN_PATH_MAX], name[16];
    uint8_t secret[16];
    *rig = (struct rig){.operator_count = operator_count, .lock_fd = -1};
    if (strlen(folder) >= sizeof rig->folder || !operator_count
        || operator_count > RIG_OPERATORS_MAX)
        return owm_fail(error, OWM_E_ARG, "%s: too long, or not 1 to %d operators", folder,
                        RIG_OPERATORS_MAX);
    snprintf(rig->folder, sizeof rig->folder, "%s", folder);
    snprintf(chain->program, sizeof chain->program, "%s/btcd", programs);
    snprintf(chain->folder, sizeof chain->folder, "%s/btcd", folder);
    snprintf(chain->log, sizeof chain->log, "%s/logs/btcd.log", folder);
    snprintf(chain->certificate, sizeof chain->certificate, "%s/rpc.cert", chain->folder);
    snprintf(chain->user, sizeof chain->user, "owm");
    owm_uuid_random(secret);
    owm_uuid_format(secret, chain->password);
    chain->port = port_any();
    place_daemon(rig, &rig->treasury, programs, "treasury");
    for (unsigned i = 0; i < operator_count; i++) {
        snprintf(name, sizeof name, "operator-%u", i + 1);
        place_daemon(rig, &rig->operators[i], programs, name);
    }
    snprintf(logs, sizeof logs, "%s/logs", folder);
    owm_status status = owm_fs_mkdirs(chain->folder, 0700, error);
    if (status == OWM_OK) status = owm_fs_mkdirs(logs, 0755, error);
    return status ? status : lock(rig, error);
}

/* The address of an earlier start, where its blocks were mined. */
static bool known_address(struct chain *chain)
{
    char path[CHAIN_PATH_MAX + 16];
    uint8_t *text;
    size_t bytes;
    snprintf(path, sizeof path, "%s/address", chain->folder);
    if (owm_fs_read(path, sizeof chain->address - 1, &text, &bytes, NULL)) return false;
    snprintf(chain->address, sizeof chain->address, "%s", (const char *)text);
    free(text);
    return true;
}

/* btcd takes the address that it mines to at its start alone, and the address comes from a wallet
 * that needs btcd: so a new network's first two programs are started twice. */
static owm_status begin_chain(struct rig *rig, struct owm_error *error)
{
    struct chain *chain = &rig->chain;
    char path[CHAIN_PATH_MAX + 16];
    owm_status status = chain_start(chain, error);
    if (status == OWM_OK) status = daemon_start(&rig->treasury, error);
    if (status == OWM_OK) status = daemon_wait(&rig->treasury, error);
    if (status == OWM_OK) status = daemon_address(&rig->treasury, chain->address, error);
    daemon_stop(&rig->treasury);
    process_stop(&chain->process, SIGTERM, STOP_TIMEOUT_MS);
    if (status == OWM_OK) status = chain_start(chain, error);
    if (status == OWM_OK) status = chain_mine(chain, FIRST_BLOCKS, error);
    snprintf(path, sizeof path, "%s/address", chain->folder);
    return status ? status
                  : owm_fs_write_atomic(path, chain->address, strlen(chain->address), 0644, error);
}

static owm_status start_all(struct rig *rig, struct owm_error *error)
{
    owm_status status =
        known_address(&rig->chain) ? chain_start(&rig->chain, error) : begin_chain(rig, error);
    if (status == OWM_OK) status = daemon_start(&rig->treasury, error);
    for (unsigned i = 0; status == OWM_OK && i < rig->operator_count; i++)
        status = daemon_start(&rig->operators[i], error);
    /* Wallets count coins as mature with the first block that comes after they have caught up. */
    for (unsigned i = 0; status == OWM_OK && i < 2; i++) status = rig_mine(rig, 1, error);
    return status;
}

static int64_t sats_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? strtoll(text, NULL, 10) : 0;
}

static int64_t wallet_sats(const struct daemon *daemon, const char *key)
{
    json_t *reply = NULL;
    if (daemon_ask(daemon, DAEMON_WORDS("walletbalance"), &reply, NULL)) return 0;
    int64_t sats = sats_of(reply, key);
    json_decref(reply);
    return sats;
}

/* A wallet may still be busy with the newest block, so it is asked again. */
static owm_status send(const struct daemon *from, const char *address, struct owm_error *error)
{
    char sats[24];
    owm_status status;
    uint64_t give_up_ms = owm_clock_mono_ms() + CHANNEL_WAIT_MS;
    snprintf(sats, sizeof sats, "%d", OPERATOR_SATS);
    for (;;) {
        status = daemon_ask(from,
                            DAEMON_WORDS("sendcoins", "--sat_per_vbyte", FEE_SATS_PER_VB, "--addr",
                                         address, "--amt", sats),
                            NULL, error);
        if (status != OWM_E_STATE || owm_clock_mono_ms() > give_up_ms) return status;
        owm_clock_sleep_ms(300);
    }
}

static owm_status wait_for_coins(const struct daemon *daemon, struct owm_error *error)
{
    uint64_t give_up_ms = owm_clock_mono_ms() + CHANNEL_WAIT_MS;
    while (wallet_sats(daemon, "confirmed_balance") < FUNDS_MIN_SATS) {
        if (owm_clock_mono_ms() > give_up_ms)
            return owm_fail(error, OWM_E_TIMEOUT, "%s has no coins; its log is %s", daemon->name,
                            daemon->log);
        owm_clock_sleep_ms(100);
    }
    return OWM_OK;
}

static owm_status fund(struct rig *rig, struct owm_error *error)
{
    char address[128];
    bool poor[RIG_OPERATORS_MAX], any = false;
    owm_status status = OWM_OK;
    for (unsigned i = 0; status == OWM_OK && i < rig->operator_count; i++) {
        struct daemon *owner = &rig->operators[i];
        poor[i] = wallet_sats(owner, "total_balance") < FUNDS_MIN_SATS;
        if (!poor[i]) continue;
        any = true;
        status = daemon_address(owner, address, error);
        if (status == OWM_OK) status = send(&rig->treasury, address, error);
    }
    if (status == OWM_OK && any) status = rig_mine(rig, 1, error);
    for (unsigned i = 0; status == OWM_OK && i < rig->operator_count; i++)
        if (poor[i]) status = wait_for_coins(&rig->operators[i], error);
    return status;
}

static owm_status bake(struct rig *rig, struct owm_error *error)
{
    static const enum owm_lightning_role roles[] = {OWM_LIGHTNING_STAKE, OWM_LIGHTNING_INVOICE,
                                                    OWM_LIGHTNING_PAY, OWM_LIGHTNING_SLASH};
    char path[DAEMON_PATH_MAX + 32];
    owm_status status = OWM_OK;
    for (size_t i = 0; status == OWM_OK && i < sizeof roles / sizeof *roles; i++)
        status = daemon_bake(&rig->treasury, roles[i], path, error);
    for (unsigned i = 0; status == OWM_OK && i < rig->operator_count; i++)
        status = daemon_bake(&rig->operators[i], OWM_LIGHTNING_OPERATOR, path, error);
    return status;
}

owm_status rig_up(struct rig *rig, const char *folder, const char *programs,
                  unsigned operator_count, struct owm_error *error)
{
    owm_status status = place(rig, folder, programs, operator_count, error);
    if (status == OWM_OK) status = start_all(rig, error);
    if (status == OWM_OK) status = bake(rig, error);
    if (status == OWM_OK) status = fund(rig, error);
    for (unsigned i = 0; status == OWM_OK && i < operator_count; i++)
        status = rig_connect(&rig->operators[i], &rig->treasury, error);
    return status;
}

void rig_down(struct rig *rig)
{
    for (unsigned i = 0; i < rig->operator_count; i++)
        if (process_alive(&rig->operators[i].process)) kill(rig->operators[i].process.pid, SIGTERM);
    daemon_stop(&rig->treasury);
    for (unsigned i = 0; i < rig->operator_count; i++) daemon_stop(&rig->operators[i]);
    process_stop(&rig->chain.process, SIGTERM, STOP_TIMEOUT_MS);
    if (rig->lock_fd >= 0) close(rig->lock_fd);
    rig->lock_fd = -1;
}

static bool tend(struct daemon *daemon)
{
    if (daemon->process.pid == 0 || process_alive(&daemon->process)) return false;
    return daemon_start(daemon, NULL) == OWM_OK;
}

bool rig_tend(struct rig *rig)
{
    bool any = rig->chain.process.pid && !process_alive(&rig->chain.process);
    if (any) any = chain_start(&rig->chain, NULL) == OWM_OK;
    any = tend(&rig->treasury) || any;
    for (unsigned i = 0; i < rig->operator_count; i++) any = tend(&rig->operators[i]) || any;
    return any;
}

owm_status rig_mine(struct rig *rig, unsigned blocks, struct owm_error *error)
{
    unsigned height = 0;
    owm_status status = chain_mine(&rig->chain, blocks, error);
    if (status == OWM_OK) status = chain_height(&rig->chain, &height, error);
    if (status == OWM_OK) status = daemon_wait_height(&rig->treasury, height, error);
    for (unsigned i = 0; status == OWM_OK && i < rig->operator_count; i++)
        if (process_alive(&rig->operators[i].process))
            status = daemon_wait_height(&rig->operators[i], height, error);
    return status;
}
