// WorkPool: a few threads that work off jobs, which may add jobs.
//
// The job added last runs first, so that a walk through a tree goes deep before it goes wide and holds few directories.
// Each thread spends its time waiting for replies: their number is how many requests are in flight.
//
// Threads: Add from any thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

namespace virtfs::frontend {

class WorkPool {
 public:
  explicit WorkPool(size_t threads) : threads_(threads) {}

  void Add(std::function<void()> job);

  // Runs everything that was added, and what that adds. Returns when nothing is left.
  void Run();

  // Jobs that have not begun are dropped, and those that come.
  void Stop();

 private:
  void Work();

  const size_t threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void()>> jobs_;
  size_t running_ = 0;
  bool stopped_ = false;
};

}  // namespace virtfs::frontend
