// Transport: one virtfs ring as a source of Calls and a sink of replies.
//
//     Take      the next chain: checked, its header copied; or answered with a status at once
//     Fetch     the rest of its request, and the room for its reply
//     Answer    the reply to the guest's pages, those let go of, its responses on the ring, an event if it is wanted
//     Recycle   the Request may be used again
//
// Errors: a chain that cannot be served is answered with a status and forgotten. A RingFault ends everything: Take
// reports it from then on.
// Threads: Take, Sleepable and Busy by one thread at a time; all else by any. A Request is its holder's.
// Trust: what comes out is private memory (Call::frame) or opaque (Payload); sizes in a Call have been checked.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/transport_virtfs/chain.h"
#include "backend/transport_virtfs/event_channel.h"
#include "backend/transport_virtfs/guest_bytes.h"
#include "backend/transport_virtfs/ring.h"
#include "fsops/session/call.h"

namespace virtfs::backend {

// One chain on its way.
struct Request : Call {
  std::vector<Slot> slots;
  std::vector<uint16_t> ids;
  Chain chain;
  ReadHalf read;
  WriteHalf write;
  uint32_t size = 0;  // size[4] of the 9P request
  uint8_t type = 0;   // and its type
  bool fetched = false;
  // For the pool: whether there were too many in flight.
  bool refused = false;
  // And while a lease blocks the request.
  std::chrono::steady_clock::time_point retry_at;
  std::chrono::milliseconds retry_pause{};
};

class Transport {
 public:
  enum class Taken {
    kRequest,   // `request` is to be fetched, served and answered
    kAnswered,  // a chain was answered with a status; there may be more
    kNothing,
    kFault,
  };

  // All are borrowed. `sized`: the frontend wrote `version`.
  Transport(Ring& ring, GuestBytes& bytes, EventChannel& events, bool sized)
      : ring_(ring), bytes_(bytes), events_(events), sized_(sized) {}
  // Requests that were taken and never answered give up their pages, unanswered.
  ~Transport();

  Taken Take(Request*& request);

  // The ring's own (see there).
  bool Waiting() const { return ring_.Waiting(); }
  bool Sleepable() { return ring_.Sleepable(); }
  void Busy() { ring_.Busy(); }
  uint32_t slots() const { return ring_.slots(); }
  RingFault fault() const { return ring_.fault(); }

  // True: `request` can be served. False: it has been answered with a status, and is to be recycled.
  bool Fetch(Request& request);

  // The reply that Call describes.
  void Answer(Request& request);

  void Recycle(Request& request);

 private:
  Request& Idle();
  // Answers with `status` alone, or if there are no bytes to bring.
  void Respond(Request& request, int16_t status);

  Ring& ring_;
  GuestBytes& bytes_;
  EventChannel& events_;
  const bool sized_;

  std::mutex responses_;  // the ring's response side

  std::mutex pool_;
  std::vector<std::unique_ptr<Request>> requests_;  // pool_: all that were ever needed at once
  std::vector<Request*> idle_;                      // pool_: the last used is the next to be used
};

}  // namespace virtfs::backend
