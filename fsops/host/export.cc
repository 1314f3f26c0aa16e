#include "fsops/host/export.h"

#include <linux/stat.h>

#include "fsops/host/inode_table.h"
#include "fsops/host/kernel.h"
#include "fsops/host/mapping.h"
#include "fsops/host/usage.h"

namespace virtfs::host {

namespace {

std::unique_ptr<Usage> MakeUsage(const ExportOptions& options) {
  if (options.readonly || (options.max_files == 0 && options.max_space == 0)) return nullptr;
  return std::make_unique<Usage>(options.max_files, options.max_space, options.usage);
}

}  // namespace

Export::Export(UniqueFd proc_self_fd, HandleBroker& broker, const ExportOptions& options,
               std::unique_ptr<Mapping> mapping)
    : proc_self_fd_(std::move(proc_self_fd)),
      options_(options),
      mapping_(std::move(mapping)),
      usage_(MakeUsage(options)),
      table_(std::make_unique<InodeTable>(broker, options.max_descriptors, usage_.get(), mapping_.get())) {}

Export::~Export() = default;

Result<std::unique_ptr<Export>> Export::Make(UniqueFd root, UniqueFd proc_self_fd, HandleBroker& broker,
                                             const ExportOptions& options) {
  PrepareCredentials(options.rights);
  struct statx stat;
  if (Result<void> done = StatX(root.get(), "", &stat); !done) return done.error();
  if (!S_ISDIR(stat.stx_mode)) return Errno(ENOTDIR);
  if (fchdir(proc_self_fd.get()) < 0) return Errno::Last();

  Result<std::unique_ptr<Mapping>> mapping = MakeMapping(options.model, root.get());
  if (!mapping) return mapping.error();
  std::unique_ptr<Export> result(new Export(std::move(proc_self_fd), broker, options, *std::move(mapping)));
  result->root_is_mount_ = (stat.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
  Result<Node> node = result->Intern(std::move(root));
  if (!node) return node.error();
  result->root_ = node->inode;
  Result<HeldDescriptor> held = result->root_->Hold();
  if (!held) return held.error();
  result->root_held_.emplace(*std::move(held));
  if (Result<void> counted = result->CountTree(); !counted) return counted.error();
  return result;
}

bool Export::IsHidden(const PathComponent& name) const { return mapping_ && mapping_->Reserves(name.view()); }

Result<void> Export::CheckNewName(const PathComponent& name) const {
  if (readonly()) return Errno(EROFS);
  if (IsHidden(name)) return Errno(EINVAL);
  return {};
}

// Under the other models whatever is made belongs to the server itself.
Result<void> Export::Assume(const Owner& owner) const {
  return options_.model == SecurityModel::kPassthrough ? AssumeOwner(owner) : Result<void>();
}

// Tries once more after giving up descriptors of idle Inodes if `open` finds none free.
Result<UniqueFd> Export::WithDescriptor(absl::FunctionRef<Result<UniqueFd>()> open) {
  Result<UniqueFd> fd = open();
  if (!fd && fd.error() == Errno(EMFILE) && table_->descriptors().GiveUpSome()) fd = open();
  return fd;
}

// --- finding ---

Result<Node> Export::Intern(UniqueFd fd, const Place* place, const Kept* kept) {
  struct statx stat;
  if (Result<void> done = StatX(fd.get(), "", &stat); !done) return done.error();
  const Attributes attributes = AttributesOf(stat);
  if (root_ && attributes.dev != root_->key().dev) {
    if (Result<void> checked = foreign_devices_.Check(fd.get(), attributes.dev); !checked) return checked.error();
  }
  Result<InodeRef> inode = table_->Intern(std::move(fd), KeyOf(attributes), attributes.mode & S_IFMT);
  if (!inode) return inode.error();
  Node node{*std::move(inode), attributes};
  if (mapping_) {
    if (Result<void> done = MapNode(node, place, kept); !done) return done.error();
  }
  return node;
}

Result<Node> Export::Lookup(Inode& dir, const PathComponent& name) {
  if (IsHidden(name)) return Errno(ENOENT);
  Result<HeldDescriptor> held = dir.Hold();
  if (!held) return held.error();
  std::shared_lock<std::shared_mutex> lock;
  if (mapping_) lock = mapping_->Reading(dir);
  Result<UniqueFd> fd = WithDescriptor([&] { return OpenBeneath(held->get(), name.c_str(), O_PATH); });
  if (!fd) return fd.error();
  const Place place{dir, held->get(), name};
  return Intern(*std::move(fd), &place);
}

Result<Node> Export::Parent(Inode& dir) {
  if (&dir == root_.get()) {
    Result<Attributes> attributes = Stat(dir);
    if (!attributes) return attributes.error();
    return Node{root_, *attributes};
  }
  Result<HeldDescriptor> held = dir.Hold();
  if (!held) return held.error();
  // At the top of a mount the kernel stays where it is, and of a directory that was moved out of the mount it gives
  // ENOENT. (RESOLVE_BENEATH would refuse every ".." here, since it counts from `dir`.)
  Result<UniqueFd> fd =
      WithDescriptor([&] { return Opened(openat(held->get(), "..", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)); });
  if (!fd) return fd.error();
  if (!root_is_mount_) {
    if (Result<void> beneath = CheckBeneathRoot(fd->get()); !beneath) return beneath.error();
  }
  return Intern(*std::move(fd));
}

// Climbs from `dir`. Only where the root is not the top of a mount, as in tests.
Result<void> Export::CheckBeneathRoot(int dir) {
  UniqueFd above;
  InodeKey below;
  for (int fd = dir;; fd = above.get()) {
    struct statx stat;
    if (Result<void> done = StatX(fd, "", &stat); !done) return done;
    const InodeKey key = KeyOf(AttributesOf(stat));
    if (key == root_->key()) return {};
    if (key == below) return Errno(ENOENT);  // the host's own root
    below = key;
    Result<UniqueFd> next = Opened(openat(fd, "..", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return next.error();
    above = *std::move(next);
  }
}

// --- opening ---

// Another descriptor of what `fd` refers to, by the kernel's link to it: no name is resolved.
Result<UniqueFd> Export::Reopen(int fd, int flags) {
  return WithDescriptor(
      [&] { return Opened(openat(proc_self_fd_.get(), DescriptorName(fd).c_str(), flags | O_CLOEXEC)); });
}

Result<UniqueFd> Export::ReopenEmptied(const Inode& inode, int fd, int flags) {
  if (!usage_) return Reopen(fd, flags);
  return WithDescriptor([&] {
    Result<UniqueFd> opened = Errno(EIO);
    const Result<void> emptied = usage_->Resize(fd, inode.key(), 0, [&]() -> Result<void> {
      opened = Opened(openat(proc_self_fd_.get(), DescriptorName(fd).c_str(), flags | O_CLOEXEC));
      return opened ? Result<void>() : opened.error();
    });
    return emptied ? std::move(opened) : Result<UniqueFd>(emptied.error());
  });
}

namespace {

// O_NONBLOCK makes the kernel refuse rather than wait while a lease is broken; a regular file ignores it afterwards.
int LinuxFlags(const OpenFlags& flags) {
  int result = O_NONBLOCK | O_NOCTTY;
  if (flags.access == Access::kWrite) result |= O_WRONLY;
  if (flags.access == Access::kReadWrite) result |= O_RDWR;
  if (flags.truncate) result |= O_TRUNC;
  if (flags.append) result |= O_APPEND;
  if (flags.data_sync) result |= O_DSYNC;
  if (flags.sync) result |= O_SYNC;
  return result;
}

}  // namespace

Result<std::unique_ptr<OpenFile>> Export::Open(Inode& inode, OpenFlags flags) {
  const bool changes = flags.writes() || flags.truncate;
  int linux_flags = LinuxFlags(flags);
  switch (inode.type()) {
    case S_IFREG:
      if (flags.directory) return Errno(ENOTDIR);
      break;
    case S_IFDIR:
      if (changes) return Errno(EISDIR);
      linux_flags = O_RDONLY | O_DIRECTORY | O_NONBLOCK;
      break;
    case S_IFLNK:
      return Errno(ELOOP);
    default:
      return Errno(ENXIO);
  }
  if (changes && readonly()) return Errno(EROFS);

  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  Result<UniqueFd> fd =
      flags.truncate ? ReopenEmptied(inode, held->get(), linux_flags) : Reopen(held->get(), linux_flags);
  if (!fd) return fd.error();
  return std::make_unique<OpenFile>(*std::move(fd), InodeRef(inode), *std::move(held), flags, mapping_.get());
}

Result<UniqueFd> Export::CreateNew(Inode& dir, const PathComponent& name, OpenFlags flags, uint32_t mode,
                                   const Owner& owner, Kept& born) {
  if (Result<void> valid = CheckNewName(name); !valid) return valid.error();
  Result<HeldDescriptor> held = dir.Hold();
  if (!held) return held.error();
  if (!mapping_) {
    if (Result<void> assumed = Assume(owner); !assumed) return assumed.error();
  }
  Result<UsageRoom> room = RoomFor(dir, held->get(), name);
  if (!room) return room.error();
  const int linux_flags = LinuxFlags(flags) & ~O_TRUNC;
  mode &= ALLPERMS & ~options_.umask;
  Result<UniqueFd> made =
      mapping_ ? CreateMapped({dir, held->get(), name}, flags, linux_flags, mode, owner, born) : WithDescriptor([&] {
        return OpenBeneath(held->get(), name.c_str(), linux_flags | O_CREAT | O_EXCL, mode);
      });
  if (made) room->Used();
  return made;
}

// With no descriptor but the file's own: it serves as that of the Inode, which then goes at once.
void Export::Unmake(Inode& dir, const PathComponent& name, UniqueFd made) {
  if (Result<Node> node = Intern(std::move(made))) (void)Remove(dir, name, 0, node->inode.get());
}

Result<CreatedFile> Export::Create(Inode& dir, const PathComponent& name, OpenFlags flags, uint32_t mode,
                                   const Owner& owner) {
  flags.directory = false;
  // Always O_EXCL, so that the kernel opens nothing that was there: that is looked up and opened as Open does. A file
  // that comes and goes between the two has the game played again, a few times.
  for (int attempt = 0;; ++attempt) {
    Kept born;
    Result<UniqueFd> made = CreateNew(dir, name, flags, mode, owner, born);
    if (made) {
      Result<UniqueFd> path = Reopen(made->get(), O_PATH);
      if (!path) {
        Unmake(dir, name, *std::move(made));
        return path.error();
      }
      const Place place{dir, -1, name};
      Result<Node> node = Intern(*std::move(path), &place, &born);
      if (!node) return node.error();
      Result<HeldDescriptor> held = node->inode->Hold();
      if (!held) return held.error();
      auto file = std::make_unique<OpenFile>(*std::move(made), node->inode, *std::move(held), flags, mapping_.get());
      return CreatedFile{*std::move(node), std::move(file)};
    }
    // Whoever must not make a file may still open one.
    const Errno error = made.error();
    if (flags.exclusive || !(error == Errno(EEXIST) || error == Errno(EROFS) || error == Errno(EPERM))) return error;

    Result<Node> existing = Lookup(dir, name);
    if (existing) {
      if (existing->inode->is_directory()) return Errno(EISDIR);
      Result<std::unique_ptr<OpenFile>> file = Open(*existing->inode, flags);
      if (!file) return file.error();
      return CreatedFile{*std::move(existing), *std::move(file)};
    }
    if (!(existing.error() == Errno(ENOENT))) return existing.error();
    if (!(error == Errno(EEXIST)) || attempt == 4) return error;
  }
}

// --- locks ---

Result<LockFile> Export::OpenForLocks(Inode& inode, Access access) {
  Result<std::unique_ptr<OpenFile>> file = Open(inode, {.access = access});
  if (!file) return file.error();
  return LockFile(std::move((*file)->fd_), access);
}

Result<LockFile> Export::AdoptLockFile(Inode& inode, const UniqueFd& shared) {
  struct statx stat;
  if (!StatX(shared.get(), "", &stat) || !(KeyOf(AttributesOf(stat)) == inode.key())) return Errno(EINVAL);
  const int flags = fcntl(shared.get(), F_GETFL);
  if (flags < 0) return Errno::Last();
  if ((flags & O_PATH) != 0) return Errno(EINVAL);
  Result<UniqueFd> own = WithDescriptor([&] { return Opened(fcntl(shared.get(), F_DUPFD_CLOEXEC, 0)); });
  if (!own) return own.error();
  const int access = flags & O_ACCMODE;
  return LockFile(*std::move(own), access == O_RDONLY   ? Access::kRead
                                   : access == O_WRONLY ? Access::kWrite
                                                        : Access::kReadWrite);
}

// --- a session as a value ---

Result<HandleToken> Export::KeepToken(Inode& inode) {
  Result<HeldDescriptor> held = inode.Hold();
  if (!held) return held.error();
  return table_->descriptors().broker().Keep(held->get());
}

Result<Node> Export::AdoptToken(HandleToken token) {
  HandleBroker& broker = table_->descriptors().broker();
  Result<UniqueFd> fd = WithDescriptor([&] { return broker.Reopen(token); });
  // The Inode gets a token of its own when it is first evicted; and nobody else knows of one whose file is gone.
  broker.Drop(token);
  if (!fd) return fd.error();
  return Intern(*std::move(fd));
}

size_t Export::held_descriptors() const { return table_->descriptors().held(); }
size_t Export::inodes() const { return table_->size(); }

}  // namespace virtfs::host
