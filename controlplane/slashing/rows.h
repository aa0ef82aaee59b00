/* rows.h: cases in PostgreSQL (migration 0008): read, open, and what maintainers say.
 *
 * Every function runs on one connection of the caller's. Errors are those of base/pg/pg.h with a
 * sentence, and OWM_E_DB also for a row that makes no sense.
 */
#ifndef OWM_SLASHING_ROWS_H
#define OWM_SLASHING_ROWS_H

#include "base/pg/pg.h"
#include "controlplane/slashing/case.h"
#include "controlplane/slashing/log.h"

#define OWM_CASES_LISTED_MAX 256 /* in one list or one turn of the manager; the rest comes next */

/** owm_cases_gather: signals that belong to no case yet find theirs, or open one: a T1 node needs
 *  `signals_needed` of them, others one. What came late, or after maintainers had signed, is kept
 *  with the case and not counted. One transaction. */
OWM_MUST_USE owm_status owm_cases_gather(struct owm_pg *pg, uint32_t signals_needed, int64_t now_ms,
                                         struct owm_error *error);

enum owm_case_list {
    OWM_CASES_NOT_ENDED, /* open, decided, evicting: what people look at */
    OWM_CASES_MOVABLE,   /* also closed ones, which can still be overturned */
};

/** owm_cases_list: ids, oldest first. ids [OWM_CASES_LISTED_MAX][16] written. */
OWM_MUST_USE owm_status owm_cases_list(struct owm_pg *pg, enum owm_case_list which,
                                       uint8_t ids[OWM_CASES_LISTED_MAX][16], size_t *count,
                                       struct owm_error *error);

/** owm_case_load: OWM_E_NOTFOUND there is none. lock: hold the row until the transaction ends. */
OWM_MUST_USE owm_status owm_case_load(struct owm_pg *pg, const uint8_t case_id[16], bool lock,
                                      struct owm_case *c, struct owm_error *error);

/** owm_case_channel: the channel that the node staked with, the largest of several; "" where none
 * is known. */
OWM_MUST_USE owm_status owm_case_channel(struct owm_pg *pg, const uint8_t node_id[16],
                                         char channel[OWM_SLASH_CHANNEL_BYTES],
                                         struct owm_error *error);

/** owm_case_say: judge an act and, if it is taken, write it. One transaction.
 *  code   OWM_ACT_CODE_TAKEN, or why not.
 *  state  of the case; "" for an unknown one. */
OWM_MUST_USE owm_status owm_case_say(struct owm_pg *pg, const struct owm_case_policy *policy,
                                     const uint8_t case_id[16], const struct owm_case_act *act,
                                     int64_t now_ms, enum owm_act_code *code, const char **state,
                                     struct owm_error *error);

/** owm_slash_log_append: number, chain, sign and insert; in the caller's transaction, which then
 *  holds the log's lock. Sequence and hashes of the entry are written.
 *  event_id [16] written. */
OWM_MUST_USE owm_status owm_slash_log_append(struct owm_pg *pg, const owm_identity *coordinator,
                                             const uint8_t node_id[16],
                                             struct owm_slash_entry *entry, uint8_t event_id[16],
                                             struct owm_error *error);

/** owm_slash_log_rows: at most `limit` entries after this sequence, in order.
 *  entries [limit] written. */
OWM_MUST_USE owm_status owm_slash_log_rows(struct owm_pg *pg, uint64_t after, size_t limit,
                                           struct owm_slash_entry *entries, size_t *count,
                                           struct owm_error *error);

#endif
