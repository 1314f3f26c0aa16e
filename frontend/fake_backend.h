// FakeBackend: the other end of a RingClient's ring, in this process, for unit tests.
//
// This library defines the few functions of libxengnttab and libxenevtchn that the frontend calls: grants are plain
// memory of this process, an event channel is a pair of eventfds. A thread takes chains off the ring as docs/virtfs.md
// says, and answers each with what the test's handler returns.
//
// Threads: one FakeBackend at a time in a process; the handler runs on its thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "xen/io/virtfs.h"

namespace virtfs::frontend {

class FakeBackend {
 public:
  struct Chain {
    std::vector<xen_virtfsif_request> slots;
    std::vector<uint8_t> request;  // What the read half holds.
    size_t capacity = 0;           // Of the write half.
  };
  struct Answer {
    std::vector<uint8_t> reply = {};
    int16_t status = XEN_VIRTFS_STATUS_OKAY;
    uint16_t wrong_id = 0;  // Added to the ids.
    bool hold = false;      // Answer it later, when Release is called.
  };
  using Handler = std::function<Answer(const Chain& chain)>;

  // How many pages a guest may grant; 0: all.
  static void LimitGrants(uint32_t pages);
  // Pages granted now.
  static uint32_t granted();

  // The page that was granted as `ref`, for tests that are the backend themselves.
  static uint8_t* Page(uint32_t ref);

  // Serves the ring at `ring_ref`.
  FakeBackend(uint32_t ring_ref, Handler handler);
  ~FakeBackend();

  // Answers what was held with an empty reply of the request's own type, last come first.
  void Release();
  size_t held() const { return held_count_.load(); }

  // Claims `count` responses more than there are.
  void ClaimResponses(uint32_t count);

 private:
  void Run();
  bool TakeChain(Chain& chain);
  void Push(const Chain& chain, const Answer& answer);
  void Notify();

  uint8_t* const ring_;
  const Handler handler_;
  UniqueFd stop_;
  std::atomic<bool> stopping_ = false;
  std::atomic<size_t> held_count_ = 0;
  std::mutex mutex_;  // Of all below and the ring.
  uint32_t req_cons_ = 0;
  uint32_t rsp_prod_ = 0;
  std::vector<Chain> held_;
  std::thread thread_;
};

}  // namespace virtfs::frontend
