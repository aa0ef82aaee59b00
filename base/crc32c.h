/* crc32c.h: CRC-32C (Castagnoli; RFC 3720 appendix B.4), by the processor's own instruction
 * where it has one. Detects what disks do to data; it is no signature.
 */
#ifndef OWM_BASE_CRC32C_H
#define OWM_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/** owm_crc32c: go on from `crc`, 0 at the beginning. Thread: any.
 *  Exact: owm_crc32c(owm_crc32c(0, a), b) is the value of a followed by b. */
uint32_t owm_crc32c(uint32_t crc, const void *data, size_t bytes);

/** owm_crc32c_portable: the same without the instruction: for other processors, and the oracle. */
uint32_t owm_crc32c_portable(uint32_t crc, const void *data, size_t bytes);

#endif
