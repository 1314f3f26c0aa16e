// GuestLock: held while a guest's record and its shares' nodes are changed together, so that the commands and
// `xl-virtfs watch` never interleave.
//
// flock on UUID.lock in the directory for such (toolstack/config/places.h): it ends with its holder, however that ends.
// The file holds the holder's process id, for the sentence that others get, and is never removed: whoever waits for it
// would then lock another file than whoever comes later.
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
  // Waits, at most `patience`; 0: not at all. The directory is made if it is missing.
  static absl::StatusOr<GuestLock> Take(const std::string& directory, const std::string& uuid,
                                        std::chrono::milliseconds patience);

 private:
  explicit GuestLock(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace virtfs::toolstack
