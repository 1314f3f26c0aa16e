// What the tests of 9pfs shares have in common: a guest's end of a 9pfs device of which every byte and every index is
// written by hand, and a share for it.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/transport_9pfs/plain_frontend_ring.h"
#include "protocol/codec.h"
#include "protocol/messages.h"
#include "tests/client_fixture.h"

namespace virtfs {

class NinepfsFrontend {
 public:
  using Ring = backend::PlainFrontendRing;

  // `rings` rings of 2^order pages that begin at `start`, granted and not announced yet.
  NinepfsFrontend(SimulatedXen& xen, uint32_t domid, int devid, uint32_t rings, uint32_t order, uint32_t start = 0)
      : directory_("/local/domain/" + std::to_string(domid) + "/device/9pfs/" + std::to_string(devid) + "/"),
        order_(order),
        store_(xen.OpenStore(domid)),
        rings_(rings) {
    const AsDomain guest(xen, domid);
    xen.SetPageLimit(domid, xensim::kPagesPerDomain);
    grants_ = xengntshr_open(nullptr, 0);
    channels_ = xenevtchn_open(nullptr, 0);
    for (OneRing& ring : rings_) {
      ring.interface = static_cast<uint32_t*>(xengntshr_share_pages(grants_, 0, 1, &ring.ref, 1));
      std::vector<uint32_t> refs(size_t{1} << order);
      ring.data =
          static_cast<uint8_t*>(xengntshr_share_pages(grants_, 0, static_cast<int>(refs.size()), refs.data(), 1));
      ring.port = xenevtchn_bind_unbound_port(channels_, 0);
      if (ring.interface == nullptr || ring.data == nullptr || ring.port < 0) {
        ADD_FAILURE() << "no ring: " << strerror(errno);
        return;
      }
      ring.ring = Ring(ring.interface, ring.data, 2048U << order);
      ring.ring.Word(Ring::kOrder).store(order);
      for (uint32_t i = 0; i < refs.size(); ++i) ring.ring.Word(Ring::kRefs + 4 * i).store(refs[i]);
      ring.ring.StartAt(start);
    }
  }
  ~NinepfsFrontend() {
    for (const OneRing& ring : rings_) {
      if (ring.data != nullptr) xengntshr_unshare(grants_, ring.data, 1U << order_);
      if (ring.interface != nullptr) xengntshr_unshare(grants_, ring.interface, 1);
    }
    xenevtchn_close(channels_);
    xengntshr_close(grants_);
  }
  NinepfsFrontend(const NinepfsFrontend&) = delete;
  NinepfsFrontend& operator=(const NinepfsFrontend&) = delete;

  void Write(const std::string& node, const std::string& value) {
    EXPECT_TRUE(xs_write(store_.get(), XBT_NULL, (directory_ + node).c_str(), value.data(),
                         static_cast<unsigned>(value.size())));
  }
  void WriteNodes() {
    Write("version", "1");
    Write("num-rings", std::to_string(rings_.size()));
    for (size_t i = 0; i < rings_.size(); ++i) {
      Write("ring-ref" + std::to_string(i), std::to_string(rings_[i].ref));
      Write("event-channel-" + std::to_string(i), std::to_string(rings_[i].port));
    }
  }
  void Announce() {
    WriteNodes();
    Write("state", kInitialised);
  }

  Ring& operator[](size_t ring) { return rings_[ring].ring; }
  void Notify(size_t ring) { EXPECT_EQ(xenevtchn_notify(channels_, static_cast<evtchn_port_t>(rings_[ring].port)), 0); }

  template <p9::Request T>
  static std::vector<uint8_t> Encode(p9::Tag tag, const T& request, std::span<const uint8_t> payload = {}) {
    std::vector<uint8_t> message(p9::EncodedSize(request));
    EXPECT_EQ(p9::Encode(tag, request, message), message.size());
    message.insert(message.end(), payload.begin(), payload.end());
    return message;
  }
  void SendBytes(size_t ring, std::span<const uint8_t> message) {
    rings_[ring].ring.Put(message);
    rings_[ring].ring.Publish();
    Notify(ring);
  }
  template <p9::Request T>
  void Send(size_t ring, p9::Tag tag, const T& request, std::span<const uint8_t> payload = {}) {
    SendBytes(ring, Encode(tag, request, payload));
  }

  // The next reply on that ring, whole; the backend is told that there is room, as Linux does. Empty after a bound.
  std::vector<uint8_t> Receive(size_t ring, std::chrono::milliseconds bound = kBound) {
    const auto deadline = std::chrono::steady_clock::now() + bound;
    while (rings_[ring].ring.queued() == 0) {
      if (std::chrono::steady_clock::now() > deadline) return {};
      sched_yield();
    }
    std::vector<uint8_t> reply = rings_[ring].ring.Take();
    EXPECT_FALSE(reply.empty()) << "a part of a reply was published";
    Notify(ring);
    return reply;
  }
  // One exchange. Strings in the result are gone.
  template <p9::Request T>
  Result<typename T::Reply> Call(size_t ring, p9::Tag tag, const T& request, std::span<const uint8_t> payload = {}) {
    Send(ring, tag, request, payload);
    reply_ = Receive(ring);
    const Result<p9::Header> header = p9::ParseHeader(reply_);
    EXPECT_TRUE(header.ok() && header->tag == tag);
    return p9::DecodeReply<T>(reply_);
  }
  // Of the last Call.
  const std::vector<uint8_t>& reply() const { return reply_; }

  // A session with fid 0 for the root, as Linux begins it: Tversion goes to the ring of its tag, NOTAG. The msize.
  uint32_t Begin(uint32_t msize = 512 * 1024) {
    const auto version = Call(rings_.size() > 1 ? 1 : 0, p9::kNoTag, p9::Tversion{msize, p9::kVersion});
    EXPECT_TRUE(version.ok());
    EXPECT_TRUE(Call(0, 0, p9::Tattach{0, p9::kNoFid, "", "", 0}).ok());
    return version.ok() ? version->msize : 0;
  }
  bool Works(size_t ring) { return Call(ring, 5, p9::Tgetattr{0, p9::kGetattrBasic}).ok(); }

 private:
  struct OneRing {
    uint32_t ref = 0;
    int port = -1;
    uint32_t* interface = nullptr;
    uint8_t* data = nullptr;
    Ring ring;
  };

  const std::string directory_;
  const uint32_t order_;
  StoreHandle store_;
  xengntshr_handle* grants_ = nullptr;
  xenevtchn_handle* channels_ = nullptr;
  std::vector<OneRing> rings_;
  std::vector<uint8_t> reply_;
};

class NinepfsTest : public ClientTest {
 protected:
  static std::string Node(int devid, const std::string& node = "state") {
    return "/local/domain/0/backend/9pfs/1/" + std::to_string(devid) + "/" + node;
  }
  bool WaitFor(int devid, const std::string& state) { return xen_->WaitForNode(Node(devid), state); }

  // A share of a directory of its own; its devid.
  int ShareNinepfs(const std::string& tag, const std::string& more = "") {
    EXPECT_EQ(mkdir(Path(tag).c_str(), 0755), 0);
    return AttachPath(kGuest, tag, Path(tag), ",transport=9pfs" + more);
  }
  void Connect(NinepfsFrontend& frontend, int devid) {
    ASSERT_TRUE(WaitFor(devid, kInitWait));
    frontend.Announce();
    ASSERT_TRUE(WaitFor(devid, kConnected));
    frontend.Write("state", kConnected);
  }
  // Orderly, as far as the backend's next InitWait.
  void Disconnect(NinepfsFrontend& frontend, int devid) {
    frontend.Write("state", kClosing);
    ASSERT_TRUE(WaitFor(devid, kClosed));
    frontend.Write("state", kClosed);
    ASSERT_TRUE(WaitFor(devid, kInitWait));
  }
};

}  // namespace virtfs
