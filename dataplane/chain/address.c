/* address.c: base58check, bech32 and bech32m, each read to its end before a word is believed. */
#include "address.h"

#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "hash.h"

#define TEXT_CHARS_MAX    90 /* BIP 173. */
#define CHECKSUM_CHARS    6
#define BASE58_CHARS_MAX  35 /* Of 25 bytes. */
#define BASE58_BYTES      25 /* Version, hash of 20, checksum of 4. */
#define HASH_BYTES        20
#define PROGRAM_BYTES_MAX 40
#define BECH32            1u
#define BECH32M           0x2bc830a3u

/* Networks that write their addresses alike; an address cannot tell testnet4 from signet. */
static const struct {
    const char *human_part, *name;
    uint8_t key_hash, script_hash; /* Versions in base58. */
} families[] = {
    {"bc", "mainnet", 0x00, 0x05},
    {"tb", "testnet4 or signet", 0x6f, 0xc4},
    {"bcrt", "regtest", 0x6f, 0xc4},
};
#define FAMILIES (sizeof families / sizeof *families)

static const size_t family_of[] = {
    [OWM_MAINNET] = 0, [OWM_TESTNET4] = 1, [OWM_SIGNET] = 1, [OWM_REGTEST] = 2};

struct script {
    uint8_t *data; /* [OWM_SCRIPT_BYTES_MAX] */
    uint32_t bytes;
};

static void append(struct script *script, const void *data, size_t bytes)
{
    memcpy(script->data + script->bytes, data, bytes);
    script->bytes += (uint32_t)bytes;
}

static uint32_t polymod(uint32_t sum, uint8_t value)
{
    static const uint32_t generator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                         0x2a1462b3};
    uint32_t top = sum >> 25;
    sum = (sum & 0x1ffffff) << 5 ^ value;
    for (int i = 0; i < 5; i++)
        if (top >> i & 1) sum ^= generator[i];
    return sum;
}

/* Checksum over both parts; the human one counts by its high bits, a zero, its low bits. */
static uint32_t checksum(const char *human, size_t human_chars, const uint8_t *value, size_t values)
{
    uint32_t sum = 1;
    for (size_t i = 0; i < human_chars; i++) sum = polymod(sum, (uint8_t)(human[i] >> 5));
    sum = polymod(sum, 0);
    for (size_t i = 0; i < human_chars; i++) sum = polymod(sum, human[i] & 31);
    for (size_t i = 0; i < values; i++) sum = polymod(sum, value[i]);
    return sum;
}

/* Lower case into `lower`. false: mixed case. */
static bool fold_case(const char *address, size_t chars, char *lower)
{
    bool upper_seen = false, lower_seen = false;
    for (size_t i = 0; i < chars; i++) {
        char c = address[i];
        upper_seen |= c >= 'A' && c <= 'Z';
        lower_seen |= c >= 'a' && c <= 'z';
        lower[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return !(upper_seen && lower_seen);
}

/* Groups of 5 bits to bytes. false: too long, or what is left over is not up to 4 zero bits. */
static bool regroup(const uint8_t *value, size_t values, uint8_t *program, size_t *bytes)
{
    uint32_t held = 0;
    int bits = 0;
    *bytes = 0;
    for (size_t i = 0; i < values; i++) {
        held = (held << 5 | value[i]) & 0xfff;
        bits += 5;
        if (bits < 8) continue;
        bits -= 8;
        if (*bytes == PROGRAM_BYTES_MAX) return false;
        program[(*bytes)++] = (uint8_t)(held >> bits);
    }
    return bits < 5 && !(held & ((1u << bits) - 1));
}

/* NULL, or what is wrong. `value` is what stands behind the separator, checksum included. */
static const char *read_witness(const uint8_t *value, size_t values, uint32_t sum,
                                struct script *script)
{
    uint8_t program[PROGRAM_BYTES_MAX];
    size_t bytes;
    if (sum != BECH32 && sum != BECH32M) return "its checksum is wrong: a letter is mistyped";
    if (values <= CHECKSUM_CHARS) return "it is empty";
    uint8_t version = value[0];
    if (version > 16) return "its witness version is unknown";
    if (sum != (version ? BECH32M : BECH32))
        return "its checksum is of the wrong kind for its witness version";
    if (!regroup(value + 1, values - 1 - CHECKSUM_CHARS, program, &bytes) || bytes < 2)
        return "its length is wrong";
    if (version == 0 && bytes != 20 && bytes != 32) return "its length is wrong";
    const uint8_t head[] = {version ? (uint8_t)(0x50 + version) : 0, (uint8_t)bytes};
    append(script, head, sizeof head);
    append(script, program, bytes);
    return NULL;
}

/* NULL, or what is wrong. The human part, of human_chars, is that of a family. */
static const char *read_bech32(const char *address, size_t chars, size_t human_chars,
                               struct script *script)
{
    static const char letters[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    char lower[TEXT_CHARS_MAX];
    uint8_t value[TEXT_CHARS_MAX];
    if (!fold_case(address, chars, lower)) return "it mixes capital and small letters";
    const size_t values = chars - human_chars - 1;
    if (values < CHECKSUM_CHARS) return "it is too short";
    for (size_t i = 0; i < values; i++) {
        const char *letter = memchr(letters, lower[human_chars + 1 + i], sizeof letters - 1);
        if (!letter) return "it holds a character that addresses do not use";
        value[i] = (uint8_t)(letter - letters);
    }
    return read_witness(value, values, checksum(lower, human_chars, value, values), script);
}

/* Digits to the base of 58 into 25 bytes. false: another letter, or too large a number. */
static bool decode_base58(const char *address, size_t chars, uint8_t out[BASE58_BYTES])
{
    static const char letters[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    memset(out, 0, BASE58_BYTES);
    for (size_t i = 0; i < chars; i++) {
        const char *letter = memchr(letters, address[i], sizeof letters - 1);
        if (!letter) return false;
        uint32_t carry = (uint32_t)(letter - letters);
        for (int k = BASE58_BYTES - 1; k >= 0; k--) {
            carry += 58u * out[k];
            out[k] = (uint8_t)carry;
            carry >>= 8;
        }
        if (carry) return false;
    }
    return true;
}

/* Each leading zero byte is a "1", and no other. */
static bool ones_match(const char *address, const uint8_t bytes[BASE58_BYTES])
{
    size_t ones = strspn(address, "1"), zeros = 0;
    while (zeros < BASE58_BYTES && bytes[zeros] == 0) zeros++;
    return ones == zeros;
}

static const char *read_base58(const char *address, size_t chars, size_t wanted, size_t *family,
                               struct script *script)
{
    static const uint8_t key_head[] = {0x76, 0xa9, HASH_BYTES}, key_tail[] = {0x88, 0xac};
    static const uint8_t script_head[] = {0xa9, HASH_BYTES}, script_tail[] = {0x87};
    uint8_t bytes[BASE58_BYTES], sum[32];
    if (chars > BASE58_CHARS_MAX || !decode_base58(address, chars, bytes)
        || !ones_match(address, bytes))
        return "it is neither of base58 nor of bech32";
    owm_sha256d(bytes, BASE58_BYTES - 4, sum);
    if (memcmp(sum, bytes + BASE58_BYTES - 4, 4) != 0)
        return "its checksum is wrong: a letter is mistyped";
    for (size_t i = 0; i < FAMILIES; i++) {
        size_t f = (wanted + i) % FAMILIES; /* Two share their versions: the wanted one first. */
        bool key = bytes[0] == families[f].key_hash;
        if (!key && bytes[0] != families[f].script_hash) continue;
        *family = f;
        append(script, key ? key_head : script_head, key ? sizeof key_head : sizeof script_head);
        append(script, bytes + 1, HASH_BYTES);
        append(script, key ? key_tail : script_tail, key ? sizeof key_tail : sizeof script_tail);
        return NULL;
    }
    return "it is an address of something else";
}

/* The family whose human part stands before the first "1"; FAMILIES if none, as in base58. */
static size_t family_by_human_part(const char *address)
{
    size_t letters = strcspn(address, "1"), f = 0;
    if (address[letters] == 0) return FAMILIES;
    while (f < FAMILIES
           && (strlen(families[f].human_part) != letters
               || strncasecmp(address, families[f].human_part, letters) != 0))
        f++;
    return f;
}

/* NULL, or what is wrong. */
static const char *read_address(const char *address, size_t wanted, size_t *family,
                                struct script *script)
{
    size_t chars = strnlen(address, TEXT_CHARS_MAX + 1);
    if (chars > TEXT_CHARS_MAX) return "it is too long";
    *family = family_by_human_part(address);
    if (*family == FAMILIES) return read_base58(address, chars, wanted, family, script);
    return read_bech32(address, chars, strlen(families[*family].human_part), script);
}

owm_status owm_address_script(const char *address, enum owm_network network,
                              uint8_t script[OWM_SCRIPT_BYTES_MAX], uint32_t *bytes,
                              struct owm_error *error)
{
    struct script made = {script, 0};
    size_t wanted = family_of[network], family;
    *bytes = 0;
    const char *wrong = read_address(address, wanted, &family, &made);
    if (wrong)
        return owm_fail(error, OWM_E_PROTO, "'%.90s' is not a Bitcoin address: %s", address, wrong);
    if (family != wanted)
        return owm_fail(error, OWM_E_PROTO, "'%.90s' is an address of %s; one of %s is needed",
                        address, families[family].name, families[wanted].name);
    *bytes = made.bytes;
    return OWM_OK;
}
