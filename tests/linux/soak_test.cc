// One directory in three mounts of a guest at once, one of each kind of cache: fio verifies in the first,
// file_exerciser in the second, stress-ng's file-system stressors work in the third. Built with a sanitizer it is the
// server, the keeper and the relay that are watched (tests/linux/README.md).
//
// Short/... is part of ./dev test, Full/... of ./dev test full.

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/linux/linux_host.h"

namespace virtfs {
namespace {

class LinuxSoak : public testing::TestWithParam<int> {};

TEST_P(LinuxSoak, ThreeMountsOfOneDirectory) {
  const int bound = GetParam();
  auto host = LinuxHost::Start({.memory = "1G"});
  ASSERT_NE(host, nullptr);
  const std::string caches[] = {"none", "mmap", "loose"};
  std::string script;
  for (const std::string& cache : caches) {
    ASSERT_TRUE(host->Share(cache, host->Directory("soak"), "security_model=passthrough"));
    absl::StrAppend(&script, "mount_share ", cache, " /virtfs/", cache, " cache=", cache, ",msize=131072\n");
  }
  script += "EXERCISER='" + RealPath("tests/linux/lib/file_exerciser") + "' /virtfs/guest/soak.sh " +
            std::to_string(bound) + "\numount /virtfs/none /virtfs/mmap /virtfs/loose\n";
  const LinuxGuest::Outcome outcome = host->guest().Run(script, std::chrono::seconds(2 * bound + 60));
  EXPECT_EQ(outcome.status, 0) << outcome.errors;
  EXPECT_EQ(outcome.output, "exerciser: 0\nfio: 0\nstress: 0\n") << outcome.errors;
  // What the servers and the keeper said: nothing of a sanitizer's. A server that a sanitizer ended is an error,
  // besides, in whatever the guest did then.
  const std::string said = host->keeper().Output();
  EXPECT_EQ(said.find("Sanitizer"), std::string::npos) << said;
  EXPECT_EQ(said.find("runtime error"), std::string::npos) << said;
}

INSTANTIATE_TEST_SUITE_P(Short, LinuxSoak, testing::Values(10));
INSTANTIATE_TEST_SUITE_P(Full, LinuxSoak, testing::Values(1800));

}  // namespace
}  // namespace virtfs
