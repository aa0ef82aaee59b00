/* ports.c: bind, and let go. */
#include "ports.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rng.h"

#define ANY_FIRST 20000
#define ANY_COUNT 10000
#define ANY_TRIES 200

/* Bound once and let go: free now. Somebody may take it before its program does; then that program
 * says so and we start it again. */
static unsigned port_if_free(unsigned wanted)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)wanted)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned port = 0;
    int on = 1;
    if (fd < 0) return 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, bytes) == 0
        && getsockname(fd, (struct sockaddr *)&address, &bytes) == 0)
        port = ntohs(address.sin_port);
    close(fd);
    return port;
}

unsigned port_choose(unsigned wanted)
{
    unsigned port = port_if_free(wanted);
    if (port) return port;
    port = port_if_free(0);
    printf("port %-7u is taken; %u instead\n", wanted, port);
    return port;
}

unsigned port_any(void)
{
    uint64_t seed = 0;
    struct owm_rng rng;
    (void)!getrandom(&seed, sizeof seed, 0);
    owm_rng_seed(&rng, seed);
    for (unsigned i = 0; i < ANY_TRIES; i++) {
        unsigned port = port_if_free(ANY_FIRST + (unsigned)owm_rng_below(&rng, ANY_COUNT));
        if (port) return port;
    }
    return 0;
}
