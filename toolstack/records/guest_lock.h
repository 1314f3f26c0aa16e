// GuestLock: held while a guest's record and its shares' nodes are changed together, so that the commands and
// `xl-virtfs watch` never interleave.
//
// flock on /run/xen-virtfs/UUID.lock: it ends with its holder, however that ends. The file holds the holder's process
// id, for the sentence that others get, and is never removed: whoever waits for it would then lock another file than
// whoever comes later.
//
// Errors: DeadlineExceeded if another has it for longer than `patience`.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace virtfs::toolstack {

class GuestLock {
 public:
  static constexpr char kDirectory[] = "/run/xen-virtfs";

  // Waits, at most `patience`; 0: not at all. The directory is made if it is missing.
  static absl::StatusOr<GuestLock> Take(const std::string& directory, const std::string& uuid,
                                        std::chrono::milliseconds patience);

  // The same for any file; `busy` is the beginning of the sentence: "BUSY by process 17".
  static absl::StatusOr<GuestLock> TakeFile(const std::string& path, const std::string& busy,
                                            std::chrono::milliseconds patience);

 private:
  explicit GuestLock(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace virtfs::toolstack
