#include "frontend/mount/request.h"

#include <sys/mount.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace virtfs::frontend {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<MountRequest> Options(const std::string& options) {
  return ParseMountRequest({"share", "/mnt", "-o", options});
}

TEST(MountRequestTest, DefaultsAreAWholeRequest) {
  const absl::StatusOr<MountRequest> request = ParseMountRequest({"share", "/mnt", "-o", "defaults"});
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->tag, "share");
  EXPECT_EQ(request->directory, "/mnt");
  EXPECT_EQ(request->flags, 0U);
  EXPECT_EQ(request->Data(7, 262144), "trans=fd,rfdno=7,wfdno=7,version=9p2000.L,msize=262144");
}

TEST(MountRequestTest, FlagsBecomeFlagsAndTheLastWins) {
  EXPECT_EQ(Options("ro,nosuid,nodev,noexec,noatime")->flags,
            MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME);
  EXPECT_EQ(Options("ro,rw,nosuid,suid,sync,async")->flags, 0U);
  EXPECT_EQ(Options("users,exec")->flags, static_cast<unsigned long>(MS_NOSUID | MS_NODEV));
  EXPECT_EQ(Options("remount,ro")->flags, static_cast<unsigned long>(MS_REMOUNT | MS_RDONLY));
  EXPECT_EQ(ParseMountRequest({"-r", "share", "/mnt"})->flags, static_cast<unsigned long>(MS_RDONLY));
  EXPECT_EQ(Options("ro,silent,lazytime,relatime")->client_options, "");
}

TEST(MountRequestTest, WhatIsForOthersIsDropped) {
  const absl::StatusOr<MountRequest> request =
      Options("_netdev,nofail,noauto,x-systemd.automount,x-systemd.requires=\"a,b\",comment=word,cache=none,user=joe");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->client_options, "cache=none");
  EXPECT_EQ(request->flags, 0U);
}

TEST(MountRequestTest, OptionsOfTheClientGoThroughAsTheyAre) {
  const absl::StatusOr<MountRequest> request = ParseMountRequest(
      {"share", "/mnt", "-o", "rw,cache=mmap,access=client", "-sn", "-ocontext=\"a,b\",dfltuid=5,new-in-some-kernel"});
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->client_options, "cache=mmap,access=client,context=\"a,b\",dfltuid=5,new-in-some-kernel");
  EXPECT_EQ(request->Data(3, 8192),
            "trans=fd,rfdno=3,wfdno=3,version=9p2000.L,msize=8192,"
            "cache=mmap,access=client,context=\"a,b\",dfltuid=5,new-in-some-kernel");
}

TEST(MountRequestTest, TheRelaysOwnOptions) {
  const absl::StatusOr<MountRequest> request = Options("msize=65560,pages=64,wait=90,version=9p2000.L");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->msize, 65560U);
  EXPECT_EQ(request->pages, 64U);
  EXPECT_EQ(request->wait, std::chrono::seconds(90));
  EXPECT_EQ(request->client_options, "");
}

TEST(MountRequestTest, MistakesAreNamed) {
  const std::pair<std::vector<std::string>, const char*> mistakes[] = {
      {{}, "give the share's tag and a directory"},
      {{"share"}, "give the share's tag and a directory"},
      {{"share", "/mnt", "/other"}, "give the share's tag and a directory"},
      {{"share", "/mnt", "-o"}, "-o what?"},
      {{"share", "/mnt", "-x"}, "no such option: -x"},
      {{"share", "/mnt", "-N", "7"}, "-N is not served"},
      {{"share", "/mnt", "-o", "trans=tcp"}, "option trans is for mount.virtfs to set"},
      {{"share", "/mnt", "-o", "ro,rfdno=3"}, "option rfdno is for mount.virtfs to set"},
      {{"share", "/mnt", "-o", "version=9p2000.u"}, "speaks 9p2000.L only; leave out version=9p2000.u"},
      {{"share", "/mnt", "-o", "msize=512"}, "option msize wants a number from 4096 to 4194304, not '512'"},
      {{"share", "/mnt", "-o", "wait"}, "option wait wants a number from 1 to 86400, not ''"},
      {{"share", "/mnt", "-o", "pages=1k"}, "option pages wants a number from 8 to 256, not '1k'"},
  };
  for (const auto& [arguments, sentence] : mistakes) {
    const absl::StatusOr<MountRequest> request = ParseMountRequest(arguments);
    ASSERT_FALSE(request.ok()) << sentence;
    EXPECT_THAT(std::string(request.status().message()), HasSubstr(sentence));
  }
}

}  // namespace
}  // namespace virtfs::frontend
