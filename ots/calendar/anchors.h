/* anchors.h: which promises stand under which root, in which transactions, and in which block that
 * ended: the records of folder/anchors, without IO. Private to ots/calendar.
 *
 *   record  type [1], payload bytes [3], CRC-32C of these four; payload; CRC-32C of it
 *   SENT    batch, first, count [4 each], root [32], time in ms, fee in sat [8 each], transaction
 *   DONE    batch, transaction, height, position in the block [4 each], time in ms [8],
 *           header [80], branches [32 each]
 *   LOST    batch [4]: its block left the chain
 *
 * All numbers are low byte first.
 * 1. Batches follow each other through the journal without a gap: none is under two roots.
 * 2. What memory holds is what reading the file gives: a change is a record first.
 */
#ifndef OWM_OTS_CALENDAR_ANCHORS_H
#define OWM_OTS_CALENDAR_ANCHORS_H

#include "dataplane/chain/transaction.h"
#include "dataplane/ots/headers.h"
#include "dataplane/ots/merkle.h"

#define ANCHORS_MAGIC             "OWMANCH1"
#define ANCHORS_MAGIC_BYTES       8
#define ANCHOR_BATCHES_MAX        (UINT32_C(1) << 20)
#define ANCHOR_TRANSACTIONS_MAX   32    /* Of one batch, replacements included. */
#define ANCHOR_TRANSACTION_BYTES  65536 /* Signed. */
#define ANCHOR_STRIPPED_BYTES_MAX OWM_OTS_MESSAGE_BYTES_MAX /* It is a message of the proof. */
#define ANCHOR_BRANCHES_MAX       20                        /* Of a block's transactions. */
#define ANCHORS_RECORD_BYTES_MAX  (ANCHOR_TRANSACTION_BYTES + 128)

enum anchors_type { ANCHORS_SENT = 1, ANCHORS_DONE, ANCHORS_LOST };

/** anchor_transaction: signed, and on its way or not. */
struct anchor_transaction {
    struct owm_transaction read;
    uint8_t *data;           /* [bytes], then without the witness [read.stripped_bytes]. */
    uint32_t bytes, root_at; /* root_at: of the root in the stripped one. */
    uint64_t fee_sat;
    int64_t time_ms;
};

/** anchor_end: where in which block a transaction of a batch is. */
struct anchor_end {
    uint8_t header[OWM_OTS_HEADER_BYTES];
    uint8_t branch[ANCHOR_BRANCHES_MAX][32];
    uint32_t branches, position, transaction, height;
    int64_t time_ms;
};

struct anchor_batch {
    uint32_t first, count; /* Of the journal. */
    uint8_t root[32];
    struct anchor_transaction *transactions; /* The newest is the last. */
    uint32_t transaction_count;
    struct anchor_end *end; /* NULL: not done, or lost. */
    /* Of this run, not of the file: */
    uint64_t confirmations;
    uint64_t missing_since; /* Height at which no transaction of it could confirm any more; 0. */
    bool offered;           /* The node has heard of it since the start and the newest block. */
    bool rejected;          /* The node takes none of them. */
};

struct anchors {
    struct anchor_batch *batches;
    uint32_t batch_count, batch_room, open_count;
};

void anchors_deinit(struct anchors *anchors); /**< Safe on a zeroed one, and twice. */

/** anchors_read: records, added to what is there.
 *
 *  whole  bytes of records that count; fewer than `bytes` if a crash cut the last one off.
 *  Returns: OWM_OK; OWM_E_PROTO damage, with the byte and why; OWM_E_LIMIT; OWM_E_NOMEM. */
OWM_MUST_USE owm_status anchors_read(struct anchors *anchors, const uint8_t *data, size_t bytes,
                                     size_t *whole, struct owm_error *error);

/** anchors_find: the batch of a promise; batch_count: none. */
uint32_t anchors_find(const struct anchors *anchors, uint32_t index);

/** anchors_covered: how many promises of the journal are in batches. */
uint32_t anchors_covered(const struct anchors *anchors);

/** anchors_stripped: a transaction without its witness. */
const uint8_t *anchors_stripped(const struct anchor_transaction *transaction);

/** anchors_root_at: where a script "OP_RETURN root" has its root. false: nowhere. */
bool anchors_root_at(const uint8_t *stripped, size_t bytes, const uint8_t root[static 32],
                     uint32_t *at);

/** Records: record [ANCHORS_RECORD_BYTES_MAX] written. Return: how long; 0: over a limit. */
struct anchors_sent {
    uint32_t batch, first, count;
    const uint8_t *root; /* [32] */
    int64_t time_ms;
    uint64_t fee_sat;
    const uint8_t *data; /* Signed. */
    uint32_t bytes;
};
size_t anchors_sent_record(const struct anchors_sent *sent, uint8_t *record);
size_t anchors_done_record(uint32_t batch, const struct anchor_end *end, uint8_t *record);
size_t anchors_lost_record(uint32_t batch, uint8_t *record);

#endif
