/* signals.c: the two signals that ask a program to end. */
#include "signals.h"

#include <signal.h>
#include <time.h>

static sigset_t ending(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

void owm_signals_block(void)
{
    sigset_t set = ending();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool owm_signals_wait(uint32_t timeout_ms)
{
    sigset_t set = ending();
    const struct timespec timeout = {timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000};
    return sigtimedwait(&set, NULL, &timeout) > 0;
}
