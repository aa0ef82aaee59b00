/* places.c: folders, ports, keys and configuration files of a development network. */
#include "places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/identity.h"
#include "ports.h"

#define CONFIG_BYTES_MAX      8192
#define CERTIFICATE_BYTES_MAX 65536
#define LIGHTNING_BYTES_MAX   (4 * DAEMON_PATH_MAX + 512)
#define PROVENANCE_BYTES_MAX  (SOURCE_PATH_MAX + 512)
#define MINERS_BYTES_MAX      (MINING_URL_MAX + DEVNET_PATH_MAX + 128)

void places_ports(struct network *network)
{
    network->ports.nodes = port_choose(9000);
    network->ports.internal = port_choose(9001);
    network->ports.page = port_choose(9100);
    for (unsigned i = 0; i < network->options.nodes; i++)
        network->ports.node_page[i] = port_choose(8080 + i);
}

void places_mining_ports(struct network *network)
{
    struct mining *mining = &network->mining;
    mining->source.port = port_choose(18443);
    if (mining->source.kind != SOURCE_BTCD)
        snprintf(mining->source.zmq, sizeof mining->source.zmq, "tcp://127.0.0.1:%u",
                 port_choose(28332));
    mining->pool_port = port_choose(3333);
    mining->page_port = port_choose(8334);
}

static owm_status set_aside(const char *folder, struct owm_error *error)
{
    char old[DEVNET_PATH_MAX + 48];
    if (access(folder, F_OK)) return OWM_OK;
    snprintf(old, sizeof old, "%s.old-%lld", folder, (long long)time(NULL));
    if (rename(folder, old))
        return owm_fail(error, OWM_E_IO, "%s to %s: %s", folder, old, strerror(errno));
    printf("the old network is kept in %s\n", old);
    return OWM_OK;
}

owm_status places_programs(struct network *network, struct owm_error *error)
{
    char program[DEVNET_PATH_MAX] = "";
    if (readlink("/proc/self/exe", program, sizeof program - 1) < 0)
        return owm_fail(error, OWM_E_IO, "/proc/self/exe: %s", strerror(errno));
    *strrchr(program, '/') = 0;
    snprintf(network->programs, sizeof network->programs, "%s", program);
    return OWM_OK;
}

owm_status places_open(struct network *network, struct owm_error *error)
{
    char path[DEVNET_PATH_MAX + 32];
    network->lock_fd = -1;
    owm_status status = places_programs(network, error);
    if (status == OWM_OK && network->options.fresh)
        status = set_aside(network->options.folder, error);
    if (status == OWM_OK) status = owm_fs_mkdirs(network->options.folder, 0755, error);
    if (status) return status;
    char *real = realpath(network->options.folder, NULL);
    if (!real || strlen(real) >= sizeof network->folder - 32) {
        free(real);
        return owm_fail(error, OWM_E_IO, "%s: not a usable folder name", network->options.folder);
    }
    snprintf(network->folder, sizeof network->folder, "%s", real);
    free(real);

    snprintf(path, sizeof path, "%s/lock", network->folder);
    network->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (network->lock_fd < 0) return owm_fail(error, OWM_E_IO, "%s: %s", path, strerror(errno));
    if (flock(network->lock_fd, LOCK_EX | LOCK_NB))
        return owm_fail(error, OWM_E_STATE,
                        "a network already runs in %s: end it first, or use --folder",
                        network->folder);
    snprintf(path, sizeof path, "%s/logs", network->folder);
    return owm_fs_mkdirs(path, 0755, error);
}

static owm_status key_hex(const struct network *network, const char *name, char hex[static 65],
                          struct owm_error *error)
{
    char path[DEVNET_PATH_MAX + 32];
    owm_identity *identity;
    snprintf(path, sizeof path, "%s/%s", network->folder, name);
    owm_status status = owm_identity_load_or_create(path, &identity, NULL, error);
    if (status) return status;
    owm_hex_encode(owm_identity_public_key(identity), 32, hex);
    owm_identity_close(identity);
    return OWM_OK;
}

static owm_status write_config(const char *path, const char *text, int bytes,
                               struct owm_error *error)
{
    if (bytes < 0 || bytes >= CONFIG_BYTES_MAX)
        return owm_fail(error, OWM_E_LIMIT, "%s would be too long", path);
    return owm_fs_write_atomic(path, text, (size_t)bytes, 0600, error);
}

/* Where the treasury's node is, and that it pays; "" where there is none. Its uri has to be said:
 * on a loopback address a node announces none. */
static void treasury_config(const struct network *network, char *uri, char *text, size_t bytes)
{
    const struct daemon *treasury = &network->paying.rig.treasury;
    *text = *uri = 0;
    if (!network->paying.on) return;
    daemon_uri(treasury, uri);
    snprintf(text, bytes,
             "\n[lightning]\nbackend = \"lnd\"\naddress = \"127.0.0.1:%u\"\n"
             "certificate = \"%s/tls.cert\"\nnetwork = \"simnet\"\n"
             "stake_credential = \"%s/owm-stake.macaroon\"\n"
             "invoice_credential = \"%s/owm-invoice.macaroon\"\n"
             "pay_credential = \"%s/owm-pay.macaroon\"\n\n"
             "[stake]\nt1_sats = %d\nt2_sats = %d\nt3_sats = %d\n\n"
             "[bonds]\nenabled = true\n\n"
             "[payments]\nopen_channels = true\n",
             treasury->rpc_port, treasury->folder, treasury->folder, treasury->folder,
             treasury->folder, PAYING_T1_SATS, PAYING_T2_SATS, PAYING_T3_SATS);
}

/* That the pool's miners are paid, too: more keys of [payments], the last section before. */
static void miners_config(const struct network *network, char *text, size_t bytes)
{
    *text = 0;
    if (!paying_pays_pool(network)) return;
    snprintf(text, bytes,
             "channel_sats = %d\npool_database_url = \"%s\"\n"
             "pool_payment_key = \"%s/pool/payment.key\"\n",
             PAYING_CHANNEL_SATS, network->mining.database_url, network->folder);
}

/* Every version is stamped by our own calendar; here promises are enough to be used. */
static void provenance_config(const struct network *network, char *text, size_t bytes)
{
    char url[64];
    const char *cookie = anchoring_login(network, url);
    snprintf(text, bytes,
             "[provenance]\ncalendars = \"%s\"\ncalendars_needed = 1\nserve_pending = true\n"
             "retry_min_s = 2\nretry_max_s = 10\nbitcoin_network = \"regtest\"\n"
             "bitcoin_rpc = \"%s\"\nbitcoin_cookie = \"%s\"\n\n",
             network->anchoring.uri, url, cookie);
}

owm_status places_coordinator_config(const struct network *network, struct owm_error *error)
{
    char text[CONFIG_BYTES_MAX], path[DEVNET_PATH_MAX + 64], operator_hex[65], second_hex[65];
    char treasury[LIGHTNING_BYTES_MAX], uri[OWM_LIGHTNING_TEXT_BYTES], miners[MINERS_BYTES_MAX];
    char provenance[PROVENANCE_BYTES_MAX];
    const struct options *o = &network->options;
    owm_status status = key_hex(network, "operator.key", operator_hex, error);
    if (status == OWM_OK) status = key_hex(network, "maintainer.key", second_hex, error);
    if (status) return status;
    snprintf(path, sizeof path, "%s/coordinator", network->folder);
    status = owm_fs_mkdirs(path, 0700, error);
    if (status) return status;

    unsigned quorum = o->nodes < 3 ? o->nodes : 3;
    treasury_config(network, uri, treasury, sizeof treasury);
    miners_config(network, miners, sizeof miners);
    provenance_config(network, provenance, sizeof provenance);
    int bytes =
        snprintf(text, sizeof text,
                 "# Written by owm-devnet at each start.\n"
                 "[server]\nlisten = \"127.0.0.1:%u\"\ninternal_listen = \"127.0.0.1:%u\"\n"
                 "data_dir = \"%s/coordinator\"\n\n"
                 "[policy]\nnetwork = \"devnet\"\nstake = \"%s\"\n"
                 "treasury_uri = \"%s\"\nregistrations_per_ip_hour = 0\n\n"
                 "[heartbeat]\nperiod_ms = 2000\ngrace_ms = 6000\n\n"
                 "[rounds]\nmin_participants = %u\nstop_after = %u\n"
                 "steps = 160\nlr = 0.003\nwarmup_steps = 16\nserver_lr = 2.0\n"
                 "heldout_file = \"%s/shards/heldout.txt\"\n\n"
                 "[slashing]\nmaintainers = \"%s,%s\"\nappeal_hours = 0\n\n"
                 "[internal]\nallowed_keys = \"%s\"\n\n%s"
                 "[http]\nport = %u\n%s%s",
                 network->ports.nodes, network->ports.internal, network->folder,
                 network->paying.on ? "lightning" : "none", uri, quorum,
                 o->rounds ? network->rounds_before + o->rounds : 0, network->folder, operator_hex,
                 second_hex, operator_hex, provenance, network->ports.page, treasury, miners);
    snprintf(path, sizeof path, "%s/coordinator/coordinator.toml", network->folder);
    return write_config(path, text, bytes, error);
}

static void node_lightning_config(const struct network *network, unsigned index, char *text,
                                  size_t bytes)
{
    const struct daemon *daemon = &network->paying.rig.operators[index];
    char uri[OWM_LIGHTNING_TEXT_BYTES];
    *text = 0;
    if (!network->paying.on) return;
    daemon_uri(daemon, uri);
    snprintf(text, bytes,
             "\n[lightning]\nnode_uri = \"%s\"\nbackend = \"lnd\"\nnetwork = \"simnet\"\n"
             "lnd_rpc_host = \"127.0.0.1:%u\"\nlnd_tls_cert_path = \"%s/tls.cert\"\n"
             "lnd_macaroon_path = \"%s/owm-operator.macaroon\"\n",
             uri, daemon->rpc_port, daemon->folder, daemon->folder);
}

static void model_config(const struct network *network, char *text, size_t bytes)
{
    char url[64];
    const char *cookie = anchoring_login(network, url);
    snprintf(text, bytes,
             "[model]\nproofs = \"pending\"\ncalendars = \"%s\"\ncalendars_needed = 1\n"
             "bitcoin_network = \"regtest\"\nbitcoin_rpc = \"%s\"\nbitcoin_cookie = \"%s\"\n\n",
             network->anchoring.uri, url, cookie);
}

owm_status places_node_config(const struct network *network, unsigned index,
                              struct owm_error *error)
{
    char text[CONFIG_BYTES_MAX], folder[DEVNET_PATH_MAX + 32], path[DEVNET_PATH_MAX + 64];
    char lightning[LIGHTNING_BYTES_MAX], model[PROVENANCE_BYTES_MAX];
    const struct options *o = &network->options;
    /* The last ones are poisoned: their worker is the test double, the daemon is the real one. */
    bool poisoned = index >= o->nodes - o->poison;
    snprintf(folder, sizeof folder, "%s/node-%u", network->folder, index + 1);
    owm_status status = owm_fs_mkdirs(folder, 0700, error);
    if (status) return status;

    node_lightning_config(network, index, lightning, sizeof lightning);
    model_config(network, model, sizeof model);
    int bytes = snprintf(text, sizeof text,
                         "# Written by owm-devnet at each start.\n"
                         "[node]\nalias = \"node-%u\"\ntier_override = \"%s\"\n"
                         "data_dir = \"%s\"\nhttp_port = %u\nthreads = 1\n"
                         "worker_path = \"%s/%s\"\n\n"
                         "[network]\ncoordinator_url = \"https://127.0.0.1:%u\"\n"
                         "coordinator_cert = \"%s/coordinator/coordinator.crt\"\n"
                         "max_concurrent_tasks = 2\nreconnect_max_s = 5\n\n"
                         "[data]\nshard_paths = \"%s/shards/node-%u.txt\"\n\n%s"
                         "[limits]\nshutdown_s = 60\n%s",
                         index + 1, options_tier(o, index), folder, network->ports.node_page[index],
                         network->programs, poisoned ? "owm-worker-poisoned" : "owm-worker",
                         network->ports.nodes, network->folder, network->folder, index + 1, model,
                         lightning);
    snprintf(path, sizeof path, "%s/owm.toml", folder);
    return write_config(path, text, bytes, error);
}

static owm_status coordinator_key_hex(const struct network *network, char hex[static 65],
                                      struct owm_error *error)
{
    char path[DEVNET_PATH_MAX + 64];
    uint8_t *pem, key[32];
    size_t bytes;
    snprintf(path, sizeof path, "%s/coordinator/coordinator.crt", network->folder);
    owm_status status = owm_fs_read(path, CERTIFICATE_BYTES_MAX, &pem, &bytes, error);
    if (status) return status;
    status = owm_cert_public_key((const char *)pem, bytes, key);
    free(pem);
    if (status == OWM_OK) owm_hex_encode(key, sizeof key, hex);
    return status;
}

owm_status places_slasher_config(const struct network *network, struct owm_error *error)
{
    char text[CONFIG_BYTES_MAX], path[DEVNET_PATH_MAX + 64], key[65], first[65], second[65];
    const struct daemon *treasury = &network->paying.rig.treasury;
    owm_status status = coordinator_key_hex(network, key, error);
    if (status == OWM_OK) status = key_hex(network, "operator.key", first, error);
    if (status == OWM_OK) status = key_hex(network, "maintainer.key", second, error);
    snprintf(path, sizeof path, "%s/slasher", network->folder);
    if (status == OWM_OK) status = owm_fs_mkdirs(path, 0700, error);
    if (status) return status;
    int bytes = snprintf(
        text, sizeof text,
        "# Written by owm-devnet at each start; the database is in DATABASE_URL.\n"
        "[lightning]\naddress = \"127.0.0.1:%u\"\ncertificate = \"%s/tls.cert\"\n"
        "network = \"simnet\"\ncredential = \"%s/owm-slash.macaroon\"\n\n"
        "[slashing]\ncoordinator_key = \"%s\"\nmaintainers = \"%s,%s\"\nappeal_hours = 0\n\n"
        "[slasher]\npoll_s = 1\n\n"
        "[http]\nport = 0\n",
        treasury->rpc_port, treasury->folder, treasury->folder, key, first, second);
    snprintf(path, sizeof path, "%s/slasher/slasher.toml", network->folder);
    return write_config(path, text, bytes, error);
}

/* Blocks of a chain that anyone can begin anew pay to an example: the key of BIP173's vectors. */
#define POOL_ADDRESS "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"

owm_status places_pool_config(const struct network *network, struct owm_error *error)
{
    char text[CONFIG_BYTES_MAX], path[DEVNET_PATH_MAX + 64], login[DEVNET_PATH_MAX + 512];
    const struct mining *mining = &network->mining;
    const struct source *source = &mining->source;
    if (*source->cookie)
        snprintf(login, sizeof login, "rpc_cookie = \"%s\"\nzmq_hashblock = \"%s\"\n",
                 source->cookie, source->zmq);
    else
        snprintf(login, sizeof login, "rpc_user = \"owm\"\nrpc_password = \"%s\"\n",
                 source->password);
    int bytes =
        snprintf(text, sizeof text,
                 "# Written by owm-devnet at each start; the database is in DATABASE_URL.\n"
                 "[pool]\nbind = \"127.0.0.1\"\nport = %u\nnetwork = \"regtest\"\n"
                 "address = \"" POOL_ADDRESS "\"\n"
                 "data_dir = \"%s/pool\"\nconnections_max = 256\n\n"
                 "[bitcoin]\nrpc_url = \"http://127.0.0.1:%u\"\n%s\n"
                 "[http]\nport = %u\n",
                 mining->pool_port, network->folder, source->port, login, mining->page_port);
    snprintf(path, sizeof path, "%s/pool/pool.toml", network->folder);
    return write_config(path, text, bytes, error);
}

owm_status places_write_addresses(const struct network *network, struct owm_error *error)
{
    char text[CONFIG_BYTES_MAX], path[DEVNET_PATH_MAX + 32], pool[MINING_URL_MAX + 512] = "";
    char lightning[MINING_URL_MAX + 64] = "";
    const struct mining *mining = &network->mining;
    bool ours = network->postgres.process.pid > 0; /* Else its URL may hold a password. */
    if (*mining->pool_url)
        snprintf(pool, sizeof pool,
                 ",\"pool\":\"%s\",\"pool_page\":\"http://127.0.0.1:%u/\","
                 "\"pool_database\":\"%s\"",
                 mining->pool_url, mining->page_port, ours ? mining->database_url : "");
    if (network->paying.on)
        snprintf(lightning, sizeof lightning,
                 ",\"lightning\":{\"database\":\"%s\",\"pays_pool\":%s}",
                 ours ? network->database_url : "", paying_pays_pool(network) ? "true" : "false");
    int bytes =
        snprintf(text, sizeof text,
                 "{\"internal\":\"127.0.0.1:%u\",\"page\":\"http://127.0.0.1:%u/\","
                 "\"pid\":%d%s%s}\n",
                 network->ports.internal, network->ports.page, (int)getpid(), pool, lightning);
    snprintf(path, sizeof path, "%s/devnet.json", network->folder);
    return write_config(path, text, bytes, error);
}
