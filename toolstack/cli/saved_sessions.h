// SavedSessions: the directory beside a file of `xl-virtfs save`, FILE.virtfs, with a file for each share that the
// guest used: the 9P session that it goes on with once it is restored. Its keeper writes and reads them.
//
// Errors: one sentence for the operator.
// Threads: one at a time.
// Trust: a session's file can name any file of its file system, so the directory must be root's own.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace virtfs::toolstack {

class SavedSessions {
 public:
  // An empty directory beside `file`, which is about to be written. What a former file of that name had is removed.
  static absl::StatusOr<SavedSessions> Make(const std::string& file);
  // That of a file that there is. There need not be one.
  static absl::StatusOr<SavedSessions> Find(const std::string& file);

  // Absolute.
  const std::string& directory() const { return directory_; }
  std::string PathOf(uint32_t devid) const;
  bool Has(uint32_t devid) const;

  // The directory, with all in it that is ours.
  void Remove() const;
  // The directory, if nothing is in it.
  void RemoveIfEmpty() const;

 private:
  explicit SavedSessions(std::string directory) : directory_(std::move(directory)) {}

  std::string directory_;
};

}  // namespace virtfs::toolstack
