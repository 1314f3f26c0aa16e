// What becomes of a connected client when its backend goes: it fails what is in flight, closes in order, comes back.

#include <signal.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/client_fixture.h"

namespace virtfs {
namespace {

class ReconnectTest : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    StartGuest();
    Share("share");
    share_ = ConnectShare("share");
    ASSERT_TRUE(share_);
  }

  void TearDown() override {
    share_.Close();
    ClientTest::TearDown();
  }

  Result<p9::Rgetattr> Getattr(p9::Fid fid) { return share_.client->Call(p9::Tgetattr{fid, p9::kGetattrBasic}); }

  Connection share_;
};

TEST_F(ReconnectTest, KilledServerFailsWhatIsInFlightAndComesBackWithANewSession) {
  ASSERT_TRUE(Getattr(share_.root.get()).ok());
  const std::vector<int> servers = ChildrenOf(keeper_->pid());
  ASSERT_EQ(servers.size(), 1U);
  ASSERT_EQ(kill(servers[0], SIGKILL), 0);
  // Nobody answers; the death must be noticed, not waited out.
  EXPECT_EQ(Getattr(share_.root.get()).error(), Errno(EIO));
  const std::string old_session = share_.device->session_id();
  const absl::Status again = [&] {
    const AsDomain guest(*xen_, kGuest);
    return share_.device->Reconnect();
  }();
  ASSERT_TRUE(again.ok()) << again;
  EXPECT_FALSE(share_.device->session_goes_on());
  EXPECT_NE(share_.device->session_id(), old_session);
  // The new session knows none of the old fids: everything begins again.
  share_.client->Resume(share_.device->channel(), false);
  ASSERT_TRUE(share_.client->Version(512 * 1024).ok());
  Result<frontend::RemoteFid> root = share_.client->Attach();
  ASSERT_TRUE(root.ok());
  share_.root = *std::move(root);
  EXPECT_TRUE(Getattr(share_.root.get()).ok());
}

// In a slow machine a relay gave up just when its backend bound the event channel, which failed; missed that the
// backend was Closed for a moment after that; and waited for it for good.
TEST_F(ReconnectTest, ABackendThatTakesLongToConnectIsWaitedFor) {
  share_.Close();
  const auto timeout = std::chrono::milliseconds(500);
  auto device = [&] {
    const AsDomain guest(*xen_, kGuest);
    return frontend::Device::Connect({.tag = "share", .timeout = timeout});
  }();
  ASSERT_TRUE(device.ok()) << device.status();
  const std::vector<int> servers = ChildrenOf(keeper_->pid());
  ASSERT_EQ(servers.size(), 1U);
  ASSERT_EQ(kill(servers[0], SIGKILL), 0);
  ASSERT_TRUE(WaitForState(kGuest, 0, kInitWait));
  ASSERT_EQ(kill(keeper_->pid(), SIGSTOP), 0);
  absl::Status again;
  const AsDomain guest(*xen_, kGuest);
  std::thread reconnects([&] { again = (*device)->Reconnect(); });
  EXPECT_TRUE(xen_->WaitForNode("/local/domain/1/device/virtfs/0/state", kInitialised));
  std::this_thread::sleep_for(2 * timeout);
  EXPECT_EQ(kill(keeper_->pid(), SIGCONT), 0);
  reconnects.join();
  EXPECT_TRUE(again.ok()) << again;
}

TEST_F(ReconnectTest, DetachClosesInOrder) {
  ASSERT_TRUE(Getattr(share_.root.get()).ok());
  Detach(kGuest, 0);
  EXPECT_EQ(Getattr(share_.root.get()).error(), Errno(EIO));
  share_.root.Reset();
  share_.client.reset();
  EXPECT_EQ(share_.device->Close().code(), absl::StatusCode::kAborted);
  share_.device.reset();
  for (const xensim::Holding& holding : xen_->Holdings(kGuest)) ADD_FAILURE() << "left: " << holding.pid;
  EXPECT_FALSE(xen_->Read(Backend(kGuest, 0)));
}

TEST_F(ReconnectTest, CloseLeavesNothingAndTheShareCanBeUsedAgain) {
  share_.Close();
  EXPECT_TRUE(xen_->Holdings(kGuest).empty());
  EXPECT_EQ(Client({"ls", "share:/"}), 0);
}

}  // namespace
}  // namespace virtfs
