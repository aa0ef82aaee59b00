/* read_ahead.h: a file piece by piece, the next ones read by a thread while the caller works on
 * this one.
 *
 * So a hash runs at its own speed: neither the disk nor the copy out of the page cache stands
 * between two pieces. Only regular files of READ_AHEAD_FROM_BYTES or more get the thread; the
 * others are read by the caller, and so is a large one where no thread is to be had.
 */
#ifndef OWM_OTS_READ_AHEAD_H
#define OWM_OTS_READ_AHEAD_H

#include <stdint.h>

#include "base/status.h"

#define READ_AHEAD_PIECE_BYTES (1 << 20) /* Smaller ones wake the other thread too often. */
#define READ_AHEAD_PIECES      8
#define READ_AHEAD_FROM_BYTES  (READ_AHEAD_PIECES * READ_AHEAD_PIECE_BYTES)

typedef struct read_ahead read_ahead;

/** read_ahead_open: from the descriptor's position on.
 *
 *  fd          Borrowed until read_ahead_close.
 *  size_bytes  of a regular file; 0 for what may block, such as a pipe.
 *  Returns: OWM_OK; OWM_E_NOMEM.
 */
OWM_MUST_USE owm_status read_ahead_open(int fd, uint64_t size_bytes, read_ahead **out);

/** read_ahead_close: the thread ends after the read it is in. NULL is allowed. */
void read_ahead_close(read_ahead *reader);

/** read_ahead_next: the next piece; each but the last has READ_AHEAD_PIECE_BYTES.
 *
 *  data   Borrowed until the next call.
 *  bytes  0: the end of the file.
 *  Returns: OWM_OK; OWM_E_IO with errno set, also from then on.
 */
OWM_MUST_USE owm_status read_ahead_next(read_ahead *reader, const uint8_t **data, size_t *bytes);

#endif
