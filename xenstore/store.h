// Store: one connection to xenstored.
//
// Paths and values as in xenstore itself: a path without a leading slash is relative to /local/domain/<this domain>.
//
// Errors: those of xenstored: ENOENT, EACCES, ENOSPC and EQUOTA ... When the connection itself is gone, every method
// fails from then on and lost() is true; there is no way back but a new process (watches would have been missed).
// Threads: one at a time. libxenstore has a reading thread of its own, which blocks all signals.
// Trust: values of nodes that a guest can write are the guest's bytes, up to 4 KiB.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/result.h"

struct xs_handle;

namespace virtfs::xenstore {

struct WatchEvent {
  std::string path;   // the node that changed, as absolute or relative as it was watched
  std::string token;  // as given to Watch
};

// Who may do what with a node: `owner` everything, `reader` may read it, all others nothing.
struct Permissions {
  uint32_t owner;
  std::optional<uint32_t> reader;
};

class Store {
 public:
  static absl::StatusOr<std::unique_ptr<Store>> Open();

  Result<std::string> Read(const std::string& path);
  bool Exists(const std::string& path) { return Read(path).ok(); }
  Result<void> Write(const std::string& path, std::string_view value);
  // The names of the children.
  Result<std::vector<std::string>> List(const std::string& path);
  // With all below it. Success if it is not there.
  Result<void> Remove(const std::string& path);
  // Of this node alone. Nodes made below it later get the same.
  Result<void> SetPermissions(const std::string& path, Permissions permissions);

  // Runs `body` in a transaction, again from the start for as long as others interfere, and commits if it returned
  // success. Every call on this Store inside `body` belongs to the transaction.
  Result<void> Transact(absl::FunctionRef<Result<void>()> body);

  // Whether xenstored knows this domain: from its creation until it is gone for good. Only domain 0 may ask.
  bool IsDomainIntroduced(uint32_t domid);

  // From now on NextWatch tells of changes at or below `path`; the first event comes at once.
  Result<void> Watch(const std::string& path, const std::string& token);
  void Unwatch(const std::string& path, const std::string& token);
  // Readable when there may be events, or when the connection is lost.
  int watch_fd() const { return watch_fd_; }
  // The next event, without waiting; nothing if there is none.
  std::optional<WatchEvent> NextWatch();

  // Asks xenstored something, so that lost() is up to date.
  void Probe() { (void)Read("domid"); }
  bool lost() const { return lost_; }

 private:
  struct Close {
    void operator()(xs_handle* handle) const;
  };

  explicit Store(xs_handle* handle);
  // The error of the call that just failed; notes the loss of the connection.
  Errno Failure();

  std::unique_ptr<xs_handle, Close> handle_;
  int watch_fd_;
  uint32_t transaction_ = 0;
  bool lost_ = false;
};

}  // namespace virtfs::xenstore
