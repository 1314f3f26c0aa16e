// InFlight: the calls that have come and are not finished, by their tags; who waits for whom.
//
// Rules (9P's flush(5) and version(5), and what a hostile client must not achieve):
// - A Tflush waits for the call it names, if that came before it, until that call's Finish. So it always waits for an
//   older call, and no circle of waiting can form, whatever tags are used twice.
// - A Tversion waits for everything that came before it. What comes after it is held until the Tversion is finished.
// - A call that a Tflush or a Tversion waits for is cancelled: if it is yet to be served, or is blocked, it is answered
//   EINTR when it is next served, or at the moment when it would block.
// - A tag may be in use twice: replies travel with their Calls, so nothing is mixed up. It must be allowed, too: a
//   client may use a tag again as soon as it sees the reply, which is before our Finish.
// Waiting holds no thread: a Call that waits is returned by the Finish of what it waited for.
//
// Threads: every method from any thread. One lock, held for a few loads and stores.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include "fsops/session/call.h"

namespace virtfs::session {

class InFlight {
 public:
  enum class Turn {
    kRun,
    kCancelled,  // Answer it EINTR.
    kWait,       // It will come back from a Finish.
  };
  // Whether a call can run beside others. A Tversion must be alone, from its start to its Finish.
  enum class Company : uint8_t { kAny, kAlone };

  // `call` is new and comes after all that have arrived.
  void Arrive(Call& call, uint16_t tag, Company company);

  // `call` shall be served; or again, after it blocked or waited. If it has not arrived, it does now.
  Turn Begin(Call& call, uint16_t tag, Company company);

  // Whether Begin would say kCancelled.
  bool Cancelled(const Call& call);

  // `call` found a lease in its way. False: it has been cancelled meanwhile, answer it EINTR.
  [[nodiscard]] bool Block(Call& call);

  // `flush` wants calls of `tag` out of the way. True: there are none (left), answer it.
  [[nodiscard]] bool Flush(Call& flush, uint16_t tag);

  // `call` has been answered, or will not be served after all (not while it waits). Returns those that waited for that.
  std::vector<Call*> Finish(Call& call);

  // None of the calls that there are will be served or finished, or is there any more.
  void GiveUp();

  bool Idle();

 private:
  static constexpr size_t kBuckets = 256;  // Linux's client takes the lowest free tag: a bucket holds one call.

  // With the lock held.
  Call*& Bucket(uint16_t tag) { return buckets_[tag % kBuckets]; }
  void Note(Call& call, uint16_t tag, Company company);
  void Enter(Call& call);
  void Leave(Call& call);
  void ReleaseHeld(std::vector<Call*>& ready);

  std::mutex mutex_;
  std::array<Call*, kBuckets> buckets_ = {};
  uint64_t arrivals_ = 0;
  uint32_t count_ = 0;       // In the buckets.
  Call* alone_ = nullptr;    // The Tversion that waits to be alone, or is.
  std::vector<Call*> held_;  // What came after it.
};

}  // namespace virtfs::session
