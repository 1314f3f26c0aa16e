// SeenPlaces: where the mapped-file model last saw each Inode, and what was kept of it then. An Inode knows no name,
// but what that model keeps is beside names.
//
// A hint: whoever uses a place looks whether the file is still there. A file of several names has up to kMaxPlaces, the
// latest ones. What was kept then is all that there is of a file whose places are all gone (unlinked, but open).
//
// A place holds its directory's Inode, so that a file can be found for as long as it is held itself. Directories'
// places never form a circle, whatever the host moves.
//
// Some 150 bytes for each Inode. Threads: any; one lock, never held over a system call or the end of an Inode.
// Internal to fsops/host.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "fsops/host/inode.h"
#include "fsops/host/mapping.h"
#include "fsops/host/path_component.h"

namespace virtfs::host {

class SeenPlaces {
 public:
  static constexpr size_t kMaxPlaces = 4;

  struct Spot {
    InodeRef dir;
    std::string name;

    friend bool operator==(const Spot&, const Spot&) = default;
  };
  struct Known {
    std::vector<Spot> spots;  // the latest last
    Kept kept;
  };

  Known Of(const Inode& inode);

  void Saw(Inode& inode, Inode& dir, std::string_view name, const Kept& kept);
  void Remember(const Inode& inode, const Kept& kept);
  // The file `key` has another place now; or, if `from_dir` is null, one more.
  void Moved(const InodeKey& key, const Inode* from_dir, std::string_view from, Inode& to_dir, std::string_view to);
  // `inode` is about to be destroyed.
  void Forget(const Inode& inode);

 private:
  struct Entry {
    const Inode* inode = nullptr;
    Known known;
    size_t children = 0;  // spots whose directory this is
  };
  using Entries = absl::flat_hash_map<InodeKey, Entry, InodeKeyHash>;
  // References to be given up once the lock is.
  class Released;

  Entry& EntryOf(const Inode& inode, Released& released);
  void AddSpot(const InodeKey& key, Inode& dir, std::string_view name, bool directory, Released& released);
  void DropSpot(Entry& entry, size_t index, Released& released);
  // Whether what is at `key` is above `dir`, or is it.
  bool IsAbove(const InodeKey& key, const Inode& dir);

  std::mutex mutex_;  // of the entries
  Entries entries_;
};

}  // namespace virtfs::host
