// UserDatabase: which groups a user of the host is in.
//
// Only a process that sees the host's /etc can read it, so a server asks its keeper.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace virtfs::host {

struct User {
  static constexpr uint32_t kNoGroup = 65534;

  uint32_t gid = kNoGroup;  // the primary group
  // All groups, `gid` among them, in ascending order.
  std::vector<uint32_t> groups = {kNoGroup};

  friend bool operator==(const User&, const User&) = default;
};

// The host's user database, wherever it can be read.
class UserDatabase {
 public:
  virtual ~UserDatabase() = default;

  // Success also for a uid that it does not know. EOVERFLOW: more groups than can be told. EIO: it cannot be read.
  // From any thread; may take a round trip to another process and longer.
  virtual Result<User> Find(uint32_t uid) = 0;
};

}  // namespace virtfs::host
