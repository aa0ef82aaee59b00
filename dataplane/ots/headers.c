/* headers.c: Bitcoin's rules over headers alone, and the compact file. */
#include "headers.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "dataplane/chain/hash.h"
#include "dataplane/chain/target.h"

#define RETARGET_BLOCKS  2016
#define RETARGET_SECONDS (14 * 24 * 3600)
#define MEDIAN_BLOCKS    11

static const char chain_magic[OWM_OTS_CHAIN_MAGIC_BYTES + 1] = "OWMHDRS1";

/* Values of Bitcoin Core's chainparams.cpp; the work is its nMinimumChainWork of release 25. */
static const struct network_row {
    const char *name, *genesis;
    uint32_t easiest_bits;
    bool retargets, constant;
    const char *work_min;
} rows[] = {
    [OWM_MAINNET] = {"main", "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
                     0x1d00ffff, true, false,
                     "000000000000000000000000000000000000000044a50fe819c39ad624021859"},
    [OWM_TESTNET4] = {"testnet4",
                      "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043",
                      0x1d00ffff, false, false, NULL},
    [OWM_SIGNET] = {"signet", "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6",
                    0x1e0377ae, true, false, NULL},
    [OWM_REGTEST] = {"regtest", "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
                     0x207fffff, false, true, NULL},
};

static void hash_of_text(const char *text, uint8_t hash[static 32])
{
    owm_status status = owm_hash_parse(text, hash);
    OWM_ASSERT(status == OWM_OK); /* A literal of the table. */
}

void owm_ots_genesis(enum owm_network network, uint8_t hash[static 32])
{
    hash_of_text(rows[network].genesis, hash);
}

static uint32_t u32_le(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t time_of(const uint8_t *header)
{
    return u32_le(header + 68);
}

static uint32_t bits_of(const uint8_t *header)
{
    return u32_le(header + 72);
}

static int compare_le(const uint8_t a[32], const uint8_t b[32])
{
    struct owm_uint256 x = owm_uint256_from_le(a), y = owm_uint256_from_le(b);
    return owm_uint256_compare(&x, &y);
}

owm_status owm_ots_header_work(enum owm_network network,
                               const uint8_t header[static OWM_OTS_HEADER_BYTES],
                               struct owm_error *error)
{
    uint8_t target[32], easiest[32], hash[32];
    bool valid = owm_target_from_compact(rows[network].easiest_bits, easiest);
    OWM_ASSERT(valid);
    if (!owm_target_from_compact(bits_of(header), target) || compare_le(target, easiest) > 0)
        return owm_fail(error, OWM_E_PROTO, "its bits %08x are no target of the %s network",
                        bits_of(header), rows[network].name);
    owm_sha256d(header, OWM_OTS_HEADER_BYTES, hash);
    if (compare_le(hash, target) > 0)
        return owm_fail(error, OWM_E_PROTO, "its hash does not meet its target");
    return OWM_OK;
}

void owm_ots_chain_init(struct owm_ots_chain *chain, enum owm_network network)
{
    *chain = (struct owm_ots_chain){.network = network};
}

void owm_ots_chain_deinit(struct owm_ots_chain *chain)
{
    free(chain->headers);
    owm_ots_chain_init(chain, chain->network);
}

uint32_t owm_ots_retarget(enum owm_network network, uint32_t bits, int64_t seconds)
{
    if (seconds < RETARGET_SECONDS / 4) seconds = RETARGET_SECONDS / 4;
    if (seconds > RETARGET_SECONDS * 4) seconds = RETARGET_SECONDS * 4;
    uint8_t target[32], easiest[32];
    bool valid = owm_target_from_compact(bits, target)
                 && owm_target_from_compact(rows[network].easiest_bits, easiest);
    OWM_ASSERT(valid);
    struct owm_uint256 value = owm_uint256_from_le(target), limit = owm_uint256_from_le(easiest);
    const struct owm_uint256 span = owm_uint256_of(RETARGET_SECONDS);
    bool fits = owm_uint256_mul_u64(&value, (uint64_t)seconds, &value);
    owm_uint256_divide(&value, &span, &value, NULL);
    if (!fits || owm_uint256_compare(&value, &limit) > 0) value = limit;
    owm_uint256_to_le(&value, target);
    return owm_target_to_compact(target);
}

/* What the 2016 blocks before the next one ask of it. */
static uint32_t retarget(const struct owm_ots_chain *chain)
{
    const uint8_t *first = chain->headers[chain->count - RETARGET_BLOCKS];
    const uint8_t *last = chain->headers[chain->count - 1];
    return owm_ots_retarget(chain->network, bits_of(last), (int64_t)time_of(last) - time_of(first));
}

static uint32_t bits_wanted(const struct owm_ots_chain *chain, uint32_t given)
{
    const struct network_row *row = &rows[chain->network];
    if (row->constant) return row->easiest_bits;
    if (!row->retargets || chain->count == 0) return given;
    if (chain->count % RETARGET_BLOCKS == 0) return retarget(chain);
    return bits_of(chain->headers[chain->count - 1]);
}

static uint32_t median_time(const struct owm_ots_chain *chain)
{
    uint32_t times[MEDIAN_BLOCKS];
    size_t count = chain->count < MEDIAN_BLOCKS ? chain->count : MEDIAN_BLOCKS;
    for (size_t i = 0; i < count; i++) {
        uint32_t time = time_of(chain->headers[chain->count - count + i]);
        size_t at = i;
        for (; at > 0 && times[at - 1] > time; at--) times[at] = times[at - 1];
        times[at] = time;
    }
    return times[count / 2];
}

static owm_status check_next(const struct owm_ots_chain *chain, const uint8_t *header,
                             const uint8_t hash[32], struct owm_error *error)
{
    uint8_t genesis[32];
    owm_ots_genesis(chain->network, genesis);
    if (chain->count == 0 && memcmp(hash, genesis, 32) != 0)
        return owm_fail(error, OWM_E_PROTO, "it is not the first block of the %s network",
                        rows[chain->network].name);
    if (chain->count > 0 && memcmp(header + 4, chain->tip, 32) != 0)
        return owm_fail(error, OWM_E_PROTO, "it does not follow the block before it");
    uint32_t wanted = bits_wanted(chain, bits_of(header));
    if (bits_of(header) != wanted)
        return owm_fail(error, OWM_E_PROTO, "its bits are %08x where the chain asks for %08x",
                        bits_of(header), wanted);
    if (chain->count > 0 && time_of(header) <= median_time(chain))
        return owm_fail(error, OWM_E_PROTO, "its time is before those of the blocks before it");
    return owm_ots_header_work(chain->network, header, error);
}

static owm_status make_room(struct owm_ots_chain *chain, struct owm_error *error)
{
    if (chain->count < chain->room) return OWM_OK;
    size_t room = chain->room ? 2 * chain->room : 4096;
    void *grown = realloc(chain->headers, room * sizeof *chain->headers);
    if (!grown) return owm_fail(error, OWM_E_NOMEM, "no memory for %zu block headers", room);
    chain->headers = grown;
    chain->room = room;
    return OWM_OK;
}

static void add_work(struct owm_ots_chain *chain, const uint8_t *header)
{
    uint8_t target[32];
    bool valid = owm_target_from_compact(bits_of(header), target);
    OWM_ASSERT(valid);
    struct owm_uint256 hashes = owm_target_hashes(target);
    (void)owm_uint256_add(&chain->work, &hashes, &chain->work); /* Real work is far below 2^256. */
}

owm_status owm_ots_chain_push(struct owm_ots_chain *chain,
                              const uint8_t header[static OWM_OTS_HEADER_BYTES],
                              struct owm_error *error)
{
    if (chain->count > OWM_OTS_HEIGHT_MAX)
        return owm_fail(error, OWM_E_LIMIT, "more than %d block headers", OWM_OTS_HEIGHT_MAX);
    owm_status status = make_room(chain, error);
    if (status != OWM_OK) return status;
    uint8_t hash[32];
    struct owm_error why = {.text = ""};
    owm_sha256d(header, OWM_OTS_HEADER_BYTES, hash);
    status = check_next(chain, header, hash, &why);
    if (status != OWM_OK)
        return owm_fail(error, status, "header of block %zu: %.400s", chain->count, why.text);
    memcpy(chain->headers[chain->count++], header, OWM_OTS_HEADER_BYTES);
    memcpy(chain->tip, hash, 32);
    add_work(chain, header);
    return OWM_OK;
}

void owm_ots_chain_cut(struct owm_ots_chain *chain, size_t count)
{
    if (count >= chain->count) return;
    chain->count = count;
    chain->work = owm_uint256_of(0);
    memset(chain->tip, 0, sizeof chain->tip);
    for (size_t i = 0; i < count; i++) add_work(chain, chain->headers[i]);
    if (count > 0) owm_sha256d(chain->headers[count - 1], OWM_OTS_HEADER_BYTES, chain->tip);
}

owm_status owm_ots_chain_read(struct owm_ots_chain *chain, const uint8_t *data, size_t bytes,
                              struct owm_error *error)
{
    if (bytes < OWM_OTS_CHAIN_MAGIC_BYTES
        || memcmp(data, chain_magic, OWM_OTS_CHAIN_MAGIC_BYTES) != 0)
        return owm_fail(error, OWM_E_PROTO, "this is no file of block headers");
    size_t left = bytes - OWM_OTS_CHAIN_MAGIC_BYTES;
    if (left % OWM_OTS_RECORD_BYTES != 0)
        return owm_fail(error, OWM_E_PROTO, "the file ends inside the header of block %zu",
                        left / OWM_OTS_RECORD_BYTES);
    const uint8_t *record = data + OWM_OTS_CHAIN_MAGIC_BYTES;
    for (; left > 0; left -= OWM_OTS_RECORD_BYTES, record += OWM_OTS_RECORD_BYTES) {
        uint8_t header[OWM_OTS_HEADER_BYTES];
        memcpy(header, record, 4);
        memcpy(header + 4, chain->tip, 32);
        memcpy(header + 36, record + 4, OWM_OTS_RECORD_BYTES - 4);
        owm_status status = owm_ots_chain_push(chain, header, error);
        if (status != OWM_OK) return status;
    }
    return OWM_OK;
}

owm_status owm_ots_chain_write(const struct owm_ots_chain *chain, uint8_t **data, size_t *bytes,
                               struct owm_error *error)
{
    *bytes = OWM_OTS_CHAIN_MAGIC_BYTES + chain->count * OWM_OTS_RECORD_BYTES;
    *data = malloc(*bytes);
    if (!*data) return owm_fail(error, OWM_E_NOMEM, "no memory for %zu headers", chain->count);
    memcpy(*data, chain_magic, OWM_OTS_CHAIN_MAGIC_BYTES);
    uint8_t *record = *data + OWM_OTS_CHAIN_MAGIC_BYTES;
    for (size_t i = 0; i < chain->count; i++, record += OWM_OTS_RECORD_BYTES) {
        memcpy(record, chain->headers[i], 4);
        memcpy(record + 4, chain->headers[i] + 36, OWM_OTS_RECORD_BYTES - 4);
    }
    return OWM_OK;
}

static owm_status chain_tip(void *ctx, uint64_t *height, struct owm_error *error)
{
    const struct owm_ots_chain *chain = ctx;
    if (chain->count == 0) return owm_fail(error, OWM_E_NOTFOUND, "there are no block headers");
    *height = chain->count - 1;
    return OWM_OK;
}

static owm_status chain_header(void *ctx, uint64_t height,
                               uint8_t header[static OWM_OTS_HEADER_BYTES], struct owm_error *error)
{
    const struct owm_ots_chain *chain = ctx;
    if (height >= chain->count)
        return owm_fail(error, OWM_E_NOTFOUND, "no header of block %llu",
                        (unsigned long long)height);
    memcpy(header, chain->headers[height], OWM_OTS_HEADER_BYTES);
    return OWM_OK;
}

owm_status owm_ots_chain_source(struct owm_ots_chain *chain, struct owm_ots_headers *headers,
                                struct owm_error *error)
{
    *headers = (struct owm_ots_headers){
        .ctx = chain,
        .network = chain->network,
        .tip = chain_tip,
        .header = chain_header,
    };
    const char *text = rows[chain->network].work_min;
    if (!text) return OWM_OK;
    uint8_t bytes[32];
    hash_of_text(text, bytes);
    struct owm_uint256 work_min = owm_uint256_from_le(bytes);
    if (owm_uint256_compare(&chain->work, &work_min) >= 0) return OWM_OK;
    return owm_fail(error, OWM_E_PROTO,
                    "the %zu headers hold less work than Bitcoin's main network had at block "
                    "784000; extend them from a node first",
                    chain->count);
}
