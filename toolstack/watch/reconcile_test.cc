#include "toolstack/watch/reconcile.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "toolstack/records/record.h"

namespace virtfs::toolstack {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;
using xenstore::DeviceType;
using xenstore::State;

constexpr char kUuid[] = "01234567-89ab-cdef-0123-456789abcdef";
constexpr char kFormer[] = "00000000-0000-0000-0000-000000000001";

WantedShare Want(uint32_t devid, const std::string& more = "", uint32_t backend = 0) {
  const Record record{.uuid = kUuid, .name = "web", .shares = {}, .absent_since = {}};
  const std::string spec = absl::StrCat("tag=t", devid, ",path=/srv,security_model=passthrough", more);
  return {.backend = backend, .spec = *SpecOf(record, {.devid = devid, .backend = "0", .spec = spec})};
}

// As BeginShare and FinishShare leave it, with the backend in `state`.
FoundShare Found(const WantedShare& share, State state, bool has_frontend = true) {
  const bool is_9pfs = share.spec.options.server.transport == options::Transport::kNinepfs;
  return {.key = {.backend = share.backend,
                  .type = is_9pfs ? DeviceType::kNinepfs : DeviceType::kVirtfs,
                  .devid = *share.spec.devid},
          .nodes = {share.spec.nodes.begin(), share.spec.nodes.end()},
          .state = state,
          .online = true,
          .has_frontend = has_frontend};
}

FoundShare Closing(FoundShare share, State state) {
  share.online = false;
  share.state = state;
  return share;
}

std::string Text(const Action& action) {
  constexpr const char* kNames[] = {"begin", "finish", "close", "remove", "take back"};
  return absl::StrCat(kNames[static_cast<size_t>(action.step)], " ", action.key.backend, "/",
                      xenstore::NameOf(action.key.type), "/", action.key.devid);
}

std::vector<std::string> Said(const Wanted& wanted, const std::vector<FoundShare>& found) {
  std::vector<std::string> texts;
  for (const Action& action : Reconcile(kUuid, wanted, found)) {
    EXPECT_EQ(action.share != nullptr, action.step == Step::kBegin || action.step == Step::kFinish);
    texts.push_back(Text(action));
  }
  return texts;
}

TEST(ReconcileTest, ANewDomainGetsItsShares) {
  const Wanted wanted{{Want(0), Want(3, ",transport=9pfs"), Want(4, "", 7)}, {}};
  EXPECT_THAT(Said(wanted, {}), ElementsAre("begin 0/virtfs/0", "begin 0/9pfs/3", "begin 7/virtfs/4"));
  EXPECT_THAT(Said({}, {}), IsEmpty());
}

TEST(ReconcileTest, AShareIsFinishedWhenTheBackendIsReady) {
  const Wanted wanted{{Want(0)}, {}};
  for (const State state : {State::kInitialising, State::kInitWait, State::kInitialised, State::kConnected,
                            State::kClosing, State::kClosed}) {
    // Closed with its `error`: the backend tries again by itself.
    EXPECT_EQ(Said(wanted, {Found(Want(0), state, false)}).size(), state == State::kInitWait ? 1u : 0u);
    EXPECT_THAT(Said(wanted, {Found(Want(0), state)}), IsEmpty());
  }
  EXPECT_THAT(Said(wanted, {Found(Want(0), State::kInitWait, false)}), ElementsAre("finish 0/virtfs/0"));
}

TEST(ReconcileTest, WhatNoRecordHasIsClosedAndThenRemoved) {
  const FoundShare left = Found(Want(2), State::kConnected);
  EXPECT_THAT(Said({}, {left}), ElementsAre("close 0/virtfs/2"));
  EXPECT_THAT(Said({}, {Closing(left, State::kClosing)}), IsEmpty());
  EXPECT_THAT(Said({}, {Closing(left, State::kClosed)}), ElementsAre("remove 0/virtfs/2"));
  FoundShare overdue = Closing(left, State::kClosing);
  overdue.overdue = true;
  EXPECT_THAT(Said({}, {overdue}), ElementsAre("remove 0/virtfs/2"));
  // Half of it is gone already.
  EXPECT_THAT(Said({}, {Closing(left, State::kUnknown)}), ElementsAre("remove 0/virtfs/2"));
}

// Detached and attached again with the same device id, and killed in between.
TEST(ReconcileTest, AShareThatIsNotAsTheRecordSaysMakesWayFirst) {
  for (const std::string more : {",readonly", ",transport=9pfs"}) {
    const Wanted wanted{{Want(0, more)}, {}};
    const FoundShare old = Found(Want(0), State::kConnected);
    EXPECT_THAT(Said(wanted, {old}), ElementsAre("close 0/virtfs/0"));
    EXPECT_THAT(Said(wanted, {Closing(old, State::kClosing)}), IsEmpty());
    EXPECT_THAT(Said(wanted, {Closing(old, State::kClosed)}), ElementsAre("remove 0/virtfs/0"));
  }
  // Nor is it when it is to close though the record has it.
  const Wanted same{{Want(0)}, {}};
  EXPECT_THAT(Said(same, {Closing(Found(Want(0), State::kConnected), State::kClosing)}), IsEmpty());
  EXPECT_THAT(Said(same, {Closing(Found(Want(0), State::kConnected), State::kClosed)}),
              ElementsAre("remove 0/virtfs/0"));
  // The other tag alone is another share.
  FoundShare tag = Found(Want(0), State::kConnected);
  tag.nodes[kMarkNode] = std::string(kUuid) + " other";
  EXPECT_THAT(Said(same, {tag}), ElementsAre("close 0/virtfs/0"));
  // As is one on another backend.
  EXPECT_THAT(Said(same, {Found(Want(0, "", 7), State::kConnected)}), ElementsAre("close 7/virtfs/0"));
}

TEST(ReconcileTest, OfAFormerDomainWithThisIdNothingStays) {
  FoundShare former = Found(Want(0), State::kConnected);
  former.nodes[kMarkNode] = std::string(kFormer) + " t0";
  EXPECT_THAT(Said({}, {former}), ElementsAre("remove 0/virtfs/0"));
  EXPECT_THAT(Said({{Want(0), Want(1)}, {}}, {former}), UnorderedElementsAre("remove 0/virtfs/0", "begin 0/virtfs/1"));
  EXPECT_THAT(Said({{}, {0}}, {former}), ElementsAre("remove 0/virtfs/0"));
}

TEST(ReconcileTest, WhatSomebodyElseAttachedIsLeftAlone) {
  FoundShare other = Found(Want(0), State::kInitWait, false);
  other.nodes.erase(kMarkNode);
  EXPECT_THAT(Said({}, {other}), IsEmpty());
  EXPECT_THAT(Said({{Want(0), Want(1)}, {}}, {other}), ElementsAre("begin 0/virtfs/1"));
}

// `xl-virtfs save` was killed: while it lives, it has the guest's lock.
TEST(ReconcileTest, WhatWasClosedForASaveIsOpenedAgain) {
  FoundShare saved = Found(Want(0), State::kClosed);
  saved.handed_over = true;
  EXPECT_THAT(Said({.shares = {Want(0)}, .unclear = {}}, {saved}), ElementsAre("take back 0/virtfs/0"));
  saved.nodes.clear();
  EXPECT_THAT(Said({}, {saved}), ElementsAre("take back 0/virtfs/0")) << "of a share without a record, too";
}

TEST(ReconcileTest, WhatIsUnclearStaysAsItIs) {
  EXPECT_THAT(Said({{}, {0}}, {Found(Want(0), State::kInitWait, false)}), IsEmpty());
  EXPECT_THAT(Said({{Want(1)}, {0}}, {Found(Want(0, "", 7), State::kConnected)}), ElementsAre("begin 0/virtfs/1"));
}

// Applies what is said, with a backend that does its part, from every situation of two shares; ends always in the same.
TEST(ReconcileTest, FromAnywhereItComesToTheRecordAndStops) {
  const std::vector<WantedShare> shares = {Want(0), Want(0, ",readonly"), Want(0, "", 7), Want(1)};
  std::vector<std::vector<FoundShare>> starts = {{}};
  for (const WantedShare& share : shares) {
    for (const State state : {State::kUnknown, State::kInitialising, State::kInitWait, State::kConnected,
                              State::kClosing, State::kClosed}) {
      for (const int variant : {0, 1, 2, 3}) {
        FoundShare found = Found(share, state, (variant & 1) != 0);
        found.online = (variant & 2) != 0;
        for (const std::vector<FoundShare>& before : std::vector<std::vector<FoundShare>>(starts)) {
          if (before.empty()) starts.push_back({found});
        }
        if (share.spec.devid == 0u) starts.push_back({found, Found(Want(1), State::kConnected)});
      }
    }
  }
  for (const Wanted& wanted : {Wanted{}, Wanted{{Want(0)}, {}}, Wanted{{Want(0), Want(1)}, {}}}) {
    for (std::vector<FoundShare> now : starts) {
      int rounds = 0;
      for (;; ++rounds) {
        ASSERT_LT(rounds, 10);
        const std::vector<Action> actions = Reconcile(kUuid, wanted, now);
        bool moved = !actions.empty();
        for (const Action& action : actions) {
          const auto at = std::find_if(now.begin(), now.end(), [&](const auto& s) { return s.key == action.key; });
          if (action.step == Step::kBegin) {
            ASSERT_EQ(at, now.end());
            now.push_back(Found(*action.share, State::kInitialising, false));
            continue;
          }
          ASSERT_NE(at, now.end());
          if (action.step == Step::kFinish) at->has_frontend = true;
          if (action.step == Step::kClose) *at = Closing(*at, State::kClosing);
          if (action.step == Step::kRemove) now.erase(at);
        }
        for (FoundShare& share : now) {
          const State before = share.state;
          if (share.online && share.state == State::kInitialising) share.state = State::kInitWait;
          // A guest that removed its nodes is one that closed.
          if (share.online && share.state == State::kConnected && !share.has_frontend) share.state = State::kClosed;
          if (share.online && share.state == State::kClosed) share.state = State::kInitWait;
          if (share.online && share.state == State::kClosing) share.state = State::kClosed;
          if (!share.online && share.state != State::kUnknown) share.state = State::kClosed;
          moved = moved || share.state != before;
        }
        if (!moved) break;
      }
      std::vector<ShareKey> keys, expected;
      for (const FoundShare& share : now) keys.push_back(share.key);
      for (const WantedShare& share : wanted.shares) expected.push_back({.devid = *share.spec.devid});
      EXPECT_THAT(keys, testing::UnorderedElementsAreArray(expected));
      for (const FoundShare& share : now) EXPECT_TRUE(share.online && share.has_frontend);
    }
  }
}

}  // namespace
}  // namespace virtfs::toolstack
