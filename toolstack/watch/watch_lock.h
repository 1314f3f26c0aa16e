// WatchLock: that a backend domain has one `xl-virtfs watch` at a time, and that others can see whether it has one.
//
// A lock on watch.lock in the runtime directory, of the kind that can be asked about without being taken; it ends with
// its holder, however that ends.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace virtfs::toolstack {

class WatchLock {
 public:
  // FailedPrecondition if another has it, and does not end within 2 s. The directory is made if it is missing.
  static absl::StatusOr<WatchLock> Take(const std::string& directory);

  // Whether a watch runs that has this directory.
  static bool IsHeld(const std::string& directory);

 private:
  explicit WatchLock(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace virtfs::toolstack
