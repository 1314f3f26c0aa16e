#include <map>
#include <string>

#include "backend/keeper/log.h"
#include "backend/keeper/nodes.h"
#include "backend/keeper/pace.h"
#include "backend/keeper/share_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace virtfs::backend {
namespace {

using testing::HasSubstr;
using xenstore::State;

// Rows of docs/virtfs.md section 12.3 as {phase, view, action, next}.

void ExpectRow(Phase phase, const View& view, Action does, Phase next) {
  const Row* row = Decide(phase, view);
  ASSERT_NE(row, nullptr) << NameOf(phase);
  EXPECT_EQ(row->does, does) << NameOf(phase);
  EXPECT_EQ(row->next, next) << NameOf(phase) << " -> " << NameOf(row->next);
}

TEST(ShareTableTest, AShareThatIsAttachedAndServed) {
  View v;
  ExpectRow(Phase::kPreparing, v, Action::kPrepare, Phase::kWaiting);
  for (State frontend : {State::kUnknown, State::kInitialising, State::kClosing, State::kClosed}) {
    v.frontend = frontend;
    EXPECT_EQ(Decide(Phase::kWaiting, v), nullptr);
  }
  v.frontend = State::kInitialised;
  ExpectRow(Phase::kWaiting, v, Action::kStartServer, Phase::kConnecting);
  v.server = Server::kStarting;
  EXPECT_EQ(Decide(Phase::kConnecting, v), nullptr);
  v.server = Server::kConnected;
  ExpectRow(Phase::kConnecting, v, Action::kNothing, Phase::kServing);
  v.frontend = State::kConnected;
  EXPECT_EQ(Decide(Phase::kServing, v), nullptr);
}

TEST(ShareTableTest, TheFrontendEndsAConnection) {
  View v{.server = Server::kConnected};
  for (State frontend : {State::kClosing, State::kClosed, State::kInitialising, State::kUnknown}) {
    v.frontend = frontend;
    ExpectRow(Phase::kServing, v, Action::kStopServer, Phase::kReleasing);
    ExpectRow(Phase::kClosing, v, Action::kStopServer, Phase::kReleasing);
  }
  EXPECT_EQ(Decide(Phase::kReleasing, v), nullptr);
  v.time_is_up = true;
  ExpectRow(Phase::kReleasing, v, Action::kKillServer, Phase::kReleasing);
  v.server = Server::kEnded;
  ExpectRow(Phase::kReleasing, v, Action::kKeepSession, Phase::kClosed);
}

TEST(ShareTableTest, TheToolstackEndsAShare) {
  View v{.online = false, .frontend = State::kConnected, .server = Server::kConnected};
  ExpectRow(Phase::kServing, v, Action::kNothing, Phase::kClosing);
  EXPECT_EQ(Decide(Phase::kClosing, v), nullptr);
  v.time_is_up = true;
  ExpectRow(Phase::kClosing, v, Action::kStopServer, Phase::kReleasing);
  ExpectRow(Phase::kWaiting, v, Action::kKeepSession, Phase::kClosed);
  v.frontend = State::kClosed;
  EXPECT_EQ(Decide(Phase::kClosed, v), nullptr);
  v.close_asked = true;
  ExpectRow(Phase::kClosed, v, Action::kNothing, Phase::kClosed);
}

TEST(ShareTableTest, AShareThatIsHandedOverStaysClosedUntilItIsTakenBack) {
  View v{.hand_over = true, .frontend = State::kConnected, .server = Server::kConnected};
  ExpectRow(Phase::kServing, v, Action::kNothing, Phase::kClosing);
  v.frontend = State::kClosing;
  ExpectRow(Phase::kClosing, v, Action::kStopServer, Phase::kReleasing);
  v.server = Server::kEnded;
  ExpectRow(Phase::kReleasing, v, Action::kKeepSession, Phase::kClosed);
  v.server = Server::kNone;
  v.frontend = State::kClosed;
  EXPECT_EQ(Decide(Phase::kClosed, v), nullptr);
  // Nobody mounts it meanwhile, and a session that no server has taken yet is not lost.
  ExpectRow(Phase::kWaiting, v, Action::kKeepSession, Phase::kClosed);
  v.hand_over = false;
  v.session_given = true;
  ExpectRow(Phase::kClosed, v, Action::kPrepare, Phase::kWaiting);
}

TEST(ShareTableTest, ASessionIsTakenBeforeTheFrontendConnects) {
  View v{.session_given = true, .frontend = State::kInitialised};
  ExpectRow(Phase::kWaiting, v, Action::kPrepare, Phase::kWaiting);
  v.session_given = false;
  ExpectRow(Phase::kWaiting, v, Action::kStartServer, Phase::kConnecting);
}

TEST(ShareTableTest, AServerThatDiesTakesItsShareBackToInitWait) {
  View v{.frontend = State::kConnected, .server = Server::kEnded};
  ExpectRow(Phase::kServing, v, Action::kReport, Phase::kFailing);
  v.server = Server::kNone;
  ExpectRow(Phase::kFailing, v, Action::kNothing, Phase::kClosed);
  // Not before the frontend has followed, and not at once.
  EXPECT_EQ(Decide(Phase::kClosed, v), nullptr);
  v.frontend = State::kClosed;
  v.may_return = false;
  EXPECT_EQ(Decide(Phase::kClosed, v), nullptr);
  v.may_return = true;
  ExpectRow(Phase::kClosed, v, Action::kPrepare, Phase::kWaiting);
}

TEST(ShareTableTest, WithoutItsDirectoryAShareIsLeftWhateverItsPhase) {
  for (int i = 0; i < static_cast<int>(Phase::kGone); ++i) {
    const Phase phase = static_cast<Phase>(i);
    for (Server server : {Server::kNone, Server::kConnected, Server::kEnded}) {
      View v{.present = false, .frontend = State::kConnected, .server = server};
      const Row* row = Decide(phase, v);
      if (phase == Phase::kLeaving && server == Server::kConnected) {
        EXPECT_EQ(row, nullptr);
        continue;
      }
      ASSERT_NE(row, nullptr) << NameOf(phase);
      EXPECT_NE(row->does, Action::kPrepare);
      EXPECT_NE(row->does, Action::kStartServer);
    }
  }
}

TEST(ShareTableTest, NothingIsLeftHangingWhenTimeIsUp) {
  View v{.frontend = State::kConnected, .server = Server::kStarting, .time_is_up = true};
  for (Phase phase : {Phase::kConnecting, Phase::kClosing, Phase::kReleasing, Phase::kLeaving}) {
    EXPECT_NE(Decide(phase, v), nullptr) << NameOf(phase);
  }
}

TEST(PaceTest, FailuresComeBackSlowerAndSlower) {
  Pace pace;
  Pace::Time now{std::chrono::hours(1)};
  for (int expected : {1, 2, 4, 8, 16, 30, 30}) {
    EXPECT_EQ(pace.Failed(now) - now, std::chrono::seconds(expected));
    pace.Served(now);
    now += std::chrono::seconds(59);
  }
  pace.Served(now);
  now += std::chrono::seconds(60);
  EXPECT_EQ(pace.Failed(now) - now, std::chrono::seconds(1));
}

TEST(PaceTest, OrderlyClosesReturnAtOnceButNotForEver) {
  Pace pace;
  Pace::Time now{std::chrono::hours(1)};
  for (int i = 0; i < Pace::kBurst; ++i) EXPECT_EQ(pace.Closed(now), now) << i;
  EXPECT_EQ(pace.Closed(now), now + std::chrono::seconds(1));
  now += std::chrono::hours(1);
  EXPECT_EQ(pace.Closed(now), now);
}

using Nodes = std::map<std::string, std::string>;

auto ReaderOf(const Nodes& nodes) {
  return [&nodes](const std::string& name) -> Result<std::string> {
    const auto it = nodes.find(name);
    if (it == nodes.end()) return Errno(ENOENT);
    return it->second;
  };
}

std::string OptionsMistake(const Nodes& nodes) {
  return std::string(ReadShareOptions(ReaderOf(nodes)).status().message());
}

TEST(ShareOptionsTest, AllGood) {
  const Nodes least = {{"path", "/srv"}, {"security_model", "passthrough"}};
  const auto options = ReadShareOptions(ReaderOf(least));
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->path, "/srv");
  EXPECT_FALSE(options->server.readonly);
  EXPECT_EQ(options->server.max_msize, 1u << 20);

  Nodes all = least;
  all["readonly"] = "1";
  all["max-msize"] = "4096";
  const auto more = ReadShareOptions(ReaderOf(all));
  ASSERT_TRUE(more.ok());
  EXPECT_TRUE(more->server.readonly);
  EXPECT_EQ(more->server.max_msize, 4096u);
}

TEST(ShareOptionsTest, EachMistakeSaysWhatToWriteInstead) {
  EXPECT_THAT(OptionsMistake({}), HasSubstr("write path=DIRECTORY"));
  EXPECT_THAT(OptionsMistake({{"path", "srv"}}), HasSubstr("path=srv: write the directory from the root on"));
  EXPECT_THAT(OptionsMistake({{"path", "/srv"}}), HasSubstr("write security_model=MODEL"));
  EXPECT_THAT(OptionsMistake({{"path", "/srv"}, {"security_model", "passthru"}}),
              HasSubstr("security_model=passthru: write passthrough, mapped-xattr"));
  EXPECT_THAT(OptionsMistake({{"path", "/srv"}, {"security_model", "none"}, {"enforce", "server"}}),
              HasSubstr("enforce can be server only"));
  EXPECT_THAT(OptionsMistake({{"path", "/srv"}, {"security_model", "passthrough"}, {"readonly", "yes"}}),
              HasSubstr("readonly=yes: write 1 or 0"));
  EXPECT_THAT(OptionsMistake({{"path", "/srv"}, {"security_model", "passthrough"}, {"max-msize", "4095"}}),
              HasSubstr("from 4096 to 4194304"));
}

TEST(FrontendNodesTest, TheDraftsTwoNodesAreEnough) {
  // Without a version the rest means nothing, however wrong it is.
  const Nodes nodes = {{"ring-ref", "8"},
                       {"event-channel", "5"},
                       {"feature-persistent", "1"},
                       {"ring-page-order", "junk"},
                       {"multi-queue-num-queues", "-7"}};
  const auto connect = ReadFrontend(ReaderOf(nodes));
  ASSERT_TRUE(connect.ok());
  EXPECT_EQ(connect->ring_refs[0], 8u);
  EXPECT_EQ(connect->event_channels[0], 5u);
  EXPECT_EQ(connect->version, 0u);
  EXPECT_EQ(connect->feature_persistent, 0u);
}

TEST(FrontendNodesTest, WithAVersionTheFeaturesCount) {
  const Nodes nodes = {{"ring-ref", "4294967295"},      {"event-channel", "131071"}, {"version", "1"},
                       {"multi-queue-num-queues", "1"}, {"ring-page-order", "0"},    {"feature-persistent", "1"}};
  const auto connect = ReadFrontend(ReaderOf(nodes));
  ASSERT_TRUE(connect.ok());
  EXPECT_EQ(connect->version, 1u);
  EXPECT_EQ(connect->feature_persistent, 1u);
}

TEST(FrontendNodesTest, GarbageInAnyNodeIsRefused) {
  const Nodes good = {{"ring-ref", "8"},        {"event-channel", "5"},      {"version", "1"},
                      {"ring-page-order", "0"}, {"feature-persistent", "0"}, {"multi-queue-num-queues", "1"}};
  ASSERT_TRUE(ReadFrontend(ReaderOf(good)).ok());
  const std::string garbage[] = {"",
                                 " ",
                                 "-1",
                                 "+1",
                                 "08",
                                 "1e3",
                                 "0x8",
                                 "99999999999999999999",
                                 std::string(4000, '9'),
                                 std::string("8\0", 2),
                                 "\xff\xfe",
                                 "%s%n",
                                 "8\n"};
  for (const auto& [name, value] : good) {
    for (const std::string& bad : garbage) {
      Nodes nodes = good;
      nodes[name] = bad;
      const absl::Status status = ReadFrontend(ReaderOf(nodes)).status();
      EXPECT_FALSE(status.ok()) << name << " = " << bad;
      EXPECT_LT(status.message().size(), 300u);
    }
  }
  for (const std::string name : {"ring-ref", "event-channel"}) {
    Nodes nodes = good;
    nodes.erase(name);
    EXPECT_FALSE(ReadFrontend(ReaderOf(nodes)).ok()) << name;
    nodes[name] = "0";
    EXPECT_FALSE(ReadFrontend(ReaderOf(nodes)).ok()) << name;
  }
}

TEST(LogTest, WhatAGuestWroteCannotForgeALine) {
  EXPECT_EQ(Quoted("a\nb\x1b[0m\xff"), "\"a?b?[0m?\"");
  EXPECT_EQ(Quoted(std::string(100, 'x'), 3), "\"xxx...\"");
}

}  // namespace
}  // namespace virtfs::backend
