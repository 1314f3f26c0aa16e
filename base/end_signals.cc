#include "base/end_signals.h"

#include <signal.h>
#include <sys/signalfd.h>

namespace virtfs {

Result<UniqueFd> CatchEndSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  if (sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return Errno::Last();
  UniqueFd fd(signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!fd.ok()) return Errno::Last();
  return fd;
}

}  // namespace virtfs
