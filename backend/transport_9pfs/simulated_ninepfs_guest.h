// SimulatedNinepfsGuest: a guest with 9pfs rings on a private simulated Xen, all in the test's own process. It plays
// the frontend by the book, and can also write whatever it likes.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/transport_9pfs/plain_frontend_ring.h"
#include "xensim/world.h"

struct xengntdev_handle;
struct xenevtchn_handle;

namespace virtfs::backend {

class SimulatedNinepfsGuest {
 public:
  static constexpr uint32_t kDomid = 1;

  // A new simulated Xen (also in $XENSIM_DIR from now on) whose domain 1 has so many rings, empty at position `start`.
  SimulatedNinepfsGuest(uint32_t rings, uint32_t order, uint32_t start = 0);
  ~SimulatedNinepfsGuest();

  // The backend's, in domain 0.
  xengntdev_handle* backend_grants() { return backend_grants_; }
  uint32_t ring_ref(uint32_t ring) const { return rings_[ring].ref; }
  uint32_t port(uint32_t ring) const { return static_cast<uint32_t>(rings_[ring].port); }
  PlainFrontendRing& operator[](uint32_t ring) { return rings_[ring].ring; }

  // Puts, publishes and tells.
  void Send(uint32_t ring, std::span<const uint8_t> message);

 private:
  struct OneRing {
    uint32_t ref = 0;
    int port = -1;
    uint32_t* interface = nullptr;
    uint8_t* data = nullptr;
    PlainFrontendRing ring;
  };

  std::string directory_;
  std::shared_ptr<xensim::World> world_;
  xengntdev_handle* backend_grants_ = nullptr;
  xengntdev_handle* guest_grants_ = nullptr;
  xenevtchn_handle* events_ = nullptr;
  const uint32_t pages_;
  std::vector<OneRing> rings_;
};

}  // namespace virtfs::backend
