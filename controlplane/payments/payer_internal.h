/* payer_internal.h: what the files of the dispatcher share. */
#ifndef OWM_PAYMENTS_PAYER_INTERNAL_H
#define OWM_PAYMENTS_PAYER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/rng.h"
#include "controlplane/rpc/workers.h"
#include "destination.h"
#include "ledger.h"
#include "payer.h"

#define PAY_LINES_MAX 2

struct pay_channels;

enum pay_call { PAY_RESOLVE, PAY_SEND, PAY_TRACK };

/** pay_job: a payment in hand. The line's thread has it, or a worker while it makes the call. */
struct pay_job {
    struct pay_job *next;
    unsigned generation; /* of the line's time as leader */
    struct owm_payment payment;
    struct owm_destination destination;
    struct owm_attempt attempt;
    enum pay_call call;
    int64_t at_ms;
    /* what the call brought */
    bool called; /* false: there was no node to call */
    owm_status status;
    struct owm_lightning_outcome outcome;
    struct owm_lightning_request request; /* RESOLVE */
    struct owm_error error;
    /* what is to be written of it */
    struct owm_step step;
};

struct pay_meters {
    owm_gauge *leading, *owed, *owed_msat, *oldest_s, *flying, *flying_msat, *failed, *failed_msat,
        *spent_msat;
    owm_counter *attempts, *succeeded, *dead, *paid_msat, *fees_msat;
    owm_histogram *dispatch_s, *settle_s;
};

/** pay_line: one ledger and its thread. */
struct pay_line {
    struct owm_pay *pay;
    unsigned index;
    struct owm_pay_ledger *ledger;
    const struct owm_payment_secret *secret;
    struct pay_meters meters;
    struct owm_rng rng;
    pthread_t thread;
    int wake_fd; /* eventfd: something is done, or stop */

    /* the thread's own */
    bool leading, said;
    unsigned generation, jobs;
    struct pay_job *waiting;
    int64_t sums_ms; /* when they were read */
    bool broke;      /* the budget is used up, and that was said */

    /* for workers: the generation that leads, 0: none; and when it was last sure to (monotonic) */
    atomic_uint leads;
    atomic_ullong sure_ms;

    pthread_mutex_t lock;
    struct pay_job *done;
};

struct owm_pay {
    struct owm_pay_options options;
    struct owm_wallet *wallet;
    struct owm_workers *workers, *resolvers;
    struct pay_channels *channels;
    struct pay_line line[PAY_LINES_MAX];
    unsigned lines;
    pthread_mutex_t budget_lock;
    int64_t spent_msat[PAY_LINES_MAX];
    pthread_mutex_t calls_lock; /* no call is started once `stopping` is set under it */
    atomic_bool stopping;
    atomic_bool ending; /* no call is out any more: write the rest and return */
};

/** pay_line_main: the thread of a line. */
void *pay_line_main(void *line);

/** pay_line_wake: it has something to do. Thread: any. */
void pay_line_wake(struct pay_line *line);

/** pay_line_sure: the database answered what it was asked at asked_ms (monotonic): we led then. */
void pay_line_sure(struct pay_line *line, uint64_t asked_ms);

/** pay_job_run: make the call of a job on a worker; it comes back through `done`. ctx: the line. */
void pay_job_run(void *line, void *job);
void pay_job_free(struct pay_job *job);

/** pay_claim: take what is due and may be sent; its jobs are appended to `waiting`. more  true:
 *  there may be more. Returns: as owm_pg_exec: the ledger is lost. */
owm_status pay_claim(struct pay_line *line, int64_t now_ms, bool *more, struct owm_error *error);

/** pay_finish: what a call brought: what to do, and whether that has to be written. */
bool pay_finish(struct pay_line *line, struct pay_job *job, int64_t now_ms);

/** pay_write: into the open transaction; _written: after its commit: log, count, go on or free. */
owm_status pay_write(struct pay_line *line, struct pay_job *job, int64_t now_ms,
                     struct owm_error *error);
void pay_written(struct pay_line *line, struct pay_job *job, int64_t now_ms);

/** pay_afford: reserve this much of the budget; false: it is used up. */
bool pay_afford(struct pay_line *line, int64_t msat);

void pay_meters_open(struct pay_line *line);
void pay_meters_show(struct pay_line *line, const struct owm_pay_sums *sums, int64_t now_ms);
void pay_log(const struct pay_line *line, const struct pay_job *job, const char *event);

/** pay_channels: SRS-LN-03 on a thread of its own (channels.c). */
owm_status pay_channels_open(struct owm_pay *pay, struct pay_channels **channels);
void pay_channels_close(struct pay_channels *channels); /* NULL is allowed */

#endif
