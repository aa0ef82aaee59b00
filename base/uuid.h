/* uuid.h: 16-byte ids (RFC 9562) and their text form. */
#ifndef OWM_BASE_UUID_H
#define OWM_BASE_UUID_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define OWM_UUID_BYTES      16
#define OWM_UUID_TEXT_BYTES 37 /**< 36 characters and the terminator */

/** owm_uuid_random: version 4, from the system's generator. Thread: any. */
void owm_uuid_random(uint8_t uuid[static 16]);

/** owm_uuid_derive: version 8: the first 16 bytes of SHA-256(space || data) with version and
 * variant set. Exact: the same (space, data) gives the same id everywhere. */
void owm_uuid_derive(const uint8_t space[static 16], const void *data, size_t bytes,
                     uint8_t uuid[static 16]);

/** owm_uuid_parse: 8-4-4-4-12 hex digits of either case, nothing else.
 *  Returns: OWM_OK; OWM_E_PROTO. */
OWM_MUST_USE owm_status owm_uuid_parse(const char *text, uint8_t uuid[static 16]);

/** owm_uuid_format: lower case, terminated. */
void owm_uuid_format(const uint8_t uuid[static 16], char text[static 37]);

#endif
