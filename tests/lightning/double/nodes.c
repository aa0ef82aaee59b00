/* nodes.c: the doubles of this process, and the one lock they share. */
#include <string.h>
#include <time.h>

#include "double.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lnd_double *nodes;

void double_lock(void)
{
    pthread_mutex_lock(&lock);
}

void double_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void double_lock_wait(pthread_cond_t *cond, int64_t until_ms)
{
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    if (until_ms == 0)
        pthread_cond_wait(cond, &lock);
    else
        pthread_cond_timedwait(cond, &lock, &until);
}

struct lnd_double *node_first(void)
{
    return nodes;
}

struct lnd_double *node_by_key(const uint8_t key[KEY_BYTES])
{
    struct lnd_double *node = nodes;
    while (node && memcmp(node->key, key, KEY_BYTES) != 0) node = node->next;
    return node;
}

void node_add(struct lnd_double *node)
{
    node->next = nodes;
    nodes = node;
}

void node_remove(struct lnd_double *node)
{
    struct lnd_double **at = &nodes;
    while (*at && *at != node) at = &(*at)->next;
    if (*at) *at = node->next;
}
