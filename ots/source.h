/* source.h: block headers as the command line says: from a file, from a node, or the file extended
 * from the node. */
#ifndef OWM_OTS_SOURCE_H
#define OWM_OTS_SOURCE_H

#include "dataplane/ots/header_source.h"
#include "options.h"

struct source {
    owm_ots_header_source *origin;
    struct owm_ots_headers headers;
    bool given; /* Otherwise nothing can be verified. */
};

/** source_open: with --headers and --bitcoin-rpc the file is extended, and written, first.
 *  Returns: OWM_OK, also where the options name no source; as the file and the node. */
OWM_MUST_USE owm_status source_open(const struct options *options, struct source *source,
                                    struct owm_error *error);
void source_close(struct source *source);

#endif
