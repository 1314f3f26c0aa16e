// The backend that ships serves a frontend that was written from docs/virtfs.md alone (second_frontend.c).

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/simulated_xen.h"

namespace virtfs {
namespace {

constexpr char kStatuses[] = "BAD_GREF -1\nBAD_ORDER -2\nBAD_EXTENT -3\nBAD_FLAGS -4\nSHORT_REQUEST -5\nNO_ROOM -6\n";

class SecondFrontendTest : public testing::Test {
 protected:
  void SetUp() override {
    share_ = std::filesystem::path(testing::TempDir()) / "second_frontend_share";
    std::filesystem::create_directories(share_ / "sub");
    // Longer than any reply, and no multiple of one.
    for (int line = 0; text_.size() < 100'000; ++line) text_ += "line " + std::to_string(line) + "\n";
    std::ofstream(share_ / "sub" / "file") << text_;

    xen_ = SimulatedXen::Start();
    ASSERT_NE(xen_, nullptr);
    ASSERT_TRUE(xen_->AddDomain(1));
    backend_ = xen_->Spawn({Program("backend/xen-virtfsd"), "--domid", "1"});
    ASSERT_NE(backend_, nullptr);
    const auto attach = xen_->Spawn({Program("toolstack/virtfs-attach"), "--domid", "1",
                                     "tag=share,security_model=passthrough,readonly,path=" + share_.string()});
    ASSERT_EQ(attach->Wait(), 0) << attach->Output();
  }

  void TearDown() override { std::filesystem::remove_all(share_); }

  void ExpectServed(const std::vector<std::string>& more) {
    std::vector<std::string> argv = {Program("tests/spec/second-frontend"), "0", "sub/file"};
    argv.insert(argv.end(), more.begin(), more.end());
    const auto frontend = xen_->Spawn(argv, 1);
    ASSERT_NE(frontend, nullptr);
    EXPECT_EQ(frontend->Wait(), 0);
    EXPECT_EQ(frontend->Output(), text_ + kStatuses);
  }

  std::filesystem::path share_;
  std::string text_;
  std::unique_ptr<SimulatedXen> xen_;
  std::shared_ptr<Process> backend_;
};

TEST_F(SecondFrontendTest, WithVersion) { ExpectServed({}); }
TEST_F(SecondFrontendTest, OfTheDraft) { ExpectServed({"draft"}); }

TEST_F(SecondFrontendTest, ConnectsAgainAfterItHasClosed) {
  ExpectServed({});
  ExpectServed({});
}

}  // namespace
}  // namespace virtfs
