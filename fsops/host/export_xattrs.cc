// Extended attributes.
//
// Their system calls take no O_PATH descriptor and no directory, but a path: "N", which Export::Make has made mean our
// descriptor N by making /proc/self/fd the working directory. The kernel follows that link to the descriptor's own file
// and no further, also where that is a symlink.
#include <linux/limits.h>
#include <sys/xattr.h>

#include "fsops/host/export.h"
#include "fsops/host/kernel.h"
#include "fsops/host/mapping.h"

namespace virtfs::host {
namespace {

static_assert(XATTR_LIST_MAX == XATTR_SIZE_MAX);

bool IsAcl(std::string_view name) { return name == "system.posix_acl_access" || name == "system.posix_acl_default"; }

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

// The errors of names are those of Linux, which looks no further then.
Result<std::string> Export::HostXattrName(const Inode& inode, std::string_view name, bool change) const {
  if (name.empty() || name.size() > XATTR_NAME_MAX) return Errno(ERANGE);
  if (name.find('\0') != name.npos) return Errno(EINVAL);
  if (!mapping_) return std::string(name);
  // The regular file has them, but what it stands for would not.
  if (inode.stands_in() && name.starts_with("user.")) return Errno(change ? EPERM : ENODATA);
  return mapping_->XattrName(name, change);
}

Result<std::string> Export::GetXattr(Inode& inode, std::string_view name) {
  const Result<std::string> host_name = HostXattrName(inode, name, false);
  if (!host_name) return host_name.error();
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  const DescriptorName path(held->get());
  return ReadAll([&](char* to, size_t size) { return getxattr(path.c_str(), host_name->c_str(), to, size); });
}

Result<std::string> Export::ListXattr(Inode& inode) {
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  const DescriptorName path(held->get());
  Result<std::string> list = ReadAll([&](char* to, size_t size) { return listxattr(path.c_str(), to, size); });
  if (!list || !mapping_) return list;
  std::string seen;
  for (size_t at = 0; at < list->size();) {
    const std::string_view host_name(list->c_str() + at);
    at += host_name.size() + 1;
    const std::string_view name = mapping_->GuestXattrName(host_name);
    if (name.empty() || (inode.stands_in() && name.starts_with("user."))) continue;
    seen.append(name).push_back('\0');
  }
  return seen;
}

Result<void> Export::SetXattr(Inode& inode, std::string_view name, std::span<const uint8_t> value, XattrMode mode) {
  if (readonly()) return Errno(EROFS);
  const Result<std::string> host_name = HostXattrName(inode, name, true);
  if (!host_name) return host_name.error();
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  int flags = 0;
  if (mode == XattrMode::kCreate) flags = XATTR_CREATE;
  if (mode == XattrMode::kReplace) flags = XATTR_REPLACE;
  return Done(setxattr(DescriptorName(held->get()).c_str(), host_name->c_str(), value.data(), value.size(), flags));
}

Result<void> Export::RemoveXattr(Inode& inode, std::string_view name) {
  if (readonly()) return Errno(EROFS);
  const Result<std::string> host_name = HostXattrName(inode, name, true);
  if (!host_name) return host_name.error();
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  if (removexattr(DescriptorName(held->get()).c_str(), host_name->c_str()) < 0) {
    // A file without an ACL is as good as one whose ACL was removed: so it is with the host's own.
    if (mapping_ && errno == ENODATA && IsAcl(name)) return {};
    return Errno::Last();
  }
  return {};
}

}  // namespace virtfs::host
