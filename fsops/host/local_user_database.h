// LocalUserDatabase: the host's own user database, by the C library (files, LDAP, whatever nsswitch.conf says).
//
// For a process that sees the host's /etc: the keeper's. It may wait for a directory service; hosts with a slow one
// have a cache (nscd, sssd). Threads: any.
#pragma once

#include <cstddef>

#include "fsops/host/user_database.h"

namespace virtfs::host {

class LocalUserDatabase final : public UserDatabase {
 public:
  // More are EOVERFLOW: to leave some out could give a user rights, where a file allows its group less than others.
  static constexpr size_t kMaxGroups = 1000;

  Result<User> Find(uint32_t uid) override;
};

}  // namespace virtfs::host
