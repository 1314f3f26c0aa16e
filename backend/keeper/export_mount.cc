#include "backend/keeper/export_mount.h"

// Not <sys/mount.h>: Debian 12's has these too, but clashes with the kernel's own.
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "backend/link/broker_service.h"

namespace virtfs::backend {
namespace {

constexpr uint64_t kMountPrivate = 1 << 18;  // MS_PRIVATE

absl::Status CannotOpen(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(absl::StrCat("path=", path, " does not exist: create it, or write another path"));
    case ENOTDIR:
      return absl::InvalidArgumentError(absl::StrCat("path=", path, " is not a directory: write the path of one"));
    default:
      return absl::UnavailableError(absl::StrCat("path=", path, " cannot be opened: ", strerror(error)));
  }
}

}  // namespace

absl::StatusOr<ExportMount> OpenExport(const std::string& path, bool readonly) {
  // Paths with a zero byte in them cannot come from xenstore as written by any toolstack, but would name another file.
  if (path.find('\0') != std::string::npos) return absl::InvalidArgumentError("the path has a zero byte in it");
  const UniqueFd directory(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory.ok()) return CannotOpen(path, errno);

  ExportMount mount;
  mount.root = UniqueFd(static_cast<int>(
      syscall(SYS_open_tree, directory.get(), "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  if (!mount.root.ok()) {
    return absl::UnavailableError(absl::StrCat("path=", path, " cannot be made a mount of its own: ", strerror(errno),
                                               errno == EPERM ? "; xen-virtfsd must run as root" : ""));
  }
  struct mount_attr attributes {};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;
  if (readonly) attributes.attr_set |= MOUNT_ATTR_RDONLY;
  // Else what the host mounts beneath the path later would appear in the share without these attributes.
  attributes.propagation = kMountPrivate;
  if (syscall(SYS_mount_setattr, mount.root.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) !=
      0) {
    return absl::UnavailableError(absl::StrCat("path=", path, " cannot be restricted: ", strerror(errno)));
  }

  const Result<uint64_t> id = link::MountIdOf(mount.root.get());
  if (!id.ok()) {
    return absl::UnavailableError(absl::StrCat("path=", path, " has no mount id: ", id.error().message()));
  }
  mount.mount_id = *id;
  return mount;
}

}  // namespace virtfs::backend
