// Treaddir, and what makes a new name in a directory: Tmkdir, Tsymlink, Tmknod, Tlink.

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <utility>

#include "fsops/session/operations.h"
#include "protocol/codec.h"

namespace virtfs::session {
namespace {

// Rreaddir's entries as they are written one behind the other.
class EntryWriter {
 public:
  explicit EntryWriter(std::span<uint8_t> room) : room_(room) {}

  bool Write(const p9::DirEntry& entry) {
    const size_t size = p9::EncodeDirEntry(entry, room_.subspan(used_));
    used_ += size;
    refused_ = size == 0;
    return !refused_;
  }

  size_t used() const { return used_; }
  bool refused() const { return refused_; }

 private:
  std::span<uint8_t> room_;
  size_t used_ = 0;
  bool refused_ = false;
};

uint8_t DirentType(mode_t type) { return static_cast<uint8_t>((type & S_IFMT) >> 12); }

}  // namespace

Result<Operations::Target> Operations::FindTarget(p9::Fid dir, std::string_view name) {
  Result<FidRef> found = FindToAct(dir);
  if (!found.ok()) return found.error();
  const Result<host::PathComponent> component = host::PathComponent::Parse(name);
  if (!component.ok()) return component.error();
  return Target{.dir = *std::move(found), .name = *component};
}

Result<p9::Rreaddir> Operations::Do(const p9::Treaddir& request, Context& context) {
  const Result<FidRef> found = FindOpen(request.fid);
  if (!found.ok()) return found.error();
  host::Inode& dir = *(*found)->inode;
  if (!dir.is_directory()) return Errno(ENOTDIR);
  constexpr size_t kHead = p9::kMinHeadSize<p9::Rreaddir>;
  const std::span<uint8_t> scratch =
      context.call.scratch.first(std::min<size_t>(context.limit, context.call.scratch.size()));
  if (scratch.size() < kHead) return Errno(EMSGSIZE);
  const std::span<uint8_t> entries = scratch.subspan(kHead, std::min<size_t>(request.count, scratch.size() - kHead));
  EntryWriter writer(entries);

  const auto write = [&](const host::DirectoryEntry& entry) {
    p9::Qid qid = {.type = QidType(entry.type), .version = 0, .path = qid_paths_.Path(dir.key().dev, entry.ino)};
    // The kernel's ".." of the root is outside, and that of a file system mounted inside is on another device.
    if (entry.name == "..") {
      if (const Result<host::Node> parent = tree_.Parent(dir); parent.ok()) qid = QidOf(parent->attributes);
    }
    return writer.Write({.qid = qid, .offset = entry.cookie, .type = DirentType(entry.type), .name = entry.name});
  };
  // What fits is read in one go, and nothing twice (see OpenFile::ReadDirectory).
  const Result<void> read = (*found)->opened->file->ReadDirectory(request.offset, entries.size() / 7 * 6, write);
  if (!read.ok() && writer.used() == 0) return read.error();
  if (writer.refused() && writer.used() == 0) return Errno(EINVAL);
  return p9::Rreaddir{.count = static_cast<uint32_t>(writer.used())};
}

Result<p9::Rmkdir> Operations::Do(const p9::Tmkdir& request, Context& /*context*/) {
  const Result<Target> target = FindTarget(request.dfid, request.name);
  if (!target.ok()) return target.error();
  const Result<host::Owner> owner = OwnerOfNew(*target->dir, request.gid);
  if (!owner.ok()) return owner.error();
  const Result<host::Attributes> made =
      tree_.MakeDirectory(target->inode(), target->name, request.mode & 07777, *owner);
  if (!made.ok()) return made.error();
  return p9::Rmkdir{.qid = QidOf(*made)};
}

Result<p9::Rsymlink> Operations::Do(const p9::Tsymlink& request, Context& /*context*/) {
  const Result<Target> target = FindTarget(request.fid, request.name);
  if (!target.ok()) return target.error();
  const Result<host::Owner> owner = OwnerOfNew(*target->dir, request.gid);
  if (!owner.ok()) return owner.error();
  const Result<host::Attributes> made = tree_.MakeSymlink(target->inode(), target->name, request.symtgt, *owner);
  if (!made.ok()) return made.error();
  return p9::Rsymlink{.qid = QidOf(*made)};
}

Result<p9::Rmknod> Operations::Do(const p9::Tmknod& request, Context& /*context*/) {
  const Result<Target> target = FindTarget(request.dfid, request.name);
  if (!target.ok()) return target.error();
  const Result<host::Owner> owner = OwnerOfNew(*target->dir, request.gid);
  if (!owner.ok()) return owner.error();
  const Result<host::Attributes> made =
      tree_.MakeNode(target->inode(), target->name, request.mode, makedev(request.major, request.minor), *owner);
  if (!made.ok()) return made.error();
  return p9::Rmknod{.qid = QidOf(*made)};
}

Result<p9::Rlink> Operations::Do(const p9::Tlink& request, Context& /*context*/) {
  const Result<Target> target = FindTarget(request.dfid, request.name);
  if (!target.ok()) return target.error();
  const Result<FidRef> file = fids_.Find(request.fid);
  if (!file.ok()) return file.error();
  const Result<void> linked = tree_.Link(*(*file)->inode, target->inode(), target->name);
  if (!linked.ok()) return linked.error();
  return p9::Rlink{};
}

}  // namespace virtfs::session
