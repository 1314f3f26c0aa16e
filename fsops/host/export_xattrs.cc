// Extended attributes.
//
// Their system calls take no O_PATH descriptor and no directory, but a path: "N", which Export::Make has made mean our
// descriptor N by making /proc/self/fd the working directory. The kernel follows that link to the descriptor's own file
// and no further, also where that is a symlink.
#include <linux/limits.h>
#include <sys/xattr.h>

#include <cstring>

#include "fsops/host/export.h"
#include "fsops/host/kernel.h"

namespace virtfs::host {
namespace {

static_assert(XATTR_LIST_MAX == XATTR_SIZE_MAX);

// What Linux says of names that it does not look at further.
Result<void> CheckName(std::string_view name) {
  if (name.empty() || name.size() > XATTR_NAME_MAX) return Errno(ERANGE);
  if (name.find('\0') != name.npos) return Errno(EINVAL);
  return {};
}

// What `read(buffer, size)` gives. No size is asked for beforehand, since it may change: nearly everything fits into a
// small buffer, and the kernel's own limit into a large one.
template <typename Reader>
Result<std::string> ReadAll(Reader read) {
  char buffer[4096];
  ssize_t size = read(buffer, sizeof(buffer));
  if (size >= 0) return std::string(buffer, static_cast<size_t>(size));
  if (errno != ERANGE) return Errno::Last();
  std::string large(XATTR_SIZE_MAX, '\0');
  size = read(large.data(), large.size());
  if (size < 0) return Errno::Last();
  large.resize(static_cast<size_t>(size));
  large.shrink_to_fit();
  return large;
}

}  // namespace

Result<std::string> Export::GetXattr(Inode& inode, std::string_view name) {
  if (Result<void> valid = CheckName(name); !valid) return valid.error();
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  const DescriptorName path(held->get());
  const std::string text(name);
  return ReadAll([&](char* to, size_t size) { return getxattr(path.c_str(), text.c_str(), to, size); });
}

Result<std::string> Export::ListXattr(Inode& inode) {
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  const DescriptorName path(held->get());
  return ReadAll([&](char* to, size_t size) { return listxattr(path.c_str(), to, size); });
}

Result<void> Export::SetXattr(Inode& inode, std::string_view name, std::span<const uint8_t> value, XattrMode mode) {
  if (readonly()) return Errno(EROFS);
  if (Result<void> valid = CheckName(name); !valid) return valid;
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  int flags = 0;
  if (mode == XattrMode::kCreate) flags = XATTR_CREATE;
  if (mode == XattrMode::kReplace) flags = XATTR_REPLACE;
  const std::string text(name);
  return Done(setxattr(DescriptorName(held->get()).c_str(), text.c_str(), value.data(), value.size(), flags));
}

Result<void> Export::RemoveXattr(Inode& inode, std::string_view name) {
  if (readonly()) return Errno(EROFS);
  if (Result<void> valid = CheckName(name); !valid) return valid;
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  const std::string text(name);
  return Done(removexattr(DescriptorName(held->get()).c_str(), text.c_str()));
}

}  // namespace virtfs::host
