// Keepers: that each guest with shares in this backend domain has its keeper (`xen-virtfsd --domid N`).
//
// A keeper is started when a guest's first share appears in xenstore, whoever wrote it, and again if it dies: not
// sooner than 1 s after the last start, and up to 30 s if it happens again and again. Keepers that run already, started
// by a former watch or by hand, are found by their claims and not disturbed, nor are any when the watch ends. A guest
// that has died is cleaned up after by its keeper: one is started for that if there is none.
//
// Elsewhere than in domain 0 nobody can ask xenstored whether a guest lives: there its toolstack removes its shares,
// and a keeper that has had none for ten seconds is told to end.
//
// Errors: logged; tried again.
// Threads: one.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "xenstore/store.h"

namespace virtfs::toolstack {

class Keepers {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;

  struct Options {
    uint32_t own = 0;                  // the domain that we are in
    bool may_ask = true;               // xenstored tells us which domains there are
    std::vector<std::string> command;  // a keeper's program, by PATH, and its arguments but for --domid N
  };

  // `store` must outlive it.
  Keepers(xenstore::Store& store, Options options);

  // Sets the watch and finds what runs already.
  absl::Status Start();
  // Whether the event was one of ours.
  bool Hear(const xenstore::WatchEvent& event);
  // Some domain has come or gone.
  void LookAtAll();
  // Does whatever is to be done now.
  void Step(Time now);
  // When a Step is due though nothing happens; and what makes one due when it becomes readable.
  std::optional<Time> WakeTime() const;
  void AddFds(std::vector<pollfd>& fds) const;

  // That have a keeper.
  size_t guests() const;

 private:
  struct Guest {
    bool due = true;
    bool announced = false;  // that it could not be started
    UniqueFd pidfd;          // of its keeper, if it has one
    int pid = 0;
    bool is_child = false;
    Time since{};                               // it was started or found
    std::chrono::seconds pause{0};              // before the next is started
    std::optional<Time> start_time, idle_time;  // a keeper is to be started; is to be told to end
  };

  void Look(uint32_t domid, Guest& guest, Time now);
  bool Find(uint32_t domid, Guest& guest, Time now);
  void StartKeeper(uint32_t domid, Guest& guest, Time now);
  void Reap(uint32_t domid, Guest& guest, Time now);
  void LookIdle(uint32_t domid, Guest& guest, bool has_shares, Time now);
  bool RemoveClaim(uint32_t domid);

  std::string RootOf(uint32_t domid) const;
  bool HasShares(uint32_t domid);

  xenstore::Store& store_;
  const Options options_;
  const std::string root_;  // /local/domain/OWN/virtfs
  std::map<uint32_t, Guest> guests_;
  bool look_at_all_ = true;
};

}  // namespace virtfs::toolstack
