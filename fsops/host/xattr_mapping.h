// XattrMapping: the mapped-xattr model. What is kept of a file is in its own extended attributes, as QEMU has them:
//
//     user.virtfs.uid, .gid, .mode    4 bytes, little-endian; the mode with its type
//     user.virtfs.rdev                8 bytes, little-endian, as makedev(3) packs it; of device nodes
//     user.virtfs.system.posix_acl_access, .posix_acl_default    the guest's POSIX ACLs, as it gave them
//
// The guest sees and changes "user." but not "user.virtfs.", and its ACLs; it has no other extended attributes
// (EOPNOTSUPP). Where the host's file can have none (its symlinks, FIFOs, devices), nothing can be kept: EPERM.
#pragma once

#include "fsops/host/mapping.h"

namespace virtfs::host {

class XattrMapping : public Mapping {
 public:
  // EOPNOTSUPP: the file system of `root` has no such attributes. The working directory is /proc/self/fd.
  static Result<void> Check(int root);

  Result<Attributes> Stat(Inode& inode, int fd) override;
  Result<void> Set(Inode& inode, int fd, const Kept& change) override;
  Kept Read(int fd, const Attributes& host, const Place& place) override;
  Result<void> Stamp(int fd, const Kept& born) override;
  Result<std::string> XattrName(std::string_view name, bool change) const override;
  std::string_view GuestXattrName(std::string_view name) const override;
};

}  // namespace virtfs::host
