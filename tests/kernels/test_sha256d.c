/* test_sha256d.c: SHA-256d on every path that this processor has, against the plain-C reference and
 * against the world: FIPS 180-4's vectors, headers and a merkle root of the Bitcoin chain; scans of
 * all sizes find every hit; boundaries, overflow, wrap of the nonce, every refusal.
 */
#include "base/bytes.h"
#include "check.h"
#include "kernels/cpu/sha256d_path.h"

/* Headers of the main chain: height or what it is known for, the 80 bytes, the hash as shown to
 * people. Found in several public repositories; each was checked with another SHA-256 and against
 * its own bits. 0 is the genesis block, 170 has the first payment, 125552 is the one that the
 * Bitcoin wiki explains hashing with. */
static const struct {
    const char *what, *header, *hash;
} blocks[] = {
    {"0",
     "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd"
     "7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c",
     "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"},
    {"1",
     "010000006fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000982051fd"
     "1e4ba744bbbe680e1fee14677ba1a3c3540bf7b1cdb606e857233e0e61bc6649ffff001d01e36299",
     "00000000839a8e6886ab5951d76f411475428afc90947ee320161bbf18eb6048"},
    {"2",
     "010000004860eb18bf1b1620e37e9490fc8a427514416fd75159ab86688e9a8300000000d5fdcc54"
     "1e25de1c7a5addedf24858b8bb665c9f36ef744ee42c316022c90f9bb0bc6649ffff001d08d2bd61",
     "000000006a625f06636b8bb6ac7b960a8d03705d1ace08b1a19da3fdcc99ddbd"},
    {"3",
     "01000000bddd99ccfda39da1b108ce1a5d70038d0a967bacb68b6b63065f626a0000000044f67222"
     "6090d85db9a9f2fbfe5f0f9609b387af7be5b7fbb7a1767c831c9e995dbe6649ffff001d05e0ed6d",
     "0000000082b5015589a3fdf2d4baff403e6f0be035a5d9742c1cae6295464449"},
    {"169",
     "01000000696aa63f0f22d9189c8536bb83b18737ae8336c25a67937f79957e5600000000982db987"
     "0a5e30d8f0b2a4ebccc5852b5a1e2413e9274c4947bfec6bdaa9b9d75bb76a49ffff001d2b719fdd",
     "000000002a22cfee1f2c846adbd12b3e183d4f97683f85dad08a79780a84bd55"},
    {"170",
     "0100000055bd840a78798ad0da853f68974f3d183e2bd1db6a842c1feecf222a00000000ff104ccb"
     "05421ab93e63f8c3ce5c2c2e9dbb37de2764b3a3175c8166562cac7d51b96a49ffff001d283e9e70",
     "00000000d1145790a8694403d4063f323d499e655c83426834d4ce2f8dd4a2ee"},
    {"171",
     "01000000eea2d48d2fced4346842835c659e493d323f06d4034469a8905714d100000000f293c869"
     "73e758ccd11975fa464d4c3e8500979c95425c7be6f0a65314d2f2d5c9ba6a49ffff001d07a8f226",
     "00000000c9ec538cab7f38ef9c67a95742f56ab07b0a37c5be6b02808dbfb4e0"},
    {"172",
     "01000000e0b4bf8d80026bbec5370a7bb06af54257a9679cef387fab8c53ecc900000000d578b039"
     "9b91624a8da53552035fecdd8f4ba2b9c69dfbda68d651fcb9f99c388dbc6a49ffff001d35464c5d",
     "00000000e3efabf60693ecc2519c5f761801ccac25c2ac89e32d11dd92686854"},
    {"173",
     "0100000054686892dd112de389acc225accc0118765f9c51c2ec9306f6abefe3000000005209a3e7"
     "7e3679703f6b7f039fb9e054d7862e6eaad617e8e3f3d81d297e966015be6a49ffff001d21ac0323",
     "00000000dce9d69decc221c128ef78c2ae3d0b43267891f1f078586b47ac85c5"},
    {"174",
     "01000000c585ac476b5878f0f1917826430b3daec278ef28c121c2ec9dd6e9dc000000008195110f"
     "0743ab43d4146798c962b8d101e325f4afdf8e936d15c2d51371b9cc7dc06a49ffff001d32915d0f",
     "00000000a7d8beee715bbcd62dc818573a8ae9fe398c7d39487e9e776e2852c0"},
    {"175",
     "01000000c052286e779e7e48397d8c39fee98a3a5718c82dd6bc5b71eebed8a700000000903bb52c"
     "c35576a52e9d8f35a901073d33145b6f7be16aab1aa328e8153dfb4874c46a49ffff001d227dd986",
     "00000000fd4afcc15f0fdda9b24be4c62068d8cf82fe6277730fd096712d9d08"},
    {"125552",
     "0100000081cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000e320b6c2"
     "fffc8d750423db8b1eb942ae710e951ed797f7affc8892b0f1fc122bc7f5d74df2b9441a42a14695",
     "00000000000000001e8d6829a8a21adc5d38d0a473b144b6765798e61f98bd1d"},
    {"version 2, BIP 34",
     "02000000b64ea7b7615283a01d9d6019f5bfbd694d2a534ca87a7d07aa0100000000000045ff55ad"
     "c8d6bc183e9abfa7bdfef3e7b942d786dcd116e776ead8238451a238ac204f516e81021ad0f8cd01",
     "00000000000000d0dfd4c9d588d325dce4f32c1b31b7c0064cba7025a9b9adcc"},
    {"version 3, BIP 66",
     "030000000d6ef1e411382c00d8fd5b9d0f1acb1748e4d3de33e4320500000000000000009437e2c5"
     "a160c8e40050354ba7eb0ad0df925da3c277d0e2ae7887cab9cd4a8e137f74558b1a1718d1d2bcad",
     "00000000000000001121383bdf780af5290a88dcba88ad38c6be5369f4b6023b"},
    {"version 4, BIP 65",
     "040000001cc480a37c0c176d109c45dbdb1289e0ebe83415c5218c0d000000000000000067feb973"
     "3954f8a3cb49e9fd0f290952ead9693cae85781e83298bf5dacb6bfd01d64f5689b21018078ee0f5",
     "0000000000000000098702b1f6f35cc002871e012dbdb383978d4d5ffc8b6617"},
    {"version bits, BIP 91",
     "12000020734713ff00fef0cd9fedd9545fa9316cacc5fd922c55220000000000000000008de88eca"
     "c287705b0548490fa5469d1e8ddaad7f0078a0fa73106b32f9a3138a272a7459dc5d01187e183e6d",
     "0000000000000000015411ca4b35f7b48ecab015b14de5627b647e262ba0ec40"},
};
#define BLOCKS (sizeof blocks / sizeof *blocks)

/* Block 170: its coinbase transaction, and the payment's id as it is hashed. */
static const char coinbase_170[] =
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff0704ffff001d"
    "0102ffffffff0100f2052a01000000434104d46c4968bde02899d2aa0963367c7a6ce34eec332b32e42e5f3407e052"
    "d64ac625da6f0718e7b302140434bd725706957c092db53805b821a85b23a7ac61725bac00000000";
static const char branch_170[] = "169e1e83e930853391bc6f35f605c6754cfead57cf8387639d3b4096c54f18f4";

#define HITS_MAX 4096
static struct owm_sha256d_hit hit[HITS_MAX], expected[HITS_MAX];
static uint32_t found, expected_found;
static struct owm_pool *pool;
static struct owm_device *under_test; /* NULL: a path of the cpu. */

static owm_status scan_by(const struct sha256d_path *path, struct owm_pool *on,
                          const struct owm_sha256d_scan *a)
{
    return under_test ? under_test->backend->sha256d_scan(under_test, a)
                      : sha256d_scan_by(path, on, a);
}

static owm_status batch_by(const struct sha256d_path *path, struct owm_pool *on,
                           const struct owm_sha256d_batch *a)
{
    return under_test ? under_test->backend->sha256d_batch(under_test, a)
                      : sha256d_batch_by(path, on, a);
}

static owm_status merkle_by(const struct sha256d_path *path, struct owm_pool *on,
                            const struct owm_sha256d_merkle *a)
{
    return under_test ? under_test->backend->sha256d_merkle(under_test, a)
                      : sha256d_merkle_by(path, on, a);
}

static void random_bytes(void *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)out)[i] = (uint8_t)owm_rng_u64(&check_rng);
}

static void read_block(size_t i, uint8_t header[80], uint8_t hash[32])
{
    uint8_t shown[32];
    CHECK(owm_hex_decode(blocks[i].header, header, 80) == OWM_OK);
    CHECK(owm_hex_decode(blocks[i].hash, shown, 32) == OWM_OK);
    for (int b = 0; b < 32; b++) hash[b] = shown[31 - b];
}

static bool is_hash(const uint8_t hash[32], const char *hex)
{
    uint8_t want[32];
    CHECK(owm_hex_decode(hex, want, 32) == OWM_OK);
    return !memcmp(hash, want, 32);
}

/* The reference itself: the examples of FIPS 180-2 appendix B and the empty message. */
static void test_fips(void)
{
    static const struct {
        const char *text, *hash;
    } vectors[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
         "lmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    uint8_t hash[32];
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        ref_sha256(hash, vectors[i].text, strlen(vectors[i].text));
        CHECK(is_hash(hash, vectors[i].hash));
    }
    char *million = malloc(1000000);
    CHECK(million);
    memset(million, 'a', 1000000);
    ref_sha256(hash, million, 1000000);
    CHECK(is_hash(hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"));
    free(million);
}

/* The target that a header's bits stand for (all those of the table have exponents above 3). */
static void target_of_bits(uint8_t target[32], const uint8_t header[80])
{
    memset(target, 0, 32);
    memcpy(target + header[75] - 3, header + 72, 3);
}

static void test_blocks(const struct sha256d_path *path)
{
    uint8_t header[BLOCKS][80], hash[BLOCKS][32], got[BLOCKS][32], target[32];
    for (size_t i = 0; i < BLOCKS; i++) read_block(i, header[i], hash[i]);
    struct owm_sha256d_batch batch = {got[0], header[0], 80, BLOCKS, 80};
    CHECK(batch_by(path, NULL, &batch) == OWM_OK && !memcmp(got, hash, sizeof hash));
    for (size_t i = 0; i < BLOCKS; i++) {
        uint32_t midstate[1][8], nonce;
        memcpy(&nonce, header[i] + 76, 4);
        owm_header_midstate(midstate[0], header[i]);
        target_of_bits(target, header[i]);
        struct owm_sha256d_scan scan = {.hit = hit,
                                        .found = &found,
                                        .midstate = midstate,
                                        .tail = header[i] + 64,
                                        .target = target,
                                        .count = 5001,
                                        .first = nonce - (uint32_t)owm_rng_below(&check_rng, 5000),
                                        .midstates = 1,
                                        .hit_max = HITS_MAX};
        CHECK(scan_by(path, NULL, &scan) == OWM_OK);
        CHECK(found == 1 && hit[0].nonce == nonce && hit[0].midstate == 0);
    }
}

static int by_place(const void *a, const void *b)
{
    const struct owm_sha256d_hit *x = a, *y = b;
    if (x->nonce != y->nonce) return x->nonce < y->nonce ? -1 : 1;
    return (x->midstate > y->midstate) - (x->midstate < y->midstate);
}

/* Hits are promised in no order. */
static void check_same_hits(void)
{
    CHECK(found == expected_found && found <= HITS_MAX);
    qsort(hit, found, sizeof *hit, by_place);
    qsort(expected, found, sizeof *expected, by_place);
    CHECK(!memcmp(hit, expected, found * sizeof *hit));
}

/* One random scan against the reference; about one hash in 2^zero_bits is a hit. */
static void compare_scan(const struct sha256d_path *path, uint32_t midstates, uint64_t count,
                         uint32_t first, int zero_bits)
{
    uint32_t(*midstate)[8] = malloc(midstates * sizeof *midstate);
    uint8_t tail[12], target[32];
    CHECK(midstate);
    random_bytes(midstate, midstates * sizeof *midstate);
    random_bytes(tail, sizeof tail);
    random_bytes(target, sizeof target);
    target[31] = (uint8_t)(zero_bits >= 8 ? 0 : 0xff >> zero_bits);
    if (zero_bits >= 8) target[30] = (uint8_t)(0xff >> (zero_bits - 8));
    memset(hit, 0xee, sizeof hit);
    struct owm_sha256d_scan scan = {.hit = hit,
                                    .found = &found,
                                    .midstate = (const uint32_t(*)[8])midstate,
                                    .tail = tail,
                                    .target = target,
                                    .count = count,
                                    .first = first,
                                    .midstates = midstates,
                                    .hit_max = HITS_MAX};
    CHECK(scan_by(path, pool, &scan) == OWM_OK);
    scan.hit = expected;
    scan.found = &expected_found;
    CHECK(ref_sha256d_scan(NULL, &scan) == OWM_OK);
    check_same_hits();
    free(midstate);
}

static void test_scan(const struct sha256d_path *path)
{
    static const uint32_t counts[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 65, 1000};
    static const uint32_t midstates[] = {1, 2, 3, 4, 7, 8, 15, 16, 17, 63, 64, 65, 130};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        compare_scan(path, 1, counts[i], (uint32_t)owm_rng_u64(&check_rng), 1);
        compare_scan(path, midstates[i], 5 + i, (uint32_t)owm_rng_u64(&check_rng), 3);
    }
    compare_scan(path, 1, 70001, (uint32_t)owm_rng_u64(&check_rng), 9);
    compare_scan(path, 67, 1025, (uint32_t)owm_rng_u64(&check_rng), 9);
    compare_scan(path, 1, 20011, UINT32_MAX - 9000, 9); /* The nonce wraps. */
    compare_scan(path, 32, 300, UINT32_MAX - 99, 5);
    compare_scan(path, 1, 1, UINT32_MAX, 0);
}

/* Equality is a hit, one less is not; every byte of the target counts. */
static void test_boundary(const struct sha256d_path *path)
{
    uint8_t header[80], target[32];
    uint32_t midstate[1][8], nonce;
    for (int i = 0; i < 20; i++) {
        random_bytes(header, sizeof header);
        memcpy(&nonce, header + 76, 4);
        struct owm_sha256d_batch one = {target, header, 80, 1, 80};
        CHECK(ref_sha256d_batch(NULL, &one) == OWM_OK);
        owm_header_midstate(midstate[0], header);
        struct owm_sha256d_scan scan = {hit, &found, midstate, header + 64, target, 1, nonce, 1, 1};
        CHECK(scan_by(path, NULL, &scan) == OWM_OK && found == 1 && hit[0].nonce == nonce);
        int byte = 0;
        while (byte < 31 && target[byte] == 0) target[byte++] = 0xff;
        target[byte]--;
        CHECK(scan_by(path, NULL, &scan) == OWM_OK && found == 0);
    }
}

static void test_overflow(const struct sha256d_path *path)
{
    uint32_t midstate[16][8];
    uint8_t tail[12], target[32];
    random_bytes(midstate, sizeof midstate);
    random_bytes(tail, sizeof tail);
    memset(target, 0xff, sizeof target);
    for (uint32_t m = 1; m <= 16; m += 15) {
        struct owm_sha256d_scan scan = {
            hit, &found, (const uint32_t(*)[8])midstate, tail, target, 100, 7, m, 100 * m};
        CHECK(scan_by(path, pool, &scan) == OWM_OK && found == 100 * m);
        scan.hit_max = 100 * m - 1;
        memset(hit, 0xee, sizeof hit);
        CHECK(scan_by(path, pool, &scan) == OWM_E_LIMIT && found == 100 * m);
        for (uint32_t i = 0; i < scan.hit_max; i++)
            CHECK(hit[i].nonce - 7 < 100 && hit[i].midstate < m);
        CHECK(hit[scan.hit_max].nonce == 0xeeeeeeee); /* Nothing beyond the buffer. */
    }
}

static void compare_batch(const struct sha256d_path *path, uint32_t count, uint32_t bytes,
                          size_t stride)
{
    uint8_t *message = malloc(count * stride), *hash = malloc((size_t)32 * count + 1);
    uint8_t *want = malloc((size_t)32 * count);
    CHECK(message && hash && want);
    random_bytes(message, count * stride);
    memset(hash, 0xee, (size_t)32 * count + 1);
    struct owm_sha256d_batch batch = {hash, message, stride, count, bytes};
    CHECK(batch_by(path, pool, &batch) == OWM_OK && hash[(size_t)32 * count] == 0xee);
    batch.hash = want;
    CHECK(ref_sha256d_batch(NULL, &batch) == OWM_OK && !memcmp(hash, want, (size_t)32 * count));
    free(message);
    free(hash);
    free(want);
}

static void test_batch(const struct sha256d_path *path)
{
    static const uint32_t counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 255, 257, 1001};
    static const uint32_t lengths[] = {1, 3, 55, 56, 63, 64, 65, 119, 120, 127, 128, 129, 300};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        compare_batch(path, counts[i], 80, i % 2 ? 80 : 83);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        compare_batch(path, 19, lengths[i], lengths[i] + i % 3);
}

static void test_merkle(const struct sha256d_path *path)
{
    uint8_t coinbase[(sizeof coinbase_170 - 1) / 2], branch[32], root[32], header[80], hash[32];
    CHECK(owm_hex_decode(coinbase_170, coinbase, sizeof coinbase) == OWM_OK);
    CHECK(owm_hex_decode(branch_170, branch, 32) == OWM_OK);
    read_block(5, header, hash);
    struct owm_sha256d_merkle real = {root, coinbase,        branch, sizeof coinbase,
                                      1,    sizeof coinbase, 1};
    CHECK(merkle_by(path, NULL, &real) == OWM_OK && !memcmp(root, header + 36, 32));
    CHECK(ref_sha256d_merkle(NULL, &real) == OWM_OK && !memcmp(root, header + 36, 32));
    static const uint32_t counts[] = {1, 2, 31, 32, 33, 100};
    static uint8_t rows[100][301], branches[32][32], got[100][32], want[100][32];
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        random_bytes(rows, sizeof rows);
        random_bytes(branches, sizeof branches);
        struct owm_sha256d_merkle op = {got[0], rows[0], branches[0], sizeof rows[0], counts[i],
                                        240,    0};
        for (op.branches = 0; op.branches <= 32; op.branches += 1 + op.branches) {
            op.root = got[0];
            CHECK(merkle_by(path, pool, &op) == OWM_OK);
            op.root = want[0];
            CHECK(ref_sha256d_merkle(NULL, &op) == OWM_OK);
            CHECK(!memcmp(got, want, (size_t)32 * counts[i]));
        }
    }
}

static void hash_long(const struct sha256d_path *path, uint8_t hash[32], const void *message,
                      size_t bytes)
{
    memset(hash, 0xee, 32);
    struct owm_sha256 op = {hash, message, bytes};
    CHECK(sha256_by(path, &op) == OWM_OK);
}

/* FIPS's vectors, every length around the padding at odd addresses, and a long message. */
static void test_long(const struct sha256d_path *path)
{
    static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    enum { LONG = 1000003 };
    uint8_t got[32], want[32], *message = malloc(LONG);
    CHECK(message);
    hash_long(path, got, NULL, 0);
    CHECK(is_hash(got, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    hash_long(path, got, "abc", 3);
    CHECK(is_hash(got, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    hash_long(path, got, two_blocks, strlen(two_blocks));
    CHECK(is_hash(got, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"));
    memset(message, 'a', 1000000);
    hash_long(path, got, message, 1000000);
    CHECK(is_hash(got, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"));
    random_bytes(message, 2000);
    for (size_t bytes = 0; bytes <= 200; bytes++) {
        const uint8_t *at = message + bytes % 7;
        hash_long(path, got, at, bytes);
        ref_sha256(want, at, bytes);
        CHECK(!memcmp(got, want, 32));
    }
    hash_long(path, got, message, LONG);
    ref_sha256(want, message, LONG);
    CHECK(!memcmp(got, want, 32));
    free(message);
}

/* Each wrong argument alone. */
static void test_scan_refusals(struct owm_device *device)
{
    uint32_t midstate[1][8] = {{0}};
    uint8_t tail[12] = {0}, target[32] = {0};
    const struct owm_sha256d_scan good = {hit, &found, midstate, tail, target, 1, 0, 1, 1};
    struct owm_sha256d_scan bad[10];
    for (int i = 0; i < 10; i++) bad[i] = good;
    bad[0].hit = NULL, bad[1].found = NULL, bad[2].midstate = NULL, bad[3].tail = NULL;
    bad[4].target = NULL, bad[5].count = 0, bad[6].count = OWM_SHA256D_NONCES + 1;
    bad[7].midstates = 0, bad[8].midstates = OWM_SHA256D_MIDSTATES_MAX + 1, bad[9].hit_max = 0;
    CHECK(device->backend->sha256d_scan(device, &good) == OWM_OK);
    for (int i = 0; i < 10; i++) CHECK(device->backend->sha256d_scan(device, &bad[i]) == OWM_E_ARG);
}

static void test_row_refusals(struct owm_device *device)
{
    static uint8_t out[32], in[80];
    const struct owm_sha256d_batch batch = {out, in, 80, 1, 80};
    struct owm_sha256d_batch b[5] = {batch, batch, batch, batch, batch};
    b[0].hash = NULL, b[1].message = NULL, b[2].stride = 79, b[3].count = 0, b[4].bytes = 0;
    CHECK(device->backend->sha256d_batch(device, &batch) == OWM_OK);
    for (int i = 0; i < 5; i++) CHECK(device->backend->sha256d_batch(device, &b[i]) == OWM_E_ARG);
    const struct owm_sha256d_merkle merkle = {out, in, NULL, 80, 1, 80, 0};
    struct owm_sha256d_merkle m[8] = {merkle, merkle, merkle, merkle,
                                      merkle, merkle, merkle, merkle};
    m[0].root = NULL, m[1].coinbase = NULL, m[2].branches = 1, m[3].stride = 79, m[4].count = 0;
    m[5].bytes = 0, m[6].branch = in, m[6].branches = OWM_MERKLE_BRANCHES_MAX + 1;
    m[7].bytes = OWM_MERKLE_COINBASE_BYTES_MAX + 1, m[7].stride = m[7].bytes;
    CHECK(device->backend->sha256d_merkle(device, &merkle) == OWM_OK);
    for (int i = 0; i < 8; i++)
        CHECK(device->backend->sha256d_merkle(device, &m[i]) == (i < 6 ? OWM_E_ARG : OWM_E_LIMIT));
}

static void test_long_refusals(struct owm_device *device)
{
    uint8_t hash[32];
    const struct owm_sha256 good = {hash, "", 0},
                            bad[3] = {{NULL, "x", 1},
                                      {hash, NULL, 1},
                                      {hash, "x", OWM_SHA256_MESSAGE_MAX + 1}};
    CHECK(device->backend->sha256(device, &good) == OWM_OK);
    CHECK(is_hash(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    for (int i = 0; i < 3; i++)
        CHECK(device->backend->sha256(device, &bad[i]) == (i < 2 ? OWM_E_ARG : OWM_E_LIMIT));
}

/* Through the backend table. */
static void test_device(struct owm_device *device)
{
    uint8_t header[80], hash[32], got[32];
    read_block(0, header, hash);
    struct owm_sha256d_batch batch = {got, header, 80, 1, 80};
    CHECK(device->backend->sha256d_batch(device, &batch) == OWM_OK && !memcmp(got, hash, 32));
    test_scan_refusals(device);
    test_row_refusals(device);
    if (device->backend->sha256) test_long_refusals(device); /* Of the cpu alone. */
}

static void test_path(const struct sha256d_path *path)
{
    test_blocks(path);
    test_scan(path);
    test_boundary(path);
    test_overflow(path);
    test_batch(path);
    test_merkle(path);
    if (path && path->blocks) test_long(path);
}

static void test_paths(void)
{
    CHECK(owm_pool_open(2, &pool) == OWM_OK);
    for (size_t i = 0; sha256d_path_at(i); i++) {
        const struct sha256d_path *path = sha256d_path_at(i);
        printf("%s: %s\n", path->name, path->here() ? "here" : "not on this processor");
        if (path->here()) test_path(path);
    }
    owm_pool_close(pool);
    pool = NULL;
}

static void run(const struct check_device *d)
{
    test_device(d->one), test_device(d->three);
    if (strcmp(check_backend_name(), "cpu") == 0) return;
    under_test = d->one;
    test_path(NULL);
    under_test = NULL;
}

int main(void)
{
    check_seed();
    test_fips();
    if (strcmp(check_backend_name(), "cpu") == 0) test_paths();
    struct owm_device *reference = check_open(&owm_backend_reference, NULL, NULL);
    test_device(reference);
    owm_backend_reference.close(reference);
    check_each_staged(run);
    return 0;
}
