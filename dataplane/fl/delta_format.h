/* delta_format.h: offsets of the delta package and the codec of one block; not for other folders.
 */
#ifndef OWM_FL_DELTA_FORMAT_H
#define OWM_FL_DELTA_FORMAT_H

#include <zstd.h>

#include "base/sha256.h"
#include "dataplane/fl/delta.h"

#define SIGNATURE_AT    OWM_DELTA_HEADER_BYTES
#define ROOT_AT         (SIGNATURE_AT + 64)
#define DIRECTORY_AT    (ROOT_AT + 32)
#define ENTRY_BYTES     36 /* u32 stored bytes, SHA-256 */
#define SIGNED_BYTES    (OWM_DELTA_HEADER_BYTES + 32)
#define BLOCK_HEAD      16
#define GAP_ESCAPE      255u
#define INDEX_RAW_MAX   (OWM_DELTA_BLOCK + OWM_DELTA_BLOCK / GAP_ESCAPE + 1)
#define VALUES_RAW_MAX  (2 * OWM_DELTA_BLOCK)
#define BLOCK_BYTES_MAX (BLOCK_HEAD + INDEX_RAW_MAX + VALUES_RAW_MAX)

#define BLOCK_INDEX_ZSTD  1u
#define BLOCK_VALUES_ZSTD 2u

enum index_code { INDEX_GAPS = 0, INDEX_BITMAP = 1 };

static const uint8_t delta_magic[8] = {'O', 'W', 'M', 'D', 'E', 'L', 'T', 'A'};

/* Buffers for one block; allocated once per package. */
struct delta_scratch {
    uint8_t index[INDEX_RAW_MAX];
    uint8_t values[VALUES_RAW_MAX];
    float value[OWM_DELTA_BLOCK];
    uint32_t place[OWM_DELTA_BLOCK]; /* encoding: coordinates counted from the block's first */
    int8_t code[OWM_DELTA_BLOCK];
    uint16_t half[OWM_DELTA_BLOCK];
    int8_t exponent[OWM_DELTA_BLOCK / OWM_QUANT_GROUP];
    int lowest_exponent; /* decoding: power of two of the smallest last bit so far */
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
};

_Static_assert(OWM_DELTA_BLOCK % OWM_QUANT_GROUP == 0, "a group lies in one block");

/* Scale groups of a block with that many coordinates. */
static inline uint32_t delta_groups(uint32_t coordinates)
{
    return (coordinates + OWM_QUANT_GROUP - 1) / OWM_QUANT_GROUP;
}

static inline uint32_t delta_blocks(uint32_t parameter_count)
{
    return (uint32_t)(((uint64_t)parameter_count + OWM_DELTA_BLOCK - 1) / OWM_DELTA_BLOCK);
}

static inline uint32_t delta_values_bytes(enum owm_delta_values values, uint32_t count,
                                          uint32_t coordinates)
{
    return values == OWM_DELTA_INT8 ? delta_groups(coordinates) + count : 2 * count;
}

/* Coordinates of block b: 65,536, fewer in the last. */
static inline uint32_t delta_block_coordinates(uint32_t parameter_count, uint32_t block)
{
    uint64_t left = parameter_count - (uint64_t)block * OWM_DELTA_BLOCK;
    return left < OWM_DELTA_BLOCK ? (uint32_t)left : OWM_DELTA_BLOCK;
}

/* Position after the last index of this block, from position `at`. */
uint32_t delta_block_end(const struct owm_sparse *sparse, uint32_t at, uint32_t block);

/* Encode `count` indices and values that lie in one block into out [BLOCK_BYTES_MAX]. */
owm_status delta_block_encode(struct delta_scratch *scratch, const struct owm_sparse *part,
                              uint32_t first_coordinate, uint32_t coordinates,
                              enum owm_delta_values values, int floor_exponent, uint8_t *out,
                              uint32_t *bytes);

/* Decode a block whose hash is right. Writes at most `room` indices and values. */
enum owm_delta_reason delta_block_decode(struct delta_scratch *scratch, const uint8_t *bytes,
                                         uint32_t count, enum owm_delta_values values,
                                         uint32_t first_coordinate, uint32_t coordinates,
                                         uint32_t room, uint32_t *index, float *value,
                                         uint32_t *found);

/* Root of the hash tree over the directory (RFC 6962, section 2.1, SHA-256). */
void delta_root(const uint8_t *directory, uint32_t blocks, uint8_t root[32]);

/* What is signed: header and root. */
void delta_signed_bytes(const uint8_t *package, uint8_t out[SIGNED_BYTES]);

#endif
