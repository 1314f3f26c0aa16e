// Transport: one connection of a guest as a source of Calls and a sink of replies, whatever the wire.
//
//     Take      the next request, in private memory; or a reply that had to wait is on its way now
//     Fetch     the rest of the request, and the room for its reply
//     Answer    the reply to the guest, an event if one is due
//     Recycle   the Request may be used again
//
// Errors: what is wrong with one request is the transport's own business. A fault of the whole connection, after which
// nothing that the guest writes can be trusted, is what Take reports from then on.
// Threads: Take, Sleepable and Busy by one thread at a time; all else by any. A Request is its holder's.
// Trust: what comes out is private memory (Call::frame) or opaque (Payload); sizes in a Call have been checked.
#pragma once

#include <chrono>
#include <cstdint>

#include "fsops/session/call.h"

namespace virtfs::backend {

// One request on its way. Each transport has more to say about its own.
struct Request : Call {
  Request() = default;
  virtual ~Request() = default;
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  uint32_t size = 0;  // size[4] of the 9P request
  uint8_t type = 0;   // and its type
  bool fetched = false;
  // For the pool: whether there were too many in flight.
  bool refused = false;
  // And when it was served first; the epoch: not yet.
  std::chrono::steady_clock::time_point begun;
  // And while a lease blocks the request.
  std::chrono::steady_clock::time_point retry_at;
  std::chrono::milliseconds retry_pause{};
};

class Transport {
 public:
  enum class Taken {
    kRequest,   // `request` is to be fetched, served and answered
    kSent,      // the reply of `request`, for which Answer found no room, is out
    kAnswered,  // something else was done; there may be more
    kNothing,
    kFault,
  };

  virtual ~Transport() = default;

  virtual Taken Take(Request*& request) = 0;

  // Whether Take has something to do, faults included. A hint: it decides nothing that Take does not check.
  virtual bool Waiting() const = 0;

  // Asks for an event with the next request. True: there is none yet, so the caller may wait for the event. False:
  // something is there already, perhaps without an event.
  virtual bool Sleepable() = 0;

  // Asks for no events, where the wire can: the caller will look by itself.
  virtual void Busy() = 0;

  // Whether replies wait for room. Not every guest tells when it makes some, so it is worth looking now and then.
  virtual bool Clogged() const { return false; }

  // How many requests there can be between Take and Recycle.
  virtual uint32_t max_requests() const = 0;

  // The longest message, request or reply.
  virtual uint32_t max_message() const = 0;

  // A sentence for the operator; null while all is well.
  virtual const char* fault() const = 0;

  // True: `request` can be served. False: it is over, and is to be recycled.
  virtual bool Fetch(Request& request) = 0;

  // Sends the reply that Call describes. True: it is out. False: it waits for room, and Take will tell (kSent).
  [[nodiscard]] virtual bool Answer(Request& request) = 0;

  virtual void Recycle(Request& request) = 0;
};

}  // namespace virtfs::backend
