/* sandbox.c: namespaces, limits and the system call filter around a worker. */
#include "node/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif

/* ------------------------------------------------------------------------ namespaces */

/** write_text: one short write to a file of /proc. */
static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t wrote = write(fd, text, strlen(text));
    close(fd);
    return wrote == (ssize_t)strlen(text);
}

/** map_identity: our own user and group, and nobody else, exist in the new user namespace. */
static bool map_identity(uid_t uid, gid_t gid)
{
    char line[64];
    snprintf(line, sizeof line, "0 %u 1", (unsigned)uid);
    if (!write_text("/proc/self/uid_map", line)) return false;
    if (!write_text("/proc/self/setgroups", "deny")) return false;
    snprintf(line, sizeof line, "0 %u 1", (unsigned)gid);
    return write_text("/proc/self/gid_map", line);
}

/** empty_root: replace the file tree by an empty, read-only one. */
static bool empty_root(void)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return false;
    if (mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, "size=4k")
        != 0)
        return false;
    if (chdir("/proc") != 0) return false;
    if (syscall(SYS_pivot_root, ".", ".") != 0) return false;
    return umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
}

/** end_as_child: wait for the process that goes on, and end the way it did. */
static _Noreturn void end_as_child(pid_t child)
{
    int state = 0;
    while (waitpid(child, &state, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(state)) {
        signal(WTERMSIG(state), SIG_DFL);
        raise(WTERMSIG(state));
    }
    _exit(WIFEXITED(state) ? WEXITSTATUS(state) : 1);
}

static void drop_capabilities(void)
{
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++) prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}, {0}};
    syscall(SYS_capset, &header, data);
}

/** enter_namespaces: false leaves the reason in `report`; the second fence still comes. */
static bool enter_namespaces(int keep_fd, struct owm_sandbox_report *report)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int all =
        CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
    const char *step = "unshare";
    if (unshare(all) != 0) goto failed;
    step = "uid_map";
    if (!map_identity(uid, gid)) goto failed;
    step = "empty root";
    if (!empty_root()) goto failed;
    step = "fork";
    pid_t child = fork();
    if (child < 0) goto failed;
    if (child > 0) {
        close(keep_fd); /* Or the other end would never see the child's end of it closed. */
        end_as_child(child);
    }
    snprintf(report->text, sizeof report->text,
             "own user, network, mount, process and IPC namespaces, and a system call filter");
    return true;
failed:
    snprintf(report->text, sizeof report->text,
             "system call filter alone: this kernel or container refuses namespaces (%s: %s)", step,
             strerrordesc_np(errno));
    return false;
}

/* ---------------------------------------------------------------------------- limits */

static bool limit(int resource, uint64_t value)
{
    struct rlimit both = {value, value};
    return setrlimit((__rlimit_resource_t)resource, &both) == 0;
}

/** set_limits: no RLIMIT_NPROC: it counts all processes of the user, and the filter already
 *  forbids new ones. A sanitizer reserves terabytes of address space, so no RLIMIT_AS there. */
static bool set_limits(const struct owm_sandbox_options *options)
{
    bool ok = limit(RLIMIT_CORE, 0);
    if (!options->gpu) ok = ok && limit(RLIMIT_NOFILE, OWM_SANDBOX_FILES_MAX);
#ifndef UNDER_SANITIZER
    int memory = options->gpu ? RLIMIT_DATA : RLIMIT_AS;
    if (options->memory_bytes_max) ok = ok && limit(memory, options->memory_bytes_max);
#endif
    if (options->cpu_seconds_max) ok = ok && limit(RLIMIT_CPU, options->cpu_seconds_max);
    return ok;
}

/* --------------------------------------------------------------------------- seccomp */

/* What glibc's memory, threads, clock and stdio need, and reading and writing what is open. */
static const int allowed[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendto),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(lseek),
    SCMP_SYS(ftruncate),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(membarrier),
    SCMP_SYS(restart_syscall),
};

/** allow_with_arguments: calls that are harmless in one form only. */
static int allow_with_arguments(scmp_filter_ctx filter)
{
    int bad = 0;
    bad |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                            SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    bad |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                            SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    bad |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    /* abort() and raise(); anyone else's threads are out of reach, also without namespaces. */
    bad |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    /* clone3's flags lie in memory, where a filter cannot look: glibc then takes clone. */
    bad |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    /* fstat() of glibc. */
    bad |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
                            SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH, 0));
    return bad;
}

/** allow_gpu: ioctl of the kinds that GPU drivers use: NVIDIA's 'F' and 0 (its unified memory has
 *  bare numbers), AMD's 'K' (kfd) and 'd' (drm). A terminal's are 'T', a socket's 0x89. */
static int allow_gpu(scmp_filter_ctx filter)
{
    static const unsigned kinds[] = {'F', 0, 'K', 'd'};
    int bad = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        bad |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                SCMP_A1(SCMP_CMP_MASKED_EQ, 0xff00, kinds[i] << 8));
    return bad;
}

static owm_status load_filter(bool gpu, struct owm_error *error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL) return owm_fail(error, OWM_E_NOMEM, "no memory for the worker's sandbox");
    int bad = 0;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        bad |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    bad |= allow_with_arguments(filter);
    if (gpu) bad |= allow_gpu(filter);
    if (bad == 0) bad = seccomp_load(filter);
    seccomp_release(filter);
    if (bad != 0)
        return owm_fail(error, OWM_E_UNSUPPORTED,
                        "the worker's system call filter could not be loaded (%s); the kernel "
                        "needs CONFIG_SECCOMP_FILTER, and tasks are not run without it",
                        strerrordesc_np(-bad));
    return OWM_OK;
}

static owm_status begin(int keep_fd, struct owm_error *error)
{
    if (keep_fd > 3) close_range(3, (unsigned)keep_fd - 1, 0);
    close_range((unsigned)keep_fd + 1, ~0u, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return owm_fail(error, OWM_E_UNSUPPORTED, "no_new_privs is refused: %s",
                        strerrordesc_np(errno));
    return OWM_OK;
}

owm_status owm_sandbox_enter(const struct owm_sandbox_options *options, int keep_fd,
                             struct owm_sandbox_report *report, struct owm_error *error)
{
    *report = (struct owm_sandbox_report){.text = "system call filter alone, as asked for"};
    if (options->gpu)
        snprintf(report->text, sizeof report->text,
                 "system call filter that lets the GPU's driver through, no namespaces");
    owm_status status = options->gpu ? OWM_OK : begin(keep_fd, error);
    if (status != OWM_OK) return status;
    if (options->namespaces && !options->gpu)
        report->namespaces = enter_namespaces(keep_fd, report);
    if (!options->gpu) drop_capabilities();
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    /* Dropping rights clears this one, so it comes after. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (!set_limits(options))
        return owm_fail(error, OWM_E_IO, "a limit of the worker is refused: %s",
                        strerrordesc_np(errno));
    return load_filter(options->gpu, error);
}

owm_status owm_sandbox_begin(int keep_fd, struct owm_error *error)
{
    owm_status status = begin(keep_fd, error);
    if (status == OWM_OK) drop_capabilities();
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* A driver may hang as it starts. */
    return status;
}
