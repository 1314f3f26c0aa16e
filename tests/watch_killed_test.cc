// `xl-virtfs watch` killed at random points of attach, detach, reboot and destroy, fifty times: after its restart the
// state is right, and nothing is lost or doubled.
#include <future>
#include <random>

#include "tests/watch_fixture.h"

namespace virtfs {
namespace {

using std::chrono::microseconds;
using toolstack::GuestLock;

class WatchKilledTest : public WatchTest {
 protected:
  struct Guest {
    std::string uuid;
    uint32_t domid = 0;  // 0: it is not there now
    std::set<uint32_t> devids;
  };

  // As `xl-virtfs attach` does it, which is not killed.
  std::string Attach(const Guest& guest, uint32_t devid) {
    auto lock = GuestLock::Take(directory_ + "/run", guest.uuid, kPatience);
    if (!lock.ok()) return std::string(lock.status().message());
    toolstack::Record record = RecordOf(guest.uuid);
    record.shares.push_back({devid, "0", Spec(devid)});
    if (absl::Status saved = records_->Save(record); !saved.ok()) return std::string(saved.message());
    auto store = xenstore::Store::Open();
    auto spec = toolstack::SpecOf(record, record.shares.back());
    if (!store.ok() || !spec.ok()) return "no store, or no spec";
    auto written = toolstack::WriteShare(**store, {.guest = guest.domid, .backend = 0}, *spec, kPatience);
    return written.ok() ? "" : std::string(written.status().message());
  }
  std::string Detach(const Guest& guest, uint32_t devid) {
    auto lock = GuestLock::Take(directory_ + "/run", guest.uuid, kPatience);
    if (!lock.ok()) return std::string(lock.status().message());
    toolstack::Record record = RecordOf(guest.uuid);
    std::erase_if(record.shares, [devid](const auto& share) { return share.devid == devid; });
    if (absl::Status saved = records_->Save(record); !saved.ok()) return std::string(saved.message());
    auto store = xenstore::Store::Open();
    if (!store.ok()) return "no store";
    const absl::Status removed =
        toolstack::RemoveShare(**store, {.guest = guest.domid, .backend = 0}, devid, kPatience);
    // It may not have been attached to this domain yet.
    return absl::IsNotFound(removed) ? "" : std::string(removed.message());
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
  std::mt19937 random(20261121);
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
    std::future<std::string> operation;
    if (what == kAttach || what == kDetach) {
      if (guest.domid == 0) Begin(guest);
      uint32_t devid = 0;
      while (guest.devids.contains(devid) == (what == kAttach)) ++devid;
      operation = std::async(std::launch::async, [this, copy = guest, what, devid] {
        return what == kAttach ? Attach(copy, devid) : Detach(copy, devid);
      });
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
    if (operation.valid()) {
      EXPECT_EQ(operation.get(), "");
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
