/* test_sandbox.c: SRS-NODE-05: what a process cannot do behind the worker's fences. Each attempt is
 * made by a child that applied the very function that owm-worker applies, with and without the
 * namespaces, so that the second fence is shown to hold alone. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/sandbox.h"
#include "test.h"

static pid_t tests_pid;

/** attempt: true if it succeeded, that is, if the fence has a hole. */
typedef bool (*attempt)(void);

static bool try_open(void)
{
    return open("/etc/passwd", O_RDONLY) >= 0;
}

static bool try_create(void)
{
    return open("/tmp/owm-sandbox-hole", O_WRONLY | O_CREAT, 0600) >= 0;
}

static bool try_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}

static bool try_exec(void)
{
    execl("/bin/true", "true", (char *)NULL); /* On success the exit code would be 0. */
    return false;
}

static bool try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    return pid > 0;
}

static bool try_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
           != MAP_FAILED;
}

static bool try_make_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool try_kill(void)
{
    return kill(1, 0) == 0 || kill(getppid(), 0) == 0;
}

/* By the one call that raise() and abort() need. */
static bool try_signal_thread(void)
{
    pid_t parent = tests_pid;
    return syscall(SYS_tgkill, parent, parent, 0) == 0 || errno == ESRCH;
}

static bool abort_fails(void)
{
    return raise(SIGCONT) != 0;
}

static bool try_ptrace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0;
}

static bool try_list(void)
{
    struct stat st;
    return stat("/etc/passwd", &st) == 0 || access("/etc", R_OK) == 0;
}

static bool try_inherited(void)
{
    return fcntl(9, F_GETFD) >= 0 || lseek(9, 0, SEEK_CUR) >= 0;
}

/** must work: memory, threads, the clock, the descriptor that was kept. */
static void *thread(void *ctx)
{
    *(int *)ctx = 1;
    return NULL;
}

static bool work_fails(void)
{
    int ran = 0;
    pthread_t id;
    struct timespec now;
    char *memory = malloc(32u << 20);
    if (memory == NULL || clock_gettime(CLOCK_MONOTONIC, &now) != 0) return true;
    memset(memory, 1, 32u << 20);
    free(memory);
    if (pthread_create(&id, NULL, thread, &ran) != 0) return true;
    pthread_join(id, NULL);
    return ran != 1 || write(5, "x", 1) != 1;
}

#define FENCED   7
#define HOLE     8
#define NO_FENCE 9

static int run(attempt what, bool namespaces)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[1], 5);
        dup2(pipes[0], 9);
        struct owm_sandbox_report report;
        struct owm_error error;
        const struct owm_sandbox_options options = {.memory_bytes_max = 1u << 30,
                                                    .namespaces = namespaces};
        if (owm_sandbox_enter(&options, 5, &report, &error) != OWM_OK) _exit(NO_FENCE);
        _exit(what() ? HOLE : FENCED);
    }
    int state = 0;
    assert_int_equal(waitpid(pid, &state, 0), pid);
    close(pipes[0]);
    close(pipes[1]);
    assert_true(WIFEXITED(state));
    return WEXITSTATUS(state);
}

static void check(attempt what)
{
    assert_int_equal(run(what, false), FENCED);
    assert_int_equal(run(what, true), FENCED);
}

#define TEST(name)                                                                                 \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        check(name);                                                                               \
    }
TEST(try_open)          /* SRS-NODE-05: opens no file */
TEST(try_create)        /* SRS-NODE-05: makes no file */
TEST(try_socket)        /* SRS-NODE-05: no network */
TEST(try_exec)          /* SRS-NODE-05: starts no program */
TEST(try_fork)          /* SRS-NODE-05: starts no process */
TEST(try_code)          /* SRS-NODE-05: makes no code */
TEST(try_make_code)     /* SRS-NODE-05: makes no code of data */
TEST(try_kill)          /* SRS-NODE-05: signals nobody */
TEST(try_signal_thread) /* SRS-NODE-05: nor a thread of somebody else */
TEST(abort_fails)       /* SRS-NODE-05: but may end itself */
TEST(try_ptrace)        /* SRS-NODE-05: traces nobody */
TEST(try_list)          /* SRS-NODE-05: sees no file */
TEST(try_inherited)     /* SRS-NODE-05: inherits no descriptor */
TEST(work_fails)        /* SRS-NODE-05: and can still compute */

/* SRS-NODE-05: without the fences every attempt succeeds, so the tests above can fail. */
static void test_attempts_work_unfenced(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = try_open() && try_socket() && try_fork() && try_make_code() && try_list();
        execl("/bin/true", "true", (char *)NULL);
        _exit(ok ? 1 : 2);
    }
    int state_of_child = 0;
    waitpid(pid, &state_of_child, 0);
    assert_int_equal(WEXITSTATUS(state_of_child), 0);
}

/* SRS-NODE-05: memory beyond the limit is refused (not under a sanitizer, which has no limit). */
static bool try_memory(void)
{
    return mmap(NULL, 2u << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
           != MAP_FAILED;
}

static void test_memory(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip();
#endif
    check(try_memory);
}

int main(void)
{
    tests_pid = getpid();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_try_open),
        cmocka_unit_test(test_try_create),
        cmocka_unit_test(test_try_socket),
        cmocka_unit_test(test_try_exec),
        cmocka_unit_test(test_try_fork),
        cmocka_unit_test(test_try_code),
        cmocka_unit_test(test_try_make_code),
        cmocka_unit_test(test_try_kill),
        cmocka_unit_test(test_try_ptrace),
        cmocka_unit_test(test_try_list),
        cmocka_unit_test(test_try_inherited),
        cmocka_unit_test(test_work_fails),
        cmocka_unit_test(test_try_signal_thread),
        cmocka_unit_test(test_abort_fails),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_attempts_work_unfenced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
