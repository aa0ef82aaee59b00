/* doctor.c: the checks of `owm-node doctor`. */
#include "node/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "node/beside.h"
#include "node/contact.h"
#include "node/detect.h"
#include "node/headers.h"
#include "node/lightning.h"
#include "node/node.h"
#include "node/stake_command.h"
#include "node/stake_watch.h"

#define CLOCK_OFF_MAX_MS 30000
#define DISK_FREE_MIN    (UINT64_C(2) << 30)

/** add: one finding; `fix` "" for what is fine. */
static void add(struct doctor_report *report, enum doctor_severity severity, const char *check,
                const char *fix, const char *format, ...) __attribute__((format(printf, 5, 6)));
static void add(struct doctor_report *report, enum doctor_severity severity, const char *check,
                const char *fix, const char *format, ...)
{
    OWM_ASSERT(report->count < DOCTOR_FINDINGS_MAX);
    struct doctor_finding *f = &report->finding[report->count++];
    f->severity = severity;
    snprintf(f->check, sizeof f->check, "%s", check);
    snprintf(f->fix, sizeof f->fix, "%s", fix);
    va_list args;
    va_start(args, format);
    vsnprintf(f->what, sizeof f->what, format, args);
    va_end(args);
}

static void check_tier(const struct owm_node_config *config, struct doctor_report *report)
{
    const struct owm_detect_places places = {.bandwidth_mbps = config->bandwidth_mbps};
    struct owm_machine m;
    struct owm_tier_result tier;
    owm_detect(&places, &m);
    owm_tier_decide(&m, config->tier_override, &tier);
    add(report, DOCTOR_OK, "machine", "", "%s, VRAM %.1f GB (%s), RAM %.1f GB, %.0f Mbit/s (%s)",
        m.device, (double)m.vram_bytes / 1e9, m.vram_source, (double)m.ram_bytes / 1e9,
        m.bandwidth_mbps, m.bandwidth_source);
    const struct owm_tier_row *row = owm_tier_row_of(tier.tier);
    if (row == NULL)
        add(report, DOCTOR_ERROR, "tier",
            "Add what is short. If a number is measured wrongly, set node.bandwidth_mbps, or "
            "node.tier_override (the network sees that it was set by hand)",
            "below Tier 1: %s (have of needed)", tier.why);
    else if (tier.overridden && tier.tier > tier.measured)
        add(report, DOCTOR_WARNING, "tier", "Set node.tier_override = \"\" to use what is measured",
            "%s by node.tier_override, but the machine measures as %s: %s", row->name,
            owm_tier_code(tier.measured), tier.why);
    else
        add(report, DOCTOR_OK, "tier", "", "%s, rewards x %s", row->name, row->multiplier);
}

static void check_identity(const struct owm_node_config *config, struct doctor_report *report)
{
    struct stat st;
    if (lstat(config->identity_key, &st) != 0) {
        add(report, DOCTOR_OK, "identity", "", "%s will be made at the first start",
            config->identity_key);
        return;
    }
    owm_identity *identity = NULL;
    struct owm_error error;
    if (owm_identity_load_or_create(config->identity_key, &identity, NULL, &error) == OWM_OK)
        add(report, DOCTOR_OK, "identity", "", "%s is in order; keep a copy of it elsewhere",
            config->identity_key);
    else
        add(report, DOCTOR_ERROR, "identity", "Do what the message says; never delete the file",
            "%s", error.text);
    owm_identity_close(identity);
}

static void check_instance(const struct owm_node_config *config, struct doctor_report *report)
{
    char *path = NULL, pid[24] = "";
    if (asprintf(&path, "%s/lock", config->data_dir) < 0) return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0) {
        if (read(fd, pid, sizeof pid - 1) < 0) pid[0] = '\0';
        add(report, DOCTOR_OK, "running", "", "owm-node runs (pid %.12s)", pid);
    } else {
        add(report, DOCTOR_OK, "running", "", "owm-node does not run with %s now",
            config->data_dir);
    }
    if (fd >= 0) close(fd);
    free(path);
}

static void check_disk(const struct owm_node_config *config, struct doctor_report *report)
{
    struct statvfs fs;
    const char *place = config->data_dir;
    if (statvfs(place, &fs) != 0) {
        place = "/";
        if (statvfs(place, &fs) != 0) return;
    }
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    bool enough = free_bytes >= DISK_FREE_MIN;
    add(report, enough ? DOCTOR_OK : DOCTOR_WARNING, "disk",
        enough ? "" : "Free some space, or set model.model_cache_dir to another disk",
        "%.1f GB are free at %s", (double)free_bytes / 1e9, place);
}

static void check_worker(const struct owm_node_config *config, struct doctor_report *report)
{
    const struct owm_worker_options options = {
        .path = config->worker_path,
        .threads = 1,
        .silence_ms = 10000,
        .backend = owm_node_backend(config),
        .device = (unsigned)config->device,
    };
    owm_worker *worker = NULL;
    struct owm_error error = {""};
    owm_status status = owm_worker_open(&options, &worker);
    if (status == OWM_OK) status = owm_worker_warm(worker, &error);
    if (status == OWM_OK)
        add(report, DOCTOR_OK, "worker", "", "a sandboxed worker started: %s",
            owm_worker_runs_on(worker));
    else
        add(report, DOCTOR_ERROR, "worker",
            "Install owm-worker beside owm-node or set node.worker_path; the kernel needs seccomp",
            "no worker could be started: %s", error.text);
    owm_worker_close(worker);
}

static void check_shard(const struct owm_node_config *config, struct doctor_report *report)
{
    struct shard shard;
    struct owm_error error;
    owm_status status = shard_open(
        config->shard_paths, config->allow_contributor_data ? config->contributor_data_dir : NULL,
        (uint64_t)config->shard_max_mb << 20, &shard, &error);
    if (status != OWM_OK)
        add(report, DOCTOR_ERROR, "data", "Correct data.shard_paths in owm.toml", "%s", error.text);
    else if (shard.fd < 0)
        add(report, DOCTOR_WARNING, "data",
            "Set data.shard_paths = \"/folder/with/text\"; the text never leaves this machine",
            "no training text: this node gets no federated rounds, which pay most");
    else
        add(report, DOCTOR_OK, "data", "", "%zu text files, %.1f MB", shard.files,
            (double)shard.bytes / 1e6);
    if (status == OWM_OK) shard_close(&shard);
}

/* --------------------------------------------------------------------------- coordinator */

/** judge_hello: what the coordinator's answer says about this machine and this version. */
static void judge_hello(const PB(HelloResponse) * answer, const char *target,
                        struct doctor_report *report)
{
    int64_t off = answer->server_time_ms - owm_clock_wall_ms();
    add(report, DOCTOR_OK, "coordinator", "", "%s answers; network %.24s, stake policy %.24s",
        target, answer->network, answer->stake_policy);
    if (answer->server_time_ms && (off > CLOCK_OFF_MAX_MS || off < -CLOCK_OFF_MAX_MS))
        add(report, DOCTOR_WARNING, "clock",
            "Turn on time synchronisation: timedatectl set-ntp true",
            "this clock is %lld s off the coordinator's", (long long)(off / 1000));
}

/** check_coordinator: with a throw-away identity: Hello needs none that is registered. */
static PB(HelloResponse)
    * check_coordinator(const struct owm_node_config *config, struct doctor_report *report)
{
    struct node_contact contact;
    struct owm_error error = {""};
    PB(HelloResponse) *hello = NULL;
    owm_status status = node_contact_open(config, NODE_CONTACT_STRANGER, &contact, &error);
    if (status != OWM_OK)
        add(report, DOCTOR_ERROR, "coordinator",
            "Set network.coordinator_url and network.coordinator_cert in owm.toml", "%s",
            error.text);
    else if (node_contact_hello(&contact, &hello, &error) == OWM_OK)
        judge_hello(hello, contact.target, report);
    else
        add(report, DOCTOR_ERROR, "coordinator",
            "Check network.coordinator_url, your internet connection and outgoing TCP; check that "
            "network.coordinator_cert is the current certificate",
            "%s", error.text);
    node_contact_close(&contact);
    return hello;
}

/* ---------------------------------------------------------------------------- provenance */

static void check_policy(const struct owm_node_config *config, const PB(HelloResponse) * hello,
                         struct doctor_report *report)
{
    enum proof_demand demand[MODEL_USES];
    struct owm_error why = {""};
    struct proof_calendars calendars;
    if (proof_calendars_open(config->calendars, &calendars, &why) != OWM_OK) {
        add(report, DOCTOR_ERROR, "provenance", "Correct model.calendars in owm.toml", "%s",
            why.text);
        return;
    }
    proof_calendars_close(&calendars);
    if (proof_demands(config, hello->network, demand, &why) != OWM_OK)
        add(report, DOCTOR_ERROR, "provenance", "Correct [model] in owm.toml", "%s", why.text);
    else
        add(report, DOCTOR_OK, "provenance", "",
            "models for training need %s; for serving, %s (network %.24s)",
            proof_demand_text(demand[MODEL_TRAINING]), proof_demand_text(demand[MODEL_SERVING]),
            hello->network);
}

/** check_headers: asked once, as at the first proof in a block. A file that follows a Bitcoin node
 *  is the running node's to write: then the Bitcoin node alone is asked. */
static void check_headers(const struct owm_node_config *config, const PB(HelloResponse) * hello,
                          struct doctor_report *report)
{
    static const char fix[] =
        "Set model.bitcoin_rpc = \"http://127.0.0.1:8332\" and model.bitcoin_cookie, or build "
        "model.headers_file with owm-ots headers";
    enum proof_demand demand[MODEL_USES];
    node_headers *headers = NULL;
    struct owm_error error = {""};
    uint64_t height = 0;
    if (proof_demands(config, hello->network, demand, &error) != OWM_OK) return; /* Told above. */
    static char none[] = "";
    struct owm_node_config asked = *config;
    if (*config->bitcoin_rpc) asked.headers_file = none;
    owm_status status = node_headers_open(&asked, &headers, &error);
    if (status == OWM_OK && headers == NULL) {
        if (demand[MODEL_SERVING] == PROOF_CONFIRMED)
            add(report, DOCTOR_WARNING, "headers", fix,
                "no block headers to check proofs with: tasks that serve a model are refused");
        return;
    }
    if (status == OWM_OK) {
        const struct owm_ots_headers source = node_headers_source(headers);
        status = source.tip(source.ctx, &height, &error);
    }
    if (status == OWM_OK)
        add(report, DOCTOR_OK, "headers", "", "block headers 0 to %llu, from %s",
            (unsigned long long)height,
            *asked.headers_file ? asked.headers_file : "the Bitcoin node");
    else
        add(report, DOCTOR_ERROR, "headers",
            "Start the Bitcoin node, or correct model.bitcoin_rpc, model.bitcoin_cookie, "
            "model.bitcoin_network or model.headers_file",
            "%s", error.text);
    node_headers_close(headers);
}

/** check_models: what the running node uses, and what it refused last. */
static void check_models(const struct owm_node_config *config, struct doctor_report *report)
{
    json_t *health = NULL;
    bool healthy = false;
    struct owm_error error;
    if (node_beside_health(config, &health, &healthy, &error) != OWM_OK) return;
    const json_t *models = json_object_get(health, "models");
    for (int use = 0; use < MODEL_USES; use++) {
        const char *name = model_use_name((enum model_use)use);
        const char *text =
            json_string_value(json_object_get(json_object_get(models, name), "text"));
        if (text) add(report, DOCTOR_OK, "model", "", "%s: %.400s", name, text);
    }
    const json_t *refused = json_object_get(models, "refused");
    const char *text = json_string_value(json_object_get(refused, "text"));
    if (text)
        add(report, DOCTOR_WARNING, "model", "docs/node-setup.md says what each reason means",
            "last one refused, %.450s", text);
    json_decref(health);
}

/* ----------------------------------------------------------------------------- lightning */

static void check_payout(const struct owm_node_config *config, struct doctor_report *report)
{
    uint8_t key[OWM_LIGHTNING_KEY_BYTES];
    const char *host;
    if (!config->node_uri[0])
        add(report, DOCTOR_WARNING, "lightning",
            "Set lightning.node_uri = \"pubkey@host:port\" of your Lightning node",
            "no Lightning node: rewards stay owed; networks with stake refuse the registration");
    else if (owm_lightning_uri_parse(config->node_uri, key, &host) != OWM_OK)
        add(report, DOCTOR_ERROR, "lightning",
            "Set lightning.node_uri to what `lncli getinfo` shows under uris, pubkey@host:port",
            "lightning.node_uri '%.100s' is not pubkey@host:port", config->node_uri);
    else
        add(report, DOCTOR_OK, "lightning", "", "rewards go to %.150s",
            config->payout_to[0] ? config->payout_to : config->node_uri);
}

static void judge_channel(const struct owm_node_config *config, owm_lightning *lightning,
                          const PB(HelloResponse) * hello, struct doctor_report *report)
{
    struct node_stake stake = {.sats = 0};
    struct owm_error error = {""};
    const char *tier = owm_tier_code(stake_tier(config, NULL));
    node_stake_hello(&stake, hello, tier);
    if (!stake.treasury_uri[0])
        add(report, DOCTOR_WARNING, "stake", "Ask the operator of the coordinator for it",
            "the coordinator does not publish the treasury's address: the channel to it cannot be "
            "watched");
    else if (node_stake_look(lightning, &stake, &error) != OWM_OK)
        add(report, DOCTOR_WARNING, "stake", "Try again when the node is ready", "%s", error.text);
    else if (stake.open_sats < stake.required_sats)
        add(report, DOCTOR_WARNING, "stake", "Run owm-node stake: it says the next step",
            "%lld of %lld sats are in open channels to the treasury, %lld more in opening ones",
            (long long)stake.open_sats, (long long)stake.required_sats,
            (long long)stake.opening_sats);
    else
        add(report, DOCTOR_OK, "stake", "",
            "%lld sats in open channels to the treasury; %s needs %lld", (long long)stake.open_sats,
            tier, (long long)stake.required_sats);
}

/** check_node: opening the handle judges it: it answers, on the right chain, and its credential may
 *  do no more than the operator's role. */
static void check_node(const struct owm_node_config *config, const PB(HelloResponse) * hello,
                       struct doctor_report *report)
{
    owm_lightning *lightning = NULL;
    struct owm_error error = {""};
    struct owm_lightning_info info;
    enum owm_lightning_backend backend =
        config->lightning == OWM_NODE_CLN ? OWM_LIGHTNING_CLN : OWM_LIGHTNING_LND;
    if (hello == NULL && !config->lightning_network[0]) return; /* Which chain? */
    bool staked = hello && strcmp(hello->stake_policy, "lightning") == 0;
    owm_status status =
        node_lightning_open(config, hello ? hello->network : "", &lightning, &error);
    if (status == OWM_E_NOTFOUND) { /* lightning.backend is none */
        if (staked)
            add(report, DOCTOR_OK, "stake", "",
                "proved and watched by hand (lightning.backend is none): owm-node stake");
        return;
    }
    if (status == OWM_OK) status = owm_lightning_get_info(lightning, &info, &error);
    if (status != OWM_OK) {
        const char *recipe = owm_lightning_role_recipe(backend, OWM_LIGHTNING_OPERATOR);
        bool credential = status == OWM_E_PERM || status == OWM_E_CONFIG;
        add(report, status == OWM_E_AGAIN ? DOCTOR_WARNING : DOCTOR_ERROR, "lightning_node",
            credential ? recipe : "Start or unlock the Lightning node; check the [lightning] keys",
            "%s", error.text);
    } else {
        add(report, DOCTOR_OK, "lightning_node", "",
            "%.60s answers on %s; its credential is the operator's and no wider", info.alias,
            info.network);
        if (staked) judge_channel(config, lightning, hello, report);
    }
    owm_lightning_close(lightning);
}

/* -------------------------------------------------------------------------------- report */

void doctor_run(const struct owm_node_config *config, struct doctor_report *report)
{
    report->count = 0;
    check_instance(config, report);
    check_identity(config, report);
    check_tier(config, report);
    check_disk(config, report);
    check_worker(config, report);
    check_shard(config, report);
    check_payout(config, report);
    PB(HelloResponse) *hello = check_coordinator(config, report);
    if (hello != NULL) {
        check_policy(config, hello, report);
        check_headers(config, hello, report);
    }
    check_models(config, report);
    check_node(config, hello, report);
    link_free(hello);
}

static const char *const severities[] = {"ok", "warning", "error"};

static void print_json(const struct doctor_report *report, FILE *out)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->count; i++) {
        const struct doctor_finding *f = &report->finding[i];
        json_array_append_new(list,
                              json_pack("{s:s,s:s,s:s,s:s}", "severity", severities[f->severity],
                                        "check", f->check, "cause", f->what, "fix", f->fix));
    }
    json_dumpf(list, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(list);
}

bool doctor_print(const struct doctor_report *report, bool json, FILE *out)
{
    bool good = true;
    for (size_t i = 0; i < report->count; i++) {
        const struct doctor_finding *f = &report->finding[i];
        if (f->severity == DOCTOR_ERROR) good = false;
        if (json) continue;
        fprintf(out, "%-8s %-12s %s\n", severities[f->severity], f->check, f->what);
        if (f->fix[0]) fprintf(out, "%-8s %-12s -> %s\n", "", "", f->fix);
    }
    if (json)
        print_json(report, out);
    else
        fprintf(out, good ? "\nReady to start.\n" : "\nNot ready: see the errors above.\n");
    return good;
}
