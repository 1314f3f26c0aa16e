#include "fsops/host/local_user_database.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

namespace virtfs::host {
namespace {

// Of a passwd entry's texts; an entry beyond it is refused.
constexpr size_t kMaxEntry = 1 << 20;

}  // namespace

Result<User> LocalUserDatabase::Find(uint32_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> texts(1024);
  int error;
  while ((error = getpwuid_r(uid, &entry, texts.data(), texts.size(), &found)) == ERANGE && texts.size() < kMaxEntry) {
    texts.resize(texts.size() * 4);
  }
  if (error == EINTR || error == EIO || error == EMFILE || error == ENFILE || error == ENOMEM || error == ERANGE) {
    return Errno(EIO);
  }
  // Services tell of an unknown user in many ways.
  if (found == nullptr) return User{};

  std::vector<gid_t> groups(64);
  auto count = static_cast<int>(groups.size());
  while (getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count) < 0) {
    // It has told how many there are.
    if (static_cast<size_t>(count) > kMaxGroups || static_cast<size_t>(count) <= groups.size()) return Errno(EOVERFLOW);
    groups.resize(static_cast<size_t>(count));
  }
  if (static_cast<size_t>(count) > kMaxGroups) return Errno(EOVERFLOW);
  User user{.gid = entry.pw_gid, .groups = {}};
  user.groups.assign(groups.begin(), groups.begin() + count);
  std::sort(user.groups.begin(), user.groups.end());
  user.groups.erase(std::unique(user.groups.begin(), user.groups.end()), user.groups.end());
  return user;
}

}  // namespace virtfs::host
