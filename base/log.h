/* log.h: one line per event on stderr.
 *
 *     12.345678 INFO  owm-node: registered node=5f3a… tier=2
 *
 * Seconds are monotonic (since start-up of the machine). A line leaves in one write(), so lines of
 * threads and processes never mix. Every control character, DEL and non-UTF-8 byte of the formatted
 * text is escaped as \xNN (newline as \n), so text of foreign origin cannot forge a line or drive a
 * terminal. Secrets never go in: secret types have no printer (SRS-SEC-07). Nothing is logged per
 * record.
 */
#ifndef OWM_BASE_LOG_H
#define OWM_BASE_LOG_H

#include <stdbool.h>

/** Longest line including prefix and newline; a longer text is cut and ends in "…". */
#define OWM_LOG_LINE_BYTES_MAX    2048
#define OWM_LOG_PROGRAM_BYTES_MAX 32

enum owm_log_level {
    OWM_LOG_DEBUG,
    OWM_LOG_INFO,
    OWM_LOG_WARN,
    OWM_LOG_ERROR,
    OWM_LOG_OFF,
};

/** "debug|info|warn|error|off": for a CHOICE row of a config table; the index is the enum. */
#define OWM_LOG_LEVEL_CHOICES "debug|info|warn|error|off"

/** owm_log: log an event, printf-like: owm_log(OWM_LOG_INFO, "round_open round=%u nodes=%u", …).
 *  Arguments are not evaluated when the level is filtered out.
 *  Thread: any.
 */
#define owm_log(level, ...)                                                                        \
    do {                                                                                           \
        if (owm_log_enabled(level)) owm_log_write((level), __VA_ARGS__);                           \
    } while (0)

bool owm_log_enabled(enum owm_log_level level);
void owm_log_write(enum owm_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** owm_log_level_set: the lowest level that is written. Before the first call it is OWM_LOG_LEVEL
 * of the environment, or info (SRS 10.3). Thread: any. */
void owm_log_level_set(enum owm_log_level level);

/** owm_log_level_parse: case-insensitive. Returns false on an unknown word; `level` is then
 * unchanged. */
bool owm_log_level_parse(const char *text, enum owm_log_level *level);

/** owm_log_program_set: name after the level in every line; copied, cut at the limit. Call from
 * main before threads start. NULL removes it. */
void owm_log_program_set(const char *name);

/** owm_log_fd_set: write to another descriptor instead of 2. Borrows fd for the life of the
 * process. Call before threads start. */
void owm_log_fd_set(int fd);

#endif
