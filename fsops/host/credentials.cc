#include "fsops/host/credentials.h"

#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace virtfs::host {
namespace {

constexpr uint32_t kNoId = 0xffffffff;

// Both return the id that was in force before; kNoId, which is no id, changes nothing.
uint32_t SetFsUid(uint32_t uid) { return static_cast<uint32_t>(syscall(SYS_setfsuid, uid)); }
uint32_t SetFsGid(uint32_t gid) { return static_cast<uint32_t>(syscall(SYS_setfsgid, gid)); }

bool KeepCapabilities() {
  const int bits = prctl(PR_GET_SECUREBITS);
  if (bits < 0) return false;
  return (bits & SECBIT_NO_SETUID_FIXUP) != 0 || prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP) == 0;
}

struct ThreadOwner {
  Owner now{SetFsUid(kNoId), SetFsGid(kNoId)};
  bool capabilities_stay = KeepCapabilities();
};

}  // namespace

void PrepareCredentials() {
  umask(0);
  KeepCapabilities();
}

Result<void> AssumeOwner(const Owner& owner) {
  static thread_local ThreadOwner thread;
  if (owner == thread.now) return {};
  if (owner.uid == kNoId || owner.gid == kNoId) return Errno(EINVAL);
  // A fsuid that is not 0 would take the file capabilities away, for good.
  if (!thread.capabilities_stay) return Errno(EPERM);

  if (owner.gid != thread.now.gid) {
    SetFsGid(owner.gid);
    if (SetFsGid(kNoId) != owner.gid) return Errno(EPERM);
  }
  if (owner.uid != thread.now.uid) {
    SetFsUid(owner.uid);
    if (SetFsUid(kNoId) != owner.uid) {
      SetFsGid(thread.now.gid);
      return Errno(EPERM);
    }
  }
  thread.now = owner;
  return {};
}

}  // namespace virtfs::host
