/* absl_mutex.cpp: gRPC's locks without the lock-order graph.
 *
 * Debian builds Abseil without NDEBUG, so that each lock gRPC takes is recorded in one global graph
 * behind one spin lock, and a suspected cycle aborts the process. It costs a fifth of a call's
 * processor time. The switch has no C interface, hence the one C++ file here. */
#include <absl/synchronization/mutex.h>

extern "C" void rpc_mutex_untracked(void);

extern "C" void rpc_mutex_untracked(void)
{
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}
