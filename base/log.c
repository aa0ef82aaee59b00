/* log.c: formats an event, escapes it, and writes the line with one write(). */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "clock.h"

#define LEVEL_UNSET (-1)

static const char *const level_words[] = {"debug", "info", "warn", "error", "off"};
static const char *const level_columns[] = {"DEBUG", "INFO ", "WARN ", "ERROR", "OFF  "};

static _Atomic int lowest_level = LEVEL_UNSET;
static int log_fd = STDERR_FILENO;
static char program_prefix[OWM_LOG_PROGRAM_BYTES_MAX + 2];

static int level_from_environment(void)
{
    enum owm_log_level level = OWM_LOG_INFO;
    const char *word = getenv("OWM_LOG_LEVEL");
    if (word) owm_log_level_parse(word, &level);
    int unset = LEVEL_UNSET;
    atomic_compare_exchange_strong(&lowest_level, &unset, (int)level);
    return atomic_load(&lowest_level);
}

/* Bytes of the well-formed UTF-8 character at `text` that may be shown as it is; 0: escape one
 * byte. C1 controls (U+0080 to U+009F) drive terminals too; U+2028, U+2029 and the bidirectional
 * marks reorder what is read. */
static size_t printable_bytes(const unsigned char *text, size_t left)
{
    unsigned char lead = text[0];
    if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
    size_t bytes = lead >= 0xc2 && lead <= 0xdf ? 2 : (lead & 0xf0) == 0xe0 ? 3 : 0;
    if (lead >= 0xf0 && lead <= 0xf4) bytes = 4;
    if (bytes == 0 || bytes > left) return 0;
    uint32_t point = lead & (0xffu >> (bytes + 1));
    for (size_t i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80) return 0;
        point = point << 6 | (text[i] & 0x3fu);
    }
    if (bytes == 3 && (point < 0x800 || (point >= 0xd800 && point <= 0xdfff))) return 0;
    if (bytes == 4 && (point < 0x10000 || point > 0x10ffff)) return 0;
    if (point < 0xa0 || (point >= 0x2028 && point <= 0x202e)) return 0;
    if (point >= 0x2066 && point <= 0x2069) return 0;
    return bytes;
}

/* Escapes `text` to `out`, whole characters only. Returns how many bytes are written. */
static size_t escape(const char *text, size_t text_bytes, char *out, size_t out_bytes)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = (const unsigned char *)text;
    size_t at = 0;
    for (size_t i = 0; i < text_bytes;) {
        size_t bytes = printable_bytes(in + i, text_bytes - i);
        size_t need = bytes ? bytes : in[i] == '\n' ? 2 : 4;
        if (at + need > out_bytes) break;
        if (bytes) {
            memcpy(out + at, in + i, bytes);
        } else if (in[i] == '\n') {
            memcpy(out + at, "\\n", 2);
        } else {
            const char code[4] = {'\\', 'x', digits[in[i] >> 4], digits[in[i] & 15]};
            memcpy(out + at, code, sizeof code);
        }
        at += need;
        i += bytes ? bytes : 1;
    }
    return at;
}

bool owm_log_enabled(enum owm_log_level level)
{
    int lowest = atomic_load_explicit(&lowest_level, memory_order_relaxed);
    if (lowest == LEVEL_UNSET) lowest = level_from_environment();
    return (int)level >= lowest && level < OWM_LOG_OFF;
}

void owm_log_write(enum owm_log_level level, const char *format, ...)
{
    static const char cut_mark[] = "…";
    char text[OWM_LOG_LINE_BYTES_MAX], line[OWM_LOG_LINE_BYTES_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (length < 0) return;
    bool cut = (size_t)length >= sizeof text;
    size_t text_bytes = cut ? sizeof text - 1 : (size_t)length;

    uint64_t now_us = owm_clock_mono_ns() / 1000;
    int prefix =
        snprintf(line, sizeof line, "%llu.%06llu %s %s", (unsigned long long)(now_us / 1000000),
                 (unsigned long long)(now_us % 1000000),
                 level_columns[level <= OWM_LOG_OFF ? level : OWM_LOG_OFF], program_prefix);
    size_t at = (size_t)prefix;
    size_t room = sizeof line - at - sizeof cut_mark;
    size_t wrote = escape(text, text_bytes, line + at, room);
    cut = cut || wrote + 4 > room;
    at += wrote;
    if (cut) {
        memcpy(line + at, cut_mark, sizeof cut_mark - 1);
        at += sizeof cut_mark - 1;
    }
    line[at++] = '\n';
    /* A log that cannot be written has nobody to tell. */
    ssize_t ignored = write(log_fd, line, at);
    (void)ignored;
}

void owm_log_level_set(enum owm_log_level level)
{
    atomic_store(&lowest_level, (int)level);
}

bool owm_log_level_parse(const char *text, enum owm_log_level *level)
{
    for (int i = 0; i <= OWM_LOG_OFF; i++) {
        if (strcasecmp(text, level_words[i]) == 0) {
            *level = (enum owm_log_level)i;
            return true;
        }
    }
    return false;
}

void owm_log_program_set(const char *name)
{
    if (name)
        snprintf(program_prefix, sizeof program_prefix, "%.*s: ", OWM_LOG_PROGRAM_BYTES_MAX - 1,
                 name);
    else
        program_prefix[0] = 0;
}

void owm_log_fd_set(int fd)
{
    log_fd = fd;
}
