/* proof_file.c: names, and files that are whole or absent. */
#include "proof_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"

#define MODE 0644

static owm_status name_with(const char *file, const char *ending, char *name,
                            struct owm_error *error)
{
    if (snprintf(name, PATH_MAX, "%s%s", file, ending) < PATH_MAX) return OWM_OK;
    return owm_fail(error, OWM_E_LIMIT, "the name '%.100s…' is too long", file);
}

owm_status proof_file_name(const char *file, char name[static PATH_MAX], struct owm_error *error)
{
    return name_with(file, ".ots", name, error);
}

owm_status proof_file_target(const char *name, char file[static PATH_MAX], struct owm_error *error)
{
    size_t length = strlen(name);
    if (length <= 4 || strcmp(name + length - 4, ".ots") != 0)
        return owm_fail(error, OWM_E_ARG, "its name does not end in .ots; say --file FILE");
    owm_status status = name_with(name, "", file, error);
    if (status == OWM_OK) file[length - 4] = 0;
    return status;
}

owm_status proof_file_read(const char *name, struct owm_ots_proof *proof, struct owm_error *error)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    owm_status status = owm_fs_read(name, OWM_OTS_FILE_BYTES_MAX, &data, &bytes, error);
    if (status != OWM_OK) return status;
    status = owm_ots_proof_read(data, bytes, proof, error);
    free(data);
    return status;
}

owm_status proof_file_create(const char *name, const struct owm_ots_proof *proof,
                             struct owm_error *error)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    owm_status status = owm_ots_proof_write(proof, &data, &bytes, error);
    if (status == OWM_OK) status = owm_fs_create_atomic(name, data, bytes, MODE, error);
    free(data);
    return status;
}

static owm_status keep_first(const char *name, const struct owm_ots_proof *proof,
                             struct owm_error *error)
{
    char backup[PATH_MAX];
    owm_status status = name_with(name, ".bak", backup, error);
    if (status == OWM_OK)
        status = owm_fs_create_atomic(backup, proof->original, proof->original_bytes, MODE, error);
    return status == OWM_E_EXISTS ? OWM_OK : status;
}

owm_status proof_file_replace(const char *name, const struct owm_ots_proof *proof,
                              struct owm_error *error)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    owm_status status = owm_ots_proof_write(proof, &data, &bytes, error);
    if (status == OWM_OK) status = keep_first(name, proof, error);
    if (status == OWM_OK) status = owm_fs_write_atomic(name, data, bytes, MODE, error);
    free(data);
    return status;
}
