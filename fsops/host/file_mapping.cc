#include "fsops/host/file_mapping.h"

#include <algorithm>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "fsops/host/kernel.h"
#include "fsops/host/metadata_file.h"

namespace virtfs::host {
namespace {

InodeKey KeyOfStat(const struct statx& stat) { return KeyOf(AttributesOf(stat)); }

// Asked again if it seems to be another, for an overlay file system gives a file another identity when it is first
// written to.
bool IsSame(const struct statx& stat, const Inode& inode, int fd) {
  const InodeKey key = KeyOfStat(stat);
  if (key == inode.key()) return true;
  struct statx now;
  return StatX(fd, "", &now) && KeyOfStat(now) == key;
}

}  // namespace

// --- locks ---

class FileMapping::Writing {
 public:
  Writing(FileMapping& mapping, std::initializer_list<InodeKey> directories) {
    std::vector<size_t> numbers;
    for (const InodeKey& dir : directories) numbers.push_back(LockNumber(dir));
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    for (const size_t number : numbers) locks_.emplace_back(mapping.locks_[number]);
  }

 private:
  std::vector<std::unique_lock<std::shared_mutex>> locks_;
};

size_t FileMapping::LockNumber(const InodeKey& dir) { return InodeKeyHash()(dir) % kLocks; }

std::shared_lock<std::shared_mutex> FileMapping::Reading(const Inode& dir) {
  return std::shared_lock(locks_[LockNumber(dir.key())]);
}

// --- attributes ---

Result<std::unique_ptr<Mapping>> FileMapping::Make(int root) {
  struct statx stat;
  if (Result<void> done = StatX(root, "", &stat); !done) return done.error();
  return std::unique_ptr<Mapping>(new FileMapping(KeyOfStat(stat)));
}

template <typename Lock, typename Use>
bool FileMapping::AtItsPlace(const Inode& inode, int fd, const std::vector<SeenPlaces::Spot>& spots, Use use) {
  for (size_t i = spots.size(); i-- > 0;) {
    const Result<PathComponent> name = PathComponent::Parse(spots[i].name);
    const Result<HeldDescriptor> dir = spots[i].dir->Hold();
    if (!name || !dir) continue;
    const Lock lock(locks_[LockNumber(spots[i].dir->key())]);
    struct statx stat;
    if (!StatX(dir->get(), name->c_str(), &stat) || !IsSame(stat, inode, fd)) continue;
    use(Place{*spots[i].dir, dir->get(), *name}, stat);
    return true;
  }
  return false;
}

Result<Attributes> FileMapping::Stat(Inode& inode, int fd) {
  struct statx stat;
  if (inode.key() == root_) {
    const std::shared_lock lock = Reading(inode);
    if (Result<void> done = StatX(fd, "", &stat); !done) return done.error();
    Attributes attributes = AttributesOf(stat);
    LoadMetadata(fd, MetadataPath::OfRoot()).Overlay(attributes);
    return attributes;
  }

  SeenPlaces::Known known = places_.Of(inode);
  Attributes attributes;
  const auto read = [&](const Place& place, const struct statx& now) {
    attributes = AttributesOf(now);
    known.kept = LoadMetadata(place.fd, MetadataPath(place.name));
  };
  if (AtItsPlace<std::shared_lock<std::shared_mutex>>(inode, fd, known.spots, read)) {
    places_.Remember(inode, known.kept);
  } else {
    if (Result<void> done = StatX(fd, "", &stat); !done) return done.error();
    attributes = AttributesOf(stat);
  }
  known.kept.Overlay(attributes);
  return attributes;
}

Result<void> FileMapping::Set(Inode& inode, int fd, const Kept& change) {
  Result<void> done;
  if (inode.key() == root_) {
    const Writing lock(*this, {root_});
    done = UpdateMetadata(fd, MetadataPath::OfRoot(), change);
  } else {
    // A rename may take it elsewhere between the question where it is and the lock.
    bool found = false;
    SeenPlaces::Known known = places_.Of(inode);
    for (int attempt = 0; attempt < 4 && !found; ++attempt) {
      if (attempt > 0) {
        SeenPlaces::Known now = places_.Of(inode);
        if (now.spots == known.spots) break;
        known = std::move(now);
      }
      found = AtItsPlace<std::unique_lock<std::shared_mutex>>(inode, fd, known.spots, [&](const Place& place, auto&) {
        done = UpdateMetadata(place.fd, MetadataPath(place.name), change);
      });
    }
    if (done) places_.Remember(inode, known.kept.With(change));
  }
  // As the kernel does; of the host's own files this may be refused.
  if (done) static_cast<void>(TouchCtime(fd));
  return done;
}

Kept FileMapping::Read(int /*fd*/, const Attributes& /*host*/, const Place& place) {
  return LoadMetadata(place.fd, MetadataPath(place.name));
}

void FileMapping::Saw(Inode& inode, const Place& place, const Kept& kept) {
  places_.Saw(inode, place.dir, place.name.view(), kept);
}

// --- names ---

bool FileMapping::Reserves(std::string_view name) const { return name == kMetadataDirectory || name == kRootMetadata; }

Result<void> FileMapping::Make(const Place& at, const Kept& born, Change change) {
  const Writing lock(*this, {at.dir.key()});
  // The metadata of a file that is there must not be touched.
  struct statx stat;
  if (StatX(at.fd, at.name.c_str(), &stat)) return Errno(EEXIST);
  if (Result<void> created = CreateMetadata(at.fd, at.name, born); !created) return created;
  Result<void> made = change();
  if (!made) static_cast<void>(RemoveMetadata(at.fd, at.name));
  return made;
}

Result<void> FileMapping::Link(Inode& file, int fd, const Place& to, Change change) {
  const SeenPlaces::Known known = places_.Of(file);
  // Where it is now is looked up first: its directory is locked together with the new name's.
  std::optional<size_t> source;
  for (size_t i = known.spots.size(); i-- > 0 && !source;) {
    const Result<HeldDescriptor> dir = known.spots[i].dir->Hold();
    struct statx stat;
    if (dir && StatX(dir->get(), known.spots[i].name.c_str(), &stat) && IsSame(stat, file, fd)) source = i;
  }
  const SeenPlaces::Spot* const spot = source ? &known.spots[*source] : nullptr;
  const Writing lock(*this, {to.dir.key(), spot != nullptr ? spot->dir->key() : to.dir.key()});
  struct statx stat;
  if (StatX(to.fd, to.name.c_str(), &stat)) return Errno(EEXIST);

  if (spot == nullptr) {
    if (Result<void> created = CreateMetadata(to.fd, to.name, known.kept); !created) return created;
    Result<void> linked = change();
    if (!linked) static_cast<void>(RemoveMetadata(to.fd, to.name));
    return linked;
  }
  const Result<HeldDescriptor> dir = spot->dir->Hold();
  if (!dir) return dir.error();
  const Result<PathComponent> name = PathComponent::Parse(spot->name);
  if (!name) return name.error();
  MetadataMove metadata(dir->get(), *name, to.fd, to.name);
  if (Result<void> prepared = metadata.Prepare(); !prepared) return prepared;
  Result<void> linked = change();
  if (!linked) {
    metadata.Undo();
    return linked;
  }
  metadata.Commit(false);
  places_.Moved(file.key(), nullptr, {}, to.dir, to.name.view());
  return linked;
}

Result<void> FileMapping::Rename(const Place& from, const Place& to, Change change) {
  struct statx moved, replaced;
  if (Result<void> there = StatX(from.fd, from.name.c_str(), &moved); !there) return there;
  const bool replaces = StatX(to.fd, to.name.c_str(), &replaced).ok();
  const bool over_directory = replaces && S_ISDIR(replaced.stx_mode) && S_ISDIR(moved.stx_mode);
  const Writing lock(*this, {from.dir.key(), to.dir.key(), over_directory ? KeyOfStat(replaced) : to.dir.key()});
  // Two names of one file: nothing is renamed.
  if (replaces && KeyOfStat(moved) == KeyOfStat(replaced)) return change();
  if (over_directory) {
    const Result<UniqueFd> directory = OpenBeneath(to.fd, to.name.c_str(), O_RDONLY | O_DIRECTORY);
    if (!directory) return directory.error();
    if (Result<void> purged = PurgeMetadata(directory->get()); !purged) return purged;
  }

  MetadataMove metadata(from.fd, from.name, to.fd, to.name);
  if (Result<void> prepared = metadata.Prepare(); !prepared) return prepared;
  Result<void> renamed = change();
  if (!renamed) {
    metadata.Undo();
    return renamed;
  }
  metadata.Commit(true);
  places_.Moved(KeyOfStat(moved), &from.dir, from.name.view(), to.dir, to.name.view());
  return renamed;
}

Result<void> FileMapping::Remove(const Place& at, bool directory, Change change) {
  if (!directory) {
    const Writing lock(*this, {at.dir.key()});
    if (Result<void> removed = change(); !removed) return removed;
    static_cast<void>(RemoveMetadata(at.fd, at.name));
    return {};
  }
  const Result<UniqueFd> opened = OpenBeneath(at.fd, at.name.c_str(), O_RDONLY | O_DIRECTORY | O_NONBLOCK);
  if (!opened) return opened.error() == Errno(ELOOP) ? Errno(ENOTDIR) : opened.error();
  struct statx stat;
  if (Result<void> done = StatX(opened->get(), "", &stat); !done) return done;
  const Writing lock(*this, {at.dir.key(), KeyOfStat(stat)});
  if (Result<void> purged = PurgeMetadata(opened->get()); !purged) return purged;
  if (Result<void> removed = change(); !removed) return removed;
  static_cast<void>(RemoveMetadata(at.fd, at.name));
  return {};
}

// --- extended attributes ---

Result<std::string> FileMapping::XattrName(std::string_view name, bool /*change*/) const {
  if (!name.starts_with("user.")) return Errno(EOPNOTSUPP);
  return std::string(name);
}

std::string_view FileMapping::GuestXattrName(std::string_view name) const {
  return name.starts_with("user.") ? name : std::string_view();
}

}  // namespace virtfs::host
