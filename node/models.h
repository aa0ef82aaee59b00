/* models.h: what this process knows of model versions: which were proven, for what, and which bytes
 * in the cache it has hashed. A bounded table; what falls out of it is found out again. */
#ifndef OWM_NODE_MODELS_H
#define OWM_NODE_MODELS_H

#include <sys/stat.h>

#include "node/manifest.h"
#include "node/proof.h"

#define MODELS_KNOWN_MAX 32

typedef struct node_models node_models;

/** model: one checkpoint. */
struct model {
    uint8_t sha256[32];
    uint64_t bytes;
    struct manifest_facts facts;
    struct proof_facts proof;
    bool accepted[MODEL_USES];
    uint64_t proven_ms; /* when it was last looked at, monotonic; 0: never */
    uint64_t used_ms;
    bool hashed;
    dev_t device; /* of the file that was hashed, */
    ino_t inode;
    off_t size;
    struct timespec changed; /* and when it was last written */
};

/** node_models_open: empty. NULL without memory. Thread: any, for all that follows. */
node_models *node_models_open(void);
void node_models_close(node_models *models); /**< NULL is allowed. */

/** node_models_find: a copy; false: it is not known. */
bool node_models_find(node_models *models, const uint8_t sha256[static 32], struct model *model);

/** node_models_proven: a version was accepted for one use, with this of its proof. */
struct models_proven {
    struct manifest_named named;
    enum model_use use;
    struct manifest_facts facts;
    struct proof_facts proof;
};
void node_models_proven(node_models *models, const struct models_proven *proven);

/** node_models_hashed: the file with this identity holds these bytes; NULL: it does not. */
void node_models_hashed(node_models *models, const uint8_t sha256[static 32],
                        const struct stat *file);

/** model_is_hashed: whether this very file was, and was not written since. */
bool model_is_hashed(const struct model *model, const struct stat *file);

#endif
