// FileMapping: the mapped-file model. What is kept of a file is in a metadata file beside it (metadata_file.h), for
// file systems without "user." attributes. docs/decisions/0007 has the reasons and the costs.
//
// Order, so that no moment shows a file as another's, and a crash leaves at worst a metadata file too many, which the
// next file of that name replaces: a new name gets its metadata before the file has the name; an old name loses it
// after the file has lost the name; what a rename replaces is set aside until it is done.
//
// What is kept is found by where the Inode was last seen (SeenPlaces), and only if it is still there. Of a file that is
// nowhere any more, or was moved by a host process, the last that was known holds, and changes are kept in memory.
//
// Names .virtfs_metadata and .virtfs_metadata_root are reserved, in every directory. The guest's extended attributes
// are the host's "user."; POSIX ACLs there would give rights to the host's users and are EOPNOTSUPP.
//
// Threads: any. A directory's lock is held during the few system calls of one operation on a name in it, so that one
// that waits for its disk delays others of this model, in that directory and those that share its lock. Another process
// that changes the same tree is seen at the next operation; the two do not wait for one another.
#pragma once

#include <array>
#include <memory>
#include <shared_mutex>

#include "fsops/host/mapping.h"
#include "fsops/host/seen_places.h"

namespace virtfs::host {

class FileMapping : public Mapping {
 public:
  // `root`: the tree's top.
  static Result<std::unique_ptr<Mapping>> Make(int root);

  Result<Attributes> Stat(Inode& inode, int fd) override;
  Result<void> Set(Inode& inode, int fd, const Kept& change) override;
  Kept Read(int fd, const Attributes& host, const Place& place) override;
  void Saw(Inode& inode, const Place& place, const Kept& kept) override;
  void Forget(Inode& inode) override { places_.Forget(inode); }

  bool Reserves(std::string_view name) const override;
  std::shared_lock<std::shared_mutex> Reading(const Inode& dir) override;
  Result<void> Make(const Place& at, const Kept& born, Change change) override;
  Result<void> Link(Inode& file, int fd, const Place& to, Change change) override;
  Result<void> Rename(const Place& from, const Place& to, Change change) override;
  Result<void> Remove(const Place& at, bool directory, Change change) override;

  Result<std::string> XattrName(std::string_view name, bool change) const override;
  std::string_view GuestXattrName(std::string_view name) const override;

 private:
  // Locks of up to three directories, taken in one order.
  class Writing;

  explicit FileMapping(const InodeKey& root) : root_(root) {}

  static constexpr size_t kLocks = 64;
  static size_t LockNumber(const InodeKey& dir);

  // Calls `use(directory's descriptor, name, attributes)` at the latest place where `inode` still is, under a lock of
  // kind Lock on it. False: there is none that is known.
  template <typename Lock, typename Use>
  bool AtItsPlace(const Inode& inode, int fd, const std::vector<SeenPlaces::Spot>& spots, Use use);

  const InodeKey root_;
  SeenPlaces places_;
  std::array<std::shared_mutex, kLocks> locks_;  // of directories
};

}  // namespace virtfs::host
