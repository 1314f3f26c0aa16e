#include "fsops/session/attributes.h"

#include <sys/stat.h>

#include <bit>

namespace virtfs::session {
namespace {

constexpr int kPrefixShift = 48;
constexpr size_t kMaxIndices = 0x8000;  // Half of them: a free one is near.

// The finisher of MurmurHash3 (public domain): a fixed function, as the results go over the wire and into images.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccd;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
  return x ^ (x >> 33);
}

uint64_t Word(int64_t value) { return std::bit_cast<uint64_t>(value); }

Result<host::TimeChange> ToTimeChange(uint32_t valid, uint32_t change, uint32_t set, uint64_t sec, uint64_t nsec) {
  using Kind = host::TimeChange::Kind;
  if ((valid & change) == 0) return host::TimeChange{};
  if ((valid & set) == 0) return host::TimeChange{.kind = Kind::kNow, .time = {}};
  if (nsec >= 1'000'000'000) return Errno(EINVAL);
  return host::TimeChange{.kind = Kind::kSet,
                          .time = {.seconds = std::bit_cast<int64_t>(sec), .nanoseconds = static_cast<uint32_t>(nsec)}};
}

}  // namespace

uint64_t QidPaths::Path(uint64_t dev, uint64_t ino) {
  const auto prefix = static_cast<uint16_t>(ino >> kPrefixShift);
  if (devices_ == SessionOptions::Devices::kWarn || (dev == root_dev_ && prefix == 0)) return ino;
  const uint64_t rest = ino & ((uint64_t{1} << kPrefixShift) - 1);
  const Key key(dev, prefix);
  std::lock_guard lock(mutex_);
  if (const auto known = indices_.find(key); known != indices_.end()) {
    return uint64_t{known->second} << kPrefixShift | rest;
  }
  // Beyond that (a file system with random numbers of 64 bits) a hash is the best there is.
  if (indices_.size() == kMaxIndices) return Mix(Mix(dev) ^ ino) | uint64_t{1} << 63;
  auto index = static_cast<uint16_t>(Mix(Mix(dev) ^ prefix));
  while (index == 0 || keys_.contains(index)) ++index;
  indices_.emplace(key, index);
  keys_.emplace(index, key);
  return uint64_t{index} << kPrefixShift | rest;
}

std::vector<QidPaths::Entry> QidPaths::Entries() {
  std::lock_guard lock(mutex_);
  std::vector<Entry> entries;
  entries.reserve(indices_.size());
  for (const auto& [key, index] : indices_) entries.push_back({key.first, key.second, index});
  return entries;
}

void QidPaths::Restore(std::span<const Entry> entries) {
  std::lock_guard lock(mutex_);
  for (const Entry& entry : entries) {
    const Key key(entry.dev, entry.prefix);
    if (entry.index == 0 || indices_.contains(key) || keys_.contains(entry.index)) continue;
    indices_.emplace(key, entry.index);
    keys_.emplace(entry.index, key);
  }
}

uint8_t QidType(uint32_t mode) {
  if (S_ISDIR(mode)) return p9::kQidDirectory;
  if (S_ISLNK(mode)) return p9::kQidSymlink;
  return p9::kQidFile;
}

uint32_t QidVersion(const host::Attributes& attributes) {
  uint64_t hash = Mix(Word(attributes.ctime.seconds) * 1'000'000'000 + attributes.ctime.nanoseconds);
  hash ^= Word(attributes.mtime.seconds) * 1'000'000'000 + attributes.mtime.nanoseconds;
  hash = Mix(Mix(hash) ^ attributes.size);
  const auto version = static_cast<uint32_t>(hash);
  return version == 0 ? 1 : version;
}

p9::Rgetattr ToRgetattr(const host::Attributes& attributes, const p9::Qid& qid, uint64_t request_mask) {
  p9::Rgetattr reply = {
      .valid = p9::kGetattrBasic,
      .qid = qid,
      .mode = attributes.mode,
      .uid = attributes.uid,
      .gid = attributes.gid,
      .nlink = attributes.nlink,
      .rdev = attributes.rdev,
      .size = attributes.size,
      .blksize = attributes.block_size,
      .blocks = attributes.blocks,
      .atime_sec = Word(attributes.atime.seconds),
      .atime_nsec = attributes.atime.nanoseconds,
      .mtime_sec = Word(attributes.mtime.seconds),
      .mtime_nsec = attributes.mtime.nanoseconds,
      .ctime_sec = Word(attributes.ctime.seconds),
      .ctime_nsec = attributes.ctime.nanoseconds,
  };
  if ((request_mask & p9::kGetattrBtime) != 0 && attributes.birth.has_value()) {
    reply.valid |= p9::kGetattrBtime;
    reply.btime_sec = Word(attributes.birth->seconds);
    reply.btime_nsec = attributes.birth->nanoseconds;
  }
  return reply;
}

Result<host::AttributeChange> ToAttributeChange(const p9::Tsetattr& request) {
  constexpr uint32_t kKnown = 0x1ff;
  const uint32_t valid = request.valid;
  if ((valid & ~kKnown) != 0) return Errno(EINVAL);
  host::AttributeChange change;
  if ((valid & p9::kSetattrMode) != 0) change.mode = request.mode & 07777;
  if ((valid & p9::kSetattrUid) != 0 && request.uid != p9::kNoId) change.uid = request.uid;
  if ((valid & p9::kSetattrGid) != 0 && request.gid != p9::kNoId) change.gid = request.gid;
  if ((valid & p9::kSetattrSize) != 0) change.size = request.size;
  const Result<host::TimeChange> atime =
      ToTimeChange(valid, p9::kSetattrAtime, p9::kSetattrAtimeSet, request.atime_sec, request.atime_nsec);
  if (!atime.ok()) return atime.error();
  const Result<host::TimeChange> mtime =
      ToTimeChange(valid, p9::kSetattrMtime, p9::kSetattrMtimeSet, request.mtime_sec, request.mtime_nsec);
  if (!mtime.ok()) return mtime.error();
  change.atime = *atime;
  change.mtime = *mtime;
  change.touch_ctime = (valid & p9::kSetattrCtime) != 0;
  return change;
}

p9::Rstatfs ToRstatfs(const host::FileSystemStatus& status) {
  return {.type = status.type,
          .bsize = status.block_size,
          .blocks = status.blocks,
          .bfree = status.free_blocks,
          .bavail = status.available_blocks,
          .files = status.files,
          .ffree = status.free_files,
          .fsid = status.id,
          .namelen = status.max_name};
}

}  // namespace virtfs::session
