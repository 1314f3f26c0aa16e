// RelayProcess: the process that stays behind a mount and passes messages between the kernel's 9p client and the share.
//
// It is another run of mount.virtfs, so that nothing of who mounts is in it: no memory, no descriptor, no terminal.
// It lives until its stream ends, which is the unmount, then closes the share. The kernel may need it to write dirty
// pages back and so to get memory: all its memory is locked and touched beforehand, the kernel is told that it must not
// wait for write-back to get more (PR_SET_IO_FLUSHER), and the out-of-memory killer leaves it alone. Terminals and
// signals, but for SIGKILL, do not end it. What it has to say it says to syslog.
//
// Errors: absl::Status, a sentence for who mounts.
// Threads: one at a time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace virtfs::frontend {

struct RelaySettings {
  std::string tag;
  uint32_t msize = 0;
  uint32_t pages = 0;
  std::chrono::seconds wait{0};  // For the share, and later for its backend.
};

// What mount.virtfs runs if this is its first argument; the others are for it alone.
inline constexpr char kRelayOption[] = "--relay";
int RunRelay(const std::vector<std::string>& arguments);

class RelayProcess {
 public:
  // Runs `program`, which is mount.virtfs, and waits until it has connected the share.
  static absl::StatusOr<RelayProcess> Start(const std::string& program, const RelaySettings& settings);
  RelayProcess(RelayProcess&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), stream_(std::move(other.stream_)), msize_(other.msize_) {}
  RelayProcess& operator=(RelayProcess&&) = delete;
  // Ends it, if it was not let go: closes the stream and waits until the share is free again.
  ~RelayProcess();

  // The other end of the stream: a 9P server for one client.
  int stream() const { return stream_.get(); }
  // The largest msize that it lets through.
  uint32_t msize() const { return msize_; }
  pid_t pid() const { return pid_; }

  // Lives on by itself, as long as somebody else holds the stream.
  void LetGo() { pid_ = -1; }

 private:
  RelayProcess(pid_t pid, UniqueFd stream) : pid_(pid), stream_(std::move(stream)) {}

  pid_t pid_;
  UniqueFd stream_;
  uint32_t msize_ = 0;
};

}  // namespace virtfs::frontend
