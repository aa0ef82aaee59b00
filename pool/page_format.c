/* page_format.c: see page_format.h. */
#include "page_format.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "base/html.h"

/** value with a prefix of thousands and `unit` behind it, three digits of it. */
static const char *with_prefix(double value, const char *unit, char *text)
{
    static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E", "Z"};
    size_t at = 0;
    if (!isfinite(value) || value < 0) value = 0;
    while (value >= 999.5 && at + 1 < sizeof prefixes / sizeof prefixes[0]) {
        value /= 1000;
        at++;
    }
    int digits = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    if (at == 0 && value == floor(value)) digits = 0;
    const char *space = prefixes[at][0] || unit[0] ? " " : "";
    snprintf(text, OWM_FORMAT_BYTES, "%.*f%s%s%s", digits, value, space, prefixes[at], unit);
    return text;
}

const char *owm_format_rate(double hashes_per_s, char *text)
{
    return with_prefix(hashes_per_s, "H/s", text);
}

const char *owm_format_large(double value, char *text)
{
    return with_prefix(value, "", text);
}

/** Digits of plain with a comma between thousands. */
static const char *with_commas(const char *plain, char *text)
{
    size_t digits = strspn(plain, "0123456789"), at = 0;
    for (size_t i = 0; i < digits; i++) {
        if (i > 0 && (digits - i) % 3 == 0) text[at++] = ',';
        text[at++] = plain[i];
    }
    snprintf(text + at, OWM_FORMAT_BYTES - at, "%s", plain + digits);
    return text;
}

const char *owm_format_count(uint64_t count, char *text)
{
    char plain[24];
    snprintf(plain, sizeof plain, "%" PRIu64, count);
    return with_commas(plain, text);
}

const char *owm_format_sats(double sats, char *text)
{
    char plain[40];
    /* 21 million bitcoin are 2.1e15 sats. Rounded down: nothing is shown that is not there. */
    double shown = isfinite(sats) && sats > 0 ? fmin(floor(sats * 1000) / 1000, 1e17) : 0;
    snprintf(plain, sizeof plain, "%.*f sat%s", shown == floor(shown) ? 0 : 3, shown,
             shown == 1 ? "" : "s");
    return with_commas(plain, text);
}

const char *owm_format_small_sats(double sats, char *text)
{
    if (!isfinite(sats) || sats >= 1 || sats < 1e-15) return owm_format_sats(sats, text);
    snprintf(text, OWM_FORMAT_BYTES, "%.*f sats", 3 - (int)floor(log10(sats)), sats);
    return text;
}

const char *owm_format_ns(uint64_t ns, char *text)
{
    double value = (double)ns;
    if (ns < 1000000)
        snprintf(text, OWM_FORMAT_BYTES, "%.1f µs", value / 1e3);
    else if (ns < 1000000000)
        snprintf(text, OWM_FORMAT_BYTES, "%.1f ms", value / 1e6);
    else
        snprintf(text, OWM_FORMAT_BYTES, "%.1f s", value / 1e9);
    return text;
}

const char *owm_format_span(int64_t ms, char *text)
{
    int64_t s = ms > 0 ? ms / 1000 : 0;
    if (s < 120)
        snprintf(text, OWM_FORMAT_BYTES, "%" PRId64 " s", s);
    else if (s < 7200)
        snprintf(text, OWM_FORMAT_BYTES, "%" PRId64 " min", s / 60);
    else if (s < 172800)
        snprintf(text, OWM_FORMAT_BYTES, "%" PRId64 " h", s / 3600);
    else
        snprintf(text, OWM_FORMAT_BYTES, "%" PRId64 " days", s / 86400);
    return text;
}

const char *owm_format_ago(int64_t ms, char *text)
{
    char span[OWM_FORMAT_BYTES];
    snprintf(text, OWM_FORMAT_BYTES, "%.40s%s", ms < 0 ? "never" : owm_format_span(ms, span),
             ms < 0 ? "" : " ago");
    return text;
}

const char *owm_format_time(int64_t wall_ms, char *text)
{
    time_t second = (time_t)(wall_ms / 1000);
    struct tm utc;
    if (!gmtime_r(&second, &utc)
        || !strftime(text, OWM_FORMAT_BYTES, "%Y-%m-%d %H:%M:%S UTC", &utc))
        text[0] = '\0';
    return text;
}

const char *owm_format_clock(int64_t wall_ms, char *text)
{
    char whole[OWM_FORMAT_BYTES];
    owm_format_time(wall_ms, whole);
    snprintf(text, OWM_FORMAT_BYTES, "%.40s", strlen(whole) > 11 ? whole + 11 : whole);
    return text;
}

void owm_put(FILE *out, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    owm_html_text(out, text);
}
