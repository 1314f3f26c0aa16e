#include "backend/keeper/keeper_claim.h"

#include <fcntl.h>
#include <unistd.h>

#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"

namespace virtfs::backend {
namespace {

// "<pid> <start time>" of a process, or "" if there is none. The start time is field 22 of /proc/PID/stat; fields are
// counted from the last ')', since the second is a name with anything in it.
std::string IdentityOf(const std::string& pid) {
  char text[1024];
  const UniqueFd fd(open(absl::StrCat("/proc/", pid, "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t size = fd.ok() ? read(fd.get(), text, sizeof(text)) : -1;
  if (size <= 0) return "";
  std::string_view rest(text, static_cast<size_t>(size));
  const size_t name_end = rest.rfind(')');
  if (name_end == std::string_view::npos) return "";
  rest.remove_prefix(name_end + 1);
  for (int field = 2; field < 21; ++field) {
    const size_t space = rest.find(' ', 1);
    if (space == std::string_view::npos) return "";
    rest.remove_prefix(space);
  }
  rest.remove_prefix(1);
  return absl::StrCat(pid, " ", std::string(rest.substr(0, rest.find(' '))));
}

}  // namespace

absl::StatusOr<KeeperClaim> KeeperClaim::Take(xenstore::Store& store, const std::string& root) {
  const std::string node = absl::StrCat(root, "/keeper");
  const std::string own = IdentityOf(absl::StrCat(getpid()));
  std::string holder;
  const Result<void> taken = store.Transact([&]() -> Result<void> {
    const Result<std::string> found = store.Read(node);
    const std::string pid = found.ok() ? found->substr(0, found->find(' ')) : "";
    if (!pid.empty() && pid.find_first_not_of("0123456789") == std::string::npos && IdentityOf(pid) == *found) {
      holder = pid;
      return Errno(EBUSY);
    }
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
    const std::string node = absl::StrCat(root_, "/keeper");
    if (!store_->Exists(node)) return Errno(ENOENT);
    if (auto removed = store_->Remove(node); !removed.ok()) return removed;
    const Result<std::vector<std::string>> rest = store_->List(root_);
    return rest.ok() && rest->empty() ? store_->Remove(root_) : Result<void>();
  });
}

}  // namespace virtfs::backend
