// A guest that breaks the rules of the ring, through the real backend: what it gets for it, and that nobody else does.
//
// A sample: all layouts are tested in the backend's own tests.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "frontend/event_channel.h"
#include "frontend/page_pool.h"
#include "frontend/ring.h"
#include "tests/client_fixture.h"

namespace virtfs {
namespace {

// A connection of which every slot is written by hand.
class RawFrontend {
 public:
  RawFrontend(SimulatedXen& xen, uint32_t domid, int devid)
      : directory_("/local/domain/" + std::to_string(domid) + "/device/virtfs/" + std::to_string(devid) + "/"),
        store_(xen.OpenStore(domid)) {
    const AsDomain guest(xen, domid);
    grants_ = *frontend::GrantHandle::Open();
    events_ = *frontend::EventChannel::Create(0);
    ring_page_ = *frontend::PagePool::Create(*grants_, 0, 1, 1, true);
    pages_ = *frontend::PagePool::Create(*grants_, 0, 2, 2, true);
    ring_ = std::make_unique<frontend::Ring>(ring_page_->page(0));
  }

  void Write(const std::string& node, const std::string& value) {
    EXPECT_TRUE(xs_write(store_.get(), XBT_NULL, (directory_ + node).c_str(), value.data(),
                         static_cast<unsigned>(value.size())));
  }
  void WriteNodes() {
    Write("version", "1");
    Write("feature-persistent", "1");
    Write("ring-ref", std::to_string(ring_page_->gref(0)));
    Write("event-channel", std::to_string(events_->port()));
    Write("state", kInitialised);
  }

  // A good chain: a Tversion at the beginning of page 0, its reply in page 1.
  std::vector<xen_virtfsif_request> GoodChain() {
    const size_t size = p9::Encode(p9::kNoTag, p9::Tversion{8192, p9::kVersion}, pages_->page(0));
    EXPECT_GT(size, 0U);
    return {{pages_->gref(0), 0, XEN_VIRTFSF_MORE, 1, static_cast<uint16_t>(size)},
            {pages_->gref(1), 0, XEN_VIRTFSF_WRITE, 2, 0}};
  }

  void Send(const std::vector<xen_virtfsif_request>& slots) {
    ring_->Push(slots);
    static_cast<void>(ring_->Publish());
    events_->Notify();
  }

  // Sends a chain; the status of its responses, or 1 if they are not in order.
  int StatusOf(const std::vector<xen_virtfsif_request>& slots) {
    Send(slots);
    const auto deadline = std::chrono::steady_clock::now() + kBound;
    while (ring_->Available() < static_cast<int>(slots.size())) {
      if (std::chrono::steady_clock::now() > deadline) return 1;
      if (!ring_->Arm()) continue;
      pollfd readable = {events_->fd(), POLLIN, 0};
      poll(&readable, 1, 100);
      events_->Acknowledge();
    }
    int status = 1;
    for (size_t i = 0; i < slots.size(); ++i) {
      const xen_virtfsif_response response = ring_->Take();
      if (response.id != slots[i].id || (i > 0 && response.status != status)) return 1;
      status = response.status;
    }
    return status;
  }

  // Publishes req_prod = `index`, whatever is in the slots.
  void SetIndex(uint32_t index) {
    std::atomic_ref(*reinterpret_cast<uint32_t*>(ring_page_->page(0).data())).store(index);
    events_->Notify();
  }

  std::span<uint8_t> page(uint16_t page) { return pages_->page(page); }

 private:
  const std::string directory_;
  StoreHandle store_;
  std::unique_ptr<frontend::GrantHandle> grants_;
  std::unique_ptr<frontend::EventChannel> events_;
  std::unique_ptr<frontend::PagePool> ring_page_;
  std::unique_ptr<frontend::PagePool> pages_;
  std::unique_ptr<frontend::Ring> ring_;
};

class HostileClientTest : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    StartGuest();
    Share("hostile");
    Share("other");
    other_ = ConnectShare("other");
    ASSERT_TRUE(other_);
  }

  void TearDown() override {
    other_.Close();
    ClientTest::TearDown();
  }

  void ExpectOtherWorks() { EXPECT_TRUE(other_.client->Call(p9::Tgetattr{other_.root.get(), p9::kGetattrBasic}).ok()); }

  Connection other_;
};

TEST_F(HostileClientTest, StatusCostsItsChainOnly) {
  using Slots = std::vector<xen_virtfsif_request>;
  struct Case {
    int status;
    std::function<void(Slots&)> spoil;
  };
  RawFrontend raw(*xen_, kGuest, 0);
  raw.WriteNodes();
  ASSERT_TRUE(WaitForState(kGuest, 0, kConnected));
  raw.Write("state", kConnected);
  const Case kCases[] = {
      {XEN_VIRTFS_STATUS_BAD_FLAGS, [](Slots& slots) { slots[0].flags |= 0x8000; }},
      {XEN_VIRTFS_STATUS_BAD_ORDER, [](Slots& slots) { slots[0].flags |= XEN_VIRTFSF_WRITE; }},
      {XEN_VIRTFS_STATUS_BAD_ORDER,
       [](Slots& slots) {
         slots[1].flags |= XEN_VIRTFSF_MORE;
         slots.push_back({slots[0].gref, 0, 0, 3, 19});
       }},
      {XEN_VIRTFS_STATUS_BAD_EXTENT, [](Slots& slots) { slots[1].offset = 4096; }},
      {XEN_VIRTFS_STATUS_BAD_EXTENT, [](Slots& slots) { slots[0].offset = 4090; }},
      {XEN_VIRTFS_STATUS_NO_ROOM, [](Slots& slots) { slots[1].size = 10; }},
      {XEN_VIRTFS_STATUS_NO_ROOM, [](Slots& slots) { slots[1].flags = 0; }},
      {XEN_VIRTFS_STATUS_SHORT_REQUEST, [](Slots& slots) { slots[0].size = 6; }},
      {XEN_VIRTFS_STATUS_SHORT_REQUEST, [](Slots& slots) { slots[0].size -= 1; }},
      {XEN_VIRTFS_STATUS_BAD_GREF, [](Slots& slots) { slots[0].gref = 0x7fffffff; }},
      {XEN_VIRTFS_STATUS_BAD_GREF, [](Slots& slots) { slots[1].gref = 0xffffffff; }},
  };
  for (const Case& test : kCases) {
    SCOPED_TRACE(&test - kCases);
    Slots slots = raw.GoodChain();
    test.spoil(slots);
    EXPECT_EQ(raw.StatusOf(slots), test.status);
    ExpectOtherWorks();
    EXPECT_EQ(raw.StatusOf(raw.GoodChain()), XEN_VIRTFS_STATUS_OKAY);
    EXPECT_TRUE(p9::DecodeReply<p9::Tversion>(raw.page(1).first(21)).ok());
  }
  raw.Write("state", kClosed);
  ASSERT_TRUE(WaitForState(kGuest, 0, kInitWait));
}

TEST_F(HostileClientTest, FaultCostsItsConnectionOnly) {
  const std::vector<std::function<void(RawFrontend&)>> faults = {
      // Half a chain.
      [](RawFrontend& raw) {
        std::vector<xen_virtfsif_request> slots = raw.GoodChain();
        slots.pop_back();
        raw.Send(slots);
      },
      // More than the ring has; backwards.
      [](RawFrontend& raw) { raw.SetIndex(257); },
      [](RawFrontend& raw) {
        ASSERT_EQ(raw.StatusOf(raw.GoodChain()), XEN_VIRTFS_STATUS_OKAY);
        raw.SetIndex(1);
      },
      // A chain of 253 slots where 252 are allowed.
      [](RawFrontend& raw) {
        std::vector<xen_virtfsif_request> slots = raw.GoodChain();
        slots.insert(slots.begin(), 251, slots[0]);
        raw.Send(slots);
      },
  };
  // Each in a share of its own: before a faulty one can be used again there is a pause, longer each time.
  for (size_t i = 0; i < faults.size(); ++i) {
    SCOPED_TRACE(i);
    const std::string tag = "fault" + std::to_string(i);
    Share(tag);
    const int devid = 2 + static_cast<int>(i);
    RawFrontend raw(*xen_, kGuest, devid);
    raw.WriteNodes();
    ASSERT_TRUE(WaitForState(kGuest, devid, kConnected));
    raw.Write("state", kConnected);
    faults[i](raw);
    ASSERT_TRUE(WaitForState(kGuest, devid, kClosed));
    ExpectOtherWorks();
    raw.Write("state", kClosed);
  }
  // Well-behaved users of the same shares are served again.
  for (size_t i = 0; i < faults.size(); ++i) EXPECT_EQ(Client({"ls", "fault" + std::to_string(i) + ":/"}), 0);
}

}  // namespace
}  // namespace virtfs
