// Trename, Trenameat, Tunlinkat, Tremove: names that change or go.

#include <optional>
#include <utility>

#include "fsops/session/operations.h"

namespace virtfs::session {

Result<Place> Operations::Locate(const FidState& fid) {
  if (!fid.inode) return Errno(ESTALE);
  if (fid.name) return names_.Where(fid.name);
  host::Inode& dir = *fid.inode;
  if (fid.inode == tree_.root()) return Errno(EBUSY);
  // Reached by "..", and therefore a directory: its parent knows the name.
  const Result<host::Node> parent = tree_.Parent(dir);
  if (!parent.ok()) return parent.error();
  const Result<std::unique_ptr<host::OpenFile>> listing = tree_.Open(*parent->inode, {});
  if (!listing.ok()) return listing.error();
  constexpr size_t kPortion = 32 << 10;
  std::optional<host::PathComponent> name;
  uint64_t cookie = 0;
  bool more = true;
  while (more && !name.has_value()) {
    more = false;
    const Result<void> read = (*listing)->ReadDirectory(cookie, kPortion, [&](const host::DirectoryEntry& entry) {
      more = true;
      cookie = entry.cookie;
      const Result<host::PathComponent> component = host::PathComponent::Parse(entry.name);
      if (entry.ino == dir.key().ino && component.ok()) name = *component;
      return !name.has_value();
    });
    if (!read.ok()) return read.error();
  }
  if (!name.has_value()) return Errno(ENOENT);
  return Place{.dir = parent->inode, .name = *name};
}

Result<p9::Rrename> Operations::Do(const p9::Trename& request, Context& /*context*/) {
  const Result<FidRef> file = FindToAct(request.fid);
  if (!file.ok()) return file.error();
  const Result<Target> to = FindTarget(request.dfid, request.name);
  if (!to.ok()) return to.error();
  const Result<Place> from = Locate(**file);
  if (!from.ok()) return from.error();
  const Result<void> renamed = tree_.RenameIfSame(*from->dir, from->name, *(*file)->inode, to->inode(), to->name);
  if (!renamed.ok()) return renamed.error();
  names_.Renamed(*from->dir, from->name.view(), to->dir->inode, request.name);
  return p9::Rrename{};
}

Result<p9::Rrenameat> Operations::Do(const p9::Trenameat& request, Context& /*context*/) {
  const Result<Target> from = FindTarget(request.olddirfid, request.oldname);
  if (!from.ok()) return from.error();
  const Result<Target> to = FindTarget(request.newdirfid, request.newname);
  if (!to.ok()) return to.error();
  const Result<void> renamed = tree_.Rename(from->inode(), from->name, to->inode(), to->name);
  if (!renamed.ok()) return renamed.error();
  names_.Renamed(from->inode(), request.oldname, to->dir->inode, request.newname);
  return p9::Rrenameat{};
}

Result<p9::Runlinkat> Operations::Do(const p9::Tunlinkat& request, Context& /*context*/) {
  if ((request.flags & ~p9::kUnlinkRemoveDirectory) != 0) return Errno(EINVAL);
  const Result<Target> target = FindTarget(request.dirfd, request.name);
  if (!target.ok()) return target.error();
  const Result<void> removed = request.flags == 0 ? tree_.Unlink(target->inode(), target->name)
                                                  : tree_.RemoveDirectory(target->inode(), target->name);
  if (!removed.ok()) return removed.error();
  return p9::Runlinkat{};
}

Result<p9::Rremove> Operations::Do(const p9::Tremove& request, Context& /*context*/) {
  const Result<FidRef> file = fids_.Remove(request.fid);
  if (!file.ok()) return file.error();
  if (Result<void> acting = ActFor((*file)->uid); !acting.ok()) return acting.error();
  ReleaseLocks(request.fid, **file);
  if ((*file)->opened != nullptr && (*file)->opened->xattr != nullptr) return Errno(EINVAL);
  const Result<Place> place = Locate(**file);
  if (!place.ok()) return place.error();
  const Result<void> removed = tree_.RemoveIfSame(*place->dir, place->name, *(*file)->inode);
  if (!removed.ok()) return removed.error();
  return p9::Rremove{};
}

}  // namespace virtfs::session
