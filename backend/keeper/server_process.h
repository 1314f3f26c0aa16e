// ServerProcess: one server, a fresh exec of this very binary, and the keeper's end of its link.
//
// The new process has an empty environment (but for what a simulated Xen and sanitizers need), no signal blocked, and
// no descriptor but standard error and output, /dev/null as input, and its end of the link as descriptor 3.
// Destroying it kills it and reaps it, unless the kernel does not let it die within five seconds.
// Threads: one at a time; starting one is safe beside libxenstore's own thread.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace virtfs::backend {

inline constexpr int kServerLinkFd = 3;
inline constexpr char kServerFlag[] = "--server-fd=3";

class ServerProcess {
 public:
  // `about` appears in its command line for whoever looks at the list of processes.
  static absl::StatusOr<ServerProcess> Start(const std::string& about);

  ServerProcess(ServerProcess&& other) noexcept;
  ServerProcess& operator=(ServerProcess&& other) = delete;
  ~ServerProcess();

  pid_t pid() const { return pid_; }
  int link() const { return link_.get(); }
  // Readable once the process has ended.
  int pidfd() const { return pidfd_.get(); }

  void Kill();
  // If it has ended: how, as a sentence ("exited with status 0", "was killed by signal 9"). Reaps it.
  std::optional<std::string> Reap();
  bool exited_well() const { return exited_well_; }

 private:
  ServerProcess(pid_t pid, UniqueFd pidfd, UniqueFd link);
  std::optional<std::string> Wait(int flags);

  pid_t pid_;  // 0 once reaped
  UniqueFd pidfd_;
  UniqueFd link_;
  bool exited_well_ = false;
};

}  // namespace virtfs::backend
