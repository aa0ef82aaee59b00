/* runtime.c: the host's part of CUDA: one device, its queues and events, copies, launches.
 *
 * Everything asked of a stream goes through its queue. A queue does its work at once; with
 * OWM_EMU_LATE=1 only when someone waits for it, so that a test fails which reads a result, or
 * changes a pinned buffer, without having waited. Copies from and to memory that is not pinned are
 * as in CUDA: the host's side is the caller's again when the call returns. */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "emu.h"

#define STREAM_MAGIC  0x53747265616d2121
#define EVENT_MAGIC   0x4576656e74212121
#define FUNCTIONS_MAX 256

enum kind { LAUNCH, COPY, SET, RECORD, WAIT };

struct work {
    struct work *next;
    enum kind kind;
    struct emu_call call;
    void *dst;
    const void *src; /* COPY: `bytes` there, or in `data`. */
    size_t bytes;
    int value;
    struct emu_event *event;
    uint64_t ticket;
    _Alignas(64) uint8_t data[];
};

struct emu_stream {
    uint64_t magic;
    struct work *first, **last;
};

/* An event is met when the work that recorded it last is done. */
struct emu_event {
    uint64_t magic;
    uint64_t asked, done; /* Tickets. */
    struct emu_stream *stream;
    double ms;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct emu_stream plain = {.magic = STREAM_MAGIC}; /* The stream NULL. */
static cudaError_t last_error;
static enum emu_order order;
static uint64_t seed;
static bool late, begun;

static struct {
    const void *function;
    int bytes;
} shared_asked[FUNCTIONS_MAX];

enum emu_order emu_order(void)
{
    return order;
}

/* splitmix64 (Steele et al., 2014). */
uint64_t emu_random(void)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void bad_setting(const char *name, const char *value)
{
    fprintf(stderr, "emulator: %s=%s is not known\n", name, value);
    exit(2);
}

static void read_settings(void)
{
    const char *warp = getenv("OWM_EMU_WARP"), *way = getenv("OWM_EMU_ORDER");
    const char *lateness = getenv("OWM_EMU_LATE");
    if (warp && strcmp(warp, "64") == 0)
        emu_warp_size = 64;
    else if (warp && strcmp(warp, "32") != 0)
        bad_setting("OWM_EMU_WARP", warp);
    if (way && strcmp(way, "reverse") == 0)
        order = EMU_REVERSE;
    else if (way && strncmp(way, "shuffle:", 8) == 0) {
        order = EMU_SHUFFLE;
        seed = strtoull(way + 8, NULL, 0);
    } else if (way && strcmp(way, "forward") != 0)
        bad_setting("OWM_EMU_ORDER", way);
    late = lateness && strcmp(lateness, "0") != 0;
}

static void enter(void)
{
    pthread_mutex_lock(&lock);
    if (!begun) {
        read_settings();
        plain.last = &plain.first;
        begun = true;
    }
    emu_memory_begin();
}

static cudaError_t leave(cudaError_t error)
{
    emu_memory_close();
    if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
    pthread_mutex_unlock(&lock);
    return error;
}

cudaError_t emu_refuse(cudaError_t error, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "emulator: refused: %s\n", text);
    return error;
}

static struct emu_stream *stream_of(cudaStream_t stream)
{
    if (!stream) return &plain;
    if (stream->magic == STREAM_MAGIC) return stream;
    (void)emu_refuse(cudaErrorInvalidResourceHandle, "no such stream");
    return NULL;
}

static bool event_is(cudaEvent_t event)
{
    if (event && event->magic == EVENT_MAGIC) return true;
    (void)emu_refuse(cudaErrorInvalidResourceHandle, "no such event");
    return false;
}

/* Work. */

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void do_one(struct emu_stream *stream);

static void do_until(struct emu_event *event, uint64_t ticket)
{
    while (event->done < ticket) do_one(event->stream);
}

static void launch(struct work *work)
{
    static _Alignas(64) uint8_t params[EMU_PARAM_BYTES_MAX]; /* The constant bank of a GPU. */
    memcpy(params, work->data, work->call.param_bytes);
    emu_run(&work->call, params);
}

static void do_one(struct emu_stream *stream)
{
    struct work *work = stream->first;
    stream->first = work->next;
    if (!stream->first) stream->last = &stream->first;
    if (work->kind == WAIT) do_until(work->event, work->ticket);
    if (work->kind == COPY || work->kind == SET) {
        if (emu_in_arena(work->dst)) emu_memory_open(work->dst, work->bytes);
        if (emu_in_arena(work->src)) emu_memory_open(work->src, work->bytes);
    }
    if (work->kind == LAUNCH) launch(work);
    if (work->kind == COPY) memmove(work->dst, work->src ? work->src : work->data, work->bytes);
    if (work->kind == SET) memset(work->dst, work->value, work->bytes);
    if (work->kind == RECORD) {
        work->event->done = work->ticket;
        work->event->ms = now_ms();
    }
    free(work);
}

static void drain(struct emu_stream *stream)
{
    while (stream->first) do_one(stream);
}

static struct work *work_of(enum kind kind, size_t data_bytes)
{
    struct work *work = aligned_alloc(64, (sizeof *work + data_bytes + 63) & ~(size_t)63);
    if (!work) abort();
    *work = (struct work){.kind = kind};
    return work;
}

static void ask(struct emu_stream *stream, struct work *work)
{
    *stream->last = work;
    stream->last = &work->next;
    if (!late) drain(stream);
}

/* All streams are in a list so that the device as a whole can be waited for. */
#define STREAMS_MAX 256
static struct emu_stream *streams[STREAMS_MAX];
static unsigned stream_count;

static void drain_all(void)
{
    drain(&plain);
    for (unsigned i = 0; i < stream_count; i++) drain(streams[i]);
}

/* Launches. */

static int shared_of(const void *function)
{
    for (int i = 0; i < FUNCTIONS_MAX && shared_asked[i].function; i++)
        if (shared_asked[i].function == function) return shared_asked[i].bytes;
    return 0;
}

cudaError_t emu_function_shared(const void *function, int bytes)
{
    enter();
    if (bytes < 0 || (size_t)bytes > EMU_SHARED_MAX)
        return leave(emu_refuse(cudaErrorInvalidValue, "%d bytes of shared memory of %zu", bytes,
                                EMU_SHARED_MAX));
    int i = 0;
    while (i < FUNCTIONS_MAX && shared_asked[i].function && shared_asked[i].function != function)
        i++;
    if (i == FUNCTIONS_MAX) return leave(cudaErrorInvalidValue);
    shared_asked[i].function = function;
    shared_asked[i].bytes = bytes;
    return leave(cudaSuccess);
}

static cudaError_t check_launch(const struct emu_call *c)
{
    const struct emu_dim g = c->grid, b = c->block;
    const char *reason = NULL;
    if (!g.x || !g.y || !g.z)
        reason = "the grid is empty";
    else if (!b.x || !b.y || !b.z)
        reason = "the block is empty";
    else if (b.x > 1024 || b.y > 1024 || b.z > 64 || (uint64_t)b.x * b.y * b.z > EMU_THREADS_MAX)
        reason = "a block has 1024 threads at most";
    else if (g.x > INT32_MAX || g.y > 65535 || g.z > 65535
             || (uint64_t)g.x * g.y * g.z > UINT32_MAX)
        reason = "the grid is above its limit";
    if (reason)
        return emu_refuse(cudaErrorInvalidConfiguration,
                          "kernel %s in line %d: grid (%u,%u,%u), block (%u,%u,%u): %s", c->kernel,
                          c->line, g.x, g.y, g.z, b.x, b.y, b.z, reason);
    if (c->shared > EMU_SHARED_USUAL && c->shared > (size_t)shared_of(c->function))
        return emu_refuse(cudaErrorInvalidValue,
                          "kernel %s in line %d: %zu bytes of dynamic shared memory; above %zu "
                          "cudaFuncSetAttribute must allow it",
                          c->kernel, c->line, c->shared, EMU_SHARED_USUAL);
    return cudaSuccess;
}

void emu_launch(const struct emu_call *call, const void *params, cudaStream_t to)
{
    enter();
    struct emu_stream *stream = stream_of(to);
    cudaError_t error = stream ? check_launch(call) : cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess) {
        struct work *work = work_of(LAUNCH, call->param_bytes);
        work->call = *call;
        memcpy(work->data, params, call->param_bytes);
        ask(stream, work);
    }
    (void)leave(error);
}

/* Copies. */

static cudaError_t check_device(const void *mem, size_t bytes, const char *what)
{
    char where[200] = "of the host";
    const struct emu_allocation *a = emu_allocation_at(mem);
    if (a && a->live && (const uint8_t *)mem >= a->base
        && (const uint8_t *)mem + bytes <= a->base + a->bytes)
        return cudaSuccess;
    if (emu_in_arena(mem)) emu_where(mem, where, sizeof where);
    return emu_refuse(cudaErrorInvalidValue, "%s of %zu bytes: memory %s", what, bytes, where);
}

static cudaError_t check_host(const void *mem, const char *what)
{
    if (!emu_in_arena(mem)) return cudaSuccess;
    return emu_refuse(cudaErrorInvalidValue, "%s: memory of the device where the host's was meant",
                      what);
}

static cudaError_t check_copy(const void *dst, const void *src, size_t bytes,
                              enum cudaMemcpyKind kind)
{
    if (kind > cudaMemcpyDeviceToDevice) return emu_refuse(cudaErrorInvalidValue, "a copy's kind");
    bool to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    cudaError_t error =
        to ? check_device(dst, bytes, "copy to the device") : check_host(dst, "copy to the host");
    if (error != cudaSuccess) return error;
    return from ? check_device(src, bytes, "copy from the device")
                : check_host(src, "copy from the host");
}

/* A source that is not pinned is read before the call returns. */
static void ask_copy(struct emu_stream *stream, void *dst, const void *src, size_t bytes,
                     enum cudaMemcpyKind kind)
{
    bool held = kind == cudaMemcpyHostToDevice && !emu_pinned(src, bytes);
    struct work *work = work_of(COPY, held ? bytes : 0);
    work->dst = dst, work->src = held ? NULL : src, work->bytes = bytes;
    if (held) memcpy(work->data, src, bytes);
    ask(stream, work);
    if (kind == cudaMemcpyDeviceToHost && !emu_pinned(dst, bytes)) drain(stream);
}

cudaError_t cudaMemcpyAsync(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t to)
{
    enter();
    struct emu_stream *stream = stream_of(to);
    cudaError_t error = stream ? cudaSuccess : cudaErrorInvalidResourceHandle;
    if (bytes == 0) return leave(error);
    if (error == cudaSuccess) error = check_copy(dst, src, bytes, kind);
    if (error == cudaSuccess) ask_copy(stream, dst, src, bytes, kind);
    return leave(error);
}

cudaError_t cudaMemcpy(void *dst, const void *src, size_t bytes, enum cudaMemcpyKind kind)
{
    cudaError_t error = cudaMemcpyAsync(dst, src, bytes, kind, NULL);
    return error == cudaSuccess ? cudaStreamSynchronize(NULL) : error;
}

cudaError_t cudaMemsetAsync(void *mem, int value, size_t bytes, cudaStream_t to)
{
    enter();
    struct emu_stream *stream = stream_of(to);
    cudaError_t error = stream ? cudaSuccess : cudaErrorInvalidResourceHandle;
    if (bytes == 0) return leave(error);
    if (error == cudaSuccess) error = check_device(mem, bytes, "memset");
    if (error == cudaSuccess) {
        struct work *work = work_of(SET, 0);
        work->dst = mem, work->value = value, work->bytes = bytes;
        ask(stream, work);
    }
    return leave(error);
}

cudaError_t cudaMemset(void *mem, int value, size_t bytes)
{
    cudaError_t error = cudaMemsetAsync(mem, value, bytes, NULL);
    return error == cudaSuccess ? cudaStreamSynchronize(NULL) : error;
}

cudaError_t cudaMalloc(void **mem, size_t bytes)
{
    enter();
    return leave(bytes ? emu_device_alloc(mem, bytes) : cudaErrorInvalidValue);
}

cudaError_t cudaFree(void *mem)
{
    enter();
    if (!mem) return leave(cudaSuccess);
    drain_all();
    return leave(emu_device_free(mem));
}

cudaError_t cudaMallocHost(void **mem, size_t bytes)
{
    enter();
    return leave(emu_host_alloc(mem, bytes));
}

cudaError_t cudaHostAlloc(void **mem, size_t bytes, unsigned flags)
{
    return flags == cudaHostAllocDefault ? cudaMallocHost(mem, bytes) : cudaErrorInvalidValue;
}

cudaError_t cudaFreeHost(void *mem)
{
    enter();
    if (!mem) return leave(cudaSuccess);
    drain_all();
    return leave(emu_host_free(mem));
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    enter();
    *free_bytes = emu_device_free_bytes();
    *total_bytes = EMU_MEMORY_BYTES;
    return leave(cudaSuccess);
}

/* Streams and events. */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    enter();
    struct emu_stream *s = calloc(1, sizeof *s);
    if (!s || stream_count == STREAMS_MAX || flags > cudaStreamNonBlocking) {
        free(s);
        return leave(cudaErrorInvalidValue);
    }
    s->magic = STREAM_MAGIC;
    s->last = &s->first;
    streams[stream_count++] = s;
    *stream = s;
    return leave(cudaSuccess);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

/* What was destroyed is kept, so that its use afterwards is told apart from another stream's. */
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    enter();
    if (!stream || !stream_of(stream)) return leave(cudaErrorInvalidResourceHandle);
    drain(stream);
    stream->magic = 0;
    unsigned i = 0;
    while (streams[i] != stream) i++;
    streams[i] = streams[--stream_count];
    return leave(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t to)
{
    enter();
    struct emu_stream *stream = stream_of(to);
    if (!stream) return leave(cudaErrorInvalidResourceHandle);
    drain(stream);
    return leave(cudaSuccess);
}

/* A loop that asks until it is ready must end: each question does a piece of the work. */
cudaError_t cudaStreamQuery(cudaStream_t to)
{
    enter();
    struct emu_stream *stream = stream_of(to);
    if (!stream) return leave(cudaErrorInvalidResourceHandle);
    if (!stream->first) return leave(cudaSuccess);
    do_one(stream);
    return leave(cudaErrorNotReady);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t to, cudaEvent_t event, unsigned flags)
{
    enter();
    struct emu_stream *stream = stream_of(to);
    if (!stream || !event_is(event)) return leave(cudaErrorInvalidResourceHandle);
    if (flags) return leave(cudaErrorInvalidValue);
    struct work *work = work_of(WAIT, 0);
    work->event = event, work->ticket = event->asked;
    ask(stream, work);
    return leave(cudaSuccess);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    enter();
    (void)flags;
    struct emu_event *e = calloc(1, sizeof *e);
    if (!e) return leave(cudaErrorMemoryAllocation);
    e->magic = EVENT_MAGIC;
    *event = e;
    return leave(cudaSuccess);
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    enter();
    if (!event_is(event)) return leave(cudaErrorInvalidResourceHandle);
    drain_all(); /* Others may still wait for it. */
    event->magic = 0;
    free(event);
    return leave(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t to)
{
    enter();
    struct emu_stream *stream = stream_of(to);
    if (!stream || !event_is(event)) return leave(cudaErrorInvalidResourceHandle);
    if (event->stream != stream && event->asked > event->done) do_until(event, event->asked);
    struct work *work = work_of(RECORD, 0);
    event->stream = stream;
    work->event = event, work->ticket = ++event->asked;
    ask(stream, work);
    return leave(cudaSuccess);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    enter();
    if (!event_is(event)) return leave(cudaErrorInvalidResourceHandle);
    do_until(event, event->asked);
    return leave(cudaSuccess);
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    enter();
    if (!event_is(event)) return leave(cudaErrorInvalidResourceHandle);
    if (event->done == event->asked) return leave(cudaSuccess);
    do_one(event->stream);
    return leave(cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    enter();
    if (!event_is(from) || !event_is(to) || !from->asked || !to->asked)
        return leave(cudaErrorInvalidResourceHandle);
    if (from->done != from->asked || to->done != to->asked) return leave(cudaErrorNotReady);
    *ms = (float)(to->ms - from->ms);
    return leave(cudaSuccess);
}

cudaError_t cudaDeviceSynchronize(void)
{
    enter();
    drain_all();
    return leave(cudaSuccess);
}

/* The device. */

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "cudaSuccess";
    case cudaErrorInvalidValue:
        return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
        return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
        return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver:
        return "cudaErrorInsufficientDriver";
    case cudaErrorInvalidDeviceFunction:
        return "cudaErrorInvalidDeviceFunction";
    case cudaErrorNoDevice:
        return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
        return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
        return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
        return "cudaErrorNotReady";
    case cudaErrorLaunchFailure:
        return "cudaErrorLaunchFailure";
    }
    return "cudaErrorUnknown";
}

const char *cudaGetErrorString(cudaError_t error)
{
    return cudaGetErrorName(error);
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int index)
{
    return index == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaGetDevice(int *index)
{
    *index = 0;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    return cudaDriverGetVersion(version);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *found, int index)
{
    if (index != 0) return cudaErrorInvalidDevice;
    enter();
    *found = (struct cudaDeviceProp){
        .name = "emulator",
        .totalGlobalMem = EMU_MEMORY_BYTES,
        .sharedMemPerBlock = EMU_SHARED_USUAL,
        .sharedMemPerBlockOptin = EMU_SHARED_MAX,
        .major = 9,
        .multiProcessorCount = EMU_PROCESSORS,
        .warpSize = (int)emu_warp_size,
        .maxThreadsPerBlock = EMU_THREADS_MAX,
        .regsPerBlock = 65536,
        .l2CacheSize = 1 << 20,
    };
    return leave(cudaSuccess);
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr which, int index)
{
    struct cudaDeviceProp found;
    cudaError_t error = cudaGetDeviceProperties(&found, index);
    if (error != cudaSuccess) return error;
    switch (which) {
    case cudaDevAttrMaxThreadsPerBlock:
        *value = found.maxThreadsPerBlock;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = (int)found.sharedMemPerBlock;
        break;
    case cudaDevAttrWarpSize:
        *value = found.warpSize;
        break;
    case cudaDevAttrClockRate:
        *value = 1000000;
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = found.multiProcessorCount;
        break;
    case cudaDevAttrComputeMode:
        *value = cudaComputeModeDefault;
        break;
    case cudaDevAttrMemoryClockRate:
        *value = 1000000;
        break;
    case cudaDevAttrGlobalMemoryBusWidth:
        *value = 64;
        break;
    case cudaDevAttrL2CacheSize:
        *value = found.l2CacheSize;
        break;
    case cudaDevAttrComputeCapabilityMajor:
        *value = found.major;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = found.minor;
        break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = (int)found.sharedMemPerBlockOptin;
        break;
    default:
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

/* Linked in place of dlopen: a real cuBLAS or NCCL of this machine would take our streams and host
 * memory for its own. */
void *__wrap_dlopen(const char *file, int mode);

void *__wrap_dlopen(const char *file, int mode)
{
    (void)file, (void)mode;
    return NULL;
}
