#include "backend/keeper/keeper_claim.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/process_identity.h"
#include "xenstore/paths.h"

namespace virtfs::backend {

absl::StatusOr<KeeperClaim> KeeperClaim::Take(xenstore::Store& store, const std::string& root) {
  const std::string node = absl::StrCat(root, "/", xenstore::kKeeperNode);
  const std::string own = ProcessIdentity(absl::StrCat(getpid()));
  std::string holder;
  const Result<void> taken = store.Transact([&]() -> Result<void> {
    const Result<std::string> found = store.Read(node);
    holder = found.ok() ? LivingPid(*found) : "";
    if (!holder.empty()) return Errno(EBUSY);
    return store.Write(node, own);
  });
  if (!holder.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("process ", holder, " serves this guest already: end it first (kill ", holder, ")"));
  }
  if (!taken.ok()) {
    return absl::UnavailableError(absl::StrCat("cannot write ", node, ": ", taken.error().message()));
  }
  return KeeperClaim(&store, root);
}

KeeperClaim::~KeeperClaim() {
  if (store_ == nullptr || store_->lost()) return;
  (void)store_->Transact([&]() -> Result<void> {
    const std::string node = absl::StrCat(root_, "/", xenstore::kKeeperNode);
    if (!store_->Exists(node)) return Errno(ENOENT);
    if (auto removed = store_->Remove(node); !removed.ok()) return removed;
    const Result<std::vector<std::string>> rest = store_->List(root_);
    return rest.ok() && rest->empty() ? store_->Remove(root_) : Result<void>();
  });
}

}  // namespace virtfs::backend
