#include "fsops/host/seen_places.h"

#include <algorithm>
#include <utility>

namespace virtfs::host {

// The last reference of a directory may take its own place with it, and so on upwards: that is done in a loop here, not
// by calls within calls, since a tree can be deep.
class SeenPlaces::Released {
 public:
  Released() = default;
  Released(const Released&) = delete;
  Released& operator=(const Released&) = delete;
  ~Released() {
    static thread_local std::vector<InodeRef>* outer = nullptr;
    if (outer != nullptr) {
      std::move(refs_.begin(), refs_.end(), std::back_inserter(*outer));
      return;
    }
    outer = &refs_;
    while (!refs_.empty()) {
      const InodeRef last = std::move(refs_.back());
      refs_.pop_back();
    }
    outer = nullptr;
  }

  void Add(InodeRef ref) { refs_.push_back(std::move(ref)); }

 private:
  std::vector<InodeRef> refs_;
};

SeenPlaces::Known SeenPlaces::Of(const Inode& inode) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(inode.key());
  return found == entries_.end() || found->second.inode != &inode ? Known() : found->second.known;
}

void SeenPlaces::Saw(Inode& inode, Inode& dir, std::string_view name, const Kept& kept) {
  Released released;
  const std::lock_guard lock(mutex_);
  EntryOf(inode, released).known.kept = kept;
  AddSpot(inode.key(), dir, name, inode.is_directory(), released);
}

void SeenPlaces::Remember(const Inode& inode, const Kept& kept) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(inode.key());
  if (found != entries_.end() && found->second.inode == &inode) found->second.known.kept = kept;
}

void SeenPlaces::Moved(const InodeKey& key, const Inode* from_dir, std::string_view from, Inode& to_dir,
                       std::string_view to) {
  Released released;
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  std::vector<Spot>& spots = found->second.known.spots;
  if (from_dir != nullptr) {
    const auto old = std::find_if(spots.begin(), spots.end(),
                                  [&](const Spot& spot) { return spot.dir.get() == from_dir && spot.name == from; });
    if (old != spots.end()) DropSpot(found->second, static_cast<size_t>(old - spots.begin()), released);
  }
  AddSpot(key, to_dir, to, found->second.inode->is_directory(), released);
}

void SeenPlaces::Forget(const Inode& inode) {
  Released released;
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(inode.key());
  if (found == entries_.end() || found->second.inode != &inode) return;
  while (!found->second.known.spots.empty()) DropSpot(found->second, 0, released);
  entries_.erase(found);
}

SeenPlaces::Entry& SeenPlaces::EntryOf(const Inode& inode, Released& released) {
  Entry& entry = entries_[inode.key()];
  if (entry.inode != &inode) {
    // What was known to an Inode that is being destroyed, of a file that had this one's number.
    while (!entry.known.spots.empty()) DropSpot(entry, 0, released);
    entry = Entry();
    entry.inode = &inode;
  }
  return entry;
}

void SeenPlaces::AddSpot(const InodeKey& key, Inode& dir, std::string_view name, bool directory, Released& released) {
  EntryOf(dir, released);  // before references into the table are held
  Entry& entry = entries_[key];
  std::vector<Spot>& spots = entry.known.spots;
  const auto same = std::find_if(spots.begin(), spots.end(),
                                 [&](const Spot& spot) { return spot.dir.get() == &dir && spot.name == name; });
  if (same != spots.end()) {
    std::rotate(same, same + 1, spots.end());
    return;
  }
  // Only what others are in can be above `dir`; the host has moved things about then.
  if (entry.children > 0 && IsAbove(key, dir)) return;
  while (spots.size() >= (directory ? 1 : kMaxPlaces)) DropSpot(entry, 0, released);
  spots.push_back({InodeRef(dir), std::string(name)});
  ++entries_[dir.key()].children;
}

void SeenPlaces::DropSpot(Entry& entry, size_t index, Released& released) {
  InodeRef dir = std::move(entry.known.spots[index].dir);
  entry.known.spots.erase(entry.known.spots.begin() + static_cast<ptrdiff_t>(index));
  const auto parent = entries_.find(dir->key());
  if (parent != entries_.end()) --parent->second.children;
  released.Add(std::move(dir));
}

bool SeenPlaces::IsAbove(const InodeKey& key, const Inode& dir) {
  for (InodeKey at = dir.key();;) {
    if (at == key) return true;
    const auto found = entries_.find(at);
    if (found == entries_.end() || found->second.known.spots.empty()) return false;
    at = found->second.known.spots.front().dir->key();
  }
}

}  // namespace virtfs::host
