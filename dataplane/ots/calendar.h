/* calendar.h: OpenTimestamps calendars over HTTP: submit a digest to several at once,
 * ask them later for the block.
 *
 * A calendar is a stranger, and the URI in a proof comes from whoever wrote it. So only calendars
 * of a list are asked: those known to the reference client, over HTTPS and at public addresses
 * alone, and those that the operator names, at exactly that URL. Redirects are not followed,
 * answers are small, each exchange has a deadline.
 */
#ifndef OWM_OTS_CALENDAR_H
#define OWM_OTS_CALENDAR_H

#include "merkle.h"
#include "proof.h"

#define OWM_OTS_CALENDARS_MAX        16
#define OWM_OTS_CALENDAR_DEADLINE_MS 5000
#define OWM_OTS_ASKED_MAX            32 /* Requests for one upgrade of one proof. */

/** owm_ots_calendars: who may be asked. Borrowed. */
struct owm_ots_calendars {
    const char *const *own; /* URLs that the operator named: any scheme, any address. */
    size_t own_count;
    const char *ca_file;  /* NULL: the system's authorities. */
    uint32_t deadline_ms; /* Of each exchange; 0: OWM_OTS_CALENDAR_DEADLINE_MS. */
};

/** owm_ots_aggregators: the reference client's default calendars for submissions. */
extern const char *const owm_ots_aggregators[];
extern const size_t owm_ots_aggregator_count;

/** owm_ots_calendar_listed: whether the URI of a promise may be asked.
 *  own  whether it is one of the operator's; NULL is allowed. */
bool owm_ots_calendar_listed(const struct owm_ots_calendars *calendars, struct owm_ots_bytes uri,
                             bool *own);

/** owm_ots_calendar_same: whether two URIs name one calendar: in any case, with and without slashes
 *  at the end. Paths that differ in case alone are taken for one, which counts too few, never too
 *  many. */
bool owm_ots_calendar_same(struct owm_ots_bytes a, struct owm_ots_bytes b);

/** owm_ots_told: what became of one exchange. */
struct owm_ots_told {
    char url[OWM_OTS_URI_BYTES_MAX + 1];
    owm_status status;
    struct owm_error error; /* "" when it answered. */
};

/** owm_ots_submit: the message of a node to every URL at once, and all promises merged at it. An
 *  answer that holds anything but one promise of ordinary size counts as none.
 *
 *  urls    1 to OWM_OTS_CALENDARS_MAX.
 *  needed  how many must answer; with fewer, what answered is merged all the same.
 *  told    [count] written; NULL: not wanted.
 *  Blocks: until the last has answered or its deadline has passed.
 *  Returns: OWM_OK; OWM_E_ARG; OWM_E_NET fewer than needed answered, with the causes; OWM_E_LIMIT,
 *  OWM_E_NOMEM.
 */
struct owm_ots_submission {
    const char *const *urls;
    size_t count, needed;
    struct owm_ots_told *told;
};
OWM_MUST_USE owm_status owm_ots_submit(const struct owm_ots_calendars *calendars,
                                       const struct owm_ots_submission *submission,
                                       const struct owm_ots_leaf *at, struct owm_error *error);

/** owm_ots_check: whether a calendar's answer may be merged: any status but OWM_OK refuses it, with
 *  the sentence. */
struct owm_ots_check {
    void *ctx;
    owm_status (*check)(void *ctx, const struct owm_ots_tree *answer, struct owm_error *error);
};

/** owm_ots_upgrade: every promise of a listed calendar asked for, and what is new merged where the
 *  promise stands; promises stay.
 *
 *  check  of each answer before it is merged; NULL: none.
 *  told   [OWM_OTS_ASKED_MAX] written, *asked of it. OWM_E_AGAIN: not in a block yet;
 *         OWM_E_PERM: not listed, so not asked.
 *  added  attestations that are new.
 *  Returns: OWM_OK, whatever calendars said; OWM_E_NOMEM.
 */
struct owm_ots_upgraded {
    struct owm_ots_told told[OWM_OTS_ASKED_MAX];
    size_t asked;
    uint32_t added;
};
OWM_MUST_USE owm_status owm_ots_upgrade(const struct owm_ots_calendars *calendars,
                                        struct owm_ots_tree *tree,
                                        const struct owm_ots_check *check,
                                        struct owm_ots_upgraded *upgraded, struct owm_error *error);

#endif
