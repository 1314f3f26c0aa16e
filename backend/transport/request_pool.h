// RequestPool: the Requests of one transport, as many as were ever needed at once.
//
// Threads: any.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

namespace virtfs::backend {

template <typename T>
class RequestPool {
 public:
  T& Get() {
    std::lock_guard lock(mutex_);
    if (idle_.empty()) {
      idle_.reserve(all_.size() + 1);  // Put allocates nothing
      return *all_.emplace_back(std::make_unique<T>());
    }
    T* const last_used = idle_.back();
    idle_.pop_back();
    return *last_used;
  }

  void Put(T& request) {
    std::lock_guard lock(mutex_);
    idle_.push_back(&request);
  }

  // When nobody uses any.
  template <typename Visit>
  void ForEach(Visit visit) {
    for (const auto& request : all_) visit(*request);
  }

 private:
  std::mutex mutex_;
  // All below: mutex_.
  std::vector<std::unique_ptr<T>> all_;
  std::vector<T*> idle_;
};

}  // namespace virtfs::backend
