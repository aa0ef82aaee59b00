/* status.c: texts of the status codes, error sentences, and the assertion's last words. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *owm_status_text(owm_status status)
{
    switch (status) {
#define X(name, value, text)                                                                       \
    case OWM_##name:                                                                               \
        return text;
        OWM_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

owm_status owm_fail(struct owm_error *error, owm_status status, const char *format, ...)
{
    if (error) {
        va_list args;
        va_start(args, format);
        vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
    }
    return status;
}

void owm_assert_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, cond);
    abort();
}
