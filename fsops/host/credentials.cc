#include "fsops/host/credentials.h"

#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

namespace virtfs::host {
namespace {

std::atomic<Rights> process_rights = Rights::kOfRoot;

// Both return the id that was in force before; kNoId, which is no id, changes nothing.
uint32_t SetFsUid(uint32_t uid) { return static_cast<uint32_t>(syscall(SYS_setfsuid, uid)); }
uint32_t SetFsGid(uint32_t gid) { return static_cast<uint32_t>(syscall(SYS_setfsgid, gid)); }

bool KeepCapabilities() {
  const int bits = prctl(PR_GET_SECUREBITS);
  if (bits < 0) return false;
  return (bits & SECBIT_NO_SETUID_FIXUP) != 0 || prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP) == 0;
}

struct Thread {
  Owner now{SetFsUid(kNoId), SetFsGid(kNoId)};
  // Else a fsuid that is not 0 takes the file capabilities away.
  bool capabilities_stay = process_rights == Rights::kOfRoot && KeepCapabilities();
  std::optional<std::vector<uint32_t>> groups;  // as set by AssumeUser
};
thread_local Thread thread;

// EPERM if it did not work; thread.now says what holds either way.
Result<void> SetOwner(const Owner& owner) {
  const uint32_t gid_before = thread.now.gid;
  if (owner.gid != gid_before) {
    SetFsGid(owner.gid);
    if (SetFsGid(kNoId) != owner.gid) return Errno(EPERM);
    thread.now.gid = owner.gid;
  }
  if (owner.uid != thread.now.uid) {
    SetFsUid(owner.uid);
    if (SetFsUid(kNoId) != owner.uid) {
      SetFsGid(gid_before);
      thread.now.gid = gid_before;
      return Errno(EPERM);
    }
    thread.now.uid = owner.uid;
  }
  return {};
}

}  // namespace

void PrepareCredentials(Rights rights) {
  umask(0);
  process_rights = rights;
  if (rights == Rights::kOfRoot) KeepCapabilities();
}

Result<void> AssumeOwner(const Owner& owner) {
  if (owner == thread.now) return {};
  if (owner.uid == kNoId || owner.gid == kNoId) return Errno(EINVAL);
  // The capabilities would be gone for good.
  if (process_rights == Rights::kOfRoot && !thread.capabilities_stay) return Errno(EPERM);
  return SetOwner(owner);
}

Result<void> AssumeUser(const Owner& user, std::span<const uint32_t> groups) {
  if (user.uid == kNoId || user.gid == kNoId) return Errno(EINVAL);
  if (!thread.groups || !std::equal(groups.begin(), groups.end(), thread.groups->begin(), thread.groups->end())) {
    // The raw call is the thread's own; the C library's would be all threads'.
    thread.groups.reset();
    if (syscall(SYS_setgroups, groups.size(), groups.data()) != 0) return Errno::Last();
    thread.groups.emplace(groups.begin(), groups.end());
  }
  return SetOwner(user);
}

}  // namespace virtfs::host
