/* feedback_file.c: the residual and the packages in flight, in one file replaced atomically.
 *
 *   "OWMFDBK1" | u32 parameters | u32 packages | SHA-256 of the rest
 *   residual, f32 LE | per package: u32 bytes, package
 *
 * One rename is one transaction: a package leaves the residual and enters the flight list together.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "dataplane/fl/feedback.h"

#define HEAD_BYTES 48

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the residual is stored as it is");

static const uint8_t file_magic[8] = {'O', 'W', 'M', 'F', 'D', 'B', 'K', '1'};

struct flight {
    uint8_t *package; /* owned */
    size_t bytes;
    uint64_t round;
    uint8_t sha256[32];
};

struct owm_feedback {
    char *path;
    uint32_t n;
    float *residual;
    struct flight flight[OWM_FEEDBACK_INFLIGHT_MAX];
    uint32_t flights;
};

static void free_flights(struct flight *flight, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) free(flight[i].package);
}

void owm_feedback_close(struct owm_feedback *feedback)
{
    if (!feedback) return;
    free_flights(feedback->flight, feedback->flights);
    free(feedback->residual);
    free(feedback->path);
    free(feedback);
}

static owm_status fill_flight(struct flight *flight, uint32_t n, const uint8_t *package,
                              size_t bytes)
{
    struct owm_delta_header header;
    enum owm_delta_reason reason;
    owm_status status = owm_delta_peek(package, bytes, &header, &reason);
    if (status != OWM_OK || header.parameter_count != n) return OWM_E_PROTO;
    flight->package = malloc(bytes);
    if (!flight->package) return OWM_E_NOMEM;
    memcpy(flight->package, package, bytes);
    flight->bytes = bytes;
    flight->round = header.round;
    owm_sha256(package, bytes, flight->sha256);
    return OWM_OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

static owm_status write_state(const char *path, uint32_t n, const float *residual,
                              const struct flight *flight, uint32_t flights,
                              struct owm_error *error)
{
    size_t bytes = HEAD_BYTES + (size_t)n * sizeof *residual;
    for (uint32_t i = 0; i < flights; i++) bytes += 4 + flight[i].bytes;
    uint8_t *state = malloc(bytes);
    if (!state) return owm_fail(error, OWM_E_NOMEM, "no memory to store %zu bytes", bytes);
    struct owm_writer w;
    owm_writer_init(&w, state, bytes);
    owm_write_bytes(&w, file_magic, sizeof file_magic);
    owm_write_u32_le(&w, n);
    owm_write_u32_le(&w, flights);
    w.at = HEAD_BYTES;
    owm_write_bytes(&w, residual, (size_t)n * sizeof *residual);
    for (uint32_t i = 0; i < flights; i++) {
        owm_write_u32_le(&w, (uint32_t)flight[i].bytes);
        owm_write_bytes(&w, flight[i].package, flight[i].bytes);
    }
    OWM_ASSERT(owm_writer_ok(&w) && w.at == bytes);
    owm_sha256(state + HEAD_BYTES, bytes - HEAD_BYTES, state + 16);
    owm_status status = owm_fs_write_atomic(path, state, bytes, 0600, error);
    free(state);
    return status;
}

owm_status owm_feedback_sent(struct owm_feedback *feedback, const float *residual,
                             const uint8_t *package, size_t bytes, struct owm_error *error)
{
    if (feedback->flights == OWM_FEEDBACK_INFLIGHT_MAX)
        return owm_fail(error, OWM_E_LIMIT,
                        "%s: %d packages wait for a receipt already; the coordinator has to settle "
                        "them. If it never will, move the file away",
                        feedback->path, OWM_FEEDBACK_INFLIGHT_MAX);
    for (uint32_t i = 0; i < feedback->n; i++)
        if (!isfinite(residual[i]))
            return owm_fail(error, OWM_E_ARG, "the residual of parameter %u is not finite", i);
    struct flight *flight = &feedback->flight[feedback->flights];
    owm_status status = fill_flight(flight, feedback->n, package, bytes);
    if (status != OWM_OK)
        return owm_fail(error, status, "%s: not a package of this model", feedback->path);
    for (uint32_t i = 0; i < feedback->flights && status == OWM_OK; i++)
        if (memcmp(feedback->flight[i].sha256, flight->sha256, 32) == 0)
            status = owm_fail(error, OWM_E_EXISTS, "this package is in flight already");
    if (status == OWM_OK)
        status = write_state(feedback->path, feedback->n, residual, feedback->flight,
                             feedback->flights + 1, error);
    if (status != OWM_OK) {
        free(flight->package);
        return status;
    }
    feedback->flights++;
    memcpy(feedback->residual, residual, (size_t)feedback->n * sizeof *residual);
    return OWM_OK;
}

/* The residual with this package's values added; malloc'ed. */
static owm_status restored(const struct owm_feedback *feedback, const struct flight *flight,
                           float **out, struct owm_error *error)
{
    struct owm_delta_expect expect;
    struct owm_delta_header header;
    struct owm_delta delta;
    enum owm_delta_reason reason;
    owm_status status = owm_delta_peek(flight->package, flight->bytes, &header, &reason);
    if (status != OWM_OK) return owm_fail(error, status, "%s: damaged package", feedback->path);
    expect = (struct owm_delta_expect){
        .round = header.round, .parameter_count = header.parameter_count, .k_max = header.k};
    memcpy(expect.base_sha256, header.base_sha256, 32);
    memcpy(expect.node_key, header.node_key, 32);
    status = owm_delta_decode(flight->package, flight->bytes, &expect, &delta, &reason, error);
    if (status != OWM_OK) return status;
    float *residual = malloc((size_t)feedback->n * sizeof *residual);
    if (residual) {
        memcpy(residual, feedback->residual, (size_t)feedback->n * sizeof *residual);
        status = owm_feedback_restore(residual, feedback->n, &delta.sparse);
    } else {
        status = owm_fail(error, OWM_E_NOMEM, "no memory for a residual");
    }
    owm_delta_free(&delta);
    *out = residual;
    return status;
}

owm_status owm_feedback_resolve(struct owm_feedback *feedback, const uint8_t package_sha256[32],
                                int included, struct owm_error *error)
{
    uint32_t at = 0;
    while (at < feedback->flights && memcmp(feedback->flight[at].sha256, package_sha256, 32) != 0)
        at++;
    if (at == feedback->flights)
        return owm_fail(error, OWM_E_NOTFOUND, "%s: this package is not in flight", feedback->path);
    struct flight left[OWM_FEEDBACK_INFLIGHT_MAX], gone = feedback->flight[at];
    uint32_t count = 0;
    for (uint32_t i = 0; i < feedback->flights; i++)
        if (i != at) left[count++] = feedback->flight[i];

    float *residual = NULL;
    owm_status status = included ? OWM_OK : restored(feedback, &gone, &residual, error);
    if (status == OWM_OK)
        status = write_state(feedback->path, feedback->n, residual ? residual : feedback->residual,
                             left, count, error);
    if (status != OWM_OK) {
        free(residual);
        return status;
    }
    if (residual) {
        free(feedback->residual);
        feedback->residual = residual;
    }
    memcpy(feedback->flight, left, count * sizeof *left);
    feedback->flights = count;
    free(gone.package);
    return OWM_OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

static owm_status read_flights(struct owm_feedback *feedback, struct owm_reader *r, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bytes = owm_read_u32_le(r);
        const uint8_t *package = owm_read_view(r, bytes);
        if (!owm_reader_ok(r)) return OWM_E_PROTO;
        owm_status status = fill_flight(&feedback->flight[i], feedback->n, package, bytes);
        if (status != OWM_OK) return status;
        feedback->flights++;
    }
    return owm_reader_done(r) ? OWM_OK : OWM_E_PROTO;
}

static owm_status read_state(struct owm_feedback *feedback, const uint8_t *state, size_t bytes,
                             struct owm_error *error)
{
    struct owm_reader r;
    uint8_t magic[8], stored[32], hash[32];
    owm_reader_init(&r, state, bytes);
    owm_read_bytes(&r, magic, sizeof magic);
    uint32_t n = owm_read_u32_le(&r), flights = owm_read_u32_le(&r);
    owm_read_bytes(&r, stored, sizeof stored);
    owm_status status = OWM_E_PROTO;
    if (owm_reader_ok(&r) && memcmp(magic, file_magic, sizeof magic) == 0
        && flights <= OWM_FEEDBACK_INFLIGHT_MAX) {
        owm_sha256(state + HEAD_BYTES, bytes - HEAD_BYTES, hash);
        if (memcmp(hash, stored, sizeof hash) == 0) status = OWM_OK;
    }
    if (status == OWM_OK && n != feedback->n)
        return owm_fail(error, OWM_E_STATE,
                        "%s is of a model with %u parameters, not %u; move it away to begin anew",
                        feedback->path, n, feedback->n);
    if (status == OWM_OK) {
        owm_read_bytes(&r, feedback->residual, (size_t)n * sizeof *feedback->residual);
        status = read_flights(feedback, &r, flights);
    }
    if (status == OWM_OK) return OWM_OK;
    return owm_fail(error, status, "%s is damaged; move it away to begin with an empty residual",
                    feedback->path);
}

owm_status owm_feedback_open(const char *path, uint32_t n, struct owm_feedback **out,
                             struct owm_error *error)
{
    if (n == 0 || n > OWM_DELTA_PARAMETERS_MAX)
        return owm_fail(error, OWM_E_ARG, "%s: %u parameters are out of range", path, n);
    struct owm_feedback *feedback = calloc(1, sizeof *feedback);
    if (!feedback) return owm_fail(error, OWM_E_NOMEM, "no memory for %s", path);
    feedback->n = n;
    feedback->path = strdup(path);
    feedback->residual = calloc(n, sizeof *feedback->residual);
    if (!feedback->path || !feedback->residual) {
        owm_feedback_close(feedback);
        return owm_fail(error, OWM_E_NOMEM, "no memory for a residual of %u parameters", n);
    }
    size_t bytes_max =
        HEAD_BYTES + (size_t)n * 4
        + OWM_FEEDBACK_INFLIGHT_MAX * (4 + owm_delta_bytes_max(n, n, OWM_DELTA_BF16));
    uint8_t *state = NULL;
    size_t bytes = 0;
    owm_fs_sweep(path); /* each as large as the model: a crash may not leave one every time */
    owm_status status = owm_fs_read(path, bytes_max, &state, &bytes, error);
    if (status == OWM_OK) status = read_state(feedback, state, bytes, error);
    if (status == OWM_E_NOTFOUND) status = OWM_OK;
    free(state);
    if (status != OWM_OK) {
        owm_feedback_close(feedback);
        return status;
    }
    *out = feedback;
    return OWM_OK;
}

const float *owm_feedback_residual(const struct owm_feedback *feedback)
{
    return feedback->residual;
}

uint32_t owm_feedback_pending(const struct owm_feedback *feedback)
{
    return feedback->flights;
}

owm_status owm_feedback_inflight(const struct owm_feedback *feedback, uint32_t i,
                                 struct owm_feedback_inflight *out)
{
    if (i >= feedback->flights) return OWM_E_NOTFOUND;
    const struct flight *flight = &feedback->flight[i];
    *out = (struct owm_feedback_inflight){
        .round = flight->round, .package = flight->package, .bytes = flight->bytes};
    memcpy(out->sha256, flight->sha256, 32);
    return OWM_OK;
}
