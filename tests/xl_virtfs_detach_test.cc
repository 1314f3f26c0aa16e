// xl-virtfs detach and save of a share that a guest uses: refused, and a detach is forced all the same.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "protocol/messages.h"
#include "tests/client_fixture.h"

namespace virtfs {
namespace {

using testing::HasSubstr;

constexpr char kUuid[] = "11111111-2222-3333-4444-555555555555";

class DetachTest : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    StartGuest();
    ASSERT_TRUE(xen_->Write("/local/domain/1/vm", "/vm/" + std::string(kUuid)));
    ASSERT_TRUE(xen_->Write("/local/domain/1/name", "web"));
    std::filesystem::create_directory(Path("docs"));
    WriteFile("docs/file", "text");
  }

  // Its exit status and what it said.
  std::pair<int, std::string> Run(const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {Program("toolstack/cli/xl-virtfs")};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    argv.insert(argv.end(), {"--conf", Path("none"), "--records", Path("records"), "--run", xen_->RunDirectory()});
    auto process = xen_->Spawn(argv);
    const int status = process->Wait();
    return {status, process->Output()};
  }
  void AttachDocs() {
    const auto [status, output] =
        Run({"attach", "web", "tag=docs,path=" + Path("docs") + ",security_model=passthrough"});
    ASSERT_EQ(status, 0) << output;
  }
  // Opens the share's file as the guest.
  frontend::RemoteFid OpenFile(Connection& guest) {
    const std::string_view names[] = {"file"};
    Result<frontend::RemoteFid> file = guest.client->Walk(guest.root.get(), names);
    EXPECT_TRUE(file.ok());
    if (!file.ok()) return {};
    EXPECT_TRUE(guest.client->Call(p9::Tlopen{file->get(), p9::kOpenReadWrite}).ok());
    return *std::move(file);
  }
};

// On a real Xen the relay of a mount was killed by a BUG of the guest's kernel when it closed its event channel.
TEST_F(DetachTest, AShareInUseIsInTheWayOfASave) {
  ASSERT_NO_FATAL_FAILURE(AttachDocs());
  {
    Connection guest = ConnectShare("docs");
    ASSERT_TRUE(guest);
    const auto [refused, sentence] = Run({"save", "web", Path("web.save")});
    EXPECT_EQ(refused, 1);
    EXPECT_THAT(sentence, HasSubstr("web uses docs, which it would lose"));
  }
  ASSERT_TRUE(WaitForState(1, 0, kInitWait));
  // It comes as far as xl, which is not here.
  EXPECT_THAT(Run({"save", "web", Path("web.save")}).second, HasSubstr("xl save"));
}

TEST_F(DetachTest, OpenFilesAreInTheWayUnlessForced) {
  ASSERT_NO_FATAL_FAILURE(AttachDocs());
  Connection guest = ConnectShare("docs");
  ASSERT_TRUE(guest);
  frontend::RemoteFid file = OpenFile(guest);
  const auto [refused, sentence] = Run({"detach", "web", "docs"});
  EXPECT_EQ(refused, 1);
  EXPECT_THAT(sentence, HasSubstr("web has 1 file open on docs: close them there, or use --force"));
  EXPECT_EQ(xen_->Read(Backend(1, 0)), kConnected);
  EXPECT_TRUE(std::filesystem::exists(Path("records/" + std::string(kUuid) + ".json")));

  const auto [forced, output] = Run({"detach", "web", "docs", "--force", "--wait", "1"});
  EXPECT_EQ(forced, 0) << output;
  EXPECT_FALSE(guest.client->Call(p9::Tgetattr{file.get(), p9::kGetattrBasic}).ok());
  EXPECT_FALSE(xen_->Read("/local/domain/0/virtfs/1/0/path"));
  EXPECT_FALSE(xen_->Read("/local/domain/1/device/virtfs/0/tag"));
  EXPECT_FALSE(std::filesystem::exists(Path("records/" + std::string(kUuid) + ".json")));
  file.Forget();
  guest.Close();

  ASSERT_NO_FATAL_FAILURE(AttachDocs());
  guest = ConnectShare("docs");
  EXPECT_TRUE(guest);
  guest.Close();
}

TEST_F(DetachTest, AShareThatIsMountedWithNothingOpenGoes) {
  ASSERT_NO_FATAL_FAILURE(AttachDocs());
  Connection guest = ConnectShare("docs");
  ASSERT_TRUE(guest);
  OpenFile(guest).Reset();
  guest.Close();
  EXPECT_EQ(Run({"detach", "web", "docs"}), std::make_pair(0, std::string()));
}

TEST_F(DetachTest, WithoutItsKeeperNothingIsOpen) {
  ASSERT_NO_FATAL_FAILURE(AttachDocs());
  Connection guest = ConnectShare("docs");
  ASSERT_TRUE(guest);
  frontend::RemoteFid file = OpenFile(guest);
  keeper_->Kill();
  const auto [status, output] = Run({"detach", "web", "docs", "--wait", "0"});
  EXPECT_EQ(status, 1);
  EXPECT_THAT(output, HasSubstr("the backend does not close the share in time"));
  EXPECT_EQ(Run({"detach", "web", "docs", "--wait", "0", "--force"}).first, 0);
  EXPECT_FALSE(xen_->Read("/local/domain/0/virtfs/1/0/path"));
  file.Forget();
}

}  // namespace
}  // namespace virtfs
