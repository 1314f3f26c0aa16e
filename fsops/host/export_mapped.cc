// What Export does otherwise under the mapped models (mapping.h).
#include <linux/limits.h>

#include "fsops/host/export.h"
#include "fsops/host/inode_table.h"
#include "fsops/host/kernel.h"
#include "fsops/host/mapping.h"
#include "fsops/host/usage.h"

namespace virtfs::host {

Result<void> Export::MapNode(Node& node, const Place* place, const Kept* kept) {
  Result<HeldDescriptor> held = node.inode->Hold();
  if (!held) return held.error();
  const bool regular = S_ISREG(node.attributes.mode);
  if (place != nullptr) {
    const Kept found = kept != nullptr ? *kept : mapping_->Read(held->get(), node.attributes, *place);
    mapping_->Saw(*node.inode, *place, found);
    found.Overlay(node.attributes);
  } else {
    Result<Attributes> attributes = mapping_->Stat(*node.inode, held->get());
    if (!attributes) return attributes.error();
    node.attributes = *attributes;
  }
  node.inode->SetType(node.attributes.mode, regular && !S_ISREG(node.attributes.mode));
  return {};
}

void Export::Locate(Inode& dir, const PathComponent& name) {
  // A lookup of the name remembers the place for whatever Inode is there.
  if (options_.model == SecurityModel::kMappedFile) static_cast<void>(Lookup(dir, name));
}

// --- making ---

// What is to be kept of a new file. The host's kernel cannot hand down the group of a setgid directory that is one only
// for the guest.
Result<Kept> Export::Born(const Place& at, uint32_t mode, uint64_t device, const Owner& owner) {
  if (owner.uid == kNoId || owner.gid == kNoId) return Errno(EINVAL);
  const Result<Attributes> dir = mapping_->Stat(at.dir, at.fd);
  if (!dir) return dir.error();
  Kept born{.uid = owner.uid, .gid = owner.gid, .mode = mode};
  if (S_ISCHR(mode) || S_ISBLK(mode)) born.rdev = device;
  if ((dir->mode & S_ISGID) != 0) {
    born.gid = dir->gid;
    if (S_ISDIR(mode)) *born.mode |= S_ISGID;
  }
  return born;
}

// A regular file that is complete when it gets its name: nobody, not even after a crash, sees a symlink without its
// target, or a device as a plain file. Where the file system has no nameless files it is seen incomplete for a moment.
Result<UniqueFd> Export::MakeHostFile(const Place& at, int flags, std::string_view content, const Kept& born) {
  Result<UniqueFd> file = WithDescriptor(
      [&] { return Opened(openat(at.fd, ".", O_TMPFILE | O_CLOEXEC | flags, options_.file_mode & ALLPERMS)); });
  const bool nameless = file.ok();
  if (!nameless && file.error() == Errno(EOPNOTSUPP)) {
    file = WithDescriptor(
        [&] { return OpenBeneath(at.fd, at.name.c_str(), flags | O_CREAT | O_EXCL, options_.file_mode & ALLPERMS); });
  }
  if (!file) return file.error();

  Result<void> done = WriteWhole(file->get(), content);
  if (done) done = mapping_->Stamp(file->get(), born);
  if (done && nameless) {
    done = Done(
        linkat(proc_self_fd_.get(), DescriptorName(file->get()).c_str(), at.fd, at.name.c_str(), AT_SYMLINK_FOLLOW));
  }
  if (done) return file;
  if (!nameless) unlinkat(at.fd, at.name.c_str(), 0);
  return done.error();
}

// A directory cannot be made without a name: until it is stamped it is the server's own for the guest, which opens it
// to nobody.
Result<UniqueFd> Export::MakeHostDirectory(const Place& at, const Kept& born) {
  if (mkdirat(at.fd, at.name.c_str(), options_.directory_mode & ALLPERMS) < 0) return Errno::Last();
  Result<UniqueFd> made = WithDescriptor([&] { return OpenBeneath(at.fd, at.name.c_str(), O_PATH | O_DIRECTORY); });
  const Result<void> done = made ? mapping_->Stamp(made->get(), born) : made.error();
  if (done) return made;
  unlinkat(at.fd, at.name.c_str(), AT_REMOVEDIR);
  return done.error();
}

Result<Attributes> Export::MakeMapped(Inode& dir, const PathComponent& name, uint32_t mode, uint64_t device,
                                      const Owner& owner, std::string_view content) {
  if (Result<void> valid = CheckNewName(name); !valid) return valid.error();
  Result<HeldDescriptor> held = dir.Hold();
  if (!held) return held.error();
  const Place at{dir, held->get(), name};
  const Result<Kept> born = Born(at, mode, device, owner);
  if (!born) return born.error();
  Result<UsageRoom> room = RoomFor(dir, held->get(), name, S_ISDIR(mode) ? 0 : content.size());
  if (!room) return room.error();
  struct statx stat;
  const auto make = [&]() -> Result<void> {
    Result<UniqueFd> made =
        S_ISDIR(mode) ? MakeHostDirectory(at, *born) : MakeHostFile(at, O_RDWR | O_NONBLOCK, content, *born);
    if (!made) return made.error();
    return StatX(made->get(), "", &stat);
  };
  if (Result<void> made = mapping_->Make(at, *born, make); !made) return made.error();
  room->Used();
  Attributes attributes = AttributesOf(stat);
  born->Overlay(attributes);
  return attributes;
}

Result<Attributes> Export::MakeMappedNode(Inode& dir, const PathComponent& name, uint32_t mode, uint64_t device,
                                          const Owner& owner) {
  // As mknod(2).
  switch (mode & S_IFMT) {
    case 0:
      mode |= S_IFREG;
      break;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
    case S_IFBLK:
      break;
    case S_IFDIR:
      return Errno(EPERM);
    default:
      return Errno(EINVAL);
  }
  return MakeMapped(dir, name, mode, device, owner);
}

Result<UniqueFd> Export::CreateMapped(const Place& at, OpenFlags flags, int linux_flags, uint32_t mode,
                                      const Owner& owner, Kept& born) {
  const Result<Kept> kept = Born(at, S_IFREG | mode, 0, owner);
  if (!kept) return kept.error();
  born = *kept;
  UniqueFd file;
  const auto make = [&]() -> Result<void> {
    // A nameless file must be open for writing.
    const int making_flags = flags.writes() ? linux_flags : (linux_flags & ~O_ACCMODE) | O_RDWR;
    Result<UniqueFd> made = MakeHostFile(at, making_flags, {}, born);
    if (!made) return made.error();
    file = *std::move(made);
    return {};
  };
  if (Result<void> made = mapping_->Make(at, born, make); !made) return made.error();
  if (flags.writes()) return file;
  Result<UniqueFd> again = Reopen(file.get(), linux_flags);
  if (!again) {
    static_cast<void>(mapping_->Remove(at, false, [&] { return Done(unlinkat(at.fd, at.name.c_str(), 0)); }));
  }
  return again;
}

// --- attributes ---

Result<void> Export::SetMapped(Inode& inode, int fd, const AttributeChange& change) {
  if (!change.uid && !change.gid && !change.mode) return {};
  Kept kept{.uid = change.uid, .gid = change.gid};
  if (change.mode) {
    kept.mode = inode.type() | (*change.mode & ALLPERMS);
  } else if (!inode.is_directory()) {
    // Another owner takes the set-id bits away, as chown(2) does.
    const Result<Attributes> now = mapping_->Stat(inode, fd);
    if (!now) return now.error();
    const uint32_t lost = S_ISUID | ((now->mode & S_IXGRP) != 0 ? S_ISGID : 0u);
    if ((now->mode & lost) != 0) kept.mode = now->mode & ~lost;
  }
  return mapping_->Set(inode, fd, kept);
}

// Never more than a symlink's target can be, whatever the host has put there.
Result<std::string> Export::ReadStandIn(Inode& inode) {
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  Result<UniqueFd> file = Reopen(held->get(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return file.error();
  char target[PATH_MAX - 1];
  iovec vec{target, sizeof(target)};
  const ssize_t size = preadv2(file->get(), &vec, 1, 0, 0);
  if (size < 0) return Errno::Last();
  const std::string_view text(target, static_cast<size_t>(size));
  return std::string(text.substr(0, text.find('\0')));
}

}  // namespace virtfs::host
