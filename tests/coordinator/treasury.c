/* treasury.c: see treasury.h. */
#include "treasury.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "test.h"

static void run_double(const struct treasury *treasury, int out)
{
    char node[160];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out, 1);
    snprintf(node, sizeof(node), "%s/treasury%s%s", treasury->folder,
             treasury->address[0] ? "=" : "", treasury->address);
    execl(LND_DOUBLE, "lnd-double", "--network", "regtest", "--control", treasury->control, node,
          (char *)NULL);
    _exit(127);
}

void treasury_start(struct treasury *treasury)
{
    int out[2];
    if (!treasury->folder[0]) {
        snprintf(treasury->folder, sizeof(treasury->folder), "/tmp/owm-treasury-XXXXXX");
        assert_non_null(mkdtemp(treasury->folder));
        snprintf(treasury->control, sizeof(treasury->control), "%s/control", treasury->folder);
    }
    assert_int_equal(pipe(out), 0);
    treasury->pid = fork();
    if (treasury->pid == 0) run_double(treasury, out[1]);
    close(out[1]);
    FILE *said = fdopen(out[0], "r");
    assert_int_equal(fscanf(said, "ready treasury %63s %66s", treasury->address, treasury->key), 2);
    fclose(said);
    for (int i = 0; i < 200 && access(treasury->control, F_OK) != 0; i++) owm_clock_sleep_ms(10);
}

void treasury_kill(struct treasury *treasury)
{
    if (treasury->pid <= 0) return;
    kill(treasury->pid, SIGKILL);
    waitpid(treasury->pid, NULL, 0);
    treasury->pid = 0;
    unlink(treasury->control);
}

void treasury_close(struct treasury *treasury)
{
    treasury_kill(treasury);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", treasury->folder, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

const char *treasury_do(struct treasury *treasury, const char *format, ...)
{
    static char answer[4096];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char status[16] = "";
    size_t lines = 0;
    va_list args;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", treasury->control);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    dprintf(fd, "treasury ");
    va_start(args, format);
    vdprintf(fd, format, args);
    va_end(args);
    dprintf(fd, "\n");
    FILE *in = fdopen(fd, "r");
    assert_non_null(fgets(answer, sizeof(answer), in));
    sscanf(answer, "%15s %zu", status, &lines);
    answer[0] = 0;
    if (lines) assert_non_null(fgets(answer, sizeof(answer), in));
    fclose(in);
    answer[strcspn(answer, "\n")] = 0;
    if (strcmp(status, "ok") != 0) fail_msg("treasury: %s: %s", format, answer);
    return answer;
}

void treasury_options(const struct treasury *treasury, struct coordinator *c)
{
    char option[96];
    coordinator_option(c, "--policy.stake=lightning");
    coordinator_option(c, "--lightning.backend=lnd");
    coordinator_option(c, "--lightning.network=regtest");
    snprintf(option, sizeof(option), "--lightning.address=%s", treasury->address);
    coordinator_option(c, option);
    snprintf(option, sizeof(option), "--lightning.certificate=%.40s/treasury/tls.cert",
             treasury->folder);
    coordinator_option(c, option);
    snprintf(option, sizeof(option), "--lightning.stake_credential=%.40s/treasury/stake.macaroon",
             treasury->folder);
    coordinator_option(c, option);
}
