/* fixture.h: temporary folders and a tiny checkpoint for the node's tests. */
#ifndef NODE_FIXTURE_H
#define NODE_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

/** fixture_folder: a fresh folder under $TMPDIR; path [128] written. */
void fixture_folder(char path[static 128]);
void fixture_remove(const char *path);

/** fixture_write: folder/name with this text, making folders on the way. */
void fixture_write(const char *folder, const char *name, const char *text);

/** fixture_checkpoint: a small decoder with random weights, as a file in memory; malloc'ed. */
uint8_t *fixture_checkpoint(size_t *bytes);
uint8_t *fixture_checkpoint_of(uint64_t seed, size_t *bytes); /**< One of many. */

/** fixture_memory: these bytes as a file descriptor. */
int fixture_memory(const void *data, size_t bytes);

#endif
