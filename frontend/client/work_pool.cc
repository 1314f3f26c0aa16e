#include "frontend/client/work_pool.h"

#include <thread>
#include <utility>

namespace virtfs::frontend {

void WorkPool::Add(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  if (stopped_) return;
  jobs_.push_back(std::move(job));
  changed_.notify_one();
}

void WorkPool::Run() {
  std::vector<std::thread> others;
  for (size_t i = 1; i < threads_; ++i) others.emplace_back(&WorkPool::Work, this);
  Work();
  for (std::thread& thread : others) thread.join();
}

void WorkPool::Stop() {
  std::vector<std::function<void()>> dropped;
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  dropped.swap(jobs_);
  changed_.notify_all();
}

void WorkPool::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !jobs_.empty() || running_ == 0; });
    if (jobs_.empty()) break;
    std::function<void()> job = std::move(jobs_.back());
    jobs_.pop_back();
    ++running_;
    lock.unlock();
    job();
    // What it holds goes while it still counts as running: that may add jobs.
    job = nullptr;
    lock.lock();
    --running_;
  }
  changed_.notify_all();
}

}  // namespace virtfs::frontend
