// 9pfs shares through the real backend, every byte of the rings by hand: what frontends do, and what hostile ones
// could.
//
// A sample of hostile rings: all are tested in the backend's own tests.

#include <fcntl.h>

#include <functional>

#include "tests/ninepfs_frontend.h"

namespace virtfs {
namespace {

using Ring = NinepfsFrontend::Ring;

TEST_F(NinepfsTest, NodesAreThoseOfStockFrontends) {
  StartGuest();
  const int devid = ShareNinepfs("share");
  EXPECT_TRUE(WaitFor(devid, kInitWait));
  EXPECT_EQ(xen_->Read(Node(devid, "versions")), "1");
  EXPECT_EQ(xen_->Read(Node(devid, "max-rings")), "8");
  EXPECT_EQ(xen_->Read(Node(devid, "max-ring-page-order")), "9");
  EXPECT_EQ(xen_->Read("/local/domain/1/device/9pfs/0/tag"), "share");
  EXPECT_EQ(xen_->Read("/local/domain/1/device/9pfs/0/backend"), "/local/domain/0/backend/9pfs/1/0");
  // What the guest need not know stands where it cannot read.
  EXPECT_FALSE(xen_->Read(Node(devid, "path")));
  EXPECT_EQ(xen_->Read("/local/domain/0/virtfs/1/9pfs-0/path"), Path("share"));
  const StoreHandle guest = xen_->OpenStore(kGuest);
  unsigned size;
  EXPECT_EQ(xs_read(guest.get(), XBT_NULL, "/local/domain/0/virtfs/1/9pfs-0/path", &size), nullptr);
  Detach(kGuest, devid);
  EXPECT_FALSE(xen_->Read("/local/domain/0/backend/9pfs/1"));
  EXPECT_FALSE(xen_->Read("/local/domain/1/device/9pfs/0"));
  EXPECT_FALSE(xen_->Read("/local/domain/0/virtfs/1/9pfs-0"));
}

TEST_F(NinepfsTest, EveryOrderAndNumberOfRings) {
  StartGuest();
  const int devid = ShareNinepfs("share", ",max-msize=4194304");
  WriteFile("share/file", "content");
  for (uint32_t order = 1; order <= 9; ++order) {
    SCOPED_TRACE(order);
    const uint32_t rings = std::min(order, 8U);
    NinepfsFrontend frontend(*xen_, kGuest, devid, order == 9 ? 2 : rings, order, 0xffffff00U * (order & 1));
    Connect(frontend, devid);
    // Linux asks for 512 KiB where the ring has more.
    EXPECT_EQ(frontend.Begin(1 << 20), 2048U << order);
    for (uint32_t ring = 0; ring < (order == 9 ? 2 : rings); ++ring) EXPECT_TRUE(frontend.Works(ring));
    Disconnect(frontend, devid);
  }
  {
    NinepfsFrontend frontend(*xen_, kGuest, devid, 8, 8);
    Connect(frontend, devid);
    frontend.Begin();
    for (uint32_t ring = 0; ring < 8; ++ring) EXPECT_TRUE(frontend.Works(ring));
    Disconnect(frontend, devid);
  }
  // Too small for any session, and the operator is told so.
  NinepfsFrontend frontend(*xen_, kGuest, devid, 1, 0);
  frontend.Announce();
  ASSERT_TRUE(WaitFor(devid, kClosed));
  EXPECT_THAT(xen_->Read("/local/domain/0/virtfs/1/9pfs-0/error").value_or(""), testing::HasSubstr("from 1 to 9"));
}

// A ring that is read and written many times round, by messages of which none is a divisor of its size.
TEST_F(NinepfsTest, RingsGoRound) {
  StartGuest();
  const int devid = ShareNinepfs("share");
  NinepfsFrontend frontend(*xen_, kGuest, devid, 2, 1, 0xfffff000U);
  Connect(frontend, devid);
  ASSERT_EQ(frontend.Begin(), 4096U);
  ASSERT_TRUE(frontend.Call(0, 2, p9::Twalk{0, 1, {}}).ok());
  ASSERT_TRUE(frontend.Call(0, 2, p9::Tlcreate{1, "file", O_RDWR, 0600, 0}).ok());
  std::string content;
  for (uint32_t i = 0; i < 200; ++i) {
    const std::string piece(100 + 19 * i % 3900, static_cast<char>('a' + i % 26));
    const auto* const bytes = reinterpret_cast<const uint8_t*>(piece.data());
    const auto count = static_cast<uint32_t>(piece.size());
    const auto written =
        frontend.Call(i % 2, static_cast<p9::Tag>(i), p9::Twrite{1, content.size(), count}, {bytes, count});
    ASSERT_TRUE(written.ok() && written->count == count) << i;
    const auto read = frontend.Call((i + 1) % 2, 7, p9::Tread{1, content.size(), count});
    ASSERT_TRUE(read.ok() && read->count == count) << i;
    ASSERT_EQ(std::string(frontend.reply().begin() + 11, frontend.reply().end()), piece) << i;
    content += piece;
  }
  EXPECT_EQ(ReadFile("share/file"), content);
}

// No thread waits for the rest of a request: others are served meanwhile, on the other ring and then on this.
TEST_F(NinepfsTest, ARequestByteByByte) {
  StartGuest();
  const int devid = ShareNinepfs("share");
  NinepfsFrontend frontend(*xen_, kGuest, devid, 2, 1);
  Connect(frontend, devid);
  frontend.Begin();
  const std::vector<uint8_t> message = NinepfsFrontend::Encode(4, p9::Tgetattr{0, p9::kGetattrBasic});
  for (const uint8_t byte : message) {
    EXPECT_EQ(frontend[0].queued(), 0U);
    EXPECT_TRUE(frontend.Works(1));
    frontend.SendBytes(0, {&byte, 1});
  }
  EXPECT_EQ(p9::ParseHeader(frontend.Receive(0))->tag, 4);
  EXPECT_TRUE(frontend.Works(0));
}

// Many at once on a ring whose replies need far more room than it has, from a frontend that takes them off slowly and
// does not tell.
TEST_F(NinepfsTest, RepliesWaitForRoom) {
  StartGuest();
  const int devid = ShareNinepfs("share");
  WriteFile("share/file", std::string(100'000, 'x'));
  NinepfsFrontend frontend(*xen_, kGuest, devid, 2, 2);
  Connect(frontend, devid);
  ASSERT_EQ(frontend.Begin(), 8192U);
  ASSERT_TRUE(frontend.Call(0, 2, p9::Twalk{0, 1, {"file"}}).ok());
  ASSERT_TRUE(frontend.Call(0, 2, p9::Tlopen{1, O_RDONLY}).ok());
  constexpr p9::Tag kRequests = 300;
  for (p9::Tag tag = 0; tag < kRequests; ++tag) frontend.Send(0, tag, p9::Tread{1, tag, 5000U + tag});
  // The other ring is as free as ever.
  EXPECT_TRUE(frontend.Works(1));
  // A Tflush waits for its target's reply, which is stuck behind others.
  frontend.Send(1, 1001, p9::Tflush{kRequests - 1});
  std::vector<bool> seen(kRequests);
  for (int i = 0; i < kRequests; ++i) {
    const auto deadline = std::chrono::steady_clock::now() + kBound;
    std::vector<uint8_t> reply;
    while (reply.empty() && std::chrono::steady_clock::now() < deadline) {
      reply = frontend[0].Take();
      sched_yield();
    }
    ASSERT_FALSE(reply.empty()) << i;
    const p9::Tag tag = p9::ParseHeader(reply)->tag;
    ASSERT_LT(tag, kRequests);
    ASSERT_FALSE(seen[tag]);
    seen[tag] = true;
    ASSERT_EQ(reply.size(), 11U + 5000 + tag);
    if (!seen[kRequests - 1]) {
      EXPECT_EQ(frontend[1].queued(), 0U);
    }
  }
  EXPECT_EQ(p9::ParseHeader(frontend.Receive(1))->tag, 1001);
}

// The two on different rings, in a loop: after Rflush there is no reply for the old tag any more.
TEST_F(NinepfsTest, AFlushAcrossRings) {
  StartGuest();
  const int devid = ShareNinepfs("share");
  NinepfsFrontend frontend(*xen_, kGuest, devid, 2, 2);
  Connect(frontend, devid);
  frontend.Begin();
  for (int i = 0; i < 500; ++i) {
    frontend[0].Put(NinepfsFrontend::Encode(2, p9::Tgetattr{0, p9::kGetattrBasic}));
    frontend[1].Put(NinepfsFrontend::Encode(3, p9::Tflush{2}));
    frontend[0].Publish();
    frontend[1].Publish();
    // Told in the wrong order.
    frontend.Notify(1);
    frontend.Notify(0);
    ASSERT_EQ(p9::ParseHeader(frontend.Receive(1))->type, p9::Rflush::kType);
    const std::vector<uint8_t> reply = frontend[0].Take();
    ASSERT_FALSE(reply.empty()) << i << ": nothing was sent before Rflush";
    ASSERT_EQ(p9::ParseHeader(reply)->tag, 2);
    ASSERT_TRUE(frontend.Works(0));
    ASSERT_EQ(frontend[0].queued(), 0U);
  }
}

TEST_F(NinepfsTest, FaultsCostTheirConnectionOnly) {
  struct Case {
    const char* name;
    std::function<void(NinepfsFrontend&)> spoil;
  };
  const auto size = [](uint32_t bytes) {
    return [bytes](NinepfsFrontend& frontend) {
      std::vector<uint8_t> message = NinepfsFrontend::Encode(4, p9::Tclunk{0});
      std::memcpy(message.data(), &bytes, 4);
      frontend.SendBytes(1, message);
    };
  };
  const auto index = [](uint32_t word, uint32_t by) {
    return [word, by](NinepfsFrontend& frontend) {
      frontend[0].Word(word).fetch_add(by);
      // A reply meets in_cons.
      frontend.Send(1, 9, p9::Tgetattr{0, p9::kGetattrBasic});
      if (word == Ring::kInCons) frontend.Send(0, 9, p9::Tgetattr{0, p9::kGetattrBasic});
      frontend.Notify(0);
    };
  };
  const Case cases[] = {
      {"size 0", size(0)},
      {"size 6", size(6)},
      {"size above msize", size(8193)},
      {"size above all", size(UINT32_MAX)},
      {"out_prod ahead by more than the ring", index(Ring::kOutProd, 8193)},
      {"out_prod back", index(Ring::kOutProd, UINT32_MAX)},
      {"out_prod far away", index(Ring::kOutProd, 0x80000000U)},
      {"in_cons ahead of in_prod", index(Ring::kInCons, 1)},
      {"in_cons far behind", index(Ring::kInCons, 0U - 9000)},
  };
  StartGuest();
  Share("other");
  Connection other = ConnectShare("other");
  ASSERT_TRUE(other);
  for (const Case& test : cases) {
    SCOPED_TRACE(test.name);
    const int devid = ShareNinepfs("fault" + std::to_string(&test - cases));
    NinepfsFrontend frontend(*xen_, kGuest, devid, 2, 2);
    Connect(frontend, devid);
    frontend.Begin();
    test.spoil(frontend);
    ASSERT_TRUE(WaitFor(devid, kClosed));
    EXPECT_TRUE(xen_->Read("/local/domain/0/virtfs/1/9pfs-" + std::to_string(devid) + "/error"));
    EXPECT_TRUE(other.client->Call(p9::Tgetattr{other.root.get(), p9::kGetattrBasic}).ok());
    frontend.Write("state", kClosed);
  }
  // Well-behaved, the same share can be used again, after a pause.
  NinepfsFrontend again(*xen_, kGuest, 1, 2, 2);
  Connect(again, 1);
  again.Begin();
  EXPECT_TRUE(again.Works(0));
  EXPECT_FALSE(xen_->Read("/local/domain/0/virtfs/1/9pfs-1/error"));
  other.Close();
}

TEST_F(NinepfsTest, NodesThatAreNoneAreRefused) {
  StartGuest();
  const std::pair<const char*, const char*> cases[] = {
      {"num-rings", "9"}, {"num-rings", "0"},       {"num-rings", "junk"},       {"version", "2"},
      {"ring-ref1", "0"}, {"ring-ref1", "9999999"}, {"event-channel-0", "junk"}, {"event-channel-1", "131072"},
  };
  for (const auto& [node, value] : cases) {
    SCOPED_TRACE(node + std::string("=") + value);
    const int devid = ShareNinepfs("bad" + std::to_string(std::hash<std::string>()(node + std::string(value))));
    NinepfsFrontend frontend(*xen_, kGuest, devid, 2, 1);
    ASSERT_TRUE(WaitFor(devid, kInitWait));
    frontend.WriteNodes();
    frontend.Write(node, value);
    frontend.Write("state", kInitialised);
    EXPECT_TRUE(WaitFor(devid, kClosed));
  }
}

// A domain that ends in the middle: nothing is left of it, not even where other backends have devices.
TEST_F(NinepfsTest, AGuestsDeathLeavesNothing) {
  ASSERT_TRUE(xen_->Write("/local/domain/0/backend/9pfs/1/7/frontend", "/local/domain/1/device/9pfs/7"));
  ASSERT_TRUE(xen_->Write("/local/domain/0/backend/9pfs/1/7/state", kInitialising));
  StartGuest();
  Share("virtfs");
  const int devid = ShareNinepfs("share");
  EXPECT_EQ(devid, 1) << "no two shares have one devid";
  auto frontend = std::make_unique<NinepfsFrontend>(*xen_, kGuest, devid, 2, 3);
  Connect(*frontend, devid);
  frontend->Begin();
  WriteFile("share/file", std::string(100'000, 'x'));
  ASSERT_TRUE(frontend->Call(0, 2, p9::Twalk{0, 1, {"file"}}).ok());
  ASSERT_TRUE(frontend->Call(0, 2, p9::Tlopen{1, O_RDONLY}).ok());
  for (p9::Tag tag = 0; tag < 100; ++tag) frontend->Send(tag % 2, tag, p9::Tread{1, 0, 10'000});
  EXPECT_EQ(xen_->Read("/local/domain/0/backend/9pfs/1/7/state"), kInitialising) << "it is not ours";
  frontend.reset();
  ASSERT_TRUE(xen_->Destroy(kGuest));
  EXPECT_EQ(keeper_->Wait(), 0);
  EXPECT_TRUE(xen_->Holdings(0).empty());
  ExpectNoNodes(kGuest);
  EXPECT_FALSE(xen_->Read(Node(devid)));
  EXPECT_TRUE(xen_->Read("/local/domain/0/backend/9pfs/1/7/state"));
}

}  // namespace
}  // namespace virtfs
