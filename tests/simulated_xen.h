// SimulatedXen: a private simulated Xen for one test, with the real xenstored, domains and processes in them.
//
//   std::unique_ptr<SimulatedXen> xen = SimulatedXen::Start();
//   ASSERT_NE(xen, nullptr);
//   ASSERT_TRUE(xen->AddDomain(1));
//   auto guest = xen->Spawn({Program("frontend/virtfs-client"), "ls"}, 1);
//   EXPECT_EQ(guest->Wait(), 0);
//
// Everything ends with the object: processes, domains, xenstored, files. What fails says so by ADD_FAILURE and gives
// false, null or empty. XENSIM_DIR and XENSTORED_PATH are set in the test's own process too, so that its own calls are
// those of domain 0, if it is linked with //xensim:xengnttab and //xensim:xenevtchn.
//
// Threads: one, except where said. Every wait has a bound; none sleeps for luck.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "xensim/machine.h"
#include "xensim/report.h"

extern "C" {
#include <xenstore.h>
}

namespace virtfs {

inline constexpr std::chrono::milliseconds kBound{20000};

// The path of a program in the test's runfiles: Program("xensim/xensim-ctl"). It must be in the test's `data`.
std::string Program(const std::string& path);

// A process in a domain. Killed with the object; its output is printed if the test has failed by then.
class Process {
 public:
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  int pid() const { return pid_; }

  // Its exit status, or 128 + the signal that ended it; a failure and -1 if it runs still after `bound`.
  int Wait(std::chrono::milliseconds bound = kBound);

  // Whether it has not ended yet.
  bool Running();

  // Kills it and waits until it is gone, and with it what it held in the simulation.
  void Kill(int signal = 9);

  // What it wrote to stdout and stderr up to now.
  std::string Output() const;

  // Waits until `text` is in the output; a failure and false if it ends before or after `bound`.
  bool WaitForOutput(const std::string& text, std::chrono::milliseconds bound = kBound);

 private:
  friend class SimulatedXen;
  Process() = default;

  bool Reap(std::chrono::milliseconds bound);

  int pid_ = -1;
  UniqueFd pidfd_;
  std::string name_;
  std::string output_;  // a file
  uint32_t domid_ = 0;
  std::optional<int> status_;
};

struct StoreCloser {
  void operator()(xs_handle* handle) const { xs_close(handle); }
};
using StoreHandle = std::unique_ptr<xs_handle, StoreCloser>;

class SimulatedXen {
 public:
  // With domain 0 only; takes about 10 ms.
  static std::unique_ptr<SimulatedXen> Start();
  ~SimulatedXen();
  SimulatedXen(const SimulatedXen&) = delete;
  SimulatedXen& operator=(const SimulatedXen&) = delete;

  const std::string& directory() const { return directory_; }
  // Where keepers make their sockets.
  std::string RunDirectory() const { return directory_ + "/run"; }
  xensim::World& world() { return *world_; }

  // Domain ids are 1..63.
  bool AddDomain(uint32_t domid);

  // Kills the domain's processes and raises what a dying domain raises.
  bool Destroy(uint32_t domid);

  // Starts a program (argv[0] is a path) as a process of the domain.
  std::shared_ptr<Process> Spawn(const std::vector<std::string>& argv, uint32_t domid = 0,
                                 const std::vector<std::string>& environment = {});
  // The same environment, for a test that starts processes by itself.
  std::vector<std::string> Environment(uint32_t domid) const;

  // A connection to xenstored as the domain (0 by default: privileged).
  xs_handle* store() { return store_.get(); }
  StoreHandle OpenStore(uint32_t domid);

  // As domain 0. Read gives nothing if there is no such node.
  std::optional<std::string> Read(const std::string& path);
  bool Write(const std::string& path, const std::string& value);
  // `owner` has full access, `reader` may read.
  bool SetOwner(const std::string& path, uint32_t owner, std::optional<uint32_t> reader = std::nullopt);
  bool Remove(const std::string& path);

  // Wait by watches until the node has the value, is gone, or `accepts` its value (nothing: no such node).
  bool WaitForNode(const std::string& path, const std::string& value, std::chrono::milliseconds bound = kBound);
  bool WaitForNoNode(const std::string& path, std::chrono::milliseconds bound = kBound);
  bool WaitUntil(const std::string& path, const std::function<bool(const std::optional<std::string>&)>& accepts,
                 std::chrono::milliseconds bound = kBound);

  // Calls of a domain since the start or ResetCounts. Any thread.
  xensim::CallCount Count(uint32_t domid, xensim::Call call) { return xensim::CountOf(*world_, domid, call); }
  void ResetCounts() { xensim::ResetCounts(*world_); }

  // What live processes of a domain hold, without xenstored's and the bridges' own handles. Empty: nothing leaked.
  std::vector<xensim::Holding> Holdings(uint32_t domid);

  // The next `after` calls of the kind pass, the `count` (-1: all) behind them fail with `error`.
  bool Fault(xensim::Call call, int error, int64_t after = 0, int64_t count = 1, uint32_t domid = xensim::kAnyDomain);
  void ClearFaults() { xensim::ClearFaults(*world_); }

  // Takes back page `ref` of the domain: what is mapped stays, later maps and copies fail.
  bool Revoke(uint32_t domid, uint32_t ref);
  void SetPageLimit(uint32_t domid, uint32_t pages) { world_->state().domains[domid].page_limit = pages; }

 private:
  SimulatedXen() = default;

  xensim::Installation installation_;
  std::string directory_;
  std::shared_ptr<xensim::World> world_;
  StoreHandle store_;
  std::vector<std::weak_ptr<Process>> processes_;
  int spawned_ = 0;
};

}  // namespace virtfs
