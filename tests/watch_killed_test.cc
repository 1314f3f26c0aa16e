// `xl-virtfs watch` killed at random points of attach, detach, reboot and destroy, fifty times: after its restart the
// state is right, and nothing is lost or doubled.
#include <random>

#include "tests/watch_fixture.h"

namespace virtfs {
namespace {

using std::chrono::microseconds;

class WatchKilledTest : public WatchTest {
 protected:
  struct Guest {
    std::string uuid;
    uint32_t domid = 0;  // 0: it is not there now
    std::set<uint32_t> devids;
  };

  // What is not killed.
  std::shared_ptr<Process> SpawnCommand(const std::string& command, const Guest& guest, const std::string& what) {
    return xen_->Spawn({Program("toolstack/cli/xl-virtfs"), command, std::to_string(guest.domid), what, "--wait", "600",
                        "--records", directory_ + "/records", "--run", directory_ + "/run", "--conf",
                        directory_ + "/virtfs.conf"});
  }

  // Domain ids come round, as they do on a host after a long time.
  uint32_t NextDomid() {
    do {
      last_domid_ = last_domid_ % 60 + 1;
    } while (living_.contains(last_domid_));
    living_.insert(last_domid_);
    return last_domid_;
  }
  void Begin(Guest& guest) {
    guest.domid = NextDomid();
    Create(guest.domid, guest.uuid);
  }
  void End(Guest& guest) {
    ASSERT_TRUE(xen_->Destroy(guest.domid));
    living_.erase(guest.domid);
    ended_.insert(guest.domid);
    guest.domid = 0;
  }

  std::set<uint32_t> living_, ended_;
  uint32_t last_domid_ = 0;
};

TEST_F(WatchKilledTest, FiftyTimes) {
  // Other fifty: --test_env=WATCH_SEED=7
  const char* const seed = getenv("WATCH_SEED");
  std::mt19937 random(seed != nullptr ? static_cast<uint32_t>(atoi(seed)) : 20261121);
  const auto below = [&random](uint32_t limit) { return static_cast<uint32_t>(random() % limit); };
  std::vector<Guest> guests;
  for (int i = 1; i <= 3; ++i) guests.push_back({.uuid = Uuid(i), .devids = {}});
  auto watch = StartWatch();
  for (Guest& guest : guests) Begin(guest);

  for (int round = 0; round < 50 && !HasFatalFailure(); ++round) {
    Guest& guest = guests[below(3)];
    const microseconds delay(below(60000));
    const auto kill_watch = [pid = watch->pid(), delay] {
      std::this_thread::sleep_for(delay);
      kill(pid, SIGKILL);
    };
    enum { kAttach, kDetach, kReboot, kDestroy } what = static_cast<decltype(kAttach)>(below(4));
    if (guest.devids.empty() && what == kDetach) what = kAttach;
    SCOPED_TRACE("round " + std::to_string(round) + ", operation " + std::to_string(what) + " on " + guest.uuid +
                 ", killed after " + std::to_string(delay.count()) + " us");
    std::shared_ptr<Process> command;
    if (what == kAttach || what == kDetach) {
      if (guest.domid == 0) Begin(guest);
      uint32_t devid = 0;
      while (guest.devids.contains(devid) == (what == kAttach)) ++devid;
      command = what == kAttach ? SpawnCommand("attach", guest, Spec(devid, ",devid=" + std::to_string(devid)))
                                : SpawnCommand("detach", guest, std::to_string(devid));
      if (what == kAttach) guest.devids.insert(devid);
      if (what == kDetach) guest.devids.erase(devid);
      kill_watch();
    } else {
      std::thread killer(kill_watch);
      if (guest.domid != 0) End(guest);
      if (what == kReboot) Begin(guest);
      killer.join();
    }
    EXPECT_EQ(watch->Wait(), 128 + SIGKILL);
    // Now and then a keeper dies with it.
    const std::map<int, uint32_t> keepers = KeeperProcesses();
    if (below(5) == 0 && !keepers.empty()) kill(keepers.begin()->first, SIGKILL);
    watch = StartWatch();
    if (command != nullptr) {
      EXPECT_EQ(command->Wait(kPatience), 0) << command->Output();
    }

    for (const Guest& other : guests) {
      const toolstack::Record record = RecordOf(other.uuid);
      EXPECT_EQ(record.shares.size(), other.devids.size());
      for (const uint32_t devid : other.devids) EXPECT_NE(toolstack::FindShare(record, devid), nullptr);
      if (other.domid != 0) ExpectShares(other.domid, other.devids);
    }
    for (const uint32_t domid : ended_) {
      if (!living_.contains(domid)) ExpectNothing(domid);
    }
    ended_.clear();
    if (HasFailure()) break;
  }
}

}  // namespace
}  // namespace virtfs
