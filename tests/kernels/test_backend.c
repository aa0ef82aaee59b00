/* test_backend.c: the list of backends and the choice of one, plug-ins that are good, wrong or
 * missing, the self-test with a fault planted in every op, events, arenas and sums over devices.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pool.h"
#include "check.h"
#include "kernels/arena.h"
#include "kernels/selftest.h"

/* The plug-ins of this test, made by CMake: where they lie. */
#ifndef PLUGINS
#define PLUGINS "."
#endif

/* ---- A fault in every op: the right one runs, then one element of its result is spoiled. ---- */

static struct owm_backend good;

/* The exponent's bits of a float, or a high byte of an integer, on the little-endian machines that
 * we run on. */
static void spoil(void *word)
{
    ((uint8_t *)word)[3] ^= 0x20;
}

#define FAULT(op, type, word)                                                                      \
    static owm_status bad_##op(struct owm_device *device, const struct type *a)                    \
    {                                                                                              \
        owm_status status = good.op(device, a);                                                    \
        if (status == OWM_OK) spoil(word);                                                         \
        return status;                                                                             \
    }

#define LAST(array, count) ((array) + (count)-1)

FAULT(gemm, owm_gemm, LAST(a->c, (size_t)a->m * a->n))
FAULT(rmsnorm, owm_rmsnorm, LAST(a->out, a->rows * a->cols))
FAULT(rmsnorm_bwd, owm_rmsnorm_bwd, LAST(a->dweight, a->cols))
FAULT(rope, owm_rope, a->x)
FAULT(swiglu, owm_swiglu, LAST(a->out, a->rows * a->cols))
FAULT(swiglu_bwd, owm_swiglu_bwd, LAST(a->dgate_up, a->rows * a->cols * 2))
FAULT(attention, owm_attention, LAST(a->lse, a->batch * a->heads * a->time))
FAULT(attention_bwd, owm_attention_bwd,
      LAST(a->dqkv, a->batch * a->time * (a->heads + 2 * a->kv_heads) * a->head_dim))
FAULT(attention_decode, owm_attention_decode, LAST(a->out, a->heads * a->head_dim))
FAULT(embedding, owm_embedding, LAST(a->out, a->rows * a->cols))
FAULT(embedding_bwd, owm_embedding_bwd, LAST(a->dtable, a->vocab * a->cols))
FAULT(cross_entropy, owm_cross_entropy, LAST(a->dlogits, a->rows * a->vocab))
FAULT(adamw, owm_adamw, LAST(a->v, a->count))
FAULT(linear, owm_linear, LAST(a->y, a->m * a->n))
FAULT(linear_bwd, owm_linear_bwd, LAST(a->dx, a->m * a->k))
FAULT(kv_put, owm_kv_put, a->cache.v)
FAULT(attention_paged, owm_attention_paged, a->out)
FAULT(softmax, owm_softmax, LAST(a->out, a->rows * a->cols))
FAULT(sample, owm_sample, LAST(a->token, a->rows))
FAULT(weighted_sum, owm_weighted_sum, LAST(a->out, a->n))
FAULT(trimmed_mean, owm_trimmed_mean, LAST(a->out, a->n))
FAULT(gram, owm_gram, LAST(a->gram, a->count * a->count))
FAULT(clip, owm_clip, LAST(a->x, a->n))
FAULT(topk, owm_topk, LAST(a->index, a->k))
FAULT(threshold, owm_threshold, a->index)
FAULT(feedback, owm_feedback_step, LAST(a->residual, a->n))
FAULT(quantise, owm_quantise, a->code)
FAULT(scatter_add, owm_scatter_add, LAST(a->x, a->n))
FAULT(sparse_sum, owm_sparse_sum, LAST(a->out, a->last - a->first))
FAULT(sparse_gram, owm_sparse_gram, LAST(a->gram, a->count * a->count))
FAULT(apply_update, owm_apply_update, LAST(a->w, a->n))
FAULT(sha256d_scan, owm_sha256d_scan, a->found)
FAULT(sha256d_batch, owm_sha256d_batch, LAST(a->hash, a->count) + 28)
FAULT(sha256d_merkle, owm_sha256d_merkle, LAST(a->root, a->count))
FAULT(sha256, owm_sha256, a->hash + 28)

static owm_status bad_add(struct owm_device *device, float *out, const float *a, const float *b,
                          size_t count)
{
    owm_status status = good.add(device, out, a, b, count);
    if (status == OWM_OK) spoil(out + count - 1);
    return status;
}

static owm_status bad_sum_squares(struct owm_device *device, double *sum, const float *x,
                                  size_t count)
{
    owm_status status = good.sum_squares(device, sum, x, count);
    if (status == OWM_OK) spoil(sum);
    return status;
}

static owm_status bad_pack(struct owm_device *device, const struct owm_pack *a)
{
    owm_status status = good.pack(device, a);
    for (int i = 0; i < 64; i++) ((uint8_t *)a->packed)[i] ^= 0x40;
    return status;
}

static size_t bad_packed_bytes(struct owm_device *device, enum owm_format format, uint32_t rows,
                               uint32_t cols)
{
    return good.packed_bytes(device, format, rows, cols) / 2;
}

#define BAD(op)                                                                                    \
    {                                                                                              \
#op, offsetof(struct owm_backend, op), (void (*)(void))bad_##op                            \
    }

static const struct {
    const char *name;
    size_t slot;
    void (*op)(void);
} faults[] = {
    BAD(gemm),
    BAD(rmsnorm),
    BAD(rmsnorm_bwd),
    BAD(rope),
    BAD(swiglu),
    BAD(swiglu_bwd),
    BAD(attention),
    BAD(attention_bwd),
    BAD(attention_decode),
    BAD(embedding),
    BAD(embedding_bwd),
    BAD(cross_entropy),
    BAD(adamw),
    BAD(add),
    BAD(sum_squares),
    BAD(packed_bytes),
    BAD(pack),
    BAD(linear),
    BAD(linear_bwd),
    BAD(kv_put),
    BAD(attention_paged),
    BAD(softmax),
    BAD(sample),
    BAD(weighted_sum),
    BAD(trimmed_mean),
    BAD(gram),
    BAD(clip),
    BAD(topk),
    BAD(threshold),
    BAD(feedback),
    BAD(quantise),
    BAD(scatter_add),
    BAD(sparse_sum),
    BAD(sparse_gram),
    BAD(apply_update),
    BAD(sha256d_scan),
    BAD(sha256d_batch),
    BAD(sha256d_merkle),
    BAD(sha256),
};
#define FAULTS (sizeof faults / sizeof *faults)

/* Every op of the table has a case and a fault: whoever adds an op is told here. */
static void test_every_op_is_tried(void)
{
    size_t slots = 0;
    for (size_t slot = offsetof(struct owm_backend, gemm); slot < sizeof(struct owm_backend);
         slot += sizeof(void (*)(void)), slots++) {
        size_t tried = 0, faulty = 0, at;
        for (size_t i = 0; owm_selftest_name(i, &at); i++) tried += at == slot;
        for (size_t i = 0; i < FAULTS; i++) faulty += faults[i].slot == slot;
        if (tried != 1 || faulty != 1) printf("op %zu of the table\n", slots);
        CHECK(tried == 1 && faulty == 1);
    }
    CHECK(slots == FAULTS);
}

static void test_faults(struct owm_pool *pool)
{
    struct owm_device *device = NULL;
    struct owm_error error = {""};
    CHECK(owm_backend_cpu.open(&device, &(struct owm_device_config){.pool = pool}, &error)
          == OWM_OK);
    good = *device->backend;
    uint64_t begin = owm_clock_mono_ms();
    owm_status status = owm_selftest(device, &error);
    if (status != OWM_OK) printf("%s\n", error.text);
    CHECK(status == OWM_OK);
    printf("self-test of the cpu: %llu ms\n", (unsigned long long)(owm_clock_mono_ms() - begin));
    for (size_t i = 0; i < FAULTS; i++) {
        struct owm_backend bad = good;
        char named[64];
        void (*present)(void);
        memcpy(&present, (char *)&good + faults[i].slot, sizeof present);
        bool judged = faults[i].slot != offsetof(struct owm_backend, pack) || good.linear_bwd;
        if (!present || !judged) {
            printf("%s: the cpu cannot try it yet\n", faults[i].name);
            continue;
        }
        memcpy((char *)&bad + faults[i].slot, &faults[i].op, sizeof faults[i].op);
        device->backend = &bad;
        snprintf(named, sizeof named, "op '%s'", faults[i].name);
        status = owm_selftest(device, &error);
        if (status != OWM_E_DEVICE || !strstr(error.text, named))
            printf("%s: %s\n", faults[i].name, error.text);
        CHECK(status == OWM_E_DEVICE);
        CHECK(strstr(error.text, named));
    }
    owm_backend_cpu.close(device);
}

/* ---- Plug-ins. Each story is a process of its own, since they are looked for once. ---- */

static void in_child(void (*story)(void), const char *folder, const char *way)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(setenv("OWM_PLUGIN_DIR", folder, 1) == 0);
        CHECK(setenv("OWM_TEST_PLUGIN", way, 1) == 0);
        story();
        fflush(stdout);
        _exit(0);
    }
    int code = 0;
    CHECK(waitpid(child, &code, 0) == child);
    CHECK(WIFEXITED(code) && WEXITSTATUS(code) == 0);
}

static owm_status open_named(const char *backend, struct owm_device **device,
                             struct owm_error *error)
{
    return owm_device_open(device, &(struct owm_device_config){.backend = backend}, error);
}

static void expect_auto(const char *name)
{
    struct owm_device *device = NULL;
    struct owm_error error = {""};
    owm_status status = open_named("auto", &device, &error);
    if (status != OWM_OK) printf("%s\n", error.text);
    CHECK(status == OWM_OK && strcmp(device->backend->name, name) == 0);
    device->backend->close(device);
}

/* A named backend that is not there: nothing opens, and the sentence has the words. */
static void expect_refusal(const char *backend, owm_status want, const char *words)
{
    struct owm_device *device = NULL;
    struct owm_error error = {""};
    owm_status status = open_named(backend, &device, &error);
    if (status != want || !strstr(error.text, words)) printf("%d %s\n", status, error.text);
    CHECK(status == want && strstr(error.text, words) && !device);
}

static void story_none(void)
{
    CHECK(owm_backend_at(0) == &owm_backend_cpu && owm_backend_at(1) == &owm_backend_reference);
    CHECK(!owm_backend_at(2));
    CHECK(strstr(owm_backend_missing("cuda"), "libowm-cuda.so"));
    CHECK(strstr(owm_backend_missing("hip"), "libowm-hip.so"));
    CHECK(!owm_backend_missing("cpu") && !owm_backend_missing("reference"));
    CHECK(strstr(owm_backend_missing("abacus"), "cuda and hip"));
    expect_auto("cpu");
    expect_refusal("cuda", OWM_E_UNSUPPORTED, "libowm-cuda.so");
    expect_refusal("hip", OWM_E_UNSUPPORTED, "'hip' is not there");
    expect_refusal("abacus", OWM_E_UNSUPPORTED, "auto, cuda, hip, cpu and reference");
}

static void story_good(void)
{
    CHECK(strcmp(owm_backend_at(0)->name, "cuda") == 0);
    CHECK(owm_backend_at(1) == &owm_backend_cpu && !owm_backend_at(3));
    CHECK(!owm_backend_missing("cuda") && owm_backend_missing("hip"));
    CHECK(owm_backend_pick("auto", NULL) == owm_backend_at(0));
    CHECK(owm_backend_pick(NULL, NULL) == owm_backend_at(0));
    CHECK(owm_backend_pick("cpu", NULL) == &owm_backend_cpu);
    expect_auto("cuda");
}

static void story_no_device(void)
{
    CHECK(owm_backend_pick("auto", NULL) == &owm_backend_cpu);
    expect_auto("cpu");
    expect_refusal("cuda", OWM_E_UNSUPPORTED, "planted: no driver");
}

static void story_fault(void)
{
    expect_refusal("cuda", OWM_E_DEVICE, "op 'add'");
    expect_auto("cpu");
}

static void story_wrong_abi(void)
{
    CHECK(owm_backend_at(0) == &owm_backend_cpu);
    CHECK(strstr(owm_backend_missing("cuda"), "plug-in version"));
    expect_refusal("cuda", OWM_E_UNSUPPORTED, "plug-in version");
}

static void expect_no_load(const char *path, owm_status want, const char *words)
{
    const struct owm_backend *backend = NULL;
    struct owm_error error = {""};
    owm_status status = owm_backend_load(path, &backend, &error);
    if (status != want || !strstr(error.text, words)) printf("%d %s\n", status, error.text);
    CHECK(status == want && strstr(error.text, words) && !backend);
}

static void test_loads(void)
{
    const struct owm_backend *backend = NULL;
    CHECK(owm_backend_load(PLUGINS "/good/libowm-cuda.so", &backend, NULL) == OWM_OK);
    CHECK(strcmp(backend->name, "cuda") == 0 && backend->abi == OWM_BACKEND_ABI);
    expect_no_load(PLUGINS "/nowhere.so", OWM_E_NOTFOUND, "nowhere.so");
    expect_no_load(PLUGINS "/abi/libowm-cuda.so", OWM_E_UNSUPPORTED, "needs");
    expect_no_load(PLUGINS "/empty/libowm-cuda.so", OWM_E_UNSUPPORTED, "owm_plugin_backend");
    char path[] = "/tmp/owm-no-elf-XXXXXX";
    int file = mkstemp(path);
    CHECK(file >= 0 && write(file, "no ELF\n", 7) == 7 && close(file) == 0);
    expect_no_load(path, OWM_E_UNSUPPORTED, "does not open");
    CHECK(unlink(path) == 0);
}

/* ---- What a device can do besides ops. ---- */

static void test_queues(struct owm_device *device)
{
    const struct owm_backend *b = device->backend;
    double ms = -1;
    CHECK(b->event_record(device, OWM_QUEUE_COMPUTE, OWM_EVENTS_MAX) == OWM_E_ARG);
    CHECK(b->event_record(device, OWM_QUEUES, 0) == OWM_E_ARG);
    CHECK(b->event_wait(device, OWM_QUEUE_COMPUTE, OWM_EVENTS_MAX) == OWM_E_ARG);
    CHECK(b->event_wait(device, OWM_QUEUE_COMPUTE, 7) == OWM_E_STATE);
    CHECK(b->event_elapsed(device, 7, 8, &ms) == OWM_E_STATE);
    CHECK(b->event_elapsed(device, 0, OWM_EVENTS_MAX, &ms) == OWM_E_ARG);
    enum { BYTES = 100003 };
    uint8_t *host = NULL, *back = NULL;
    void *mem = NULL;
    CHECK(b->host_alloc(device, (void **)&host, BYTES) == OWM_OK && (uintptr_t)host % 64 == 0);
    CHECK(b->host_alloc(device, (void **)&back, BYTES) == OWM_OK);
    CHECK(b->mem_alloc(device, &mem, BYTES) == OWM_OK && (uintptr_t)mem % 64 == 0);
    for (int i = 0; i < BYTES; i++) host[i] = (uint8_t)owm_rng_u64(&check_rng);
    CHECK(b->event_record(device, OWM_QUEUE_UPLOAD, 7) == OWM_OK);
    CHECK(b->put_async(device, mem, host, BYTES) == OWM_OK);
    CHECK(b->event_record(device, OWM_QUEUE_UPLOAD, 8) == OWM_OK);
    CHECK(b->event_wait(device, OWM_QUEUE_DOWNLOAD, 8) == OWM_OK);
    CHECK(b->get_async(device, back, mem, BYTES) == OWM_OK);
    CHECK(b->sync(device) == OWM_OK && memcmp(host, back, BYTES) == 0);
    CHECK(b->event_elapsed(device, 7, 8, &ms) == OWM_OK && ms >= 0 && ms < 10000);
    b->mem_free(device, mem);
    b->mem_free(device, NULL);
    b->host_free(device, host);
    b->host_free(device, back);
    b->host_free(device, NULL);
}

static void test_arena(struct owm_device *device)
{
    struct owm_arena arena = {0};
    CHECK(owm_arena_init(&arena, device, 10000) == OWM_OK);
    char *a = owm_arena_take(&arena, 1);
    CHECK(a && (uintptr_t)a % OWM_ARENA_ALIGN == 0);
    size_t mark = arena.used;
    char *b = owm_arena_take(&arena, 3000);
    CHECK(b >= a + 1 && (uintptr_t)b % OWM_ARENA_ALIGN == 0);
    CHECK(!owm_arena_take(&arena, 10000) && !owm_arena_take(&arena, SIZE_MAX));
    CHECK(device->backend->mem_zero(device, b, 3000) == OWM_OK);
    owm_arena_reset(&arena, mark);
    CHECK(owm_arena_take(&arena, 5) == b);
    owm_arena_reset(&arena, 0);
    CHECK(owm_arena_take(&arena, 1) == a && arena.most >= 3001);
    owm_arena_deinit(&arena);
    owm_arena_deinit(&arena);
}

static void test_all_sum(void)
{
    enum { DEVICES = 3, N = 1001 };
    struct owm_device *device[DEVICES];
    float *buffer[DEVICES], want[N] = {0};
    for (int d = 0; d < DEVICES; d++) {
        CHECK(owm_backend_cpu.open(&device[d], &(struct owm_device_config){0}, NULL) == OWM_OK);
        buffer[d] = check_data(N);
        for (int i = 0; i < N; i++) want[i] += buffer[d][i];
    }
    const struct owm_backend *b = device[0]->backend;
    CHECK(b->all_sum(device, buffer, DEVICES, N) == OWM_OK);
    for (int d = 0; d < DEVICES; d++)
        for (int i = 0; i < N; i++) CHECK(fabsf(buffer[d][i] - want[i]) < 1e-5f);
    CHECK(b->all_sum(device, buffer, 1, N) == OWM_OK);
    CHECK(b->all_sum(device, buffer, 0, N) == OWM_E_ARG);
    CHECK(b->all_sum(device, buffer, DEVICES, 0) == OWM_E_ARG);
    CHECK(b->all_sum(NULL, buffer, DEVICES, N) == OWM_E_ARG);
    struct owm_device *twice[] = {device[0], device[0]};
    CHECK(b->all_sum(twice, buffer, 2, N) == OWM_E_ARG);
    for (int d = 0; d < DEVICES; d++) {
        owm_backend_cpu.close(device[d]);
        free(buffer[d]);
    }
}

static void test_info(const struct owm_backend *backend)
{
    struct owm_device_info info;
    CHECK(backend->abi == OWM_BACKEND_ABI && backend->device_count() == 1);
    CHECK(backend->device_info(0, &info) == OWM_OK && info.usable && !*info.refusal);
    CHECK(*info.name && *info.arch && info.memory_bytes >= info.memory_free_bytes);
    printf("%s: %s, %s, %llu MiB\n", backend->name, info.name, info.arch,
           (unsigned long long)(info.memory_bytes >> 20));
    CHECK(backend->device_info(1, &info) == OWM_E_ARG && *info.refusal && !info.usable);
    CHECK(backend->device_info(-1, &info) == OWM_E_ARG);
}

static void test_device(const struct owm_backend *backend)
{
    struct owm_device *device = NULL;
    CHECK(backend->open(&device, &(struct owm_device_config){0}, NULL) == OWM_OK);
    test_queues(device);
    test_arena(device);
    device->backend->close(device);
    test_info(backend);
}

int main(void)
{
    struct owm_pool *pool = NULL;
    check_seed();
    in_child(story_none, PLUGINS, "");
    in_child(story_good, PLUGINS "/good", "good");
    in_child(story_no_device, PLUGINS "/good", "no device");
    in_child(story_fault, PLUGINS "/good", "fault");
    in_child(story_wrong_abi, PLUGINS "/abi", "");
    test_loads();
    test_every_op_is_tried();
    test_device(&owm_backend_cpu);
    test_device(&owm_backend_reference);
    test_all_sum();
    CHECK(owm_pool_open(3, &pool) == OWM_OK);
    test_faults(NULL);
    test_faults(pool);
    owm_pool_close(pool);
    return 0;
}
