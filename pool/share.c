/* share.c: who a share belongs to and what it is worth; see share.h. */
#include "share.h"

#include <string.h>

#include "base/sha256.h"
#include "base/status.h"
#include "dataplane/chain/target.h"

#define PICOSATS_PER_SAT 1000000000000u
#define NODE_TEXT_BYTES  64

/* ---------------------------------------------------------------------------- names */

/* Bytes of the UTF-8 sequence at `text` [left], 0 where there is none that is well formed. */
static size_t sequence_bytes(const uint8_t *text, size_t left, uint32_t *point)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = text[0];
    size_t bytes = lead < 0x80       ? 1
                   : lead >> 5 == 6  ? 2
                   : lead >> 4 == 14 ? 3
                   : lead >> 3 == 30 ? 4
                                     : 0;
    if (bytes == 0 || bytes > left) return 0;
    *point = bytes == 1 ? lead : lead & (0x7fu >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
        *point = *point << 6 | (text[i] & 0x3f);
    }
    bool surrogate = *point >= 0xd800 && *point <= 0xdfff;
    return *point < smallest[bytes] || *point > 0x10ffff || surrogate ? 0 : bytes;
}

/* Controls, and the marks that turn the direction of a line of text around. */
static bool unprintable(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x2028 || point == 0x2029
           || (point >= 0x200b && point <= 0x200f) || (point >= 0x202a && point <= 0x202e)
           || (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

static bool printable(const char *text, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        uint32_t point;
        size_t step = sequence_bytes((const uint8_t *)text + at, bytes - at, &point);
        if (step == 0 || unprintable(point)) return false;
        at += step;
    }
    return true;
}

bool owm_miner_of(enum owm_miner_kind kind, const char *text, struct owm_miner *miner)
{
    size_t bytes = strnlen(text, OWM_MINER_TEXT_BYTES);
    if (bytes == 0 || bytes == OWM_MINER_TEXT_BYTES || !printable(text, bytes)) return false;
    if (kind != OWM_MINER_NAMED && kind != OWM_MINER_NODE) return false;
    if (kind == OWM_MINER_NODE
        && (bytes != NODE_TEXT_BYTES || strspn(text, "0123456789abcdef") != bytes))
        return false;
    uint8_t data[1 + OWM_MINER_TEXT_BYTES] = {(uint8_t)kind}, hash[OWM_SHA256_BYTES];
    memset(miner, 0, sizeof(*miner));
    memcpy(data + 1, text, bytes);
    owm_sha256(data, 1 + bytes, hash);
    memcpy(miner->id, hash, sizeof(miner->id));
    miner->kind = kind;
    memcpy(miner->text, text, bytes);
    return true;
}

bool owm_worker_of(const char *text, struct owm_worker *worker)
{
    size_t bytes = strnlen(text, OWM_WORKER_TEXT_BYTES);
    if (bytes == OWM_WORKER_TEXT_BYTES || !printable(text, bytes)) return false;
    uint8_t hash[OWM_SHA256_BYTES];
    memset(worker, 0, sizeof(*worker));
    owm_sha256(text, bytes, hash);
    memcpy(worker->id, hash, sizeof(worker->id));
    memcpy(worker->text, text, bytes);
    return true;
}

/* ---------------------------------------------------------------------------- price */

static unsigned __int128 low128(const struct owm_uint256 *value)
{
    return (unsigned __int128)value->limb[1] << 64 | value->limb[0];
}

void owm_share_price(const struct owm_basis *basis, uint64_t hashes, struct owm_price *price)
{
    static const struct owm_uint256 most = {{0, 1ull << (OWM_PRICE_BITS - 64)}};
    uint8_t target[32];
    price->whole = price->miner = 0;
    if (!owm_target_from_compact(basis->bits, target)) return;
    struct owm_uint256 network = owm_target_hashes(target);
    /* 64 + 40 + 64 bits: none of these can overflow 256. */
    struct owm_uint256 value = owm_uint256_of(basis->subsidy_sats);
    struct owm_uint256 fees = owm_uint256_of(basis->fees_sats);
    bool fits = owm_uint256_add(&value, &fees, &value)
                && owm_uint256_mul_u64(&value, PICOSATS_PER_SAT, &value)
                && owm_uint256_mul_u64(&value, hashes, &value);
    OWM_ASSERT(fits);
    owm_uint256_divide(&value, &network, &value, NULL);
    if (owm_uint256_compare(&value, &most) > 0) value = most;
    price->whole = low128(&value);
    price->miner = price->whole * basis->pay_basis_points / OWM_BASIS_POINTS;
}
