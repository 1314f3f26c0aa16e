// How an Export keeps within max_files and max_space (usage.h): what it counts at its start, and before it makes or
// removes a name.
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "fsops/host/export.h"
#include "fsops/host/kernel.h"
#include "fsops/host/usage.h"

namespace virtfs::host {
namespace {

// Goes through a tree directory by directory. A directory on the way down is an Inode, whose descriptor can be evicted,
// and those names of it that are still to be entered: a portion of them, which is small where it is deep, so that
// neither depth nor width needs much memory (some 3 MiB, and 500 bytes for each level below).
constexpr size_t kPortion = 32 << 10;
constexpr size_t kManyLevels = 64;

struct Level {
  InodeRef dir;
  uint64_t cookie = 0;
  bool ended = false;
  std::vector<std::string> directories = {};
};

// A file that has gone meanwhile, or that nobody who has our rights can reach.
bool IsNothing(Errno error) {
  const int number = error.value();
  return number == ENOENT || number == ESTALE || number == ENOTDIR || number == EACCES || number == ELOOP;
}

// Counts a file with several names when the first of them is met. Remembers it only until all of them were.
class LinkedFiles {
 public:
  bool IsNew(const struct statx& stat) {
    if (stat.stx_nlink < 2) return true;
    const uint64_t dev = makedev(stat.stx_dev_major, stat.stx_dev_minor);
    const auto [entry, is_new] = left_.try_emplace({dev, stat.stx_ino}, stat.stx_nlink);
    if (--entry->second == 0) left_.erase(entry);
    return is_new;
  }

 private:
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> left_;
};

}  // namespace

Result<void> Export::CountTree() {
  if (!usage_) return {};
  Usage::Count found;
  LinkedFiles linked;
  std::vector<Level> levels;
  levels.push_back({.dir = root_});

  // Counts what a portion of the last level has, and notes its directories there.
  const auto count_portion = [&]() -> Result<void> {
    Level& level = levels.back();
    Result<std::unique_ptr<OpenFile>> listing = Open(*level.dir, {});
    if (!listing) return listing.error();
    const int fd = (*listing)->fd_.get();
    const size_t size = levels.size() < kManyLevels ? kPortion : OpenFile::kMinDirectoryBuffer;
    while (level.directories.empty() && !level.ended) {
      level.ended = true;
      const auto visit = [&](const DirectoryEntry& entry) {
        level.ended = false;
        level.cookie = entry.cookie;
        struct statx stat;
        const Result<PathComponent> name = PathComponent::Parse(entry.name);
        if (!name || IsHidden(*name) || !StatX(fd, name->c_str(), &stat)) return true;
        if (S_ISDIR(stat.stx_mode)) level.directories.emplace_back(name->view());
        if (!S_ISDIR(stat.stx_mode) && !linked.IsNew(stat)) return true;
        ++found.files;
        if (S_ISREG(stat.stx_mode)) found.space += Usage::SpaceOf(stat.stx_size);
        return true;
      };
      if (Result<void> read = (*listing)->ReadDirectory(level.cookie, size, visit); !read) return read;
    }
    return {};
  };

  while (!levels.empty()) {
    Level& level = levels.back();
    if (!level.directories.empty()) {
      Result<Node> below = Lookup(*level.dir, *PathComponent::Parse(level.directories.back()));
      level.directories.pop_back();
      if (!below && !IsNothing(below.error())) return below.error();
      if (below && below->inode->is_directory()) levels.push_back({.dir = std::move(below->inode)});
    } else if (level.ended) {
      levels.pop_back();
    } else if (Result<void> counted = count_portion(); !counted) {
      if (!IsNothing(counted.error())) return counted;
      level.ended = true;
    }
  }
  usage_->Add(found);
  return {};
}

Result<UsageRoom> Export::RoomFor(const Inode& dir, int fd, const PathComponent& name, uint64_t size) {
  if (!usage_) return UsageRoom();
  Result<UsageRoom> room = UsageRoom::Take(*usage_, dir.key(), size);
  struct statx stat;
  if (!room && StatX(fd, name.c_str(), &stat)) return Errno(EEXIST);
  return room;
}

Result<UsageRemoval> Export::PrepareRemoval(Inode& dir, const PathComponent& name, Inode* file) {
  if (!usage_) return UsageRemoval();
  UsageRemoval removal(*usage_, dir.key());
  InodeRef inode;
  if (file != nullptr) {
    inode = InodeRef(*file);
  } else {
    Result<Node> node = Lookup(dir, name);
    if (!node && node.error() == Errno(ENOENT)) return removal;
    if (!node) return node.error();
    inode = std::move(node->inode);
  }
  Result<HeldDescriptor> held = inode->Hold();
  if (!held) return held.error();
  removal.Of(std::move(inode), *std::move(held));
  return removal;
}

}  // namespace virtfs::host
