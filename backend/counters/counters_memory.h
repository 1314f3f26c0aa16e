// The memory that a keeper and one of its servers share for Counters: a memfd.
//
// Its size is fixed by seals before the server gets it, so that a server that was taken over cannot cut it under the
// keeper's eyes (SIGBUS). The keeper has it mapped for reading only. It costs what of it has been written to: 40 KiB at
// most.
//
// Errors: the system's.
// Threads: one at a time; what is mapped any may use.
#pragma once

#include "backend/counters/counters.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace virtfs::backend {

// The keeper's side.
class CountersView {
 public:
  CountersView() = default;  // of nothing
  // Makes the memory, all zero. `fd`: what the server is to get.
  static Result<CountersView> Make(UniqueFd& fd);

  CountersView(CountersView&& other) noexcept;
  CountersView& operator=(CountersView&& other) noexcept;
  ~CountersView();

  // Null: of nothing.
  const Counters* get() const { return counters_; }

 private:
  explicit CountersView(const Counters* counters) : counters_(counters) {}

  const Counters* counters_ = nullptr;
};

// The server's side: for as long as the process lives.
Result<Counters*> MapCounters(const UniqueFd& fd);

}  // namespace virtfs::backend
