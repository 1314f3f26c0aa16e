// Users: operations run with the rights that a user of the host has, his groups included.
//
// A thread takes a user's ids and supplementary groups before it touches a file on his behalf, and the kernel takes the
// capabilities over files out of force while the fsuid is not 0 (decision 10). A thread that acts for the same user
// again makes no system call and takes no lock.
//
// Which groups a user is in comes from the host's database, through UserDatabase, when he attaches; a bounded number of
// users is remembered, and one that was forgotten is asked for again. A uid that the database does not know acts with
// group 65534 and no other, as over NFS.
//
// Needs what PrepareCredentials(Rights::kOfUsers) says. Threads: every method from any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "base/result.h"
#include "fsops/host/credentials.h"
#include "fsops/host/user_database.h"

namespace virtfs::host {

class Users {
 public:
  // How many users are remembered at once.
  static constexpr size_t kMaxUsers = 256;

  // `database` must outlive this. `anonymous` acts with its own group and no other, whatever the database says.
  Users(UserDatabase& database, const std::optional<Owner>& anonymous);

  // Reads the user's groups anew: what he may do from now on.
  Result<void> Refresh(uint32_t uid);

  // From now on this thread has the user's rights. After an error it must touch no file before another call has
  // succeeded (AssumeUser).
  Result<void> Assume(uint32_t uid);

  // Which group a file gets that this thread's user (the last of Assume) makes: `gid` if he is in it or is root, else
  // his primary one.
  static uint32_t GroupOfNew(uint32_t gid);

 private:
  using UserPtr = std::shared_ptr<const User>;

  Result<UserPtr> Get(uint32_t uid);
  Result<UserPtr> Read(uint32_t uid);

  UserDatabase& database_;
  const std::optional<Owner> anonymous_;
  // Another number whenever a user that a thread may act for has changed; unique among all Users of the process.
  std::atomic<uint64_t> generation_;
  std::mutex mutex_;
  absl::flat_hash_map<uint32_t, UserPtr> known_;
};

}  // namespace virtfs::host
