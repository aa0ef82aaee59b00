/* load_client.c: connect, handshake, open, mine, and believe only what a Success says. */
#include "load_client.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/status.h"
#include "sv2client/sv2link.h"

#define IN_BYTES  65536
#define RETRY_MS  20
#define TURN_MS   5
#define EASY_RATE 1.0f /* Hashes a second, as it says: shares are as easy as the pool allows. */

/** channel_life: shares on their way, oldest first; retired: a rejection made it unclear which. */
struct channel_life {
    struct sv2client_share next;
    uint8_t target[32]; /* Of the job: SetTarget holds for those that come after it. */
    uint64_t accepted_seen;
    uint32_t first, count;
    bool retired;
    struct {
        uint32_t sequence;
        uint8_t hash[32];
    } waiting[LOAD_WINDOW];
};

/** connection: one life of one. */
struct connection {
    struct load_client *client;
    int fd;
    bool broken, asked, opened;
    struct sv2link link;
    struct sv2client_channel channel[LOAD_CHANNELS];
    struct channel_life life[LOAD_CHANNELS];
    uint8_t in[IN_BYTES];
    size_t bytes;
};

static void put(void *ctx, const uint8_t *data, size_t bytes)
{
    struct connection *connection = ctx;
    while (bytes > 0 && !connection->broken) {
        ssize_t sent = send(connection->fd, data, bytes, MSG_NOSIGNAL);
        if (sent <= 0) {
            connection->broken = true;
            return;
        }
        data += sent;
        bytes -= (size_t)sent;
    }
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = 2};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

static void remember(struct load_client *client, const uint8_t hash[32])
{
    uint64_t count = atomic_load(&client->acked);
    if (count == client->room) {
        client->room = client->room ? 2 * client->room : 4096;
        client->hash = realloc(client->hash, client->room * sizeof *client->hash);
        OWM_ASSERT(client->hash != NULL);
    }
    memcpy(client->hash[count], hash, 32);
    atomic_store(&client->acked, count + 1);
}

/* Shares up to last_sequence_number are acknowledged, if they are as many as were said to be. */
static void take_acks(struct connection *connection, unsigned index)
{
    struct sv2client_channel *channel = &connection->channel[index];
    struct channel_life *life = &connection->life[index];
    uint32_t count = 0;
    if (channel->accepted == life->accepted_seen || life->retired) return;
    while (count < life->count
           && life->waiting[(life->first + count) % LOAD_WINDOW].sequence <= channel->last_sequence)
        count++;
    life->retired = count != channel->accepted - life->accepted_seen;
    life->accepted_seen = channel->accepted;
    for (; count > 0 && !life->retired; count--, life->count--) {
        remember(connection->client, life->waiting[life->first].hash);
        life->first = (life->first + 1) % LOAD_WINDOW;
    }
}

static void take_rejections(struct connection *connection, unsigned index)
{
    struct sv2client_channel *channel = &connection->channel[index];
    struct load_client *client = connection->client;
    if (channel->rejected == 0 || connection->life[index].retired) return;
    connection->life[index].retired = true;
    snprintf(client->code, sizeof client->code, "%s", channel->code);
    atomic_fetch_add(&client->rejected, 1);
}

static void mine_one(struct connection *connection, unsigned index)
{
    struct sv2client_channel *channel = &connection->channel[index];
    struct channel_life *life = &connection->life[index];
    uint8_t header[80];
    if (life->next.job_id != channel->job.id) {
        sv2client_share_start(channel, &life->next);
        memcpy(life->target, channel->target, sizeof life->target);
    }
    if (!sv2client_mine(channel, life->target, NULL, &life->next)) return;
    uint32_t at = (life->first + life->count++) % LOAD_WINDOW;
    sv2client_header(channel, &life->next, header);
    sv2client_hash(header, life->waiting[at].hash);
    life->waiting[at].sequence = sv2client_submit(&connection->link.client, channel, &life->next);
    life->next.nonce++;
}

static void work(struct connection *connection)
{
    struct sv2client *client = &connection->link.client;
    if (connection->link.secure && !connection->asked) {
        sv2client_setup(client, connection->client->standard ? OWM_SV2_REQUIRES_STANDARD_JOBS : 0);
        connection->asked = true;
    }
    if (client->set_up && !connection->opened) {
        struct sv2client_opening opening = {.identity = connection->client->name,
                                            .rate = EASY_RATE,
                                            .extended = !connection->client->standard,
                                            .min_extranonce = 4};
        for (unsigned i = 0; i < LOAD_CHANNELS; i++) sv2client_open(client, &opening);
        connection->opened = true;
    }
    for (unsigned i = 0; i < LOAD_CHANNELS; i++) {
        take_acks(connection, i);
        take_rejections(connection, i);
        if (!connection->channel[i].id || !connection->channel[i].job.id) continue;
        while (connection->life[i].count < LOAD_WINDOW && !connection->life[i].retired
               && !connection->broken)
            mine_one(connection, i);
    }
}

static void receive(struct connection *connection)
{
    struct pollfd wait = {.fd = connection->fd, .events = POLLIN};
    if (poll(&wait, 1, TURN_MS) <= 0) return;
    ssize_t got = recv(connection->fd, connection->in + connection->bytes,
                       sizeof connection->in - connection->bytes, MSG_DONTWAIT);
    if (got <= 0) {
        connection->broken = true;
        return;
    }
    connection->bytes += (size_t)got;
    long used =
        sv2link_receive(&connection->link, connection->in, connection->bytes, (uint64_t)time(NULL));
    if (used < 0) {
        connection->broken = true;
        return;
    }
    connection->bytes -= (size_t)used;
    memmove(connection->in, connection->in + used, connection->bytes);
}

static void live_once(struct load_client *client, struct connection *connection)
{
    memset(connection, 0, sizeof *connection);
    connection->client = client;
    connection->fd = connect_to(client->port);
    if (connection->fd < 0) return;
    connection->link.put = put;
    connection->link.put_ctx = connection;
    connection->link.client.channel = connection->channel;
    connection->link.client.channels = LOAD_CHANNELS;
    atomic_fetch_add(&client->connections, 1);
    sv2link_start(&connection->link);
    while (!connection->broken && !atomic_load(&client->stop)) {
        receive(connection);
        work(connection);
        owm_clock_sleep_ms(TURN_MS);
    }
    close(connection->fd);
}

static void *run(void *arg)
{
    struct load_client *client = arg;
    struct connection *connection = malloc(sizeof *connection);
    OWM_ASSERT(connection != NULL);
    while (!atomic_load(&client->stop)) {
        live_once(client, connection);
        owm_clock_sleep_ms(RETRY_MS);
    }
    free(connection);
    return NULL;
}

void load_client_start(struct load_client *client)
{
    OWM_ASSERT(pthread_create(&client->thread, NULL, run, client) == 0);
}

void load_client_stop(struct load_client *client)
{
    atomic_store(&client->stop, true);
    pthread_join(client->thread, NULL);
}

void load_client_free(struct load_client *client)
{
    free(client->hash);
    client->hash = NULL;
}
