/* answers.c: see answers.h. */
#include "answers.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "workers.h"

#define LOOK_AGAIN_MS 20
#define ANSWER_MS     1000  /* an answer is good for this long */
#define TAKEN_MS      200   /* then whoever waited has it: another question may have its place */
#define GIVE_UP_MS    10000 /* for an answer that does not come */

struct slot {
    enum { FREE, ASKED, ANSWERED } state;
    _Alignas(max_align_t) uint8_t question[OWM_ANSWERS_QUESTION_BYTES]; /* a struct of any kind */
    uint64_t at_ms;
    struct owm_answer answer;
};

struct owm_answers {
    struct owm_answers_options options;
    struct owm_workers *workers;
    pthread_mutex_t lock;
    struct slot slot[OWM_ANSWERS_ASKED_MAX];
};

/* On the worker. A slot that is asked is nobody else's to change. */
static void find(void *ctx, void *arg)
{
    struct owm_answers *answers = ctx;
    struct slot *slot = arg;
    struct owm_answer answer = {0};
    answers->options.find(answers->options.ctx, slot->question, &answer);
    pthread_mutex_lock(&answers->lock);
    slot->answer = answer;
    slot->at_ms = owm_clock_mono_ms();
    slot->state = ANSWERED;
    pthread_mutex_unlock(&answers->lock);
}

/* With the lock held: the slot of this question, a free one, or NULL. soon: one will be free in a
 * moment. */
static struct slot *find_slot(struct owm_answers *answers, const void *question, bool *soon)
{
    struct slot *room = NULL;
    uint64_t now_ms = owm_clock_mono_ms();
    for (int i = 0; i < OWM_ANSWERS_ASKED_MAX; i++) {
        struct slot *slot = &answers->slot[i];
        uint64_t age_ms = now_ms - slot->at_ms;
        bool stale = slot->state == ANSWERED && age_ms > ANSWER_MS;
        if (slot->state != FREE && !stale
            && memcmp(slot->question, question, answers->options.question_bytes) == 0)
            return slot;
        *soon = *soon || slot->state == ANSWERED;
        bool taken = slot->state == ANSWERED && age_ms > TAKEN_MS;
        if ((slot->state == FREE || taken) && (!room || slot->at_ms < room->at_ms)) room = slot;
    }
    if (!room) return NULL;
    free(room->answer.body);
    room->answer.body = NULL;
    room->state = FREE;
    return room;
}

static void deliver(const struct owm_answers *answers, const struct owm_answer *answer,
                    owm_http_response *response)
{
    if (!answer->body) {
        answers->options.fail(response, 503, "out of memory");
        return;
    }
    owm_http_reply(response, answer->status, answer->content_type, answer->body, answer->bytes);
    owm_http_reply_header(response, "Cache-Control:", "no-store");
    if (answer->header_name)
        owm_http_reply_header(response, answer->header_name, answer->header_value);
}

static void serve_slot(struct owm_answers *answers, struct slot *slot, const void *question,
                       owm_http_response *response)
{
    uint64_t now_ms = owm_clock_mono_ms();
    if (slot->state == ANSWERED) {
        deliver(answers, &slot->answer, response);
        return;
    }
    if (slot->state == ASKED && now_ms - slot->at_ms > GIVE_UP_MS) {
        answers->options.fail(response, 503, "the database does not answer now");
        return;
    }
    if (slot->state == FREE) {
        memcpy(slot->question, question, answers->options.question_bytes);
        slot->at_ms = now_ms;
        slot->state = ASKED;
        if (owm_workers_run(answers->workers, find, answers, slot) != OWM_OK) slot->state = FREE;
    }
    owm_http_retry(response, LOOK_AGAIN_MS);
}

void owm_answers_serve(struct owm_answers *answers, const void *question,
                       owm_http_response *response)
{
    pthread_mutex_lock(&answers->lock);
    bool soon = false;
    struct slot *slot = find_slot(answers, question, &soon);
    if (slot)
        serve_slot(answers, slot, question, response);
    else if (soon)
        owm_http_retry(response, LOOK_AGAIN_MS);
    else
        answers->options.fail(response, 503, "too many ask at once; try again in a second");
    pthread_mutex_unlock(&answers->lock);
}

owm_status owm_answers_open(const struct owm_answers_options *options, struct owm_answers **out)
{
    OWM_ASSERT(options->question_bytes <= OWM_ANSWERS_QUESTION_BYTES);
    struct owm_answers *answers = calloc(1, sizeof(*answers));
    if (!answers) return OWM_E_NOMEM;
    answers->options = *options;
    pthread_mutex_init(&answers->lock, NULL);
    owm_status status = owm_workers_open(1, OWM_ANSWERS_ASKED_MAX, &answers->workers);
    if (status != OWM_OK) {
        owm_answers_close(answers);
        return status;
    }
    *out = answers;
    return OWM_OK;
}

void owm_answers_close(struct owm_answers *answers)
{
    if (!answers) return;
    owm_workers_close(answers->workers);
    for (int i = 0; i < OWM_ANSWERS_ASKED_MAX; i++) free(answers->slot[i].answer.body);
    pthread_mutex_destroy(&answers->lock);
    free(answers);
}
