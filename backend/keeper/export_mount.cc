#include "backend/keeper/export_mount.h"

// Not <sys/mount.h>: Debian 12's has these too, but clashes with the kernel's own.
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "backend/link/broker_service.h"
#include "fsops/host/kernel_file_system.h"

namespace virtfs::backend {
namespace {

constexpr uint64_t kMountPrivate = 1 << 18;  // MS_PRIVATE

absl::Status CannotOpen(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(absl::StrCat("path=", path, " does not exist: create it, or write another path"));
    case ELOOP:
      return absl::InvalidArgumentError(absl::StrCat(
          "path=", path, " leads through a link of /proc or through a circle: write the directory itself"));
    case ENOTDIR:
      return absl::InvalidArgumentError(absl::StrCat("path=", path, " is not a directory: write the path of one"));
    default:
      return absl::UnavailableError(absl::StrCat("path=", path, " cannot be opened: ", strerror(error)));
  }
}

}  // namespace

absl::StatusOr<ExportMount> OpenExport(const std::string& path, bool readonly,
                                       const std::optional<ExportIdentity>& known) {
  // Paths with a zero byte in them cannot come from xenstore as written by any toolstack, but would name another file.
  if (path.find('\0') != std::string::npos) return absl::InvalidArgumentError("the path has a zero byte in it");
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_MAGICLINKS;
  const UniqueFd directory(static_cast<int>(syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof(how))));
  if (!directory.ok()) return CannotOpen(path, errno);
  struct stat status;
  if (fstat(directory.get(), &status) != 0) return CannotOpen(path, errno);
  const Result<const char*> kernels = host::KernelFileSystemOf(directory.get());
  if (!kernels.ok()) return CannotOpen(path, kernels.error().value());
  if (*kernels != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("path=", path, " is on ", *kernels,
                                                   ", which is no file system of files: write another directory"));
  }

  ExportMount mount;
  mount.identity = {.dev = status.st_dev, .ino = status.st_ino};
  if (known && *known != mount.identity) {
    return absl::FailedPreconditionError(
        absl::StrCat("path=", path, " leads to another directory than when the share was attached (device and inode ",
                     mount.identity.dev, ":", mount.identity.ino, " instead of ", known->dev, ":", known->ino,
                     "): put the former one back, or detach the share and attach it again"));
  }
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
