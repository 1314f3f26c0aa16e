// VirtfsTransport: one virtfs ring as a Transport (backend/transport/transport.h): each Request is a chain of its
// slots.
//
// Errors: a chain that cannot be served is answered with a status and forgotten. A RingFault ends everything.
// Threads, trust: those of Transport.
#pragma once

#include <mutex>
#include <vector>

#include "backend/transport/event_channel.h"
#include "backend/transport/request_pool.h"
#include "backend/transport/transport.h"
#include "backend/transport_virtfs/chain.h"
#include "backend/transport_virtfs/guest_bytes.h"
#include "backend/transport_virtfs/ring.h"

namespace virtfs::backend {

// One chain on its way.
struct ChainRequest final : Request {
  std::vector<Slot> slots;
  std::vector<uint16_t> ids;
  Chain chain;
  ReadHalf read;
  WriteHalf write;
};

class VirtfsTransport final : public Transport {
 public:
  // All are borrowed. `sized`: the frontend wrote `version`.
  VirtfsTransport(Ring& ring, GuestBytes& bytes, EventChannel& events, bool sized)
      : ring_(ring), bytes_(bytes), events_(events), sized_(sized) {}
  // Requests that were taken and never answered give up their pages, unanswered.
  ~VirtfsTransport() override;

  // Of a chain only its header is copied. kAnswered: with a status. Never kSent.
  Taken Take(Request*& request) override;

  bool Waiting() const override { return ring_.Waiting(); }
  bool Sleepable() override { return ring_.Sleepable(); }
  void Busy() override { ring_.Busy(); }
  uint32_t max_requests() const override { return ring_.slots(); }
  uint32_t max_message() const override { return bytes_.ReplyBound(UINT32_MAX); }
  const char* fault() const override { return ring_.fault() == RingFault::kNone ? nullptr : Describe(ring_.fault()); }

  // False: the chain has been answered with a status.
  bool Fetch(Request& request) override;

  // Always true: a chain brings its own room.
  bool Answer(Request& request) override;

  void Recycle(Request& request) override;

 private:
  // Answers with `status` alone, or if there are no bytes to bring.
  void Respond(ChainRequest& request, int16_t status);

  Ring& ring_;
  GuestBytes& bytes_;
  EventChannel& events_;
  const bool sized_;

  std::mutex responses_;  // the ring's response side
  RequestPool<ChainRequest> requests_;
};

}  // namespace virtfs::backend
