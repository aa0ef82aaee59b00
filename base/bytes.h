/* bytes.h: hex, base64, constant-time compare, and bounded cursors for wire formats.
 *
 * A cursor fails once and stays failed: a parser reads everything, then asks `owm_reader_ok` once.
 * A failed reader yields zeros and NULL, a failed writer writes nothing; neither touches memory
 * outside its buffer.
 */
#ifndef OWM_BASE_BYTES_H
#define OWM_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

/** owm_hex_encode: lower case, terminated. text [2 * bytes + 1] written. */
void owm_hex_encode(const void *data, size_t bytes, char *text);

/** owm_hex_decode: decode exactly `bytes` bytes from a terminated text, either case.
 *  Returns: OWM_OK; OWM_E_PROTO if the text is shorter, longer or holds another character. */
OWM_MUST_USE owm_status owm_hex_decode(const char *text, void *data, size_t bytes);

/** Characters of base64 with padding, without the terminator. */
#define OWM_BASE64_CHARS(bytes) (((bytes) + 2) / 3 * 4)

/** owm_base64_encode: RFC 4648 section 4, padded. text [OWM_BASE64_CHARS(bytes) + 1] written. */
void owm_base64_encode(const void *data, size_t bytes, char *text);

/** owm_base64_decode: strict RFC 4648 section 4: padded, canonical, no white space.
 *  data [bytes_max] written; *bytes how many.
 *  Returns: OWM_OK; OWM_E_PROTO malformed; OWM_E_LIMIT more than bytes_max. */
OWM_MUST_USE owm_status owm_base64_decode(const char *text, size_t text_bytes, void *data,
                                          size_t bytes_max, size_t *bytes);

/** owm_bytes_equal: compare without a data-dependent branch; for hashes, tokens, signatures. */
bool owm_bytes_equal(const void *a, const void *b, size_t bytes);

/** owm_reader: reads a borrowed buffer from front to back. Treat the fields as read-only. */
struct owm_reader {
    const uint8_t *data;
    size_t bytes;
    size_t at;
    bool failed;
};

void owm_reader_init(struct owm_reader *reader, const void *data, size_t bytes);
uint8_t owm_read_u8(struct owm_reader *reader);
uint16_t owm_read_u16_le(struct owm_reader *reader);
uint32_t owm_read_u32_le(struct owm_reader *reader);
uint64_t owm_read_u64_le(struct owm_reader *reader);
uint16_t owm_read_u16_be(struct owm_reader *reader);
uint32_t owm_read_u32_be(struct owm_reader *reader);
uint64_t owm_read_u64_be(struct owm_reader *reader);
float owm_read_f32_le(struct owm_reader *reader);

/** owm_read_bytes: copy `bytes` to `out`; zeros on failure. */
void owm_read_bytes(struct owm_reader *reader, void *out, size_t bytes);

/** owm_read_view: pointer into the buffer, valid as long as it; NULL on failure. */
const uint8_t *owm_read_view(struct owm_reader *reader, size_t bytes);

size_t owm_reader_left(const struct owm_reader *reader);
bool owm_reader_ok(const struct owm_reader *reader);

/** owm_reader_done: nothing failed and nothing is left. */
bool owm_reader_done(const struct owm_reader *reader);

/** owm_writer: fills a borrowed buffer from front to back. `at` is how much is written. */
struct owm_writer {
    uint8_t *data;
    size_t bytes;
    size_t at;
    bool failed;
};

void owm_writer_init(struct owm_writer *writer, void *data, size_t bytes);
void owm_write_u8(struct owm_writer *writer, uint8_t value);
void owm_write_u16_le(struct owm_writer *writer, uint16_t value);
void owm_write_u32_le(struct owm_writer *writer, uint32_t value);
void owm_write_u64_le(struct owm_writer *writer, uint64_t value);
void owm_write_u16_be(struct owm_writer *writer, uint16_t value);
void owm_write_u32_be(struct owm_writer *writer, uint32_t value);
void owm_write_u64_be(struct owm_writer *writer, uint64_t value);
void owm_write_f32_le(struct owm_writer *writer, float value);
void owm_write_bytes(struct owm_writer *writer, const void *data, size_t bytes);
bool owm_writer_ok(const struct owm_writer *writer);

#endif
