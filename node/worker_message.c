/* worker_message.c: encode, check and carry the messages between node and worker. */
#include "node/worker_message.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"

/* A peer that does not read for this long counts as hung. */
#define SEND_TIMEOUT_MS 5000

static void put_text(struct owm_writer *w, const char *text, size_t max)
{
    size_t bytes = strnlen(text, max - 1);
    owm_write_u16_le(w, (uint16_t)bytes);
    owm_write_bytes(w, text, bytes);
}

static void put_infer(struct owm_writer *w, const struct owm_worker_infer *m)
{
    owm_write_bytes(w, m->model_sha256, 32);
    owm_write_u64_le(w, m->model_bytes);
    owm_write_u32_le(w, m->max_tokens);
    owm_write_u32_le(w, m->top_k);
    owm_write_f32_le(w, m->temperature);
    owm_write_u64_le(w, m->seed);
    owm_write_u32_le(w, m->prompt_bytes);
    owm_write_bytes(w, m->prompt, m->prompt_bytes);
}

static void put_train(struct owm_writer *w, const struct owm_worker_train *m)
{
    owm_write_bytes(w, m->model_sha256, 32);
    owm_write_u64_le(w, m->model_bytes);
    owm_write_u32_le(w, m->round);
    owm_write_u32_le(w, m->steps);
    owm_write_u32_le(w, m->batch);
    owm_write_u32_le(w, m->seq);
    owm_write_u32_le(w, m->warmup_steps);
    owm_write_f32_le(w, m->lr);
    owm_write_f32_le(w, m->weight_decay);
    owm_write_u32_le(w, m->topk_permille);
    owm_write_u8(w, m->values);
    owm_write_u64_le(w, m->seed);
    owm_write_u64_le(w, m->package_bytes_max);
    owm_write_bytes(w, m->nonce, 16);
    owm_write_bytes(w, m->node_key, 32);
}

static void put_done(struct owm_writer *w, const struct owm_worker_done *m)
{
    owm_write_u32_le(w, m->tokens);
    put_text(w, m->finish, sizeof m->finish);
    owm_write_u64_le(w, m->package_bytes);
    owm_write_f32_le(w, m->loss_first);
    owm_write_f32_le(w, m->loss_last);
}

owm_status owm_worker_encode(const struct owm_worker_message *message, uint8_t *out,
                             size_t capacity, size_t *bytes)
{
    struct owm_writer w;
    owm_writer_init(&w, out, capacity);
    owm_write_u32_le(&w, OWM_WORKER_MAGIC);
    owm_write_u8(&w, (uint8_t)message->kind);
    switch (message->kind) {
    case OWM_WORKER_INFER:
        put_infer(&w, &message->infer);
        break;
    case OWM_WORKER_TRAIN:
        put_train(&w, &message->train);
        break;
    case OWM_WORKER_CANCEL:
        break;
    case OWM_WORKER_READY:
    case OWM_WORKER_FAILED:
        put_text(&w, message->text, sizeof message->text);
        break;
    case OWM_WORKER_CHUNK:
        owm_write_u32_le(&w, message->chunk.count);
        owm_write_bytes(&w, message->chunk.bytes, message->chunk.count);
        break;
    case OWM_WORKER_PROGRESS:
        owm_write_u32_le(&w, message->progress.step);
        owm_write_u32_le(&w, message->progress.steps);
        owm_write_f32_le(&w, message->progress.loss);
        break;
    case OWM_WORKER_DONE:
        put_done(&w, &message->done);
        break;
    default:
        return OWM_E_ARG;
    }
    *bytes = w.at;
    return owm_writer_ok(&w) ? OWM_OK : OWM_E_LIMIT;
}

/* ---------------------------------------------------------------------------- decode */

/** get_text: printable or not, the bytes are the other side's; a 0 inside is refused. */
static bool get_text(struct owm_reader *r, char *out, size_t capacity)
{
    size_t bytes = owm_read_u16_le(r);
    const uint8_t *view = bytes < capacity ? owm_read_view(r, bytes) : NULL;
    if (view == NULL || memchr(view, 0, bytes) != NULL) {
        out[0] = '\0';
        return false;
    }
    memcpy(out, view, bytes);
    out[bytes] = '\0';
    return true;
}

static const char *get_infer(struct owm_reader *r, struct owm_worker_infer *m)
{
    owm_read_bytes(r, m->model_sha256, 32);
    m->model_bytes = owm_read_u64_le(r);
    m->max_tokens = owm_read_u32_le(r);
    m->top_k = owm_read_u32_le(r);
    m->temperature = owm_read_f32_le(r);
    m->seed = owm_read_u64_le(r);
    m->prompt_bytes = owm_read_u32_le(r);
    if (m->prompt_bytes > OWM_PROMPT_BYTES_MAX) return "prompt_bytes";
    m->prompt = owm_read_view(r, m->prompt_bytes);
    if (m->model_bytes == 0 || m->model_bytes > OWM_CHECKPOINT_MAX) return "model_bytes";
    if (m->max_tokens == 0 || m->max_tokens > OWM_TOKENS_MAX) return "max_tokens";
    if (m->top_k > OWM_TOP_K_MAX) return "top_k";
    if (!(m->temperature >= 0 && m->temperature <= OWM_TEMPERATURE_MAX)) return "temperature";
    return NULL;
}

static const char *get_train(struct owm_reader *r, struct owm_worker_train *m)
{
    owm_read_bytes(r, m->model_sha256, 32);
    m->model_bytes = owm_read_u64_le(r);
    m->round = owm_read_u32_le(r);
    m->steps = owm_read_u32_le(r);
    m->batch = owm_read_u32_le(r);
    m->seq = owm_read_u32_le(r);
    m->warmup_steps = owm_read_u32_le(r);
    m->lr = owm_read_f32_le(r);
    m->weight_decay = owm_read_f32_le(r);
    m->topk_permille = owm_read_u32_le(r);
    m->values = owm_read_u8(r);
    m->seed = owm_read_u64_le(r);
    m->package_bytes_max = owm_read_u64_le(r);
    owm_read_bytes(r, m->nonce, 16);
    owm_read_bytes(r, m->node_key, 32);
    if (m->model_bytes == 0 || m->model_bytes > OWM_CHECKPOINT_MAX) return "model_bytes";
    if (m->round > OWM_TRAIN_ROUND_MAX) return "round";
    if (m->steps == 0 || m->steps > OWM_TRAIN_STEPS_LIMIT) return "steps";
    if (m->batch == 0 || m->batch > OWM_TRAIN_BATCH_MAX) return "batch";
    if (m->seq == 0 || m->seq > OWM_TRAIN_SEQ_MAX) return "seq";
    if (m->warmup_steps > m->steps) return "warmup_steps";
    if (!(m->lr > 0 && m->lr <= 1)) return "lr";
    if (!(m->weight_decay >= 0 && m->weight_decay <= 1)) return "weight_decay";
    if (m->topk_permille == 0 || m->topk_permille > 1000) return "topk_permille";
    if (m->values > 1) return "value_type";
    if (m->package_bytes_max > OWM_PACKAGE_BYTES_MAX) return "package_bytes_max";
    return NULL;
}

static const char *get_done(struct owm_reader *r, struct owm_worker_done *m)
{
    m->tokens = owm_read_u32_le(r);
    if (!get_text(r, m->finish, sizeof m->finish)) return "finish";
    m->package_bytes = owm_read_u64_le(r);
    m->loss_first = owm_read_f32_le(r);
    m->loss_last = owm_read_f32_le(r);
    if (m->package_bytes > OWM_PACKAGE_BYTES_MAX) return "package_bytes";
    if (!isfinite(m->loss_first) || !isfinite(m->loss_last)) return "loss";
    return NULL;
}

/** get_body: the fields of one kind; NULL or the name of the bad one. */
static const char *get_body(struct owm_reader *r, struct owm_worker_message *m)
{
    switch (m->kind) {
    case OWM_WORKER_INFER:
        return get_infer(r, &m->infer);
    case OWM_WORKER_TRAIN:
        return get_train(r, &m->train);
    case OWM_WORKER_CANCEL:
        return NULL;
    case OWM_WORKER_READY:
    case OWM_WORKER_FAILED:
        return get_text(r, m->text, sizeof m->text) ? NULL : "text";
    case OWM_WORKER_CHUNK:
        m->chunk.count = owm_read_u32_le(r);
        if (m->chunk.count > OWM_WORKER_CHUNK_BYTES_MAX) return "chunk";
        m->chunk.bytes = owm_read_view(r, m->chunk.count);
        return NULL;
    case OWM_WORKER_PROGRESS:
        m->progress.step = owm_read_u32_le(r);
        m->progress.steps = owm_read_u32_le(r);
        m->progress.loss = owm_read_f32_le(r);
        return isfinite(m->progress.loss) ? NULL : "loss";
    case OWM_WORKER_DONE:
        return get_done(r, &m->done);
    default:
        return "kind";
    }
}

owm_status owm_worker_decode(const uint8_t *data, size_t bytes, struct owm_worker_message *message,
                             struct owm_error *error)
{
    struct owm_reader r;
    owm_reader_init(&r, data, bytes);
    memset(message, 0, sizeof *message);
    uint32_t magic = owm_read_u32_le(&r);
    message->kind = (enum owm_worker_kind)owm_read_u8(&r);
    const char *bad = magic == OWM_WORKER_MAGIC ? get_body(&r, message) : "magic";
    if (bad == NULL && !owm_reader_done(&r)) bad = "length";
    if (bad == NULL) return OWM_OK;
    return owm_fail(error, OWM_E_PROTO, "worker message of kind %u, %zu bytes: bad %s",
                    (unsigned)message->kind, bytes, bad);
}

unsigned owm_worker_fds(enum owm_worker_kind kind)
{
    if (kind == OWM_WORKER_TRAIN) return 5;
    return kind == OWM_WORKER_INFER ? 1 : 0;
}

/* ----------------------------------------------------------------------------- carry */

union control {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int) * OWM_WORKER_FDS_MAX)];
};

owm_status owm_worker_post(int socket, const struct owm_worker_message *message, const int *fds)
{
    uint8_t data[OWM_WORKER_MESSAGE_BYTES_MAX];
    size_t bytes = 0;
    owm_status status = owm_worker_encode(message, data, sizeof data, &bytes);
    if (status != OWM_OK) return status;

    struct iovec part = {data, bytes};
    union control control = {0};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    unsigned count = owm_worker_fds(message->kind);
    if (count > 0) {
        header.msg_control = control.space;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * count);
    }
    for (;;) {
        if (sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return OWM_OK;
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return OWM_E_IO;
        struct pollfd wait = {.fd = socket, .events = POLLOUT};
        if (poll(&wait, 1, SEND_TIMEOUT_MS) == 0) return OWM_E_TIMEOUT;
    }
}

/** take_fds: move received descriptors to `fds`; returns how many came. */
static unsigned take_fds(struct msghdr *header, int fds[static OWM_WORKER_FDS_MAX])
{
    unsigned count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        const unsigned char *data = CMSG_DATA(c);
        for (size_t i = 0; i < n; i++) {
            int fd = -1;
            memcpy(&fd, data + i * sizeof fd, sizeof fd);
            if (count < OWM_WORKER_FDS_MAX)
                fds[count++] = fd;
            else
                close(fd);
        }
    }
    return count;
}

owm_status owm_worker_take(int socket, uint8_t *buffer, int timeout_ms,
                           struct owm_worker_message *message, int fds[static OWM_WORKER_FDS_MAX],
                           struct owm_error *error)
{
    struct pollfd wait = {.fd = socket, .events = POLLIN};
    int ready = poll(&wait, 1, timeout_ms);
    if (ready == 0 || (ready < 0 && errno == EINTR)) return OWM_E_TIMEOUT;

    struct iovec part = {buffer, OWM_WORKER_MESSAGE_BYTES_MAX};
    union control control = {0};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.space,
                            .msg_controllen = sizeof control.space};
    ssize_t got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return OWM_E_TIMEOUT;
    if (got < 0) return owm_fail(error, OWM_E_IO, "socket to the worker: %s", strerror(errno));
    unsigned count = take_fds(&header, fds);
    if (got == 0 && count == 0) return OWM_E_NOTFOUND;
    owm_status status = OWM_E_PROTO;
    if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        owm_fail(error, status, "worker message is too long or has too many descriptors");
    else
        status = owm_worker_decode(buffer, (size_t)got, message, error);
    if (status == OWM_OK && count != owm_worker_fds(message->kind))
        status = owm_fail(error, OWM_E_PROTO, "worker message with %u descriptors", count);
    if (status != OWM_OK)
        for (unsigned i = 0; i < count; i++) close(fds[i]);
    return status;
}
