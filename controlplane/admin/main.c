/* main.c: owm-admin: what maintainers say about slashing cases, and what anyone can check. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/log.h"
#include "controlplane/admin/link.h"
#include "controlplane/admin/slash.h"

static int show_keys(const struct owm_admin_options *options)
{
    struct owm_error error = {""};
    owm_identity *identity = NULL;
    char *path = NULL, hex[65];
    uint8_t key[32];
    bool created = false;
    owm_status status = OWM_OK;
    if (options->certificate[0] || options->coordinator_key) {
        status = owm_admin_coordinator_key(options, key, &error);
        if (status != OWM_OK) return owm_admin_complain(status, &error);
        owm_hex_encode(key, 32, hex);
        printf("coordinator %s\n", hex);
    }
    status = owm_fs_expand(options->key, &path, &error);
    if (status == OWM_OK) status = owm_identity_load_or_create(path, &identity, &created, &error);
    if (status == OWM_OK) {
        owm_hex_encode(owm_identity_public_key(identity), 32, hex);
        printf("maintainer  %s%s\n", hex, created ? "  (a new identity was made)" : "");
    }
    owm_identity_close(identity);
    free(path);
    return status == OWM_OK ? OWM_ADMIN_OK : owm_admin_complain(status, &error);
}

int main(int argc, char **argv)
{
    struct owm_admin_options options;
    struct owm_error error = {""};
    owm_log_program_set("owm-admin");
    owm_log_level_set(OWM_LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    owm_status status = owm_admin_options_parse(argc, argv, &options, &error);
    if (status != OWM_OK) return owm_admin_complain(status, &error);
    if (options.help) {
        owm_admin_help();
        return OWM_ADMIN_OK;
    }
    if (strcmp(options.words[0], "slash") == 0) return owm_admin_slash(&options);
    if (strcmp(options.words[0], "evidence") == 0) return owm_admin_evidence(&options);
    if (strcmp(options.words[0], "log") == 0) return owm_admin_log(&options);
    if (strcmp(options.words[0], "key") == 0) return show_keys(&options);
    (void)owm_fail(&error, OWM_E_CONFIG, "there are slash, evidence, log and key; see --help");
    return owm_admin_complain(OWM_E_CONFIG, &error);
}
