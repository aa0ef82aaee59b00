/* answers.h: answers over HTTP that take a while: from the database, from a file. The HTTP server's
 * thread asks and looks again a moment later; one thread of this part finds the answer, and whoever
 * asks the same within a second gets the same one. */
#ifndef OWM_RPC_ANSWERS_H
#define OWM_RPC_ANSWERS_H

#include "base/http_server.h"

#define OWM_ANSWERS_ASKED_MAX      16  /* different questions at a time */
#define OWM_ANSWERS_QUESTION_BYTES 128 /* of one question at most */

struct owm_answers;

/** owm_answer: zeroed before it is filled; texts are static. */
struct owm_answer {
    unsigned status;
    const char *content_type;
    void *body; /* malloc'ed; the answers free it. NULL: a 503 without words */
    size_t bytes;
    const char *header_name; /* NULL: none; else as owm_http_reply_header */
    char header_value[128];
};

/** owm_answers_options: copied.
 *  question_bytes  of the caller's plain struct, compared byte by byte: zero it before use.
 *  find            on the thread of this part, one at a time.
 *  fail            an answer that says why there is none. Thread: the HTTP server's. */
struct owm_answers_options {
    size_t question_bytes;
    void (*find)(void *ctx, const void *question, struct owm_answer *answer);
    void (*fail)(owm_http_response *response, unsigned status, const char *reason);
    void *ctx;
};

/** owm_answers_open: Returns: OWM_OK; OWM_E_NOMEM. */
OWM_MUST_USE owm_status owm_answers_open(const struct owm_answers_options *options,
                                         struct owm_answers **answers);
void owm_answers_close(struct owm_answers *answers); /**< After the HTTP server. NULL is allowed. */

/** owm_answers_serve: from a handler of the HTTP server. question: copied. */
void owm_answers_serve(struct owm_answers *answers, const void *question,
                       owm_http_response *response);

#endif
