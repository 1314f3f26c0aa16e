// Real programs, in a Linux kernel that mounts a share with its own 9p client: each gives the same results there as on
// a local ext4, and what the guest then sees in the share is what the host has.
//
// Short/... is part of ./dev test, Full/... of ./dev test full. guest/programs has what each program does.

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "tests/linux/linux_host.h"

namespace virtfs {
namespace {

using std::chrono::seconds;

struct Case {
  std::string program;
  std::string model;
  std::string cache;
  int msize_kib;
  std::string access;

  std::string Name() const {
    return program + "_" + model + "_" + cache + "_" + std::to_string(msize_kib) + "K_" + access;
  }
  std::string MountOptions() const {
    return "cache=" + cache + ",msize=" + std::to_string(msize_kib * 1024) + ",access=" + access;
  }
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.Name(); }
std::string NameOf(const testing::TestParamInfo<Case>& info) { return info.param.Name(); }

// Share tags cannot be names of tests and security models at once: "mapped-xattr" is "mapped" here.
std::string SecurityModel(const std::string& model) { return model == "mapped" ? "mapped-xattr" : model; }

class LinuxPrograms : public testing::TestWithParam<Case> {
 protected:
  static constexpr seconds kShortBound{180}, kFullBound{1200};

  static void SetUpTestSuite() {
    host_ = LinuxHost::Start({.memory = "1G"});
    if (host_ == nullptr) return;
    for (const std::string model : {"passthrough", "mapped"}) {
      if (!host_->Share(model, host_->Directory(model), "security_model=" + SecurityModel(model))) return host_.reset();
    }
    const std::string amount = Full() ? "4000 24" : "40 3";
    const auto made = host_->guest().Run(
        "mkdir /virtfs/local/input; cd /virtfs/local/input; /virtfs/guest/prepare.sh " + amount, kFullBound);
    if (made.status != 0) {
      ADD_FAILURE() << "prepare.sh: " << made.status << "\n" << made.errors;
      host_.reset();
    }
  }
  static void TearDownTestSuite() {
    host_.reset();
    local_.clear();
  }

  void SetUp() override { ASSERT_NE(host_, nullptr) << "the guest did not boot"; }

  static bool Full() { return testing::GTEST_FLAG(filter).rfind("Full", 0) == 0; }

  // The program in a new directory beneath `where`. Its results, and the hash of what it left there.
  static LinuxGuest::Outcome RunProgram(const std::string& program, const std::string& where, const std::string& before,
                                        const std::string& after) {
    return host_->guest().Run(before + "export INPUT=/virtfs/local/input SIZE=" + (Full() ? "full" : "short") +
                                  "\nmkdir " + where + "\ncd " + where + "\n/virtfs/guest/programs/" + program +
                                  ".sh\ncd /\necho tree $(tree_hash " + where + ")\n" + after,
                              Full() ? kFullBound : kShortBound);
  }

  static std::unique_ptr<LinuxHost> host_;
  // Of each program, on /virtfs/local; once.
  static std::map<std::string, LinuxGuest::Outcome> local_;
};

std::unique_ptr<LinuxHost> LinuxPrograms::host_;
std::map<std::string, LinuxGuest::Outcome> LinuxPrograms::local_;

// The results without the last line, which is "tree HASH"; the hash.
std::pair<std::string, std::string> Split(const std::string& output) {
  const size_t last = output.rfind("tree ");
  if (last == std::string::npos) return {output, ""};
  return {output.substr(0, last), output.substr(last + 5)};
}

TEST_P(LinuxPrograms, AsOnALocalDirectory) {
  const Case& c = GetParam();
  if (local_.count(c.program) == 0) {
    local_[c.program] = RunProgram(c.program, "/virtfs/local/" + c.program, "", "rm -rf /virtfs/local/" + c.program);
  }
  ASSERT_EQ(local_[c.program].status, 0) << "on the local directory:\n"
                                         << local_[c.program].output << local_[c.program].errors;
  const std::string where = "/virtfs/" + c.model, directory = host_->Directory(c.model) + "/" + c.Name();
  const LinuxGuest::Outcome outcome =
      RunProgram(c.program, where + "/" + c.Name(),
                 "mount_share " + c.model + " " + where + " " + c.MountOptions() + "\n", "umount " + where + "\n");
  EXPECT_EQ(outcome.status, 0) << outcome.errors;
  const auto [local, local_tree] = Split(local_[c.program].output);
  const auto [share, share_tree] = Split(outcome.output);
  EXPECT_EQ(share, local) << outcome.errors;
  if (c.program != "fio") {
    EXPECT_EQ(share_tree, local_tree);
  }
  // The mount is gone: what it had not written by then it never will. Under the mapped models modes are kept elsewhere.
  if (c.model == "passthrough") {
    EXPECT_EQ(host_->RunHere("tree_hash " + directory, kFullBound), share_tree);
  }
  if (HasFailure()) host_->guest().Run("mountpoint -q " + where + " && umount -l " + where, seconds(20));
  host_->RunHere("rm -rf " + directory, kFullBound);
}

INSTANTIATE_TEST_SUITE_P(
    Short, LinuxPrograms,
    testing::Values(Case{"tar", "passthrough", "none", 512, "client"}, Case{"tar", "mapped", "loose", 128, "user"},
                    Case{"git", "passthrough", "loose", 512, "user"},
                    Case{"make", "passthrough", "mmap", 128, "client"},
                    Case{"sqlite", "passthrough", "none", 64, "user"}, Case{"rsync", "mapped", "mmap", 512, "client"},
                    Case{"fio", "passthrough", "none", 8, "client"}, Case{"fio", "passthrough", "loose", 512, "user"},
                    Case{"dbench", "passthrough", "mmap", 64, "user"},
                    Case{"stress", "passthrough", "none", 512, "user"}),
    NameOf);

std::vector<Case> FullCases() {
  std::vector<Case> cases;
  for (const char* program : {"tar", "git", "make", "sqlite", "rsync", "fio", "dbench", "stress"}) {
    for (const char* cache : {"none", "mmap", "loose"}) {
      for (const int msize : {8, 128, 512}) {
        // Both models and both kinds of access with each cache and each size, over all programs together.
        const size_t number = cases.size();
        cases.push_back(
            {program, number % 4 < 3 ? "passthrough" : "mapped", cache, msize, number % 2 ? "user" : "client"});
      }
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Full, LinuxPrograms, testing::ValuesIn(FullCases()), NameOf);

}  // namespace
}  // namespace virtfs
