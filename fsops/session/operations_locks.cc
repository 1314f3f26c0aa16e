// Tlock, Tgetlock: POSIX record locks.

#include <optional>
#include <string>
#include <utility>

#include "fsops/session/operations.h"

namespace virtfs::session {
namespace {

using host::ByteRange;
using host::LockType;

// Linux's client gives its node name, of 64 bytes at most.
constexpr size_t kMaxClientId = 255;

// As Linux takes the fields of a struct flock: EINVAL beyond what a file offset can be, EOVERFLOW if only the end is.
Result<ByteRange> ParseRange(uint64_t start, uint64_t length) {
  if (start > ByteRange::kMaxByte || length > ByteRange::kMaxByte) return Errno(EINVAL);
  if (length == 0) return ByteRange{start, ByteRange::kMaxByte};
  if (length - 1 > ByteRange::kMaxByte - start) return Errno(EOVERFLOW);
  return ByteRange{start, start + length - 1};
}

Result<LockOwner> ParseOwner(uint32_t proc_id, std::string_view client_id) {
  if (client_id.size() > kMaxClientId) return Errno(EINVAL);
  return LockOwner{.proc_id = proc_id, .client_id = std::string(client_id)};
}

// EINVAL: not a lock.
Result<LockType> ParseType(uint8_t type) {
  if (type == p9::kLockRead) return LockType::kRead;
  if (type == p9::kLockWrite) return LockType::kWrite;
  return Errno(EINVAL);
}

bool Permits(const host::OpenFlags& flags, LockType type) {
  return type == LockType::kRead ? flags.access != host::Access::kWrite : flags.writes();
}

}  // namespace

Result<p9::Rlock> Operations::Do(const p9::Tlock& request, Context& /*context*/) {
  const Result<FidRef> found = FindOpen(request.fid);
  if (!found.ok()) return found.error();
  const FidState& state = **found;
  // The host's description of a file's locks may have to be opened.
  if (Result<void> acting = ActFor(state.uid); !acting.ok()) return acting.error();
  // Blocking is the client's to do, by asking again. Reclaiming is what a client would do after locks were lost with a
  // server, and then it is a lock like any other.
  if ((request.flags & ~(p9::kLockBlock | p9::kLockReclaim)) != 0) return Errno(EINVAL);
  const Result<ByteRange> bytes = ParseRange(request.start, request.length);
  if (!bytes.ok()) return bytes.error();
  const Result<LockOwner> owner = ParseOwner(request.proc_id, request.client_id);
  if (!owner.ok()) return owner.error();
  if (request.type == p9::kLockUnlock) {
    if (Result<void> unlocked = locks_.Unlock(*state.inode, *owner, *bytes); !unlocked.ok()) return unlocked.error();
    return p9::Rlock{.status = p9::kLockSuccess};
  }

  const Result<LockType> type = ParseType(request.type);
  if (!type.ok()) return type.error();
  if (!Permits(state.opened->file->flags(), *type)) return Errno(EBADF);
  state.opened->locked = true;
  const Result<bool> locked = locks_.Lock(*state.inode, *owner, {.bytes = *bytes, .type = *type, .fid = request.fid});
  if (!locked.ok()) return locked.error();
  // A Tclunk that took the fid away meanwhile either saw the lock or is seen here.
  if (!fids_.Has(request.fid, *found)) {
    locks_.Release(*state.inode, request.fid);
    return Errno(EBADF);
  }
  return p9::Rlock{.status = *locked ? p9::kLockSuccess : p9::kLockBlocked};
}

Result<p9::Rgetlock> Operations::Do(const p9::Tgetlock& request, Context& context) {
  const Result<FidRef> found = FindOpen(request.fid);
  if (!found.ok()) return found.error();
  const Result<ByteRange> bytes = ParseRange(request.start, request.length);
  if (!bytes.ok()) return bytes.error();
  const Result<LockOwner> owner = ParseOwner(request.proc_id, request.client_id);
  if (!owner.ok()) return owner.error();
  // Linux asks for what its process asked only after it has overwritten that with "unlock". Whatever is held is named
  // then: a process that wanted to read sees by the type that it may.
  const Result<LockType> type = ParseType(request.type == p9::kLockUnlock ? p9::kLockWrite : request.type);
  if (!type.ok()) return type.error();
  Result<std::optional<Locks::Holder>> holder = locks_.Test(*(*found)->opened->file, *owner, *type, *bytes);
  if (!holder.ok()) return holder.error();
  if (!holder->has_value()) {
    return p9::Rgetlock{.type = p9::kLockUnlock,
                        .start = request.start,
                        .length = request.length,
                        .proc_id = request.proc_id,
                        .client_id = request.client_id};
  }
  const Locks::Holder& other = **holder;
  context.text = other.owner.client_id;
  const bool to_end = other.bytes.last == ByteRange::kMaxByte;
  return p9::Rgetlock{.type = other.type == LockType::kRead ? p9::kLockRead : p9::kLockWrite,
                      .start = other.bytes.first,
                      .length = to_end ? 0 : other.bytes.last - other.bytes.first + 1,
                      .proc_id = other.owner.proc_id,
                      .client_id = context.text};
}

}  // namespace virtfs::session
