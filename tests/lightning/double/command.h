/* command.h: command lines as words, and what runs them. Private to this folder. */
#ifndef TESTS_LIGHTNING_COMMAND_H
#define TESTS_LIGHTNING_COMMAND_H

#include "double.h"

#define WORDS_MAX 64

struct words {
    size_t count;
    char *word[WORDS_MAX];
    FILE *out; /* the answer, or why it is refused */
};

/** word_option: the text behind "name="; NULL: not there. word_number: the same as a number.
 *  word_flag: whether the word is there. */
const char *word_option(const struct words *words, const char *name);
int64_t word_number(const struct words *words, const char *name, int64_t otherwise);
bool word_flag(const struct words *words, const char *name);
bool word_yes(const struct words *words, size_t at);
/** wrong: say why in the answer and refuse. */
owm_status wrong(struct words *words, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

typedef owm_status command_fn(struct lnd_double *node, struct words *words);
struct command {
    const char *name;
    size_t words_min; /* with the name */
    command_fn *run;
};
extern const struct command channel_commands[], payment_commands[], invoice_commands[];

/** command_run: without the lock. */
owm_status command_run(struct lnd_double *node, struct words *words);

/** server_command: those that stop the server, without the lock: restart, down, up, certificate.
 *  OWM_E_UNSUPPORTED: it is none of them. */
owm_status server_command(struct lnd_double *node, struct words *words);

#endif
