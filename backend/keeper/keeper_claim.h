// KeeperClaim: that a guest has one keeper at a time.
//
// The claim is the node `keeper` in the guest's private directory: "<pid> <start time>" of the keeper, so that a claim
// outlives no process, whatever becomes of its number.
//
// Errors: FailedPrecondition if another keeper lives.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "xenstore/store.h"

namespace virtfs::backend {

class KeeperClaim {
 public:
  // `root`: PrivateRoot of the guest. `store` must outlive the claim.
  static absl::StatusOr<KeeperClaim> Take(xenstore::Store& store, const std::string& root);

  KeeperClaim(KeeperClaim&& other) noexcept
      : store_(std::exchange(other.store_, nullptr)), root_(std::move(other.root_)) {}
  KeeperClaim& operator=(KeeperClaim&&) = delete;
  // Gives it back, and leaves no empty directory behind.
  ~KeeperClaim();

 private:
  KeeperClaim(xenstore::Store* store, std::string root) : store_(store), root_(std::move(root)) {}

  xenstore::Store* store_;
  std::string root_;
};

}  // namespace virtfs::backend
