/* blob_internal.h: what blob_store.c and blob_upload.c share. */
#ifndef OWM_STORE_BLOB_INTERNAL_H
#define OWM_STORE_BLOB_INTERNAL_H

#include <limits.h>
#include <pthread.h>

#include "dataplane/store/blob_store.h"

struct owm_blob_store {
    char *root;
    pthread_mutex_t lock; /* over all below */
    struct owm_blob_upload *uploads;
    unsigned upload_count;
    uint64_t next_name; /* of undeclared uploads */
};

#endif
