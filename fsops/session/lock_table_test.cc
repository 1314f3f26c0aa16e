#include "fsops/session/lock_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace virtfs::session {
namespace {

using host::ByteRange;
using host::LockType;

constexpr LockType kRead = LockType::kRead;
constexpr LockType kWrite = LockType::kWrite;

const LockOwner kAnn = {1, "guest"};
const LockOwner kBob = {2, "guest"};

void Lock(LockTable& table, const LockOwner& owner, ByteRange bytes, LockType type, p9::Fid fid = 1) {
  table.Apply(table.PlanLock(owner, {bytes, type, fid}));
}
void Unlock(LockTable& table, const LockOwner& owner, ByteRange bytes) { table.Apply(table.PlanUnlock(owner, bytes)); }

// "1:0-9r 1:10-10w", owner by proc_id.
std::string Text(const LockTable& table) {
  std::string text;
  for (const auto& [owner, range] : table.All()) {
    if (!text.empty()) text += ' ';
    text += std::to_string(owner.proc_id) + ':' + std::to_string(range.bytes.first) + '-';
    text += range.bytes.last == ByteRange::kMaxByte ? "end" : std::to_string(range.bytes.last);
    text += range.type == kRead ? 'r' : 'w';
  }
  return text;
}

TEST(LockTableTest, RangesJoinSplitAndChange) {
  LockTable table;
  Lock(table, kAnn, {0, 4}, kRead);
  Lock(table, kAnn, {5, 9}, kRead);
  EXPECT_EQ(Text(table), "1:0-9r");
  Lock(table, kAnn, {4, 5}, kWrite);
  EXPECT_EQ(Text(table), "1:0-3r 1:4-5w 1:6-9r");
  Unlock(table, kAnn, {1, 4});
  EXPECT_EQ(Text(table), "1:0-0r 1:5-5w 1:6-9r");
  Lock(table, kAnn, {}, kWrite);
  EXPECT_EQ(Text(table), "1:0-endw");
  Unlock(table, kAnn, {0, 99});
  EXPECT_EQ(Text(table), "1:100-endw");
  Unlock(table, kAnn, {});
  EXPECT_TRUE(table.empty());
}

TEST(LockTableTest, AnOwnerIsAProcessOfAClient) {
  LockTable table;
  Lock(table, kAnn, {0, 9}, kWrite);
  EXPECT_FALSE(table.Conflict(kAnn, kWrite, {}).has_value());
  EXPECT_TRUE(table.Conflict({kAnn.proc_id, "other"}, kRead, {9, 20}).has_value());
  EXPECT_TRUE(table.Conflict({kAnn.proc_id + 1, kAnn.client_id}, kRead, {9, 20}).has_value());
  EXPECT_FALSE(table.Conflict(kBob, kWrite, {10, 20}).has_value());
}

TEST(LockTableTest, TheHolderIsShownWithItsWholeRange) {
  LockTable table;
  Lock(table, kAnn, {0, 4}, kRead, 1);
  Lock(table, kAnn, {5, 9}, kRead, 2);
  Lock(table, kAnn, {10, 19}, kWrite, 2);
  auto holder = table.Conflict(kBob, kWrite, {3, 100});
  ASSERT_TRUE(holder.has_value());
  EXPECT_EQ(holder->owner, kAnn);
  EXPECT_EQ(holder->type, kRead);
  EXPECT_EQ(holder->bytes, (ByteRange{0, 9})) << "of both fids";
  holder = table.Conflict(kBob, kRead, {3, 100});
  ASSERT_TRUE(holder.has_value());
  EXPECT_EQ(holder->type, kWrite);
  EXPECT_EQ(holder->bytes, (ByteRange{10, 19}));
}

// Every operation against a table of bytes.
class LockTableModelTest : public testing::TestWithParam<uint64_t> {
 protected:
  static constexpr uint32_t kOwners = 4;
  static constexpr uint32_t kBytes = 40;
  static constexpr uint32_t kFids = 5;

  struct Held {
    LockType type;
    p9::Fid fid;
    friend bool operator==(const Held&, const Held&) = default;
  };
  using Byte = std::optional<Held>;

  static LockOwner Owner(uint32_t number) { return {number % 2, number < 2 ? "one" : "two"}; }
  uint64_t At(uint32_t byte) const { return GetParam() + byte; }

  bool StandsInTheWay(uint32_t owner, LockType type, uint32_t byte) const {
    const Byte& held = model_[owner][byte];
    return held.has_value() && (type == kWrite || held->type == kWrite);
  }
  // Whose locks keep `owner` from such a one at `byte`.
  bool Free(uint32_t owner, LockType type, uint32_t byte) const {
    for (uint32_t other = 0; other < kOwners; ++other) {
      if (other != owner && StandsInTheWay(other, type, byte)) return false;
    }
    return true;
  }

  // The table is the model, with ranges as long as they can be.
  void CheckAll() const {
    std::map<LockOwner, std::vector<Byte>> seen;
    std::optional<std::pair<LockOwner, LockedRange>> last;
    for (const auto& [owner, range] : table_.All()) {
      std::vector<Byte>& bytes = seen.try_emplace(owner, kBytes).first->second;
      for (uint64_t byte = range.bytes.first; byte <= range.bytes.last; ++byte) {
        ASSERT_TRUE(byte >= At(0) && byte - At(0) < kBytes);
        ASSERT_FALSE(bytes[byte - At(0)].has_value()) << "twice";
        bytes[byte - At(0)] = {range.type, range.fid};
      }
      if (last.has_value() && last->first == owner && last->second.bytes.last + 1 == range.bytes.first) {
        ASSERT_FALSE(last->second.type == range.type && last->second.fid == range.fid) << "not joined";
      }
      last = {owner, range};
    }
    for (uint32_t owner = 0; owner < kOwners; ++owner) {
      std::vector<Byte> expected(model_[owner].begin(), model_[owner].end());
      std::vector<Byte> bytes(kBytes);
      if (const auto found = seen.find(Owner(owner)); found != seen.end()) bytes = found->second;
      ASSERT_TRUE(bytes == expected) << "owner " << owner;
    }
  }

  void CheckConflict(uint32_t owner, LockType type, uint32_t first, uint32_t last) const {
    const auto holder = table_.Conflict(Owner(owner), type, {At(first), At(last)});
    uint32_t lowest = first;
    while (lowest <= last && Free(owner, type, lowest)) ++lowest;
    ASSERT_EQ(holder.has_value(), lowest <= last);
    if (!holder.has_value()) return;
    uint32_t number = 0;
    while (Owner(number) != holder->owner) ++number;
    ASSERT_NE(number, owner);
    const auto held = [&](uint32_t byte) {
      return byte < kBytes && model_[number][byte].has_value() && model_[number][byte]->type == holder->type;
    };
    ASSERT_TRUE(StandsInTheWay(number, type, lowest));
    ASSERT_TRUE(held(lowest));
    uint32_t begin = lowest, end = lowest;
    while (begin > 0 && held(begin - 1)) --begin;
    while (held(end + 1)) ++end;
    ASSERT_EQ(holder->bytes, (ByteRange{At(begin), At(end)}));
  }

  void CheckUnheld(uint32_t owner, uint32_t first, uint32_t last) const {
    std::vector<bool> unheld(kBytes);
    const LockOwner self = Owner(owner % kOwners);
    const bool but = owner < kOwners;
    for (const ByteRange& range : table_.Unheld({At(first), At(last)}, but ? &self : nullptr)) {
      for (uint64_t byte = range.first; byte <= range.last; ++byte) unheld[byte - At(0)] = true;
    }
    for (uint32_t byte = 0; byte < kBytes; ++byte) {
      bool expected = byte >= first && byte <= last;
      for (uint32_t other = 0; other < kOwners; ++other) {
        if (!(but && other == owner) && model_[other][byte].has_value()) expected = false;
      }
      ASSERT_EQ(unheld[byte], expected) << byte;
    }
  }

  LockTable table_;
  std::array<std::array<Byte, kBytes>, kOwners> model_;
};

TEST_P(LockTableModelTest, EveryStepIsAsTheModelSays) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int step = 0; step < 20'000; ++step) {
    const uint32_t owner = random() % kOwners;
    uint32_t first = random() % kBytes, last = random() % kBytes;
    if (first > last) std::swap(first, last);
    // Short ones, mostly.
    if (random() % 4 != 0) last = std::min<uint32_t>(last, first + random() % 6);
    const LockType type = random() % 3 == 0 ? kWrite : kRead;
    const p9::Fid fid = random() % kFids;
    ASSERT_NO_FATAL_FAILURE(CheckConflict(owner, type, first, last));
    ASSERT_NO_FATAL_FAILURE(CheckUnheld(random() % (kOwners + 1), first, last));

    const ByteRange bytes = {At(first), At(last)};
    const size_t size = table_.size();
    const uint32_t action = random() % 16;
    if (action == 0) {
      const LockTable::Released released = table_.Release(fid);
      EXPECT_EQ(size - table_.size(), released.ranges);
      std::vector<bool> unheld(kBytes);
      for (const ByteRange& range : released.unheld) {
        for (uint64_t byte = range.first; byte <= range.last; ++byte) unheld[byte - At(0)] = true;
      }
      for (uint32_t byte = 0; byte < kBytes; ++byte) {
        bool was_released = false, held = false;
        for (auto& one : model_) {
          const bool released_here = one[byte].has_value() && one[byte]->fid == fid;
          if (released_here) one[byte].reset();
          was_released |= released_here;
          held |= one[byte].has_value();
        }
        ASSERT_FALSE(held && unheld[byte]);
        ASSERT_TRUE(held || unheld[byte] || !was_released);
      }
    } else if (action < 6) {
      const LockTable::Edit edit = table_.PlanUnlock(Owner(owner), bytes);
      table_.Apply(edit);
      ASSERT_EQ(static_cast<ptrdiff_t>(table_.size()) - static_cast<ptrdiff_t>(size), edit.growth());
      ASSERT_LE(edit.growth(), 1);
      for (uint32_t byte = first; byte <= last; ++byte) model_[owner][byte].reset();
    } else if (!table_.Conflict(Owner(owner), type, bytes).has_value()) {
      const LockTable::Edit edit = table_.PlanLock(Owner(owner), {bytes, type, fid});
      table_.Apply(edit);
      ASSERT_EQ(static_cast<ptrdiff_t>(table_.size()) - static_cast<ptrdiff_t>(size), edit.growth());
      for (uint32_t byte = first; byte <= last; ++byte) model_[owner][byte] = {type, fid};
    }
    ASSERT_NO_FATAL_FAILURE(CheckAll());
    ASSERT_EQ(table_.empty(), table_.size() == 0);  // NOLINT(readability-container-size-empty)
  }
}

// At the beginning of what a file can be, and at its end.
INSTANTIATE_TEST_SUITE_P(From, LockTableModelTest, testing::Values(0, ByteRange::kMaxByte - 39),
                         [](const auto& test) { return test.param == 0 ? "Zero" : "TheEnd"; });

}  // namespace
}  // namespace virtfs::session
