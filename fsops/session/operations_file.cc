// Tlopen, Tlcreate, Tread, Twrite, Tfsync: open files and their bytes.

#include <algorithm>
#include <memory>
#include <utility>

#include "fsops/host/file_io.h"
#include "fsops/session/operations.h"
#include "protocol/codec.h"

namespace virtfs::session {

Result<FidRef> Operations::FindOpen(p9::Fid fid) {
  Result<FidRef> found = fids_.Find(fid);
  if (found.ok() && (*found)->opened == nullptr) return Errno(EBADF);
  return found;
}

Result<p9::Rlopen> Operations::Do(const p9::Tlopen& request, Context& /*context*/) {
  const Result<host::OpenFlags> flags = host::OpenFlags::Parse(request.flags);
  if (!flags.ok()) return flags.error();
  Result<FidTable::Change> change = BeginChangeToAct(request.fid);
  if (!change.ok()) return change.error();
  const FidState& before = change->before();
  if (before.opened != nullptr) return Errno(EINVAL);
  Result<OpenFileBudget::Slot> slot = open_files_.Take();
  if (!slot.ok()) return slot.error();

  Result<std::unique_ptr<host::OpenFile>> file = tree_.Open(*before.inode, *flags);
  if (!file.ok()) return file.error();
  const Result<host::Attributes> attributes = tree_.Stat(*before.inode);
  if (!attributes.ok()) return attributes.error();
  auto opened = std::make_unique<Opened>(*std::move(slot), *std::move(file), request.flags);
  std::move(*change).Commit(std::make_unique<FidState>(before.uid, before.inode, before.name, std::move(opened)));
  return p9::Rlopen{.qid = QidOf(*attributes), .iounit = 0};
}

Result<p9::Rlcreate> Operations::Do(const p9::Tlcreate& request, Context& /*context*/) {
  const Result<host::OpenFlags> flags = host::OpenFlags::Parse(request.flags);
  if (!flags.ok()) return flags.error();
  const Result<host::PathComponent> name = host::PathComponent::Parse(request.name);
  if (!name.ok()) return name.error();
  Result<FidTable::Change> change = BeginChangeToAct(request.fid);
  if (!change.ok()) return change.error();
  const FidState& dir = change->before();
  if (dir.opened != nullptr) return Errno(EINVAL);
  Result<OpenFileBudget::Slot> slot = open_files_.Take();
  if (!slot.ok()) return slot.error();

  // Before a file that is there is opened, and perhaps truncated.
  if (!qid_paths_.AllowsAll()) {
    const Result<host::Node> there = tree_.Lookup(*dir.inode, *name);
    if (there.ok() && !qid_paths_.Allows(there->attributes.dev)) return Errno(ENODEV);
  }
  const Result<host::Owner> owner = OwnerOfNew(dir, request.gid);
  if (!owner.ok()) return owner.error();
  Result<host::CreatedFile> created = tree_.Create(*dir.inode, *name, *flags, request.mode & 07777, *owner);
  if (!created.ok()) return created.error();
  auto opened = std::make_unique<Opened>(*std::move(slot), std::move(created->file), request.flags);
  std::move(*change).Commit(std::make_unique<FidState>(dir.uid, std::move(created->node.inode),
                                                       names_.Intern(dir.inode, request.name), std::move(opened)));
  return p9::Rlcreate{.qid = QidOf(created->node.attributes), .iounit = 0};
}

Result<p9::Rread> Operations::Do(const p9::Tread& request, Context& context) {
  const Result<FidRef> found = fids_.FindOpened(request.fid);
  if (!found.ok()) return found.error();
  const Opened& opened = *(*found)->opened;
  Payload room = context.call.room;
  room.Truncate(std::min<size_t>(request.count, context.limit - p9::kMinHeadSize<p9::Rread>));
  // An empty answer means the end of the file.
  if (room.size() == 0 && request.count != 0) return Errno(EMSGSIZE);
  const Result<size_t> count = opened.xattr != nullptr ? opened.xattr->Read(request.offset, room)
                                                       : host::FileIo::ReadInto(*opened.file, request.offset, room);
  if (!count.ok()) return count.error();
  context.call.payload_size = static_cast<uint32_t>(*count);
  return p9::Rread{.count = static_cast<uint32_t>(*count)};
}

Result<p9::Rwrite> Operations::Do(const p9::Twrite& request, Context& context) {
  const Result<FidRef> found = fids_.FindOpened(request.fid);
  if (!found.ok()) return found.error();
  if (Result<void> acting = ActFor((*found)->uid); !acting.ok()) return acting.error();
  const Opened& opened = *(*found)->opened;
  Payload data = context.call.data;
  if (data.size() < request.count) return Errno(EINVAL);
  data.Truncate(request.count);
  // A write by anyone but root clears set-id bits; one of nothing clears none.
  if (request.count > 0) {
    if (Result<void> cleared = ClearSetIds(**found); !cleared.ok()) return cleared.error();
  }
  const Result<size_t> count = opened.xattr != nullptr ? opened.xattr->Write(request.offset, data)
                                                       : host::FileIo::WriteFrom(*opened.file, request.offset, data);
  if (!count.ok()) return count.error();
  return p9::Rwrite{.count = static_cast<uint32_t>(*count)};
}

Result<p9::Rfsync> Operations::Do(const p9::Tfsync& request, Context& /*context*/) {
  const Result<FidRef> found = FindOpen(request.fid);
  if (!found.ok()) return found.error();
  if (Result<void> synced = (*found)->opened->file->Sync(request.datasync != 0); !synced.ok()) return synced.error();
  return p9::Rfsync{};
}

}  // namespace virtfs::session
