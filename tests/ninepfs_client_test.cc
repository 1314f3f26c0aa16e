// 9pfs shares as a user of a guest meets them: virtfs-client and the typed client over them, beside virtfs shares.

#include <fcntl.h>
#include <sched.h>
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "tests/ninepfs_frontend.h"

namespace virtfs {
namespace {

class NinepfsClientTest : public NinepfsTest {
 protected:
  void SetUp() override {
    NinepfsTest::SetUp();
    StartGuest();
  }

  absl::StatusOr<std::unique_ptr<frontend::Device>> ConnectDevice(const std::string& tag, uint32_t rings,
                                                                  uint32_t order) {
    const AsDomain guest(*xen_, kGuest);
    return frontend::Device::Connect({.tag = tag, .ninepfs = true, .ninepfs_rings = rings, .ninepfs_order = order});
  }

  static std::string Content(size_t size) {
    std::string content(size, ' ');
    for (size_t i = 0; i < size; ++i) content[i] = static_cast<char>(i * 31 + (i >> 11));
    return content;
  }
};

// A keeper serves both kinds for one guest.
TEST_F(NinepfsClientTest, TreesOutInAndAcross) {
  ShareNinepfs("old");
  Share("new");
  ASSERT_EQ(mkdir(Path("old/dir").c_str(), 0750), 0);
  for (int i = 0; i < 300; ++i) {
    WriteFile("old/dir/file" + std::to_string(i), Content(static_cast<size_t>(i) * i));
  }
  WriteFile("old/large", Content(7'000'003));
  ASSERT_EQ(symlink("../large", Path("old/dir/link").c_str()), 0);
  ASSERT_EQ(Client({"cp", "-r", "old:/", Path("guest")}), 0);
  ASSERT_EQ(Client({"--depth", "64", "cp", "-r", Path("guest"), "old:/back"}), 0);
  EXPECT_EQ(Client({"--depth", "64", "compare", "old:/back", Path("guest")}), 0);
  ASSERT_EQ(Client({"cp", "-r", "old:/back", "new:/copy"}), 0);
  std::string output;
  EXPECT_EQ(Client({"compare", "new:/copy", Path("old/back")}, &output), 0) << output;
  EXPECT_THAT(output, testing::HasSubstr("301 files"));
  EXPECT_EQ(Client({"rm", "-r", "old:/back"}), 0);
  EXPECT_FALSE(std::filesystem::exists(Path("old/back")));
  Detach(kGuest, 0);
  EXPECT_EQ(Client({"ls", "new:/"}), 0);
}

// Small rings, so that everything goes round and waits for room.
TEST_F(NinepfsClientTest, EveryNumberOfRings) {
  ShareNinepfs("share");
  const std::string content = Content(300'000);
  WriteFile("share/file", content);
  for (uint32_t rings = 1; rings <= 8; ++rings) {
    SCOPED_TRACE(rings);
    auto device = ConnectDevice("share", rings, 2 + rings % 3);
    ASSERT_TRUE(device.ok()) << device.status();
    frontend::P9Client client((*device)->channel(), kBound);
    ASSERT_TRUE(client.Version(512 * 1024).ok());
    const auto root = client.Attach();
    ASSERT_TRUE(root.ok());
    const std::string_view name = "file";
    const auto file = client.Walk(root->get(), {&name, 1});
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(client.Call(p9::Tlopen{file->get(), O_RDONLY}).ok());
    // 64 at a time, each of what one reply can carry.
    const uint32_t chunk = client.max_data();
    std::string copy(content.size(), '\0');
    std::vector<std::unique_ptr<frontend::Exchange<p9::Tread>>> reads;
    for (size_t begin = 0; begin < copy.size();) {
      const size_t first = begin;
      for (; begin < copy.size() && reads.size() < 64; begin += chunk) {
        const auto size = static_cast<uint32_t>(std::min<size_t>(chunk, copy.size() - begin));
        reads.push_back(std::make_unique<frontend::Exchange<p9::Tread>>(client));
        reads.back()->Start({file->get(), begin, size}, {}, {reinterpret_cast<uint8_t*>(&copy[begin]), size});
      }
      for (auto& read : reads) ASSERT_TRUE(read->Wait().ok()) << first;
      reads.clear();
    }
    EXPECT_TRUE(copy == content);
  }
}

TEST_F(NinepfsClientTest, AKilledServerFailsWhatIsInFlightAndTheNextIsANewSession) {
  ShareNinepfs("share");
  Connection share = ConnectShare("share");
  ASSERT_TRUE(share);
  const auto getattr = [&] { return share.client->Call(p9::Tgetattr{share.root.get(), p9::kGetattrBasic}); };
  EXPECT_TRUE(getattr().ok());
  const std::vector<int> servers = ChildrenOf(keeper_->pid());
  ASSERT_EQ(servers.size(), 1U);
  ASSERT_EQ(kill(servers[0], SIGKILL), 0);
  EXPECT_EQ(getattr().error(), Errno(EIO));
  {
    const AsDomain guest(*xen_, kGuest);
    const absl::Status again = share.device->Reconnect();
    ASSERT_TRUE(again.ok()) << again;
  }
  EXPECT_FALSE(share.device->session_goes_on());
  share.client->Resume(share.device->channel(), false);
  ASSERT_TRUE(share.client->Version(512 * 1024).ok());
  Result<frontend::RemoteFid> root = share.client->Attach();
  ASSERT_TRUE(root.ok());
  share.root = *std::move(root);
  EXPECT_TRUE(getattr().ok());
  share.Close();
  // In order, and once more.
  EXPECT_EQ(Client({"ls", "share:/"}), 0);
}

TEST_F(NinepfsClientTest, AGuestThatDiesInTheMiddleLeavesNothing) {
  ShareNinepfs("share");
  WriteFile("share/large", Content(64 << 20));
  auto client = xen_->Spawn({Program("frontend/virtfs-client"), "cat", "share:/large"}, kGuest);
  ASSERT_TRUE(WaitFor(0, kConnected));
  ASSERT_TRUE(xen_->Destroy(kGuest));
  EXPECT_EQ(keeper_->Wait(), 0);
  EXPECT_TRUE(xen_->Holdings(0).empty());
  ExpectNoNodes(kGuest);
  EXPECT_FALSE(xen_->Read("/local/domain/0/backend/9pfs/1"));
}

// mount.virtfs and virtfs-relay stand on a virtfs ring; the guest's own driver does what they would.
TEST_F(NinepfsClientTest, WhoTakesOnlyVirtfsIsToldWhatTheShareIs) {
  ShareNinepfs("share");
  const AsDomain guest(*xen_, kGuest);
  const auto device = frontend::Device::Connect({.tag = "share", .timeout = std::chrono::milliseconds(100)});
  EXPECT_THAT(std::string(device.status().message()), testing::HasSubstr("9pfs device: mount it with"));
}

// Per request: an event each way and nothing else; the pages are mapped once.
TEST_F(NinepfsClientTest, NothingIsMappedOrCopiedByXenPerRequest) {
  ShareNinepfs("share");
  Connection share = ConnectShare("share");
  ASSERT_TRUE(share);
  xen_->ResetCounts();
  constexpr uint64_t kCalls = 1000;
  for (uint64_t i = 0; i < kCalls; ++i) {
    ASSERT_TRUE(share.client->Call(p9::Tgetattr{share.root.get(), p9::kGetattrBasic}).ok());
  }
  // A client that looks at the ring has the last reply before its event is sent. xenstored sends from domain 0, too.
  const auto end = std::chrono::steady_clock::now() + kBound;
  while (xen_->Count(0, xensim::Call::kNotify).calls < kCalls && std::chrono::steady_clock::now() < end) sched_yield();
  EXPECT_EQ(xen_->Count(0, xensim::Call::kMap).calls, 0U);
  EXPECT_EQ(xen_->Count(0, xensim::Call::kUnmap).calls, 0U);
  EXPECT_EQ(xen_->Count(0, xensim::Call::kCopy).calls, 0U);
  EXPECT_GE(xen_->Count(0, xensim::Call::kNotify).calls, kCalls);
  EXPECT_LE(xen_->Count(0, xensim::Call::kNotify).calls, kCalls + kCalls / 10);
  EXPECT_LE(xen_->Count(kGuest, xensim::Call::kNotify).calls, kCalls + kCalls / 10);
  share.Close();
}

}  // namespace
}  // namespace virtfs
