// Guests: that each living domain's shares are those of its record, and that nothing is left of those of dead ones.
// For the domain that has the toolstack alone.
//
// When a domain appears, changes its UUID, or has its record or its shares changed by anybody, what it has is compared
// with its record (reconcile.h) and the next thing is done, under the guest's lock. If a command holds that, the guest
// is looked at again soon: that command may be killed half-way. Nothing here waits.
//
// A record whose guest has no domain stays for 30 days, since the guest may come back: it was saved, or shut down.
//
// Errors: logged once for each guest; tried again.
// Threads: one.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "toolstack/records/record_store.h"
#include "toolstack/watch/reconcile.h"
#include "xenstore/store.h"

namespace virtfs::toolstack {

class Guests {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;

  struct Options {
    uint32_t own = 0;    // the domain that we are in; what dead guests have there is their keepers' to remove
    std::string config;  // the host's, with the roots in which shares may be
    std::string records;
    std::string runtime;
  };

  // `store` must outlive it.
  Guests(xenstore::Store& store, Options options);

  // Sets the watches. Fails if this domain may not see the others.
  absl::Status Start();
  // Whether the event was one of ours.
  bool Hear(const xenstore::WatchEvent& event);
  // Some domain has come or gone.
  void LookAtDomains() { look_at_domains_ = true; }
  // Reads what has changed among the records.
  void HearRecords();
  // Does whatever is to be done now.
  void Step(Time now);
  // When a Step is due though nothing happens; and what makes HearRecords worth while when it becomes readable.
  std::optional<Time> WakeTime() const;
  int records_fd() const { return inotify_.get(); }

  size_t domains() const { return domains_.size(); }

 private:
  struct Domain {
    std::string uuid;  // empty: it has none
    bool due = true;
    std::optional<Time> retry_time;
    std::map<ShareKey, Time> unwanted_since;
    std::string trouble;  // what was logged last
  };

  absl::Status WatchRecords();
  void LookAtAllDomains();
  void SeeBackend(uint32_t backend);
  void MakeDue(uint32_t domid);
  void RemoveDead(uint32_t backend);

  void Look(uint32_t domid, Domain& domain, Time now);
  // What is to be done; an error if nobody can tell.
  struct Plan {
    Wanted wanted;
    std::vector<FoundShare> found;
    std::vector<Action> actions;
    std::string trouble;  // what keeps a share of the record from being attached
  };
  absl::StatusOr<Plan> MakePlan(uint32_t domid, Domain& domain, Time now);
  absl::StatusOr<uint32_t> BackendOf(const RecordedShare& share);
  void LeaveOutForbidden(Plan& plan);
  Wanted WantedBy(const Record& record, std::string& trouble);
  std::vector<FoundShare> FindShares(uint32_t domid);
  FoundShare ReadShare(uint32_t domid, const ShareKey& key);
  absl::Status Do(uint32_t domid, const Action& action);
  void Tell(uint32_t domid, Domain& domain, const std::string& trouble);

  void KeepRecords(Time now);

  xenstore::Store& store_;
  const Options options_;
  const RecordStore records_;
  UniqueFd inotify_;
  std::map<uint32_t, Domain> domains_;  // the living
  std::set<uint32_t> backends_;         // domains whose shares we watch
  bool look_at_domains_ = true;
  std::optional<Time> keep_time_ = Time::min();  // when to look which records are of no domain
};

// What becomes of a record at `now`, in seconds since 1970: it is to say since when its guest is absent, or no more, or
// is to be forgotten.
enum class Keep : uint8_t { kAsItIs, kMarkAbsent, kMarkPresent, kForget };
Keep HowToKeep(const Record& record, bool is_present, int64_t now);

}  // namespace virtfs::toolstack
