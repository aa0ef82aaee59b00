/* log.h: the public slashing log: entries that nobody can change afterwards, not even us.
 *
 *   entry_hash = SHA-256(previous entry_hash || canonical entry), signed by the coordinator
 *
 * with the domain "owm slash log v1"; the first entry's previous hash is 32 zeros. So one signature
 * vouches for everything before it, and whoever kept an old entry can tell whether history was
 * rewritten. Nodes appear by pseudonym: SHA-256 of their public key (SRS-STAKE-06, SRS-LN-13).
 * Thread: any.
 */
#ifndef OWM_SLASHING_LOG_H
#define OWM_SLASHING_LOG_H

#include <jansson.h>

#include "base/identity.h"
#include "controlplane/slashing/case.h"

#define OWM_DOMAIN_SLASH_LOG     "owm slash log v1"
#define OWM_SLASH_CHANNEL_BYTES  80  /* "txid:index" with terminator */
#define OWM_SLASH_DETAIL_BYTES   72  /* a closing transaction's id in hex */
#define OWM_SLASH_PAGE_MAX       200 /* entries on one page */
#define OWM_SLASH_PAGE_BYTES_MAX (1 << 20)

enum owm_slash_kind {
    OWM_SLASH_DECISION, /* suspended, cooldown begins, bond forfeited */
    OWM_SLASH_EVICTION, /* one channel was force-closed: detail is the closing transaction */
    OWM_SLASH_OVERTURN, /* taken back; detail "" */
};

struct owm_slash_entry {
    uint64_t sequence; /* from 1, without gaps */
    enum owm_slash_kind kind;
    uint8_t case_id[16];
    uint8_t node[32];                         /* pseudonym */
    char channel_id[OWM_SLASH_CHANNEL_BYTES]; /* "" where it has no channel */
    enum owm_tier tier;
    char reason[OWM_REASON_BYTES];
    uint8_t evidence_hash[32]; /* of the case's evidence bundle, a blob */
    uint32_t signal_count;
    int64_t at_ms, cooldown_until_ms;
    char detail[OWM_SLASH_DETAIL_BYTES];
    uint8_t previous_hash[32], hash[32], signature[64];
};

const char *owm_slash_kind_name(enum owm_slash_kind kind);
OWM_MUST_USE owm_status owm_slash_kind_parse(const char *text, enum owm_slash_kind *kind);

/** owm_slash_pseudonym: how a node is called in public. */
void owm_slash_pseudonym(const uint8_t public_key[32], uint8_t node[32]);

/** owm_slash_log_seal: hash and signature of an entry whose other fields are set. */
void owm_slash_log_seal(struct owm_slash_entry *entry, const owm_identity *coordinator);

/** owm_slash_log_check: whether `entry` follows the one with this sequence and hash (0 and zeros:
 * it is the first) and is signed. Returns: OWM_OK; OWM_E_STATE a gap, or another predecessor;
 * OWM_E_CRYPTO altered, or not signed by this coordinator; each with the entry's number. */
OWM_MUST_USE owm_status owm_slash_log_check(const struct owm_slash_entry *entry, uint64_t sequence,
                                            const uint8_t previous_hash[32],
                                            const uint8_t coordinator_key[32],
                                            struct owm_error *error);

/** owm_slash_page_json: entries as `GET /v1/network/slashing-log` shows them; "next" is there if
 *  `more`. New reference; NULL without memory. */
json_t *owm_slash_page_json(const struct owm_slash_entry *entries, size_t count,
                            const uint8_t coordinator_key[32], bool more);

/** owm_slash_page_read: one page back into entries. Safe for hostile text.
 *
 *  entries  [OWM_SLASH_PAGE_MAX] written.
 *  more     whether the page names a next one.
 *  Returns: OWM_OK; OWM_E_PROTO with the field; OWM_E_LIMIT more entries than a page has. */
OWM_MUST_USE owm_status owm_slash_page_read(const char *text, size_t bytes,
                                            struct owm_slash_entry *entries, size_t *count,
                                            bool *more, struct owm_error *error);

#endif
