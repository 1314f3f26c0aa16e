// Hostile rings: any slots, any index, any page contents, through the whole transport on a simulated Xen.
//
// Input: way (2 bits), sized, order of answering; how far req_prod moves; number of slots; the slots, whose grefs are
// folded onto the guest's pages unless their top bit is set; what is left fills the pages.
//
// Properties: what Take and Fetch let through is within the bounds that the chain gives; every chain is answered with
// all its ids and one status; nothing stays mapped; no sanitizer complains.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "backend/transport_virtfs/simulated_guest.h"
#include "backend/transport_virtfs/virtfs_transport.h"
#include "protocol/codec.h"

namespace virtfs::backend {
namespace {

constexpr uint32_t kPages = 16;
constexpr uint32_t kMaxChain = 64;
constexpr uint32_t kMaxReply = 8192;

void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "violated: %s\n", what);
  abort();
}

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  size_t left() const { return left_; }
  template <typename T>
  T Take() {
    T value{};
    const size_t size = std::min(sizeof(T), left_);
    if (size > 0) memcpy(&value, data_, size);
    data_ += size;
    left_ -= size;
    return value;
  }

 private:
  const uint8_t* data_;
  size_t left_;
};

void Check(const ChainRequest& request, uint32_t taken) {
  const Chain& chain = request.chain;
  Require(!chain.read.empty() && !chain.write.empty(), "both halves are there");
  Require(chain.read.size() + chain.write.size() == request.ids.size() && request.ids.size() <= kMaxChain,
          "a slot is in one half");
  Require(request.ids.size() <= taken, "no more slots than were published");
  Require(request.size >= 7 && request.size <= chain.read_size, "the message is within the read half");
  Require(request.frame.size() + request.data.size() <= request.size, "frame and data are the message");
  Require(request.capacity == chain.capacity && request.capacity >= 11, "there is room for an Rlerror");
  Require(request.scratch.size() == std::min(request.capacity, kMaxReply), "scratch is as large as a reply may be");
  Require(request.room.size() == request.scratch.size() - 11, "room begins behind the head");
  const Result<p9::Header> header = p9::ParseHeader(request.frame);
  Require(header.ok() && header->size == request.size && header->type == request.type, "the frame is what was checked");
}

}  // namespace
}  // namespace virtfs::backend

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace virtfs::backend;
  static SimulatedGuest guest(kPages);
  static EventChannel events;

  Input input(data, size);
  const auto mode = input.Take<uint8_t>();
  const auto published = input.Take<uint16_t>();
  const uint32_t count = input.Take<uint8_t>();
  guest.StartAt(0);
  for (uint32_t i = 0; i < count; ++i) {
    auto slot = input.Take<Slot>();
    if ((slot.gref >> 31) == 0) slot.gref = guest.gref(slot.gref % kPages);
    guest.WriteSlot(i, slot);
  }
  for (uint32_t at = 0; input.left() > 0 && at < kPages * 4096; ++at) guest.page(0)[at] = input.Take<uint8_t>();
  guest.Word(SimulatedGuest::kReqProd).store(published);

  constexpr Way kWays[] = {Way::kPersistent, Way::kCopy, Way::kMap, Way::kPersistent};
  const Way way = kWays[mode & 3];
  Ring ring(guest.ring(), 0, kMaxChain);
  {
    GuestBytes bytes(guest.backend_grants(), SimulatedGuest::kDomid, way, kMaxReply, 8);
    VirtfsTransport transport(ring, bytes, events, (mode & 4) != 0);
    std::vector<ChainRequest*> requests;
    uint32_t answered = 0;
    for (bool more = true; more;) {
      Request* request = nullptr;
      switch (transport.Take(request)) {
        case Transport::Taken::kNothing:
          Require(published <= 256, "an overflow is a fault");
          more = false;
          break;
        case Transport::Taken::kFault:
          more = false;
          break;
        case Transport::Taken::kAnswered:
          break;
        case Transport::Taken::kSent:
          Require(false, "no reply waits for room");
          break;
        case Transport::Taken::kRequest:
          if (transport.Fetch(*request)) {
            requests.push_back(static_cast<ChainRequest*>(request));
            Check(*requests.back(), published);
          } else {
            transport.Recycle(*request);
          }
          break;
      }
    }
    while (!requests.empty()) {
      const auto at = (mode & 8) != 0 ? requests.end() - 1 : requests.begin();
      ChainRequest* request = *at;
      requests.erase(at);
      const auto slots = static_cast<uint32_t>(request->ids.size());
      memset(request->scratch.data(), 0x55, request->scratch.size());
      request->head_size = (mode & 16) != 0 ? static_cast<uint32_t>(request->scratch.size()) : 11;
      const uint32_t before = guest.Word(SimulatedGuest::kRspProd).load();
      Require(transport.Answer(*request), "a chain has its own room");
      Require(guest.Word(SimulatedGuest::kRspProd).load() - before == slots, "a response for each slot");
      transport.Recycle(*request);
      ++answered;
    }
    Require(answered <= 256 && guest.Word(SimulatedGuest::kRspProd).load() <= 256, "no more responses than slots");
  }
  return 0;
}
