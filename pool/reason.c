/* reason.c: texts of rejected shares and closed connections. */
#include "reason.h"

struct reason {
    const char *text, *help;
};

#define X(name, text, help) {text, help},
static const struct reason rejects[] = {OWM_REJECTS_MAP(X)};
static const struct reason closes[] = {OWM_CLOSES_MAP(X)};
#undef X

const char *owm_reject_text(enum owm_reject reject)
{
    OWM_ASSERT(reject < OWM_REJECTS);
    return rejects[reject].text;
}

const char *owm_reject_help(enum owm_reject reject)
{
    OWM_ASSERT(reject < OWM_REJECTS);
    return rejects[reject].help;
}

const char *owm_close_text(enum owm_close close)
{
    OWM_ASSERT(close < OWM_CLOSES);
    return closes[close].text;
}

const char *owm_close_help(enum owm_close close)
{
    OWM_ASSERT(close < OWM_CLOSES);
    return closes[close].help;
}
