/* journal_format.h: the bytes of a journal's segment. All numbers are little endian.
 *
 *   segment  header, then batches, then end where it was closed in order
 *   header   magic 8 | loop u32 | zero 4 | number u64 | created_ms i64 | id 16 | zero 12 | crc u32
 *   record   type u8 | zero u8 | length u16 | crc u32 | payload [length]
 *   basis    previous 32 | height u32 | bits u32 | subsidy_sats u64 | fees_sats u64 | points u16
 *   miner    kind u8 | text          worker   text
 *   share    hash 32 | time_ms i64 | hashes u64 | miner u32 | worker u32 | basis u32 | flags u8
 *   commit   sequence u64 | shares u32 | bytes u32 | chain u32
 *
 * A record's crc is of its first four bytes and its payload. miner, worker and basis of a share
 * count the records of that kind in this segment from 0. A batch is records and the commit that
 * ends it: `bytes` of them before it, `sequence` of its last share, and `chain`, the CRC-32C of the
 * bytes of all batches so far, which begins as the header's crc: so a batch can be neither repeated
 * nor moved nor left out. Behind the last batch lies space that was allocated ahead: zeros.
 */
#ifndef OWM_POOL_JOURNAL_FORMAT_H
#define OWM_POOL_JOURNAL_FORMAT_H

#define JOURNAL_MAGIC            "OWMJRNL1"
#define JOURNAL_HEADER_BYTES     64
#define JOURNAL_RECORD_BYTES     8 /* In front of the payload. */
#define JOURNAL_BASIS_BYTES      58
#define JOURNAL_SHARE_BYTES      61
#define JOURNAL_COMMIT_BYTES     20
#define JOURNAL_PAYLOAD_MAX      256
#define JOURNAL_BATCH_BYTES_MAX  (1u << 20) /* Without its commit. */
#define JOURNAL_BASES_MAX        4096u      /* Of one segment, as the next two. */
#define JOURNAL_MINERS_MAX       65536u
#define JOURNAL_WORKERS_MAX      65536u
#define JOURNAL_SHARE_FLAG_BLOCK 1u
#define JOURNAL_TIME_MS_MAX      253402300799000 /* The year 9999 is what databases know. */
#define JOURNAL_SUFFIX           ".owj"
#define JOURNAL_SUFFIX_ZSTD      ".owj.zst"

enum journal_type {
    JOURNAL_NONE = 0,
    JOURNAL_BASIS,
    JOURNAL_MINER,
    JOURNAL_WORKER,
    JOURNAL_SHARE,
    JOURNAL_COMMIT,
    JOURNAL_END,
};

#endif
