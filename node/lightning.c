/* lightning.c: the operator's own Lightning node, as the settings name it. */
#include "node/lightning.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"

/* A macaroon that came in a variable gets a file that is nowhere but in memory. */
static owm_status memory_file(const char *hex, int *fd, struct owm_error *error)
{
    size_t bytes = strlen(hex) / 2;
    uint8_t *raw = malloc(bytes ? bytes : 1);
    if (!raw) return owm_fail(error, OWM_E_NOMEM, "out of memory");
    owm_status status = OWM_OK;
    if (strlen(hex) % 2 != 0 || owm_hex_decode(hex, raw, bytes) != OWM_OK)
        status = owm_fail(error, OWM_E_CONFIG,
                          "lightning.lnd_macaroon_hex (OWM_LND_MACAROON_HEX) is not hex; print it "
                          "with: xxd -p -c 9999 owm.macaroon");
    *fd = status == OWM_OK ? memfd_create("macaroon", MFD_CLOEXEC) : -1;
    if (status == OWM_OK && (*fd < 0 || write(*fd, raw, bytes) != (ssize_t)bytes))
        status = owm_fail(error, OWM_E_IO, "no memory file for the macaroon: %s", strerror(errno));
    explicit_bzero(raw, bytes);
    free(raw);
    return status;
}

owm_status node_lightning_open(const struct owm_node_config *config, const char *network,
                               owm_lightning **lightning, struct owm_error *error)
{
    char path[32];
    int fd = -1;
    struct owm_lightning_config open = {
        .backend = config->lightning == OWM_NODE_CLN ? OWM_LIGHTNING_CLN : OWM_LIGHTNING_LND,
        .role = OWM_LIGHTNING_OPERATOR,
        .address = config->lightning == OWM_NODE_CLN ? config->cln_socket : config->lnd_rpc_host,
        .certificate = config->lnd_tls_cert_path,
        .credential = config->lightning == OWM_NODE_CLN ? NULL : config->lnd_macaroon_path,
        .network = config->lightning_network[0] ? config->lightning_network : network};
    *lightning = NULL;
    if (config->lightning == OWM_NODE_BY_HAND)
        return owm_fail(error, OWM_E_NOTFOUND, "lightning.backend is none");
    if (config->lightning == OWM_NODE_LND && config->lnd_macaroon_hex[0]) {
        owm_status status = memory_file(config->lnd_macaroon_hex, &fd, error);
        if (status != OWM_OK) return status;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        open.credential = path;
    }
    owm_status status = owm_lightning_open(&open, lightning, error);
    if (fd >= 0) close(fd);
    return status;
}
