/* journal.c: what LND keeps in its database, as records that are written before the answer: kind,
 * length, and the struct as it is. A crash of the process loses nothing that was answered (the
 * kernel has it); a crash of the machine may. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "double.h"

struct header {
    uint32_t kind, bytes;
};

struct chain {
    uint32_t height;
    int64_t wallet_sats;
};

union record_data {
    struct channel channel;
    struct payment payment;
    struct invoice invoice;
    struct chain chain;
    bool revoked[ROLES];
};

static const size_t record_bytes[] = {
    [RECORD_CHANNEL] = sizeof(struct channel), [RECORD_PAYMENT] = sizeof(struct payment),
    [RECORD_INVOICE] = sizeof(struct invoice), [RECORD_CHAIN] = sizeof(struct chain),
    [RECORD_REVOKED] = sizeof(bool[ROLES]),
};

void journal_write(struct lnd_double *node, enum record kind, const void *data, size_t bytes)
{
    struct {
        struct header header;
        union record_data data;
    } record;
    OWM_ASSERT(bytes == record_bytes[kind]);
    memset(&record, 0, sizeof record);
    record.header = (struct header){.kind = kind, .bytes = (uint32_t)bytes};
    memcpy(&record.data, data, bytes);
    size_t length = offsetof(typeof(record), data) + bytes;
    OWM_ASSERT(write(node->journal, &record, length) == (ssize_t)length);
}

void journal_chain(struct lnd_double *node)
{
    struct chain chain;
    memset(&chain, 0, sizeof chain);
    chain.height = node->height;
    chain.wallet_sats = node->wallet_sats;
    journal_write(node, RECORD_CHAIN, &chain, sizeof chain);
}

static void record_take(struct lnd_double *node, enum record kind, const union record_data *data)
{
    if (kind == RECORD_CHANNEL) channel_put(node, &data->channel);
    if (kind == RECORD_PAYMENT) payment_put(node, &data->payment);
    if (kind == RECORD_INVOICE) invoice_put(node, &data->invoice);
    if (kind == RECORD_REVOKED) memcpy(node->revoked, data->revoked, sizeof node->revoked);
    if (kind != RECORD_CHAIN) return;
    node->height = data->chain.height;
    node->wallet_sats = data->chain.wallet_sats;
}

owm_status journal_open(struct lnd_double *node, struct owm_error *error)
{
    char path[LND_DOUBLE_PATH_BYTES];
    lnd_double_file(node, "journal", path);
    node->journal = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (node->journal < 0) return owm_fail(error, OWM_E_IO, "%s cannot be opened: %m", path);
    struct {
        struct header header;
        union record_data data;
    } record;
    const size_t data_at = offsetof(typeof(record), data);
    off_t at = 0;
    while (pread(node->journal, &record, data_at, at) == (ssize_t)data_at) {
        uint32_t kind = record.header.kind;
        if (kind < RECORD_CHANNEL || kind > RECORD_REVOKED
            || record.header.bytes != record_bytes[kind])
            return owm_fail(error, OWM_E_PROTO, "%s is of another build of the double", path);
        if (pread(node->journal, &record.data, record.header.bytes, at + (off_t)data_at)
            != (ssize_t)record.header.bytes)
            break;
        record_take(node, (enum record)kind, &record.data);
        at += (off_t)(data_at + record.header.bytes);
    }
    if (ftruncate(node->journal, at) != 0)
        return owm_fail(error, OWM_E_IO, "%s cannot be cut: %m", path);
    return OWM_OK;
}
