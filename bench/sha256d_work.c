/* sha256d_work.c: the genesis block as work, so that a scan can be checked before it is timed. */
#include "sha256d_work.h"

#include <string.h>

#include "base/bytes.h"

#define GENESIS_NONCE UINT32_C(2083236893)

owm_status sha256d_work_init(struct sha256d_work *work)
{
    static const char genesis[] =
        "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b2"
        "7ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";
    owm_status status = owm_hex_decode(genesis, work->header, sizeof work->header);
    if (status) return status;
    for (uint32_t m = 0; m < SHA256D_WORK_MIDSTATES; m++) {
        work->header[0] = (uint8_t)(1 + m);
        owm_header_midstate(work->midstate[m], work->header);
    }
    memset(work->target, 0, sizeof work->target);
    memset(work->target + 26, 0xff, 2);
    work->scan = (struct owm_sha256d_scan){.hit = work->hit,
                                           .found = &work->found,
                                           .midstate = (const uint32_t(*)[8])work->midstate,
                                           .tail = work->header + 64,
                                           .target = work->target,
                                           .hit_max = 16};
    return OWM_OK;
}

void sha256d_work_known(struct sha256d_work *work, uint32_t midstates)
{
    work->scan.midstates = midstates;
    work->scan.first = GENESIS_NONCE - 1234;
    work->scan.count = 4096;
}

bool sha256d_work_found(const struct sha256d_work *work)
{
    return work->found == 1 && work->hit[0].nonce == GENESIS_NONCE && work->hit[0].midstate == 0;
}
