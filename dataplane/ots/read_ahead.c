/* read_ahead.c: a ring of pieces between the thread that reads and the caller.
 *
 *  1. Pieces [taken, filled) are the caller's, the others the thread's; both counts only grow.
 *  2. The piece that the caller works on is returned by its next call: until then it counts as not
 *     taken, so that nothing is read into it.
 *  3. The last piece, of 0 bytes or with an error, is never returned: whoever asks again sees it
 *     again.
 */
#include "read_ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

struct piece {
    size_t bytes;
    int error; /* errno, or 0. */
    uint8_t *data;
};

struct read_ahead {
    int fd;
    bool threaded, closing, held; /* held: the caller works on the piece at `taken`. */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t room, piece;
    uint64_t filled, taken;
    struct piece pieces[READ_AHEAD_PIECES];
    uint8_t *memory;
};

/* A whole piece, unless the file ends: a read may be short for reasons of its own. */
static void fill(int fd, struct piece *piece)
{
    piece->bytes = 0;
    piece->error = 0;
    while (piece->bytes < READ_AHEAD_PIECE_BYTES) {
        ssize_t bytes = read(fd, piece->data + piece->bytes, READ_AHEAD_PIECE_BYTES - piece->bytes);
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes < 0) piece->error = errno;
        if (bytes <= 0) return;
        piece->bytes += (size_t)bytes;
    }
}

static bool is_last(const struct piece *piece)
{
    return piece->error || piece->bytes == 0;
}

/* Waking a thread costs time on both sides, so it sleeps until half the ring is free. */
static void wait_for_room(read_ahead *reader)
{
    while (!reader->closing && reader->filled - reader->taken > READ_AHEAD_PIECES / 2)
        pthread_cond_wait(&reader->room, &reader->lock);
}

static void *read_on(void *ctx)
{
    read_ahead *reader = ctx;
    bool last = false;
    pthread_mutex_lock(&reader->lock);
    while (!reader->closing && !last) {
        if (reader->filled - reader->taken == READ_AHEAD_PIECES) {
            wait_for_room(reader);
            continue;
        }
        struct piece *piece = &reader->pieces[reader->filled % READ_AHEAD_PIECES];
        pthread_mutex_unlock(&reader->lock);
        fill(reader->fd, piece);
        last = is_last(piece);
        pthread_mutex_lock(&reader->lock);
        reader->filled++;
        pthread_cond_signal(&reader->piece);
    }
    pthread_mutex_unlock(&reader->lock);
    return NULL;
}

static struct piece *wait_for_piece(read_ahead *reader)
{
    pthread_mutex_lock(&reader->lock);
    if (reader->held) reader->taken++;
    if (reader->filled - reader->taken <= READ_AHEAD_PIECES / 2) pthread_cond_signal(&reader->room);
    while (reader->filled == reader->taken) pthread_cond_wait(&reader->piece, &reader->lock);
    struct piece *piece = &reader->pieces[reader->taken % READ_AHEAD_PIECES];
    reader->held = !is_last(piece);
    pthread_mutex_unlock(&reader->lock);
    return piece;
}

owm_status read_ahead_open(int fd, uint64_t size_bytes, read_ahead **out)
{
    bool large = size_bytes >= READ_AHEAD_FROM_BYTES;
    size_t pieces = large ? READ_AHEAD_PIECES : 1;
    read_ahead *reader = calloc(1, sizeof *reader);
    if (!reader) return OWM_E_NOMEM;
    reader->memory = malloc(pieces * READ_AHEAD_PIECE_BYTES);
    if (!reader->memory) {
        free(reader);
        return OWM_E_NOMEM;
    }
    reader->fd = fd;
    for (size_t i = 0; i < pieces; i++)
        reader->pieces[i].data = reader->memory + i * READ_AHEAD_PIECE_BYTES;
    pthread_mutex_init(&reader->lock, NULL);
    pthread_cond_init(&reader->room, NULL);
    pthread_cond_init(&reader->piece, NULL);
    if (large) {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* Advice: may be ignored. */
        reader->threaded = pthread_create(&reader->thread, NULL, read_on, reader) == 0;
    }
    *out = reader;
    return OWM_OK;
}

void read_ahead_close(read_ahead *reader)
{
    if (!reader) return;
    if (reader->threaded) {
        pthread_mutex_lock(&reader->lock);
        reader->closing = true;
        pthread_cond_signal(&reader->room);
        pthread_mutex_unlock(&reader->lock);
        (void)pthread_join(reader->thread, NULL);
    }
    pthread_cond_destroy(&reader->piece);
    pthread_cond_destroy(&reader->room);
    pthread_mutex_destroy(&reader->lock);
    free(reader->memory);
    free(reader);
}

owm_status read_ahead_next(read_ahead *reader, const uint8_t **data, size_t *bytes)
{
    struct piece *piece = &reader->pieces[0];
    if (reader->threaded)
        piece = wait_for_piece(reader);
    else if (!piece->error)
        fill(reader->fd, piece);
    *data = piece->data;
    *bytes = piece->bytes;
    if (!piece->error) return OWM_OK;
    errno = piece->error;
    return OWM_E_IO;
}
