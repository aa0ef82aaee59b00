/* proof_file.h: a proof on disk, FILE.ots beside FILE. */
#ifndef OWM_OTS_PROOF_FILE_H
#define OWM_OTS_PROOF_FILE_H

#include <linux/limits.h>

#include "dataplane/ots/proof.h"

/** proof_file_name: FILE.ots. Returns: OWM_OK; OWM_E_LIMIT the name is too long. */
OWM_MUST_USE owm_status proof_file_name(const char *file, char name[static PATH_MAX],
                                        struct owm_error *error);

/** proof_file_target: FILE of FILE.ots. Returns: OWM_OK; OWM_E_ARG another ending. */
OWM_MUST_USE owm_status proof_file_target(const char *name, char file[static PATH_MAX],
                                          struct owm_error *error);

/** proof_file_read: deinit the proof after OWM_OK. */
OWM_MUST_USE owm_status proof_file_read(const char *name, struct owm_ots_proof *proof,
                                        struct owm_error *error);

/** proof_file_create: never replaces. proof_file_replace: what stood there first stays as NAME.bak,
 *  once. Both: whole or not at all. */
OWM_MUST_USE owm_status proof_file_create(const char *name, const struct owm_ots_proof *proof,
                                          struct owm_error *error);
OWM_MUST_USE owm_status proof_file_replace(const char *name, const struct owm_ots_proof *proof,
                                           struct owm_error *error);

#endif
