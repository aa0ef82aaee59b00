/* share_maker.c: see share_maker.h. */
#include "share_maker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sha256.h"

void make_share(uint64_t n, int64_t time_ms, uint32_t tip, struct made_share *made)
{
    char text[80];
    memset(made, 0, sizeof(*made));
    made->basis = (struct owm_basis){.height = 800000 + tip,
                                     .bits = 0x1703255b,
                                     .subsidy_sats = 312500000,
                                     .fees_sats = 1000 * (uint64_t)tip,
                                     .pay_basis_points = OWM_PAY_BASIS_POINTS};
    owm_sha256(&tip, sizeof(tip), made->basis.previous);
    snprintf(text, sizeof(text), "miner-%llu", (unsigned long long)(n % MAKER_MINERS));
    if (n % MAKER_MINERS == 0) snprintf(text, sizeof(text), "%064x", 0xabc);
    if (!owm_miner_of(n % MAKER_MINERS == 0 ? OWM_MINER_NODE : OWM_MINER_NAMED, text, &made->miner))
        abort();
    snprintf(text, sizeof(text), "rig%llu", (unsigned long long)(n % MAKER_WORKERS));
    if (n % MAKER_WORKERS == 0) text[0] = 0;
    if (!owm_worker_of(text, &made->worker)) abort();
    owm_sha256(&n, sizeof(n), made->share.hash);
    memcpy(made->share.hash, &n, sizeof(n));
    made->share.time_ms = time_ms;
    made->share.hashes = (1ull << 40) + n % 7;
    memcpy(made->share.miner, made->miner.id, sizeof(made->miner.id));
    memcpy(made->share.worker, made->worker.id, sizeof(made->worker.id));
    made->share.basis = &made->basis;
}

uint64_t share_number(const uint8_t hash[32])
{
    uint64_t n;
    uint8_t expected[32];
    memcpy(&n, hash, sizeof(n));
    owm_sha256(&n, sizeof(n), expected);
    return memcmp(expected + 8, hash + 8, 24) == 0 ? n : UINT64_MAX;
}

void make_folder(char *path)
{
    snprintf(path, 64, "/tmp/owm-pool-XXXXXX");
    if (!mkdtemp(path)) abort();
}

void remove_folder(const char *path)
{
    if (strncmp(path, "/tmp/owm-pool-", 14) != 0) abort();
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", path, (char *)NULL);
        _exit(127);
    }
    if (pid > 0) waitpid(pid, NULL, 0);
}
