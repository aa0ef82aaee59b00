/* fuzz_worker_message.c: what a hostile worker, or a hostile node, may send over the socket pair.
 */
#include <stdlib.h>
#include <string.h>

#include "node/worker_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct owm_worker_message message;
    struct owm_error error;
    if (owm_worker_decode(data, size, &message, &error) != OWM_OK) return 0;
    /* What was accepted can be said again, and means the same. */
    static uint8_t again[OWM_WORKER_MESSAGE_BYTES_MAX];
    size_t bytes = 0;
    if (size > sizeof again) return 0;
    if (owm_worker_encode(&message, again, sizeof again, &bytes) != OWM_OK) abort();
    if (bytes != size || memcmp(again, data, size) != 0) abort();
    return 0;
}
