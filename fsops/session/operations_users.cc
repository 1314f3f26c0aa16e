// For whom operations run, and whose is what they make.

#include <sys/stat.h>

#include <utility>

#include "fsops/session/operations.h"

namespace virtfs::session {

Result<uint32_t> Operations::UserOfAttach(uint32_t guest_uid) {
  const std::optional<uint32_t> acting = ids_.Acting(guest_uid);
  if (users_) {
    if (Result<void> read = users_->Refresh(acting.value_or(Ids::kNobody)); !read.ok()) return read.error();
  }
  return acting.value_or(kNoOwner);
}

Result<void> Operations::ActFor(uint32_t uid) {
  if (!users_) return {};
  return users_->Assume(uid == kNoOwner ? Ids::kNobody : uid);
}

Result<void> Operations::ClearSetIds(const FidState& state) {
  // Where users act with their own rights the host's kernel does it.
  if (users_ || state.uid == 0 || state.opened->file == nullptr || !state.opened->file->flags().writes()) return {};
  const Result<host::Attributes> attributes = tree_.Stat(*state.inode);
  if (!attributes.ok()) return attributes.error();
  // Set-gid without permission to execute for the group means something else.
  const uint32_t cleared = S_ISUID | ((attributes->mode & S_IXGRP) != 0 ? S_ISGID : 0u);
  if ((attributes->mode & cleared) == 0) return {};
  return tree_.SetAttributes(*state.inode, {.mode = attributes->mode & 07777 & ~cleared}, state.opened->file.get());
}

Result<FidRef> Operations::FindToAct(p9::Fid fid) {
  Result<FidRef> found = fids_.Find(fid);
  if (!found.ok()) return found;
  if (Result<void> acting = ActFor((*found)->uid); !acting.ok()) return acting.error();
  return found;
}

Result<FidTable::Change> Operations::BeginChangeToAct(p9::Fid fid) {
  Result<FidTable::Change> change = fids_.BeginChange(fid);
  if (!change.ok()) return change;
  if (Result<void> acting = ActFor(change->before().uid); !acting.ok()) return acting.error();
  return change;
}

Result<host::Owner> Operations::OwnerOfNew(const FidState& dir, uint32_t gid) const {
  if (dir.uid == kNoOwner) return Errno(EOVERFLOW);
  const Result<uint32_t> host_gid = ids_.HostGid(gid);
  if (!host_gid.ok()) return host_gid.error();
  return host::Owner{.uid = dir.uid, .gid = users_ ? host::Users::GroupOfNew(*host_gid) : *host_gid};
}

}  // namespace virtfs::session
