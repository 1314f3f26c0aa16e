// HandleBroker: how an Inode outlives its descriptor.
//
// A file handle names a file on its file system whatever its path becomes, but opening one takes
// CAP_DAC_READ_SEARCH, which a server must never have. So the keeper makes the handle, keeps it, and gives the server a
// token; the server never sees a handle and therefore cannot forge one.
//
// Errors: EOPNOTSUPP from Keep means that this file system has no handles (its descriptors are then never given up);
// EXDEV that the broker has none for this one file; others that it cannot now.
// ESTALE from Reopen means that the file is gone.
// Threads: every call may be made from any thread. A call may take as long as a round trip to another process.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace virtfs::host {

// Names one kept handle within one broker. Never reused while it is kept.
enum class HandleToken : uint64_t {};

class HandleBroker {
 public:
  virtual ~HandleBroker() = default;

  // Remembers the file that `fd` (O_PATH is enough) refers to.
  virtual Result<HandleToken> Keep(int fd) = 0;

  // The same for each of `fds`, which takes no longer than for one where the time goes into asking.
  virtual std::vector<Result<HandleToken>> KeepAll(std::span<const int> fds) {
    std::vector<Result<HandleToken>> tokens;
    tokens.reserve(fds.size());
    for (const int fd : fds) tokens.push_back(Keep(fd));
    return tokens;
  }

  // A new O_PATH descriptor of that file, on the export's own mount.
  virtual Result<UniqueFd> Reopen(HandleToken token) = 0;

  // Forgets it. An unknown token is ignored.
  virtual void Drop(HandleToken token) = 0;
};

}  // namespace virtfs::host
