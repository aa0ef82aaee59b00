/* test_emu_faults.c: each fault of faults.cu, in a process of its own, is told in the right words;
 * right programs give right results. In every order of threads, for warps of 32 and of 64. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cuda_runtime.h"
#include "faults.h"

#define WORDS 128
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: CHECK(%s)\n", __FILE__, __LINE__, #cond);                      \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static const struct {
    const char *kernel, *words;
    bool refused; /* By the call, as CUDA does, and not by the end of the process. */
} expected[FAULTS] = {
    [TWO_BARRIERS] = {"kernel two_barriers", "barrier divergence", false},
    [GONE_AT_BARRIER] = {"kernel gone_at_barrier", "which has ended", false},
    [GONE_AT_SHUFFLE] = {"kernel gone_at_shuffle", "names lane 3, which has ended", false},
    [TWO_VOTES] = {"kernel two_votes", "which is at __any_sync in line", false},
    [LANE_NOT_IN_MASK] = {"kernel lane_not_in_mask", "reads lane 9, which is not in its", false},
    [BEYOND_SHARED] = {"kernel beyond_shared", "reads element 10 of shared part[10]", false},
    [BEFORE_SHARED] = {"kernel before_shared", "writes element -1 of shared part[10]", false},
    [BEYOND_DYNAMIC] = {"thread (63,0,0)", "writes element 252 of shared the dynamic", false},
    [UNWRITTEN_SHARED] = {"thread (7,0,0)", "part[64] (unsigned), which nobody has", false},
    [MISSING_BARRIER] = {"kernel missing_barrier", "race: it ", false},
    [READ_THEN_WRITE] = {"kernel read_then_write", "race: it ", false},
    [HALF_ATOMIC] = {"kernel half_atomic", "race: it ", false},
    [MISALIGNED_SHARED] = {"kernel misaligned_shared", "misaligned: it reads 8 bytes", false},
    [BEYOND_DEVICE] = {"kernel beyond_device", "bytes after the end of allocation 1", false},
    [BEFORE_DEVICE] = {"kernel before_device", "bytes before allocation 1 of 512 bytes", false},
    [FREED_DEVICE] = {"kernel beyond_device", "of 512 bytes, which was freed", false},
    [READS_HOST] = {"kernel reads_host", "it reads host memory", false},
    [HOST_READS_DEVICE] = {"faults.cu", "host code reads device memory at byte 0", false},
    [WAITS_FOREVER] = {"kernel waits_forever", "waits in a loop", false},
    [FILLS_STACK] = {"kernel fills_stack", "its local variables fill a stack", false},
    [LARGE_BLOCK] = {"kernel nothing", "a block has 1024 threads at most", true},
    [EMPTY_GRID] = {"kernel nothing", "the grid is empty", true},
    [HIGH_GRID] = {"kernel nothing", "the grid is above its limit", true},
    [MUCH_SHARED] = {"kernel nothing", "cudaFuncSetAttribute must allow it", true},
    [BAD_COPY] = {"refused", "copy to the device of 516 bytes", true},
    [BAD_STREAM] = {"refused", "no such stream", true},
};

static unsigned *device_words(unsigned count)
{
    void *mem = NULL;
    CHECK(cudaMalloc(&mem, count * sizeof(unsigned)) == cudaSuccess);
    CHECK(cudaMemset(mem, 0, count * sizeof(unsigned)) == cudaSuccess);
    return mem;
}

/* In a child: plant it and end with 0 if nothing was noticed, 3 if the call was refused. */
static void child(enum fault fault, int stderr_end)
{
    dup2(stderr_end, STDERR_FILENO);
    plant(fault, device_words(WORDS), WORDS);
    _exit(cudaGetLastError() == cudaSuccess ? 0 : 3);
}

static void test_fault(enum fault fault)
{
    int ends[2], status;
    char told[4096];
    CHECK(pipe(ends) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) child(fault, ends[1]);
    close(ends[1]);
    size_t have = 0;
    ssize_t got;
    while (have + 1 < sizeof told && (got = read(ends[0], told + have, sizeof told - 1 - have)) > 0)
        have += (size_t)got;
    told[have] = '\0';
    close(ends[0]);
    CHECK(waitpid(pid, &status, 0) == pid);
    bool ended = expected[fault].refused ? WIFEXITED(status) && WEXITSTATUS(status) == 3
                                         : WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    bool line = expected[fault].refused || strstr(told, " at faults.cu:");
    if (ended && line && strstr(told, expected[fault].kernel)
        && strstr(told, expected[fault].words))
        return;
    fprintf(stderr, "fault %d: status %x, told: %s\n", (int)fault, status, told);
    exit(1);
}

static void test_right(void)
{
    unsigned in[WORDS], out[320], sums[2] = {0}, bins[8] = {0}, running = 0;
    for (unsigned i = 0; i < WORDS; i++) in[i] = i * 2654435761u >> 20;
    unsigned *in_dev = device_words(WORDS), *out_dev = device_words(320);
    CHECK(cudaMemcpy(in_dev, in, sizeof in, cudaMemcpyHostToDevice) == cudaSuccess);
    right_programs(out_dev, in_dev);
    CHECK(cudaGetLastError() == cudaSuccess);
    CHECK(cudaMemcpy(out, out_dev, sizeof out, cudaMemcpyDeviceToHost) == cudaSuccess);
    for (unsigned i = 0; i < WORDS; i++) sums[i / 64] += in[i];
    CHECK(out[0] == sums[0] && out[1] == sums[1]);
    for (unsigned i = 0; i < 64; i++) {
        running += in[i];
        bins[in[i] % 8] += 3;
        CHECK(out[64 + i] == running);
        CHECK(out[128 + i] == in[i % 8 * 8 + i / 8]);
        CHECK(out[256 + i] == in[i ^ 1]);
    }
    CHECK(memcmp(bins, out + 192, sizeof bins) == 0);
    CHECK(cudaFree(in_dev) == cudaSuccess && cudaFree(out_dev) == cudaSuccess);
}

int main(void)
{
    /* Children first: each begins with an emulator that has allocated nothing. */
    for (int fault = 0; fault < FAULTS; fault++) test_fault((enum fault)fault);
    test_right();
    return 0;
}
