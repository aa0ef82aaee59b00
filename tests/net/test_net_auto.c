/* test_net_auto.c: where io_uring is forbidden, AUTO is epoll and a named io_uring an error. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "echo_server.h"
#include "test.h"

/* What a container's seccomp profile does; it lasts until this process ends. */
static bool forbid_io_uring(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof rules / sizeof *rules, .filter = rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
           && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void test_forbidden(void **state)
{
    (void)state;
    struct echo_server server;
    struct owm_error error = {0};
    echo_transport = OWM_NET_AUTO;
    echo_init(&server);
    struct owm_net_options options = echo_options(&server, 1);
    echo_open(&server, &options);
    assert_string_equal(owm_net_transport_name(server.net), "epoll");
    int fd = client_open(&server);
    assert_true(client_echo(fd, 100));
    (void)close(fd);
    owm_net_close(server.net);
    server.net = NULL;
    options.transport = OWM_NET_URING;
    assert_int_equal(owm_net_open(&options, &server.net, &error), OWM_E_PERM);
    assert_non_null(strstr(error.text, "io_uring"));
    echo_close(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forbidden)};
    if (!forbid_io_uring()) {
        printf("skipped: no seccomp here: %s\n", strerror(errno));
        return TEST_SKIP;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
