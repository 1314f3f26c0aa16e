// Export: one directory tree of the host and every operation on it. Knows no 9P.
//
// Every file is reached by one name in a directory that is already held, without following a symlink: openat2 with
// RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS, or an *at system call that takes a directory
// descriptor and a PathComponent. So no operation can leave the tree, whatever is renamed meanwhile, and none costs
// more the deeper the file is.
//
// Nothing waits in the kernel for a lease of a host process (fcntl F_SETLEASE): Open, Create and SetAttributes of a
// size give EWOULDBLOCK, having done nothing of the kind, and may simply be asked again later. (An NFS delegation of
// the host's nfsd is recalled by the kernel itself and may delay a rename, a removal or a change of attributes.)
//
// Errors: the kernel's errno, and ESTALE: the file is gone and its descriptor was not held. EMFILE: too many files are
// open, or the file system has no handles (then nothing is evicted).
// Threads: every method from any thread, at the same time; each is as atomic as the system call it stands on.
// Trust: arguments may be any values of their types. System calls per operation: README.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "fsops/host/attributes.h"
#include "fsops/host/credentials.h"
#include "fsops/host/foreign_devices.h"
#include "fsops/host/handle_broker.h"
#include "fsops/host/inode.h"
#include "fsops/host/lock_file.h"
#include "fsops/host/open_file.h"
#include "fsops/host/path_component.h"

namespace virtfs::host {

struct UsageGauges;

// How owners, modes and special files are kept on the host. docs/security.md has the table of who may do what.
enum class SecurityModel : uint8_t {
  kPassthrough = 1,  // as they are
  kMappedXattr,      // in extended attributes user.virtfs.*, as QEMU does
  kMappedFile,       // in files beneath .virtfs_metadata, as QEMU does
  kNone,             // as they are, but whose a file is cannot be changed, and that is no error
};

struct ExportOptions {
  // O_PATH descriptors that Inodes keep before the least recently used are given up. Those in use (by an operation, by
  // an OpenFile) stay beyond it. RLIMIT_NOFILE must have room for this, twice the open files, and a few per thread.
  size_t max_descriptors = 4096;
  // Everything that would change the tree is EROFS, opening with O_TRUNC included.
  bool readonly = false;
  SecurityModel model = SecurityModel::kPassthrough;
  // Permissions of the host's files and directories under the mapped models.
  uint32_t file_mode = 0600;
  uint32_t directory_mode = 0700;
  // Bits that are taken away from the permissions of whatever is made, beside what the guest's own umask took.
  uint32_t umask = 0;
  // Whose rights the operations of this process have.
  Rights rights = Rights::kOfRoot;
  // Files of any type that the tree may hold, and bytes: the sizes of its regular files, each rounded up to 4 KiB.
  // What would exceed them is ENOSPC. 0: as many as the file system takes; then nothing is counted. With one of them
  // Make goes through the whole tree (unless `readonly`); usage.h and docs/decisions/0009 say what counts.
  uint64_t max_files = 0;
  uint64_t max_space = 0;
  // Where that is counted; null: where nobody looks. Must outlive the Export.
  UsageGauges* usage = nullptr;
};

// What a lookup finds: both were true at the same moment.
struct Node {
  InodeRef inode;
  Attributes attributes;
};

struct CreatedFile {
  Node node;
  std::unique_ptr<OpenFile> file;
};

enum class XattrMode : uint8_t { kEither, kCreate, kReplace };

class InodeTable;
class Mapping;
class Usage;
class UsageRemoval;
class UsageRoom;
struct Kept;
struct Place;

class Export {
 public:
  // `root`: O_PATH descriptor of the tree's top, best of a detached mount of its own. `proc_self_fd`: the directory
  // /proc/self/fd of this very process (a child's is another); it becomes the process's working directory and must stay
  // that, since the system calls of extended attributes take nothing but a path. `broker` must outlive the Export.
  // ENOTDIR: root is none. EOPNOTSUPP: the file system has no extended attributes, which mapped-xattr takes.
  static Result<std::unique_ptr<Export>> Make(UniqueFd root, UniqueFd proc_self_fd, HandleBroker& broker,
                                              const ExportOptions& options);
  ~Export();

  const InodeRef& root() const { return root_; }
  bool readonly() const { return options_.readonly; }

  // --- finding: EACCES, beside the kernel's reasons, where a file system like proc is mounted (foreign_devices.h) ---

  // One openat2 and one statx; a close if the Inode was there already. (Under the mapped models more, as of all
  // operations.) ENOTDIR: `dir` is none.
  Result<Node> Lookup(Inode& dir, const PathComponent& name);
  // "..": of the root the root itself. ENOENT: `dir` is no longer beneath the root. ENOTDIR: it is none.
  Result<Node> Parent(Inode& dir);

  // --- attributes: of every type of file, symlinks themselves included ---

  // Exactly one statx, unless the model is a mapped one.
  Result<Attributes> Stat(Inode& inode);
  // Owner, then permissions (which a change of owner clears), size, times; stops at the first that fails. EOPNOTSUPP:
  // permissions of a symlink. `open`, where the caller has the file open, spares opening it for a new size.
  Result<void> SetAttributes(Inode& inode, const AttributeChange& change, const OpenFile* open = nullptr);
  Result<FileSystemStatus> StatFileSystem(Inode& inode);
  // EINVAL: not a symlink.
  Result<std::string> ReadLink(Inode& inode);

  // --- extended attributes: of every type of file that the host gives some to, POSIX ACLs among them ---
  // (Under the mapped models which there are is the mapping's: xattr_mapping.h, file_mapping.h.)
  // A name has 1 to 255 bytes (ERANGE) without NUL (EINVAL). ENODATA: there is none of that name. EOPNOTSUPP: the file
  // system knows no such name. EPERM: not of this type of file ("user." is of regular files and directories only), or
  // beyond what this process may. Values have up to 64 KiB (E2BIG), and so has the list.

  Result<std::string> GetXattr(Inode& inode, std::string_view name);
  // Each name with its NUL.
  Result<std::string> ListXattr(Inode& inode);
  // EEXIST, ENODATA: `mode` asks for a new one, for one that is there.
  Result<void> SetXattr(Inode& inode, std::string_view name, std::span<const uint8_t> value, XattrMode mode);
  Result<void> RemoveXattr(Inode& inode, std::string_view name);

  // --- opening ---

  // Regular files and directories. Others are never opened: ELOOP for a symlink, ENXIO for devices, FIFOs and sockets.
  // EISDIR: a directory for writing.
  Result<std::unique_ptr<OpenFile>> Open(Inode& inode, OpenFlags flags);
  // Opens `name`, which is made unless it is there and `flags` are not exclusive (EEXIST). `mode`: permissions. EISDIR:
  // a directory is there. EINVAL, here and wherever a name is made: mapped-file needs it for itself.
  Result<CreatedFile> Create(Inode& dir, const PathComponent& name, OpenFlags flags, uint32_t mode, const Owner& owner);

  // To lock bytes of `inode`, which may be whatever Open opens. `access`: kRead for read locks, kWrite for write locks,
  // and those only. System calls: openat.
  Result<LockFile> OpenForLocks(Inode& inode, Access access);
  // The LockFile of which `shared` is (LockFile::Share), here or in another process. EINVAL: not an open description of
  // `inode`.
  Result<LockFile> AdoptLockFile(Inode& inode, const UniqueFd& shared);

  // --- names ---

  // Each returns what has the name afterwards; it makes no Inode.
  Result<Attributes> MakeDirectory(Inode& dir, const PathComponent& name, uint32_t mode, const Owner& owner);
  // `target` is opaque; 1..4095 bytes (ENOENT, ENAMETOOLONG) without NUL (EINVAL).
  Result<Attributes> MakeSymlink(Inode& dir, const PathComponent& name, std::string_view target, const Owner& owner);
  // `mode` with the type: S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK; `device` as makedev(3) packs it.
  Result<Attributes> MakeNode(Inode& dir, const PathComponent& name, uint32_t mode, uint64_t device,
                              const Owner& owner);
  // Another name for `file`, also where that is a symlink. EPERM: a directory. ENOENT: unlinked meanwhile.
  Result<void> Link(Inode& file, Inode& dir, const PathComponent& name);
  Result<void> Rename(Inode& from_dir, const PathComponent& from, Inode& to_dir, const PathComponent& to);
  // EISDIR: a directory.
  Result<void> Unlink(Inode& dir, const PathComponent& name);
  // ENOTDIR: not a directory.
  Result<void> RemoveDirectory(Inode& dir, const PathComponent& name);

  // --- names of a file that is known without its directory ---
  // The caller remembers where it last saw the file, and these act only if it is still there: ENOENT if nothing has
  // that name now, ESTALE if something else has. The kernel cannot compare and act in one step: a host process or
  // another request that replaces the entry between the two gets its new file removed or renamed, as by unlink(2) of
  // that name.

  // Of any type.
  Result<void> RemoveIfSame(Inode& dir, const PathComponent& name, Inode& file);
  Result<void> RenameIfSame(Inode& from_dir, const PathComponent& from, Inode& file, Inode& to_dir,
                            const PathComponent& to);

  // --- a session as a value ---

  // A token of the broker for `inode`, to be kept by the caller: it outlives the Inode. EOPNOTSUPP: no handles here.
  Result<HandleToken> KeepToken(Inode& inode);
  // The file of such a token, which is used up, whatever comes of it. ESTALE: gone.
  Result<Node> AdoptToken(HandleToken token);

  // A file that was adopted was last seen as `name` in `dir`: there mapped-file finds what it keeps of it. Nothing
  // happens under other models, or if something else is there now.
  void Locate(Inode& dir, const PathComponent& name);

  // For tests and statistics.
  size_t held_descriptors() const;
  size_t inodes() const;
  // Null: nothing is counted.
  const Usage* usage() const { return usage_.get(); }

 private:
  Export(UniqueFd proc_self_fd, HandleBroker& broker, const ExportOptions& options, std::unique_ptr<Mapping> mapping);

  Result<UniqueFd> WithDescriptor(absl::FunctionRef<Result<UniqueFd>()> open);
  Result<UniqueFd> Reopen(int fd, int flags);
  // `place`: where it was found, under the mapping's lock; null: by other means. `kept`: what is kept of it, where that
  // is known already. Both are of a mapped model.
  Result<Node> Intern(UniqueFd fd, const Place* place = nullptr, const Kept* kept = nullptr);
  Result<void> CheckBeneathRoot(int dir);
  // `born`: of a mapped model, what is then kept of the file.
  Result<UniqueFd> CreateNew(Inode& dir, const PathComponent& name, OpenFlags flags, uint32_t mode, const Owner& owner,
                             Kept& born);
  // `made` has become `name` and cannot be kept.
  void Unmake(Inode& dir, const PathComponent& name, UniqueFd made);
  Result<void> CheckNewName(const PathComponent& name) const;
  bool IsHidden(const PathComponent& name) const;
  Result<void> Assume(const Owner& owner) const;
  Result<std::string> HostXattrName(const Inode& inode, std::string_view name, bool change) const;
  Result<void> SetOwnerAndMode(int fd, const AttributeChange& change);
  Result<void> Truncate(const Inode& inode, int fd, uint64_t size, const OpenFile* open);
  template <typename Maker>
  Result<Attributes> MakeEntry(Inode& dir, const PathComponent& name, const Owner& owner, Maker make);
  // `only`, where given: if it is still that file.
  Result<void> Remove(Inode& dir, const PathComponent& name, int flags, Inode* only = nullptr);

  // What is limited (export_usage.cc). Where nothing is counted these do nothing.
  Result<void> CountTree();
  // For a new file of `size` bytes in `dir`, which `fd` refers to. EEXIST rather than ENOSPC if the name is taken.
  Result<UsageRoom> RoomFor(const Inode& dir, int fd, const PathComponent& name, uint64_t size = 0);
  // Before `name` in `dir` is removed or replaced. `file`: what it is, if that is known.
  Result<UsageRemoval> PrepareRemoval(Inode& dir, const PathComponent& name, Inode* file = nullptr);
  // Reopen with O_TRUNC.
  Result<UniqueFd> ReopenEmptied(const Inode& inode, int fd, int flags);

  // The mapped models' ways (export_mapped.cc).
  Result<void> MapNode(Node& node, const Place* place, const Kept* kept);
  Result<Kept> Born(const Place& at, uint32_t mode, uint64_t device, const Owner& owner);
  Result<UniqueFd> MakeHostFile(const Place& at, int flags, std::string_view content, const Kept& born);
  Result<UniqueFd> MakeHostDirectory(const Place& at, const Kept& born);
  Result<Attributes> MakeMapped(Inode& dir, const PathComponent& name, uint32_t mode, uint64_t device,
                                const Owner& owner, std::string_view content = {});
  Result<Attributes> MakeMappedNode(Inode& dir, const PathComponent& name, uint32_t mode, uint64_t device,
                                    const Owner& owner);
  Result<UniqueFd> CreateMapped(const Place& at, OpenFlags flags, int linux_flags, uint32_t mode, const Owner& owner,
                                Kept& born);
  Result<void> SetMapped(Inode& inode, int fd, const AttributeChange& change);
  Result<std::string> ReadStandIn(Inode& inode);
  Result<void> CheckSame(Inode& dir, const PathComponent& name, const HeldDescriptor& file);

  const UniqueFd proc_self_fd_;
  const ExportOptions options_;
  const std::unique_ptr<Mapping> mapping_;  // null unless the model is a mapped one; before table_, which tells it
  const std::unique_ptr<Usage> usage_;      // null: nothing is counted
  const std::unique_ptr<InodeTable> table_;
  bool root_is_mount_ = false;  // then the kernel itself keeps ".." inside
  ForeignDevices foreign_devices_;
  InodeRef root_;  // after table_: released first
  std::optional<HeldDescriptor> root_held_;
};

}  // namespace virtfs::host
