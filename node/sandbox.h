/* sandbox.h: what a worker may do once it has begun: compute, and use the descriptors it was given.
 *
 * Two fences, one behind the other (SRS-NODE-05):
 *   namespaces  own user, network, mount (an empty read-only root), process and IPC namespaces,
 *               all capabilities dropped. Not every kernel or container allows it: then it is
 *               skipped, and `text` says so.
 *   seccomp     a list of allowed system calls; open, socket, exec, fork, ptrace, ioctl and all
 *               others fail with EPERM, and executable memory cannot be made. Never skipped.
 * Before both: no_new_privs, no core dump, limits on memory, processor time and descriptors.
 *
 * With a GPU (`gpu`) the fences are lower, because its driver lives in this process: it holds open
 * device files and threads, so there are no namespaces; ioctl is allowed, of the GPU drivers' kinds
 * alone; the memory limit counts private memory in place of address space, of which drivers reserve
 * terabytes. The driver starts between owm_sandbox_begin and owm_sandbox_enter. That a driver still
 * works behind the fence is not known beforehand: the caller tries each op again when it is up.
 */
#ifndef OWM_NODE_SANDBOX_H
#define OWM_NODE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define OWM_SANDBOX_FILES_MAX 32

struct owm_sandbox_options {
    uint64_t memory_bytes_max; /* address space; 0: no limit */
    uint64_t cpu_seconds_max;  /* processor time in the whole life; 0: no limit */
    bool namespaces;           /* try the first fence; false only in tests and with a GPU */
    bool gpu;                  /* a GPU's driver runs already; owm_sandbox_begin was called */
};

struct owm_sandbox_report {
    bool namespaces;
    char text[160]; /* one sentence for the log */
};

/** owm_sandbox_begin: what can be given up before a GPU's driver starts: descriptors but 0, 1, 2
 *  and `keep_fd`, capabilities, new privileges, outliving the parent.
 *  Thread: the process must have one thread only.
 *  Returns: OWM_OK; OWM_E_UNSUPPORTED. */
OWM_MUST_USE owm_status owm_sandbox_begin(int keep_fd, struct owm_error *error);

/** owm_sandbox_enter: close everything but descriptors 0, 1, 2 and `keep_fd`, then put up the
 *  fences for the rest of this process's life.
 *
 *  With namespaces the caller goes on in a child process (process 1 of its own namespace); the
 *  original process waits for it, and ends as it ended. If the original is killed, so is the child.
 *  With `gpu`: nothing is closed; the filter is put on all threads.
 *  Thread: the process must have one thread only, save with `gpu`.
 *  Returns: OWM_OK; OWM_E_UNSUPPORTED the kernel has no seccomp filters; OWM_E_IO; OWM_E_NOMEM. On
 *  failure the process must exit: it may be half fenced.
 */
OWM_MUST_USE owm_status owm_sandbox_enter(const struct owm_sandbox_options *options, int keep_fd,
                                          struct owm_sandbox_report *report,
                                          struct owm_error *error);

#endif
