/* process.h: the programs of a development network as child processes, each with a log file.
 *
 * A child dies with us, also when we are killed (PR_SET_PDEATHSIG). Thread: the main thread alone.
 */
#ifndef OWM_DEVNET_PROCESS_H
#define OWM_DEVNET_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/status.h"

#define DEVNET_ARGS_MAX 24

/** process: one child. `name` is for people; pid is 0 when it does not run. */
struct process {
    char name[32];
    pid_t pid;
    int exit_status; /* As waitpid gave it, once pid is 0 again. */
};

/** process_options: log_path takes what it prints (NULL: our own output does); user is the account
 *  to become (NULL: stay who we are); database_url is its DATABASE_URL (NULL: ours). */
struct process_options {
    const char *log_path;
    const char *user;
    const char *database_url;
};

/** process_start: argv[0] is the program's path; argv ends with NULL.
 *  Returns: OWM_E_IO if the log cannot be opened or the program cannot be run (with its name). */
owm_status process_start(struct process *process, const char *name, const char *const *argv,
                         const struct process_options *options,
                         struct owm_error *error) OWM_MUST_USE;

/** process_run: start, wait, and fail unless it exits 0; the error names the log. */
owm_status process_run(const char *name, const char *const *argv,
                       const struct process_options *options, struct owm_error *error) OWM_MUST_USE;

/** process_ask: start, wait, and give what it printed on both outputs.
 *
 *  text  malloc'ed, terminated, at most PROCESS_TEXT_MAX bytes of it; the caller frees it.
 *  Returns: OWM_E_IO it cannot be run; OWM_E_STATE it did not exit 0: the error is the last line
 *  that it printed. */
#define PROCESS_TEXT_MAX ((size_t)4 << 20)
owm_status process_ask(const char *name, const char *const *argv, char **text,
                       struct owm_error *error) OWM_MUST_USE;

/** process_alive: false once it has ended; takes its exit status. */
bool process_alive(struct process *process);

/** process_stop: `signal`, then SIGKILL after timeout_ms. Harmless when it does not run. */
void process_stop(struct process *process, int signal, unsigned timeout_ms);

/** process_end_text: "exit code 1", "signal 9 (Killed)"; static buffer. */
const char *process_end_text(const struct process *process);

#endif
