// `xl-virtfs watch` through the real binaries: keepers, reboots, deaths, what was left half-done, driver domains.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lifecycle_fixture.h"
#include "tests/watch_fixture.h"

namespace virtfs {
namespace {

using testing::HasSubstr;
using toolstack::GuestLock;

TEST_F(WatchTest, SharesComeBackWithEachRebootAndAreGoneWithTheGuest) {
  auto watch = StartWatch();
  Save(Uuid(1), {0, 2});
  for (uint32_t domid = 1; domid <= 4; ++domid) {
    Create(domid, Uuid(1));
    ExpectShares(domid, {0, 2});
    EXPECT_FALSE(RecordOf(Uuid(1)).absent_since);
    ASSERT_TRUE(xen_->Destroy(domid));
    ExpectNothing(domid);
  }
  // A saved guest may come back.
  EXPECT_EQ(Eventually([&] { return RecordOf(Uuid(1)).absent_since ? "" : "not marked"; }), "");
  EXPECT_EQ(RecordOf(Uuid(1)).shares.size(), 2u);
  Create(5, Uuid(1));
  ExpectShares(5, {0, 2});
  EXPECT_EQ(Eventually([&] { return RecordOf(Uuid(1)).absent_since ? "marked" : ""; }), "");
}

TEST_F(WatchTest, GuestsThatAreThereWhenItStarts) {
  Create(1, Uuid(1));
  Create(2, Uuid(2));
  Create(3, Uuid(3));
  Save(Uuid(1), {0});
  Save(Uuid(2), {0, 1, 2});
  auto watch = StartWatch();
  ExpectShares(1, {0});
  ExpectShares(2, {0, 1, 2});
  EXPECT_TRUE(KeepersOf(3).empty());
  // A UUID that comes late, as xl never does it.
  ASSERT_TRUE(xen_->AddDomain(4));
  Save(Uuid(4), {7});
  ASSERT_TRUE(xen_->Write("/local/domain/4/vm", "/vm/" + Uuid(4)));
  ExpectShares(4, {7});
}

TEST_F(WatchTest, TheRecordIsWhatAGuestHas) {
  auto watch = StartWatch();
  Create(1, Uuid(1));
  for (const std::set<uint32_t>& devids : std::vector<std::set<uint32_t>>{{0}, {0, 1}, {1}, {1, 5}, {}, {3}}) {
    Save(Uuid(1), devids);
    ExpectShares(1, devids);
  }
  // The same share, but otherwise.
  Save(Uuid(1), {3}, "0", ",readonly");
  EXPECT_EQ(Eventually([&] { return xen_->Read(Private(1, "/3/readonly")) == "1" ? WrongWith(1, {3}) : "not yet"; }),
            "");
}

// The watch once attached whatever a record had, though an administrator had forbidden it since.
TEST_F(WatchTest, WhatVirtfsConfForbidsIsNotAttachedAgain) {
  auto watch = StartWatch();
  Create(1, Uuid(1));
  Save(Uuid(1), {0});
  ExpectShares(1, {0});
  std::ofstream(directory_ + "/virtfs.conf") << "roots = ['/usr']\n";
  // What is attached stays.
  Save(Uuid(1), {0, 1});
  EXPECT_TRUE(watch->WaitForOutput("domain 1: share 1 of its record is not attached: path="));
  EXPECT_EQ(WrongWith(1, {0}), "");
  ASSERT_TRUE(xen_->Destroy(1));
  ExpectNothing(1);
  Create(2, Uuid(1));
  EXPECT_TRUE(watch->WaitForOutput("domain 2: share 1 of its record is not attached: path="));
  EXPECT_EQ(List(Backend(2, "")), std::set<std::string>());
  // A mistake in the file allows nothing either.
  std::ofstream(directory_ + "/virtfs.conf") << "root = ['/']\n";
  EXPECT_TRUE(watch->WaitForOutput("unknown key"));
  EXPECT_EQ(List(Backend(2, "")), std::set<std::string>());
  std::ofstream(directory_ + "/virtfs.conf") << "roots = ['" << directory_ << "']\n";
  ExpectShares(2, {0, 1});
}

// What a command leaves that is killed: at each point where it may be.
TEST_F(WatchTest, WhatWasLeftHalfDoneIsFinishedOrRemoved) {
  auto watch = StartWatch();
  Create(1, Uuid(1));
  auto store = xenstore::Store::Open();
  ASSERT_TRUE(store.ok());
  Save(Uuid(1), {0});
  ExpectShares(1, {0});

  // Attach, killed behind the backend's nodes: the record has it.
  toolstack::Record record = RecordOf(Uuid(1));
  record.shares.push_back({1, "0", Spec(1)});
  {
    auto lock = GuestLock::Take(directory_ + "/run", Uuid(1), kBound);
    ASSERT_TRUE(lock.ok());
    ASSERT_TRUE(records_->Save(record).ok());
    auto spec = toolstack::SpecOf(record, record.shares[1]);
    ASSERT_TRUE(toolstack::BeginShare(**store, {.guest = 1, .backend = 0}, *spec).ok());
    // While the lock is held the guest is its holder's, though others are seen to.
    ASSERT_TRUE(xen_->WaitForNode(Backend(1, "/1/state"), kInitWait));
    Create(2, Uuid(2));
    Save(Uuid(2), {0});
    ExpectShares(2, {0});
    EXPECT_FALSE(xen_->Read(Device(1, "/1/tag")));
  }
  ExpectShares(1, {0, 1});

  // Detach, killed behind the record; and behind asking.
  Save(Uuid(1), {1});
  ExpectShares(1, {1});
  {
    auto lock = GuestLock::Take(directory_ + "/run", Uuid(1), kBound);
    ASSERT_TRUE(lock.ok());
    Save(Uuid(1), {});
    ASSERT_TRUE(toolstack::AskToClose(**store, {.guest = 1, .backend = 0}, xenstore::DeviceType::kVirtfs, 1).ok());
  }
  ExpectShares(1, {});

  // What somebody else attached stays, and is in nobody's way but its device id's.
  auto attach = xen_->Spawn({Program("toolstack/virtfs-attach"), "--domid", "1", Spec(0)});
  ASSERT_EQ(attach->Wait(), 0) << attach->Output();
  Save(Uuid(1), {0, 1});
  ExpectShares(1, {0, 1});
  EXPECT_FALSE(xen_->Read(Private(1, "/0/x-record")));
  EXPECT_TRUE(watch->WaitForOutput("has that device id; detach it"));
  auto detach = xen_->Spawn({Program("toolstack/virtfs-attach"), "--domid", "1", "--detach", "0"});
  ASSERT_EQ(detach->Wait(), 0) << detach->Output();
  EXPECT_EQ(Eventually([&] { return xen_->Read(Private(1, "/0/x-record")) ? WrongWith(1, {0, 1}) : "not yet"; }), "");
}

TEST_F(WatchTest, ARecordThatCannotBeReadIsNotTakenForNone) {
  auto watch = StartWatch();
  Create(1, Uuid(1));
  Save(Uuid(1), {0});
  ExpectShares(1, {0});
  std::ofstream(directory_ + "/records/" + Uuid(1) + ".json") << "{";
  ASSERT_TRUE(watch->WaitForOutput("the record is damaged"));
  EXPECT_EQ(WrongWith(1, {0}), "");
  ASSERT_TRUE(records_->Remove(Uuid(1)).ok());
  Save(Uuid(1), {0, 1});
  ExpectShares(1, {0, 1});
}

TEST_F(WatchTest, KeepersOutliveTheWatchAndAreNotDisturbed) {
  auto watch = StartWatch();
  Create(1, Uuid(1));
  Save(Uuid(1), {0});
  ExpectShares(1, {0});
  const std::vector<int> keepers = KeepersOf(1);
  PlainFrontend frontend(*xen_, 1, 0);
  frontend.WriteRing();
  frontend.Write("state", kInitialised);
  ASSERT_TRUE(xen_->WaitForNode(Backend(1, "/0/state"), kConnected));
  const auto session = xen_->Read(Backend(1, "/0/session-id"));

  for (const int signal : {SIGKILL, SIGTERM}) {
    watch->Kill(signal);
    EXPECT_EQ(watch->Wait(), signal == SIGTERM ? 0 : 128 + signal);
    watch = StartWatch();
    EXPECT_THAT(watch->Output(), HasSubstr("its keeper runs already, process " + std::to_string(keepers[0])));
  }
  EXPECT_EQ(KeepersOf(1), keepers);
  EXPECT_EQ(xen_->Read(Backend(1, "/0/state")), kConnected);
  EXPECT_EQ(xen_->Read(Backend(1, "/0/session-id")), session);
}

TEST_F(WatchTest, AKeeperThatDiesIsStartedAgain) {
  auto watch = StartWatch();
  Create(1, Uuid(1));
  Save(Uuid(1), {0, 1});
  ExpectShares(1, {0, 1});
  // One that this watch has started, then one that it has found.
  for (const bool found : {false, true}) {
    if (found) {
      watch->Kill();
      watch = StartWatch();
    }
    const std::vector<int> keepers = KeepersOf(1);
    ASSERT_EQ(keepers.size(), 1u);
    kill(keepers[0], SIGKILL);
    EXPECT_EQ(Eventually([&] { return KeepersOf(1) == keepers ? "lives" : WrongWith(1, {0, 1}); }), "");
  }
  // By hand is as good.
  const std::vector<int> keepers = KeepersOf(1);
  watch->Kill();
  kill(keepers[0], SIGKILL);
  EXPECT_EQ(Eventually([&] { return KeepersOf(1).empty() ? "" : "lives"; }), "");
  auto keeper = xen_->Spawn({Program("backend/xen-virtfsd"), "--domid", "1"}, 0, {"XEN_VIRTFS_RUN=" + directory_});
  ASSERT_TRUE(keeper->WaitForOutput("waits for the guest"));
  watch = StartWatch();
  ExpectShares(1, {0, 1});
  EXPECT_TRUE(keeper->Running());
}

TEST_F(WatchTest, AGuestThatDiesWhileNobodyLooks) {
  auto watch = StartWatch();
  Create(1, Uuid(1));
  Create(2, Uuid(2));
  Save(Uuid(1), {0, 1});
  Save(Uuid(2), {0});
  ExpectShares(1, {0, 1});
  ExpectShares(2, {0});
  watch->Kill();
  for (const auto& [pid, domid] : KeeperProcesses()) kill(pid, SIGKILL);
  EXPECT_EQ(Eventually([&] { return KeeperProcesses().empty() ? "" : "a keeper lives"; }), "");
  ASSERT_TRUE(xen_->Destroy(1));
  ASSERT_TRUE(xen_->Destroy(2));
  EXPECT_TRUE(xen_->Read(Private(1, "/0/path")));
  // Another guest has the number of the second: nothing of that one is for it.
  Create(2, Uuid(3));
  Save(Uuid(3), {1});
  watch = StartWatch();
  ExpectNothing(1);
  ExpectShares(2, {1});
  Create(3, Uuid(2));
  ExpectShares(3, {0});
}

TEST_F(WatchTest, OneAtATime) {
  auto watch = StartWatch();
  auto second = SpawnWatch();
  EXPECT_EQ(second->Wait(), 1);
  EXPECT_THAT(second->Output(), HasSubstr("another xl-virtfs watch runs already"));
  EXPECT_TRUE(watch->Running());
}

TEST_F(WatchTest, NoKeeperToStart) {
  auto watch = xen_->Spawn({Program("toolstack/cli/xl-virtfs"), "watch", "--records", directory_ + "/records", "--run",
                            directory_ + "/run", "--keeper", directory_ + "/xen-virtfsd"});
  ASSERT_TRUE(watch->WaitForOutput("ready"));
  Create(1, Uuid(1));
  Save(Uuid(1), {0});
  ASSERT_TRUE(watch->WaitForOutput("cannot start " + directory_ + "/xen-virtfsd: No such file or directory"));
  ASSERT_EQ(symlink(Program("backend/xen-virtfsd").c_str(), (directory_ + "/xen-virtfsd").c_str()), 0);
  ExpectShares(1, {0});
}

// Domain 1 has the directories and serves domain 2; its watch knows of no records, and of no domain but itself.
TEST_F(WatchTest, ADriverDomain) {
  Create(1, Uuid(1));
  ASSERT_TRUE(xen_->Write("/local/domain/1/name", "storage"));
  Create(2, Uuid(2));
  auto toolstack = StartWatch();
  auto driver = StartWatch(1, "/driver");
  Save(Uuid(2), {0}, "storage");
  const auto attached = [&](uint32_t guest) -> std::string {
    if (xen_->Read(Backend(guest, "/0/state", 1)) != kInitWait) return "state";
    return xen_->Read(Device(guest, "/0/backend")) == Backend(guest, "/0", 1) ? "" : "the guest's directory";
  };
  EXPECT_EQ(Eventually([&] { return attached(2); }), "");
  const std::vector<int> keepers = KeepersOf(2);
  ASSERT_EQ(keepers.size(), 1u);
  EXPECT_THAT(driver->Output(), HasSubstr("its keeper is process " + std::to_string(keepers[0])));
  EXPECT_FALSE(xen_->Read(Private(2, "")));

  ASSERT_TRUE(xen_->Destroy(2));
  Create(3, Uuid(2));
  EXPECT_EQ(Eventually([&] { return attached(3); }), "");
  EXPECT_EQ(Eventually([&]() -> std::string {
              if (xen_->Read(Backend(2, "", 1))) return "backend directory";
              if (xen_->Read(Private(2, "", 1))) return "private directory";
              return KeepersOf(2).empty() ? "" : "a keeper";
            }),
            "");

  // While it is away its shares are left as they are, and come with it when it is back.
  driver->Kill();
  ASSERT_TRUE(xen_->Destroy(1));
  ASSERT_TRUE(toolstack->WaitForOutput("there is no domain storage"));
  Create(4, Uuid(1));
  ASSERT_TRUE(xen_->Write("/local/domain/4/name", "storage"));
  driver = StartWatch(4, "/driver");
  EXPECT_EQ(Eventually([&]() -> std::string {
              if (xen_->Read(Backend(3, "/0/state", 4)) != kInitWait) return "state";
              return xen_->Read(Device(3, "/0/backend")) == Backend(3, "/0", 4) ? "" : "the guest's directory";
            }),
            "");
}

}  // namespace
}  // namespace virtfs
