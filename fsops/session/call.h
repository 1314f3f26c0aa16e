// Call: one 9P request on its way through the session, as a transport hands it over.
//
// The transport owns the Call and everything it points to, and keeps both alive until Session::Finish has returned (or
// until the Session is gone). A Call is in one thread's hands at a time. After Finish it may be used for the next
// request.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>

#include "base/payload.h"

namespace virtfs {

struct Call;

// What the session writes down about a Call while it has it (in_flight.h). A transport leaves it alone.
struct CallNotes {
  enum class State : uint8_t {
    kNew,      // Not known yet.
    kHeld,     // Known, and behind a Tversion: not among the calls in flight yet.
    kArrived,  // In flight, not served yet.
    kRunning,  // In flight, as are the following.
    kBlocked,
    kWaiting,
  };

  State state = State::kNew;
  bool served = false;     // kHeld: Serve has said kWaiting; else Serve is still to come.
  bool cancelled = false;  // A Tflush or Tversion waits for it.
  bool alone = false;      // A Tversion.
  uint16_t tag = 0;
  uint64_t order = 0;                                        // By arrival, from 1.
  Call* next = nullptr;                                      // In its bucket of tags.
  Call* waiters = nullptr;                                   // The Tflushes that wait for this Call.
  std::chrono::steady_clock::time_point blocked_since = {};  // Of who serves it; the epoch: never yet.
  Call* next_waiter = nullptr;                               // In the `waiters` of the Call that this one waits for.
};

struct Call {
  // In. A private copy of the message as far as p9::HeadSize says: header and fields, for Twrite without the data.
  // Its length has been checked against size[4] by the transport; nothing else has.
  std::span<const uint8_t> frame;

  // In. Twrite: the bytes behind the head, wherever they lie. Else empty.
  Payload data;

  // In. Where a Rread's data go: the reply buffer from its 12th byte (offset 11) on. The session cuts it to size.
  Payload room;

  // In. How many bytes the whole reply may have (the write half of the chain); at least 11.
  uint32_t capacity = 0;

  // In. Private memory in which the reply's head is made, at least min(capacity, msize) bytes.
  std::span<uint8_t> scratch;

  // Out, after Outcome::kAnswered: scratch[0, head_size) is the head of the reply; `payload_size` bytes of file data
  // already stand in `room` behind it. size[4] of the reply is head_size + payload_size.
  uint32_t head_size = 0;
  uint32_t payload_size = 0;

  CallNotes notes;
};

}  // namespace virtfs
