// Operations on directory entries. Each is one system call on held directories and checked names.
#include <linux/limits.h>

#include <cstdio>

#include "fsops/host/export.h"
#include "fsops/host/kernel.h"
#include "fsops/host/mapping.h"
#include "fsops/host/usage.h"

namespace virtfs::host {

// Makes an entry by `make(directory descriptor, name)` on the owner's behalf and returns what now has the name.
template <typename Maker>
Result<Attributes> Export::MakeEntry(Inode& dir, const PathComponent& name, const Owner& owner, Maker make) {
  if (Result<void> valid = CheckNewName(name); !valid) return valid.error();
  Result<HeldDescriptor> held = dir.Hold();
  if (!held) return held.error();
  if (Result<void> assumed = Assume(owner); !assumed) return assumed.error();
  Result<UsageRoom> room = RoomFor(dir, held->get(), name);
  if (!room) return room.error();
  if (make(held->get(), name.c_str()) < 0) return Errno::Last();
  room->Used();
  struct statx stat;
  if (Result<void> done = StatX(held->get(), name.c_str(), &stat); !done) return done.error();
  return AttributesOf(stat);
}

Result<Attributes> Export::MakeDirectory(Inode& dir, const PathComponent& name, uint32_t mode, const Owner& owner) {
  mode &= ALLPERMS & ~options_.umask;
  if (mapping_) return MakeMapped(dir, name, S_IFDIR | mode, 0, owner);
  return MakeEntry(dir, name, owner, [&](int fd, const char* entry) { return mkdirat(fd, entry, mode); });
}

Result<Attributes> Export::MakeSymlink(Inode& dir, const PathComponent& name, std::string_view target,
                                       const Owner& owner) {
  if (target.empty()) return Errno(ENOENT);
  if (target.size() >= PATH_MAX) return Errno(ENAMETOOLONG);
  if (target.find('\0') != target.npos) return Errno(EINVAL);
  if (mapping_) return MakeMapped(dir, name, S_IFLNK | 0777, 0, owner, target);
  const std::string text(target);
  return MakeEntry(dir, name, owner, [&](int fd, const char* entry) { return symlinkat(text.c_str(), fd, entry); });
}

Result<Attributes> Export::MakeNode(Inode& dir, const PathComponent& name, uint32_t mode, uint64_t device,
                                    const Owner& owner) {
  mode &= S_IFMT | (ALLPERMS & ~options_.umask);
  if (mapping_) return MakeMappedNode(dir, name, mode, device, owner);
  return MakeEntry(dir, name, owner, [&](int fd, const char* entry) { return mknodat(fd, entry, mode, device); });
}

Result<void> Export::Link(Inode& file, Inode& dir, const PathComponent& name) {
  if (Result<void> valid = CheckNewName(name); !valid) return valid;
  if (file.is_directory()) return Errno(EPERM);
  Result<HeldDescriptor> source = file.Hold();
  if (!source) return source.error();
  Result<HeldDescriptor> target = dir.Hold();
  if (!target) return target.error();
  Usage::EntriesLock entries;
  if (usage_) entries = usage_->LockEntries(dir.key());
  // Through /proc, since AT_EMPTY_PATH takes CAP_DAC_READ_SEARCH. The following ends at the descriptor's own file, also
  // where that is a symlink.
  const auto link = [&] {
    return Done(linkat(proc_self_fd_.get(), DescriptorName(source->get()).c_str(), target->get(), name.c_str(),
                       AT_SYMLINK_FOLLOW));
  };
  return mapping_ ? mapping_->Link(file, source->get(), {dir, target->get(), name}, link) : link();
}

Result<void> Export::Rename(Inode& from_dir, const PathComponent& from, Inode& to_dir, const PathComponent& to) {
  if (Result<void> valid = CheckNewName(to); !valid) return valid;
  if (IsHidden(from)) return Errno(ENOENT);
  Result<HeldDescriptor> source = from_dir.Hold();
  if (!source) return source.error();
  Result<HeldDescriptor> target = to_dir.Hold();
  if (!target) return target.error();
  Result<UsageRemoval> replaced = PrepareRemoval(to_dir, to);
  if (!replaced) return replaced.error();
  const auto rename = [&] {
    return replaced->During([&] { return Done(renameat(source->get(), from.c_str(), target->get(), to.c_str())); });
  };
  return mapping_ ? mapping_->Rename({from_dir, source->get(), from}, {to_dir, target->get(), to}, rename) : rename();
}

Result<void> Export::Remove(Inode& dir, const PathComponent& name, int flags, Inode* only) {
  if (readonly()) return Errno(EROFS);
  if (IsHidden(name)) return Errno(ENOENT);
  Result<HeldDescriptor> held = dir.Hold();
  if (!held) return held.error();
  Result<UsageRemoval> removed = PrepareRemoval(dir, name, only);
  if (!removed) return removed.error();
  if (only != nullptr) {
    Result<HeldDescriptor> file = only->Hold();
    if (!file) return file.error();
    if (Result<void> same = CheckSame(dir, name, *file); !same) return same;
  }
  const auto remove = [&] { return removed->During([&] { return Done(unlinkat(held->get(), name.c_str(), flags)); }); };
  return mapping_ ? mapping_->Remove({dir, held->get(), name}, flags == AT_REMOVEDIR, remove) : remove();
}

Result<void> Export::Unlink(Inode& dir, const PathComponent& name) { return Remove(dir, name, 0); }

Result<void> Export::RemoveDirectory(Inode& dir, const PathComponent& name) { return Remove(dir, name, AT_REMOVEDIR); }

// `file` is held, so no other file can have its number.
Result<void> Export::CheckSame(Inode& dir, const PathComponent& name, const HeldDescriptor& file) {
  Result<HeldDescriptor> held = dir.Hold();
  if (!held) return held.error();
  struct statx named, known;
  if (Result<void> done = StatX(held->get(), name.c_str(), &named); !done) return done;
  // Asked again, for an overlay file system gives a file another identity when it is first written to.
  if (Result<void> done = StatX(file.get(), "", &known); !done) return done;
  if (!(KeyOf(AttributesOf(named)) == KeyOf(AttributesOf(known)))) return Errno(ESTALE);
  return {};
}

Result<void> Export::RemoveIfSame(Inode& dir, const PathComponent& name, Inode& file) {
  return Remove(dir, name, file.is_directory() ? AT_REMOVEDIR : 0, &file);
}

Result<void> Export::RenameIfSame(Inode& from_dir, const PathComponent& from, Inode& file, Inode& to_dir,
                                  const PathComponent& to) {
  Result<HeldDescriptor> held = file.Hold();
  if (!held) return held.error();
  if (Result<void> same = CheckSame(from_dir, from, *held); !same) return same;
  return Rename(from_dir, from, to_dir, to);
}

}  // namespace virtfs::host
