#include "fsops/host/mapping.h"

#include <sys/stat.h>

#include "fsops/host/export.h"
#include "fsops/host/file_mapping.h"
#include "fsops/host/xattr_mapping.h"

namespace virtfs::host {
namespace {

bool CanBeStoodFor(mode_t type) {
  for (const mode_t known : {S_IFREG, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK}) {
    if (type == known) return true;
  }
  return false;
}

}  // namespace

void Kept::Overlay(Attributes& attributes) const {
  if (uid) attributes.uid = *uid;
  if (gid) attributes.gid = *gid;
  if (mode) {
    mode_t type = attributes.mode & S_IFMT;
    if (type == S_IFREG && CanBeStoodFor(*mode & S_IFMT)) type = *mode & S_IFMT;
    attributes.mode = type | (*mode & ALLPERMS);
    if (rdev && (type == S_IFCHR || type == S_IFBLK)) attributes.rdev = *rdev;
  }
}

Kept Kept::With(const Kept& change) const {
  return {.uid = change.uid ? change.uid : uid,
          .gid = change.gid ? change.gid : gid,
          .mode = change.mode ? change.mode : mode,
          .rdev = change.rdev ? change.rdev : rdev};
}

Result<std::unique_ptr<Mapping>> MakeMapping(SecurityModel model, int root) {
  switch (model) {
    case SecurityModel::kPassthrough:
    case SecurityModel::kNone:
      return std::unique_ptr<Mapping>();
    case SecurityModel::kMappedXattr:
      if (Result<void> usable = XattrMapping::Check(root); !usable) return usable.error();
      return std::unique_ptr<Mapping>(std::make_unique<XattrMapping>());
    case SecurityModel::kMappedFile:
      return FileMapping::Make(root);
  }
  return Errno(EINVAL);
}

}  // namespace virtfs::host
