// SimulatedGuest: a guest with one ring on a private simulated Xen, all in the test's own process, for tests of this
// room and of the server. It plays the frontend by the book, and can also write whatever it likes.
//
// Threads: one at a time.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/transport_virtfs/chain.h"
#include "xensim/world.h"

struct xengntdev_handle;
struct xenevtchn_handle;

namespace virtfs::backend {

class SimulatedGuest {
 public:
  static constexpr uint32_t kDomid = 1;

  // A new simulated Xen (also in $XENSIM_DIR from now on) whose domain 1 has a ring and `pages` granted pages. `first`:
  // the indices start there.
  explicit SimulatedGuest(uint32_t pages = 256, bool writable = true);
  ~SimulatedGuest();

  xensim::World& world() { return *world_; }
  // The backend's, in domain 0.
  xengntdev_handle* backend_grants() { return backend_grants_; }

  uint32_t ring_ref() const { return ring_ref_; }
  uint32_t port() const { return static_cast<uint32_t>(port_); }
  uint8_t* page(uint32_t index) { return pages_ + size_t{4096} * index; }
  uint32_t gref(uint32_t index) const { return refs_[index]; }
  void Revoke(uint32_t index);

  // --- the ring ---
  void* ring() { return ring_; }
  std::atomic_ref<uint32_t> Word(uint32_t offset) { return std::atomic_ref<uint32_t>(ring_[offset / 4]); }
  static constexpr uint32_t kReqProd = 0, kReqEvent = 4, kRspProd = 8, kRspEvent = 12;
  void WriteSlot(uint32_t index, const Slot& slot);
  // As after that many slots. The backend's ring must start there as well.
  void StartAt(uint32_t index);

  // Publishes one chain, MORE set where it belongs, and notifies if that is wanted.
  void Publish(std::span<const Slot> slots);
  void Notify();

  // The next response; waits for it, at most `bound`.
  std::optional<xen_virtfsif_response> Response(std::chrono::milliseconds bound = std::chrono::seconds(10));
  // The next `count` responses, which must be one chain's: the status they share. 1: they differ or do not come.
  int16_t Status(size_t count);
  std::vector<uint16_t> last_ids() const { return last_ids_; }

  // --- 9P on it ---
  // Sends the message in page `request_page` on, with room for the reply in `reply_pages` pages behind it.
  void Send(std::span<const uint8_t> message, uint32_t first_page, uint32_t reply_pages);

 private:
  std::string directory_;
  std::shared_ptr<xensim::World> world_;
  xengntdev_handle* backend_grants_ = nullptr;
  xengntdev_handle* guest_grants_ = nullptr;
  xenevtchn_handle* events_ = nullptr;
  int port_ = -1;
  uint32_t* ring_ = nullptr;
  uint32_t ring_ref_ = 0;
  uint8_t* pages_ = nullptr;
  std::vector<uint32_t> refs_;
  uint32_t prod_ = 0;
  uint32_t cons_ = 0;
  uint32_t next_id_ = 0;
  std::vector<uint16_t> last_ids_;
};

}  // namespace virtfs::backend
