#include "backend/server/lockdown.h"

#include <cap-ng.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "absl/strings/str_cat.h"

namespace virtfs::backend {
namespace {

struct Capability {
  unsigned number;
  const char* reason;
};

// Passthrough: a guest's root is root over its export, so a server does to files there what root can, and no more. The
// other models need none.
constexpr Capability kCapabilities[] = {
    {CAP_CHOWN, "Tsetattr of an owner or group"},
    {CAP_DAC_OVERRIDE, "the guest's kernel decides on access; the files are any user's"},
    {CAP_FOWNER, "Tsetattr of permissions and times of other users' files; sticky directories"},
    {CAP_FSETID, "the setgid bit stays when the guest sets it on a group's file that the server is not in"},
    {CAP_MKNOD, "Tmknod of devices; the export's mount is nodev, so none can be opened here"},
    {CAP_SETGID, "setfsgid, setgroups: files are born with their group; a user's groups"},
    {CAP_SETUID, "setfsuid: files are born with their owner; a user's rights"},
};
// Not CAP_DAC_READ_SEARCH: with it a server could open any file of the file system by a handle of its own making.

absl::Status Failure(const char* what) { return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", what)); }

bool Limit(__rlimit_resource resource, rlim_t value) {
  const rlimit limit{.rlim_cur = value, .rlim_max = value};
  return setrlimit(resource, &limit) == 0;
}

// A root directory with nothing in it, which nothing can be put into.
absl::Status EmptyRoot() {
  if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP) != 0) {
    return Failure("enter namespaces of its own");
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return Failure("make its mounts private");
  // On a directory that every system has; in this namespace alone.
  const char* place = "/proc";
  if (mount("none", place, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=1,mode=0555") !=
      0) {
    return Failure("mount an empty directory");
  }
  if (chdir(place) != 0) return Failure("enter its new root directory");
  if (syscall(SYS_pivot_root, ".", ".") == 0) {
    // The old root has come to lie on top of the new one, and is taken away.
    if (umount2(".", MNT_DETACH) != 0) return Failure("leave the old root directory");
  } else if (errno != EINVAL) {
    return Failure("change its root directory");
  } else {
    // The root is the kernel's first one, an initramfs, which no namespace can lose: the new root is put on top of it.
    // What lies beneath has no path that leads to it, and to uncover it takes CAP_SYS_ADMIN.
    if (mount(".", "/", nullptr, MS_MOVE, nullptr) != 0) return Failure("cover the initramfs with its root directory");
    if (chroot(".") != 0) return Failure("change its root directory");
  }
  if (chdir("/") != 0) return Failure("enter its root directory");
  return absl::OkStatus();
}

absl::Status CutCapabilities(const LockdownOptions& options) {
  capng_clear(CAPNG_SELECT_BOTH);
  for (const Capability& capability : kCapabilities) {
    if (options.powers == Powers::kNone) break;
    if (capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED), capability.number) != 0) {
      return absl::InternalError("cannot choose its capabilities");
    }
  }
  // uid 0 means nothing for capabilities any more, and that cannot be changed back. Nor does a change of uids, but for
  // what the kernel does of its own accord where users have rights of their own: it takes the file capabilities out of
  // force while the fsuid is not 0, and afterwards brings back those that are permitted.
  unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                       SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  if (options.powers != Powers::kOfUsers) bits |= SECBIT_NO_SETUID_FIXUP;
  if (prctl(PR_SET_SECUREBITS, bits) != 0) return Failure("set its securebits");
  // Whose groups the keeper is in is nothing to a guest.
  if (setgroups(0, nullptr) != 0) return Failure("leave its groups");
  if (options.powers == Powers::kNone) {
    const auto [uid, gid] = options.owner;
    if (setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) return Failure("become the directory's owner");
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Failure("set no_new_privs");
  if (capng_apply(CAPNG_SELECT_BOTH) != 0) return Failure("cut its capabilities");
  return absl::OkStatus();
}

}  // namespace

void DropInherited(int first) {
  setsid();
  syscall(SYS_close_range, first, INT_MAX, 0);
}

absl::StatusOr<UniqueFd> OwnDescriptors() {
  // ".." of a detached mount's top stays there.
  UniqueFd directory(
      static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, "/proc/self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  if (!directory.ok()) return Failure("take /proc/self/fd along");
  return directory;
}

absl::Status LockDown(const LockdownOptions& options) {
  // libcap-ng looks at /proc once, for the kernel's last capability.
  if (capng_get_caps_process() != 0) return absl::InternalError("cannot read its capabilities");
  if (!Limit(RLIMIT_NOFILE, options.max_descriptors)) return Failure("limit its descriptors");
  if (!Limit(RLIMIT_CORE, 0)) return Failure("forbid core dumps");
  if (absl::Status status = EmptyRoot(); !status.ok()) return status;
  if (absl::Status status = CutCapabilities(options); !status.ok()) return status;
  // Own /proc/self/fd still works: a process may always look at itself.
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return Failure("forbid tracing");
  return absl::OkStatus();
}

}  // namespace virtfs::backend
