// Tgetattr, Tsetattr, Tstatfs, Treadlink: what is known of a file.

#include <utility>

#include "fsops/session/operations.h"

namespace virtfs::session {

Result<p9::Rgetattr> Operations::Do(const p9::Tgetattr& request, Context& /*context*/) {
  const Result<FidRef> found = fids_.Find(request.fid);
  if (!found.ok()) return found.error();
  Result<host::Attributes> attributes = tree_.Stat(*(*found)->inode);
  if (!attributes.ok()) return attributes.error();
  attributes->uid = ids_.GuestUid(attributes->uid);
  attributes->gid = ids_.GuestGid(attributes->gid);
  return ToRgetattr(*attributes, QidOf(*attributes), request.request_mask);
}

Result<p9::Rsetattr> Operations::Do(const p9::Tsetattr& request, Context& /*context*/) {
  const Result<FidRef> found = FindToAct(request.fid);
  if (!found.ok()) return found.error();
  const FidState& state = **found;
  Result<host::AttributeChange> change = ToAttributeChange(request);
  if (!change.ok()) return change.error();
  if (change->uid) {
    const Result<uint32_t> uid = ids_.HostUid(*change->uid);
    if (!uid.ok()) return uid.error();
    change->uid = *uid;
  }
  if (change->gid) {
    const Result<uint32_t> gid = ids_.HostGid(*change->gid);
    if (!gid.ok()) return gid.error();
    change->gid = *gid;
  }
  const host::OpenFile* open = state.opened != nullptr ? state.opened->file.get() : nullptr;
  if (Result<void> set = tree_.SetAttributes(*state.inode, *change, open); !set.ok()) return set.error();
  return p9::Rsetattr{};
}

Result<p9::Rstatfs> Operations::Do(const p9::Tstatfs& request, Context& /*context*/) {
  const Result<FidRef> found = fids_.Find(request.fid);
  if (!found.ok()) return found.error();
  const Result<host::FileSystemStatus> status = tree_.StatFileSystem(*(*found)->inode);
  if (!status.ok()) return status.error();
  return ToRstatfs(*status);
}

Result<p9::Rreadlink> Operations::Do(const p9::Treadlink& request, Context& context) {
  const Result<FidRef> found = fids_.Find(request.fid);
  if (!found.ok()) return found.error();
  Result<std::string> target = tree_.ReadLink(*(*found)->inode);
  if (!target.ok()) return target.error();
  context.text = *std::move(target);
  return p9::Rreadlink{.target = context.text};
}

}  // namespace virtfs::session
