#include "xenstore/store.h"

#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"

extern "C" {
#include <xenstore.h>
}

namespace virtfs::xenstore {
namespace {

struct Free {
  void operator()(void* memory) const { free(memory); }
};

// Beyond this many conflicts somebody is doing it on purpose.
constexpr int kMaxTransactionTries = 1000;

}  // namespace

void Store::Close::operator()(xs_handle* handle) const { xs_close(handle); }

Store::Store(xs_handle* handle) : handle_(handle), watch_fd_(xs_fileno(handle)) {}

absl::StatusOr<std::unique_ptr<Store>> Store::Open() {
  xs_handle* handle = xs_open(0);
  if (handle == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot reach xenstored: ", strerror(errno), "; is this a Xen domain, and do you run as root?"));
  }
  std::unique_ptr<Store> store(new Store(handle));
  if (store->watch_fd_ < 0) return absl::UnavailableError("cannot get watches from xenstored");
  return store;
}

Errno Store::Failure() {
  const int error = errno != 0 ? errno : EIO;
  if (error == EIO || error == EPIPE || error == ECONNRESET || error == EBADF || error == ENOTCONN) lost_ = true;
  return Errno(error);
}

Result<std::string> Store::Read(const std::string& path) {
  unsigned length = 0;
  std::unique_ptr<char, Free> value(static_cast<char*>(xs_read(handle_.get(), transaction_, path.c_str(), &length)));
  if (!value) return Failure();
  return std::string(value.get(), length);
}

Result<void> Store::Write(const std::string& path, std::string_view value) {
  if (!xs_write(handle_.get(), transaction_, path.c_str(), value.data(), static_cast<unsigned>(value.size()))) {
    return Failure();
  }
  return {};
}

Result<std::vector<std::string>> Store::List(const std::string& path) {
  unsigned count = 0;
  std::unique_ptr<char*, Free> names(xs_directory(handle_.get(), transaction_, path.c_str(), &count));
  if (!names) return Failure();
  return std::vector<std::string>(names.get(), names.get() + count);
}

Result<void> Store::Remove(const std::string& path) {
  if (xs_rm(handle_.get(), transaction_, path.c_str()) || errno == ENOENT) return {};
  return Failure();
}

Result<void> Store::SetPermissions(const std::string& path, Permissions permissions) {
  xs_permissions list[2] = {{permissions.owner, XS_PERM_NONE}, {permissions.reader.value_or(0), XS_PERM_READ}};
  if (!xs_set_permissions(handle_.get(), transaction_, path.c_str(), list, permissions.reader ? 2 : 1)) {
    return Failure();
  }
  return {};
}

Result<void> Store::Transact(absl::FunctionRef<Result<void>()> body) {
  for (int i = 0; i < kMaxTransactionTries; ++i) {
    transaction_ = xs_transaction_start(handle_.get());
    if (transaction_ == XBT_NULL) return Failure();
    const Result<void> done = body();
    const uint32_t transaction = std::exchange(transaction_, XBT_NULL);
    const bool ended = xs_transaction_end(handle_.get(), transaction, !done.ok());
    if (!done.ok()) return done;
    if (ended) return {};
    if (errno != EAGAIN) return Failure();
  }
  return Errno(EAGAIN);
}

bool Store::IsDomainIntroduced(uint32_t domid) { return xs_is_domain_introduced(handle_.get(), domid); }

Result<void> Store::Watch(const std::string& path, const std::string& token) {
  if (!xs_watch(handle_.get(), path.c_str(), token.c_str())) return Failure();
  return {};
}

void Store::Unwatch(const std::string& path, const std::string& token) {
  xs_unwatch(handle_.get(), path.c_str(), token.c_str());
}

std::optional<WatchEvent> Store::NextWatch() {
  errno = 0;
  std::unique_ptr<char*, Free> event(xs_check_watch(handle_.get()));
  if (!event) {
    if (errno != EAGAIN) lost_ = true;
    return std::nullopt;
  }
  return WatchEvent{event.get()[XS_WATCH_PATH], event.get()[XS_WATCH_TOKEN]};
}

}  // namespace virtfs::xenstore
