#include "fsops/session/lock_table.h"

#include <algorithm>
#include <iterator>

namespace virtfs::session {

using host::ByteRange;
using host::LockType;

LockTable::Ranges::const_iterator LockTable::FirstFrom(const Ranges& ranges, uint64_t byte) {
  auto at = ranges.upper_bound(byte);
  if (at != ranges.begin() && std::prev(at)->second.bytes.last >= byte) --at;
  return at;
}

LockTable::Edit LockTable::PlanLock(const LockOwner& owner, const LockedRange& range) const {
  return Plan(owner, range.bytes, &range);
}

LockTable::Edit LockTable::PlanUnlock(const LockOwner& owner, ByteRange bytes) const {
  return Plan(owner, bytes, nullptr);
}

// `range`: what shall be there instead.
LockTable::Edit LockTable::Plan(const LockOwner& owner, ByteRange bytes, const LockedRange* range) const {
  Edit edit;
  edit.owner_ = owner;
  LockedRange whole = range != nullptr ? *range : LockedRange();
  if (const auto known = owners_.find(owner); known != owners_.end()) {
    const Ranges& ranges = known->second;
    // From the one that ends just before `bytes` to the one that begins just behind, which may be joined.
    const uint64_t before = bytes.first == 0 ? 0 : bytes.first - 1;
    for (auto at = FirstFrom(ranges, before); at != ranges.end() && at->first <= bytes.last + 1; ++at) {
      const LockedRange& old = at->second;
      const bool same = range != nullptr && old.type == range->type && old.fid == range->fid;
      const bool overlaps = old.bytes.first <= bytes.last && old.bytes.last >= bytes.first;
      if (!same && !overlaps) continue;
      edit.go_.push_back(at->first);
      if (same) {
        whole.bytes.first = std::min(whole.bytes.first, old.bytes.first);
        whole.bytes.last = std::max(whole.bytes.last, old.bytes.last);
        continue;
      }
      if (old.bytes.first < bytes.first) edit.come_.push_back({{old.bytes.first, bytes.first - 1}, old.type, old.fid});
      if (old.bytes.last > bytes.last) edit.come_.push_back({{bytes.last + 1, old.bytes.last}, old.type, old.fid});
    }
  }
  if (range != nullptr) edit.come_.push_back(whole);
  return edit;
}

void LockTable::Apply(const Edit& edit) {
  if (edit.go_.empty() && edit.come_.empty()) return;
  const auto owner = owners_.try_emplace(edit.owner_).first;
  for (const uint64_t first : edit.go_) owner->second.erase(first);
  for (const LockedRange& range : edit.come_) owner->second.emplace(range.bytes.first, range);
  if (owner->second.empty()) owners_.erase(owner);
}

LockTable::Released LockTable::Release(p9::Fid fid) {
  Released released;
  ByteRange all = {ByteRange::kMaxByte, 0};
  for (auto owner = owners_.begin(); owner != owners_.end();) {
    released.ranges += std::erase_if(owner->second, [&](const auto& range) {
      if (range.second.fid != fid) return false;
      all.first = std::min(all.first, range.second.bytes.first);
      all.last = std::max(all.last, range.second.bytes.last);
      return true;
    });
    owner = owner->second.empty() ? owners_.erase(owner) : std::next(owner);
  }
  if (released.ranges > 0) released.unheld = Unheld(all, nullptr);
  return released;
}

std::optional<LockTable::Holder> LockTable::Conflict(const LockOwner& owner, LockType type, ByteRange bytes) const {
  std::optional<Holder> holder;
  for (const auto& [other, ranges] : owners_) {
    if (other == owner) continue;
    auto at = FirstFrom(ranges, bytes.first);
    while (at != ranges.end() && type == LockType::kRead && at->second.type == LockType::kRead) ++at;
    if (at == ranges.end() || at->first > bytes.last) continue;
    if (holder.has_value() && std::max(holder->bytes.first, bytes.first) <= at->first) continue;
    holder = {.owner = other, .type = at->second.type, .bytes = at->second.bytes};
    const auto continues = [&](const LockedRange& left, const LockedRange& right) {
      return left.type == right.type && left.bytes.last + 1 == right.bytes.first;
    };
    for (auto left = at; left != ranges.begin() && continues(std::prev(left)->second, left->second); --left) {
      holder->bytes.first = std::prev(left)->first;
    }
    for (auto right = at; std::next(right) != ranges.end() && continues(right->second, std::next(right)->second);
         ++right) {
      holder->bytes.last = std::next(right)->second.bytes.last;
    }
  }
  return holder;
}

std::vector<ByteRange> LockTable::Unheld(ByteRange bytes, const LockOwner* owner) const {
  std::vector<ByteRange> held;
  for (const auto& [other, ranges] : owners_) {
    if (owner != nullptr && other == *owner) continue;
    for (auto at = FirstFrom(ranges, bytes.first); at != ranges.end() && at->first <= bytes.last; ++at) {
      held.push_back(at->second.bytes);
    }
  }
  std::ranges::sort(held, {}, &ByteRange::first);
  std::vector<ByteRange> unheld;
  uint64_t next = bytes.first;  // All before it is dealt with.
  for (const ByteRange& range : held) {
    if (range.first > next) unheld.push_back({next, range.first - 1});
    next = std::max(next, range.last + 1);
  }
  if (next <= bytes.last) unheld.push_back({next, bytes.last});
  return unheld;
}

std::vector<std::pair<LockOwner, LockedRange>> LockTable::All() const {
  std::vector<std::pair<LockOwner, LockedRange>> all;
  for (const auto& [owner, ranges] : owners_) {
    for (const auto& [first, range] : ranges) all.emplace_back(owner, range);
  }
  return all;
}

size_t LockTable::size() const {
  size_t size = 0;
  for (const auto& [owner, ranges] : owners_) size += ranges.size();
  return size;
}

}  // namespace virtfs::session
