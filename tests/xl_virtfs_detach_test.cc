// xl-virtfs detach of a share that a guest uses: refused, and forced all the same.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "protocol/messages.h"
#include "tests/used_share_fixture.h"

namespace virtfs {
namespace {

using testing::HasSubstr;

class DetachTest : public UsedShareTest {};

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
