/* loop.h: a loop of the pool: the handler that net.h calls, with everything that one core needs of
 * its own: admission, handshakes, a hall, a journal, and a mailbox for what other threads have
 * for it.
 *
 *     owm_pool_loop_open(&options, &loop[i], &error);      one for each of the net's loops
 *     owm_net_open(&(struct owm_net_options){.handler = &owm_pool_loop_handler, .ctx = loop, …});
 *     owm_pool_loop_post_work(loop[i], work);              by the template thread, at any time
 *     owm_net_close(net); owm_pool_loop_close(loop[i]);
 *
 * Thread: post_work, set_credentials, reconnect, stats, workers, journal, failed: any. open and
 * close: while no net runs.
 */
#ifndef OWM_POOL_LOOP_H
#define OWM_POOL_LOOP_H

#include "admission.h"
#include "dataplane/net/net.h"
#include "dataplane/sv2/authority.h"
#include "hall.h"
#include "journal.h"

struct owm_pool_loop;

/** owm_pool_loop_options: hall.log, hall.authority, hall.clock_ns are set by open. Borrowed. */
struct owm_pool_loop_options {
    struct owm_hall_options hall;           /* sessions_max: at least the net's connections_max. */
    struct owm_admission_options admission; /* connections_max is set by open. */
    const struct owm_sv2_credentials *credentials;
    const char *journal_folder;
    uint64_t journal_segment_bytes; /* 0: the journal's default. */
};

/** owm_pool_loop_open: Returns: as owm_hall_open, owm_journal_open, owm_admission_open. */
OWM_MUST_USE owm_status owm_pool_loop_open(const struct owm_pool_loop_options *options,
                                           struct owm_pool_loop **loop, struct owm_error *error);

/** owm_pool_loop_close: writes and syncs the journal. NULL is allowed. */
void owm_pool_loop_close(struct owm_pool_loop *loop);

/** owm_pool_loop_handler: for owm_net_options; its ctx is the loop. */
extern const struct owm_net_handler owm_pool_loop_handler;

/** owm_pool_loop_post_work: mine this from the next turn on; of several, the last. Retains. One
 *  thread posts. Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_pool_loop_post_work(struct owm_pool_loop *loop, struct owm_work *work);

/** owm_pool_loop_set_credentials: newer ones, before the certificate runs out. */
void owm_pool_loop_set_credentials(struct owm_pool_loop *loop,
                                   const struct owm_sv2_credentials *credentials);

/** owm_pool_loop_reconnect: ask every miner to go to another address, at most 255 bytes, or ("" and
 *  0) to connect again; for draining, after owm_net_stop_accepting. Returns: OWM_OK; OWM_E_ARG;
 *  OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_pool_loop_reconnect(struct owm_pool_loop *loop, const char *host,
                                                uint16_t port);

const struct owm_pool_stats *owm_pool_loop_stats(const struct owm_pool_loop *loop);
struct owm_workers *owm_pool_loop_workers(struct owm_pool_loop *loop);
const struct owm_journal *owm_pool_loop_journal(const struct owm_pool_loop *loop);

#endif
