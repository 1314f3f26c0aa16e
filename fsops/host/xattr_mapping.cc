#include "fsops/host/xattr_mapping.h"

#include <sys/xattr.h>

#include <array>

#include "fsops/host/kernel.h"

namespace virtfs::host {
namespace {

constexpr std::string_view kReserved = "user.virtfs.";
constexpr std::string_view kAccessAcl = "system.posix_acl_access";
constexpr std::string_view kDefaultAcl = "system.posix_acl_default";

// Little-endian, of exactly the size of T; of any other size it is not ours.
template <typename T>
std::optional<T> Load(const char* path, const char* name) {
  std::array<uint8_t, sizeof(T)> bytes;
  if (getxattr(path, name, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) return std::nullopt;
  T value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = static_cast<T>(value << 8 | bytes[i]);
  return value;
}

template <typename T>
Result<void> Store(const char* path, const char* name, const std::optional<T>& value) {
  if (!value) return {};
  std::array<uint8_t, sizeof(T)> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(*value >> (8 * i));
  return Done(setxattr(path, name, bytes.data(), bytes.size(), 0));
}

// What cannot be read (the host's own file, which is not readable for the server) is as the host has it.
Kept LoadKept(int fd, mode_t host_type) {
  Kept kept;
  if (host_type != S_IFREG && host_type != S_IFDIR) return kept;
  const DescriptorName path(fd);
  kept.uid = Load<uint32_t>(path.c_str(), "user.virtfs.uid");
  kept.gid = Load<uint32_t>(path.c_str(), "user.virtfs.gid");
  kept.mode = Load<uint32_t>(path.c_str(), "user.virtfs.mode");
  if (kept.mode && (S_ISCHR(*kept.mode) || S_ISBLK(*kept.mode))) {
    kept.rdev = Load<uint64_t>(path.c_str(), "user.virtfs.rdev");
  }
  return kept;
}

// The mode is last: until it is there, a file that stands for something shows as what it is on the host.
Result<void> StoreKept(int fd, const Kept& kept) {
  const DescriptorName path(fd);
  if (Result<void> done = Store(path.c_str(), "user.virtfs.uid", kept.uid); !done) return done;
  if (Result<void> done = Store(path.c_str(), "user.virtfs.gid", kept.gid); !done) return done;
  if (Result<void> done = Store(path.c_str(), "user.virtfs.rdev", kept.rdev); !done) return done;
  return Store(path.c_str(), "user.virtfs.mode", kept.mode);
}

}  // namespace

Result<void> XattrMapping::Check(int root) {
  if (getxattr(DescriptorName(root).c_str(), "user.virtfs.mode", nullptr, 0) < 0 && errno == EOPNOTSUPP) {
    return Errno::Last();
  }
  return {};
}

Result<Attributes> XattrMapping::Stat(Inode& /*inode*/, int fd) {
  struct statx stat;
  if (Result<void> done = StatX(fd, "", &stat); !done) return done.error();
  Attributes attributes = AttributesOf(stat);
  LoadKept(fd, stat.stx_mode & S_IFMT).Overlay(attributes);
  return attributes;
}

Result<void> XattrMapping::Set(Inode& /*inode*/, int fd, const Kept& change) { return StoreKept(fd, change); }

Kept XattrMapping::Read(int fd, const Attributes& host, const Place& /*place*/) {
  return LoadKept(fd, host.mode & S_IFMT);
}

Result<void> XattrMapping::Stamp(int fd, const Kept& born) { return StoreKept(fd, born); }

Result<std::string> XattrMapping::XattrName(std::string_view name, bool change) const {
  if (name == kAccessAcl || name == kDefaultAcl) return std::string(kReserved).append(name);
  if (name.starts_with(kReserved)) return Errno(change ? EACCES : ENODATA);
  if (!name.starts_with("user.")) return Errno(EOPNOTSUPP);
  return std::string(name);
}

std::string_view XattrMapping::GuestXattrName(std::string_view name) const {
  if (name.starts_with(kReserved)) {
    name.remove_prefix(kReserved.size());
    return name == kAccessAcl || name == kDefaultAcl ? name : std::string_view();
  }
  return name.starts_with("user.") ? name : std::string_view();
}

}  // namespace virtfs::host
