/* daemon.c: lnd's command line, its script, and questions through lncli. */
#include "daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"

#define START_TIMEOUT_MS 90000
#define STOP_TIMEOUT_MS  20000
#define WORDS_MAX        24

/* Of an operator, and of whoever looks on: `run/lightning/treasury/lncli getinfo`. */
static owm_status write_script(struct daemon *daemon, struct owm_error *error)
{
    char text[3 * DAEMON_PATH_MAX];
    snprintf(daemon->script, sizeof daemon->script, "%s/lncli", daemon->folder);
    int bytes = snprintf(text, sizeof text,
                         "#!/bin/sh\n# lncli of this node; written by owm-devnet at each start.\n"
                         "exec '%s/lncli' --lnddir='%s' --network=simnet "
                         "--rpcserver=127.0.0.1:%u \"$@\"\n",
                         daemon->programs, daemon->folder, daemon->rpc_port);
    owm_status status = owm_fs_mkdirs(daemon->folder, 0700, error);
    return status ? status : owm_fs_write_atomic(daemon->script, text, (size_t)bytes, 0700, error);
}

owm_status daemon_start(struct daemon *daemon, struct owm_error *error)
{
    const struct chain *chain = daemon->chain;
    char program[DAEMON_PATH_MAX + 8], folder[DAEMON_PATH_MAX + 16], alias[64], rpc[64], peers[64];
    char host[64], user[64], password[96], certificate[CHAIN_PATH_MAX + 64];
    owm_status status = write_script(daemon, error);
    if (status) return status;
    snprintf(program, sizeof program, "%s/lnd", daemon->programs);
    snprintf(folder, sizeof folder, "--lnddir=%s", daemon->folder);
    snprintf(alias, sizeof alias, "--alias=owm-%s", daemon->name);
    snprintf(rpc, sizeof rpc, "--rpclisten=127.0.0.1:%u", daemon->rpc_port);
    snprintf(peers, sizeof peers, "--listen=127.0.0.1:%u", daemon->peer_port);
    snprintf(host, sizeof host, "--btcd.rpchost=127.0.0.1:%u", chain->port);
    snprintf(user, sizeof user, "--btcd.rpcuser=%s", chain->user);
    snprintf(password, sizeof password, "--btcd.rpcpass=%s", chain->password);
    snprintf(certificate, sizeof certificate, "--btcd.rpccert=%s", chain->certificate);
    const char *const argv[] = {program,
                                folder,
                                alias,
                                rpc,
                                peers,
                                "--norest",
                                "--nobootstrap",
                                "--bitcoin.simnet",
                                "--bitcoin.node=btcd",
                                host,
                                user,
                                password,
                                certificate,
                                "--bitcoin.defaultchanconfs=1",
                                "--accept-keysend",
                                "--enable-upfront-shutdown", /* Closing pays nobody else. */
                                "--trickledelay=50",
                                "--maxpendingchannels=16",
                                daemon->locked ? NULL : "--noseedbackup",
                                NULL};
    return process_start(&daemon->process, daemon->name, argv,
                         &(struct process_options){.log_path = daemon->log}, error);
}

owm_status daemon_ask(const struct daemon *daemon, const char *const *words, json_t **reply,
                      struct owm_error *error)
{
    const char *argv[WORDS_MAX + 2] = {daemon->script};
    char *text, *object;
    size_t count = 0;
    for (; words[count] && count < WORDS_MAX; count++) argv[count + 1] = words[count];
    if (reply) *reply = NULL;
    owm_status status = process_ask(daemon->name, argv, &text, error);
    if (status) return status;
    object = strchr(text, '{');
    if (reply && object)
        status = owm_json_parse(object, strlen(object), PROCESS_TEXT_MAX, reply, error);
    free(text);
    return status;
}

/* Takes the key from what getinfo says. */
static bool synced(struct daemon *daemon, unsigned height)
{
    json_t *info = NULL;
    bool there = daemon_ask(daemon, DAEMON_WORDS("getinfo"), &info, NULL) == OWM_OK;
    const char *key = json_string_value(json_object_get(info, "identity_pubkey"));
    if (key) snprintf(daemon->key, sizeof daemon->key, "%s", key);
    there = there && key
            && (height == 0
                || (json_is_true(json_object_get(info, "synced_to_chain"))
                    && json_integer_value(json_object_get(info, "block_height")) >= height));
    json_decref(info);
    return there;
}

owm_status daemon_wait_height(struct daemon *daemon, unsigned height, struct owm_error *error)
{
    uint64_t give_up_ms = owm_clock_mono_ms() + START_TIMEOUT_MS;
    while (owm_clock_mono_ms() < give_up_ms) {
        if (!process_alive(&daemon->process))
            return owm_fail(error, OWM_E_IO, "lnd (%s) ended with %s; its log is %s", daemon->name,
                            process_end_text(&daemon->process), daemon->log);
        if (synced(daemon, height)) return OWM_OK;
        owm_clock_sleep_ms(100);
    }
    return owm_fail(error, OWM_E_TIMEOUT, "lnd (%s) was not ready within %d s; its log is %s",
                    daemon->name, START_TIMEOUT_MS / 1000, daemon->log);
}

owm_status daemon_wait(struct daemon *daemon, struct owm_error *error)
{
    return daemon_wait_height(daemon, 0, error);
}

void daemon_stop(struct daemon *daemon)
{
    process_stop(&daemon->process, SIGTERM, STOP_TIMEOUT_MS);
}

void daemon_kill(struct daemon *daemon)
{
    process_stop(&daemon->process, SIGKILL, 0);
}

/* The recipe is a line for bash: it runs in the node's folder, where `lncli` is the script. */
owm_status daemon_bake(const struct daemon *daemon, enum owm_lightning_role role, char *path,
                       struct owm_error *error)
{
    static const char before[] = "--save_to ";
    char line[2 * DAEMON_PATH_MAX + 1024], *text = NULL;
    const char *recipe = owm_lightning_role_recipe(OWM_LIGHTNING_LND, role);
    const char *file = strstr(recipe, before);
    if (!file) return owm_fail(error, OWM_E_PROTO, "a recipe without a file: %s", recipe);
    file += sizeof before - 1;
    snprintf(path, DAEMON_PATH_MAX + 32, "%s/%.*s", daemon->folder, (int)strcspn(file, " "), file);
    snprintf(line, sizeof line, "cd '%s' && PATH=.:$PATH && %s", daemon->folder, recipe);
    owm_status status = process_ask("bake", DAEMON_WORDS("/bin/bash", "-c", line), &text, error);
    free(text);
    if (status) return status;
    return chmod(path, 0600) ? owm_fail(error, OWM_E_IO, "%s was not made", path) : OWM_OK;
}

owm_status daemon_address(const struct daemon *daemon, char *address, struct owm_error *error)
{
    json_t *reply;
    const char *text;
    owm_status status = daemon_ask(daemon, DAEMON_WORDS("newaddress", "p2wkh"), &reply, error);
    if (status) return status;
    status = owm_json_string(reply, "", "address", &text, error);
    if (status == OWM_OK) snprintf(address, 128, "%s", text);
    json_decref(reply);
    return status;
}

void daemon_uri(const struct daemon *daemon, char *uri)
{
    snprintf(uri, OWM_LIGHTNING_TEXT_BYTES, "%s@127.0.0.1:%u", daemon->key, daemon->peer_port);
}
