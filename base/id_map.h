// IdMap: which user (or group) of a guest is which one of the host, as ranges of numbers.
//
// Ranges overlap on neither side, so that each id has one counterpart at most. An empty map maps every id to itself.
// 0xffffffff is nobody's id and has no counterpart.
//
// A plain value of fixed size, as it travels in messages between processes. Threads: as any value.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace virtfs {

struct IdRange {
  uint32_t guest = 0;  // the first id
  uint32_t host = 0;
  uint32_t count = 0;
};

class IdMap {
 public:
  static constexpr size_t kMaxRanges = 16;

  // False, and nothing is added: empty, beyond 0xfffffffe on either side, overlapping another, or one too many.
  bool Add(const IdRange& range) {
    const uint64_t end = uint64_t{std::max(range.guest, range.host)} + range.count;
    if (size_ == kMaxRanges || range.count == 0 || end > kNoId) return false;
    const auto overlap = [&](uint32_t a, uint32_t b, uint32_t count) {
      return a < uint64_t{b} + count && b < uint64_t{a} + range.count;
    };
    for (size_t i = 0; i < size_; ++i) {
      const IdRange& other = ranges_[i];
      if (overlap(range.guest, other.guest, other.count) || overlap(range.host, other.host, other.count)) return false;
    }
    ranges_[size_++] = range;
    return true;
  }

  bool empty() const { return size_ == 0; }

  std::optional<uint32_t> ToHost(uint32_t guest) const { return Translate(guest, &IdRange::guest, &IdRange::host); }
  std::optional<uint32_t> ToGuest(uint32_t host) const { return Translate(host, &IdRange::host, &IdRange::guest); }

 private:
  static constexpr uint32_t kNoId = 0xffffffff;

  std::optional<uint32_t> Translate(uint32_t id, uint32_t IdRange::*from, uint32_t IdRange::*to) const {
    if (id == kNoId) return std::nullopt;
    if (size_ == 0) return id;
    for (size_t i = 0; i < size_; ++i) {
      const IdRange& range = ranges_[i];
      if (id >= range.*from && id - range.*from < range.count) return range.*to + (id - range.*from);
    }
    return std::nullopt;
  }

  uint32_t size_ = 0;
  std::array<IdRange, kMaxRanges> ranges_{};
};

}  // namespace virtfs
