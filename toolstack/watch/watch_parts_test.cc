// What `xl-virtfs watch` consists of and what needs no Xen; tests/watch_test.cc has the rest.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "toolstack/watch/event_path.h"
#include "toolstack/watch/guests.h"
#include "toolstack/watch/notify.h"
#include "toolstack/watch/watch_lock.h"

namespace virtfs::toolstack {
namespace {

using testing::HasSubstr;
using xenstore::DeviceType;

constexpr int64_t kDay = int64_t{24} * 3600;
constexpr int64_t kNow = 1800000000;

Record AbsentSince(std::optional<int64_t> since) {
  return {.uuid = "", .name = "", .shares = {}, .absent_since = since};
}

TEST(HowToKeepTest, ARecordOutlivesItsGuestForThirtyDays) {
  EXPECT_EQ(HowToKeep(AbsentSince({}), true, kNow), Keep::kAsItIs);
  EXPECT_EQ(HowToKeep(AbsentSince({}), false, kNow), Keep::kMarkAbsent);
  EXPECT_EQ(HowToKeep(AbsentSince(kNow), false, kNow + 30 * kDay), Keep::kAsItIs);
  EXPECT_EQ(HowToKeep(AbsentSince(kNow), false, kNow + 30 * kDay + 1), Keep::kForget);
  EXPECT_EQ(HowToKeep(AbsentSince(kNow), true, kNow + 30 * kDay + 1), Keep::kMarkPresent);
}

TEST(HowToKeepTest, AClockThatIsWrongCostsNoRecord) {
  EXPECT_EQ(HowToKeep(AbsentSince({}), false, 1000), Keep::kAsItIs);
  EXPECT_EQ(HowToKeep(AbsentSince(kNow + kDay), false, kNow), Keep::kMarkAbsent);
}

TEST(ShareNamesTest, WhatIsAShare) {
  EXPECT_EQ(xenstore::ParseShareName("0"), std::pair(DeviceType::kVirtfs, 0u));
  EXPECT_EQ(xenstore::ParseShareName("9pfs-12"), std::pair(DeviceType::kNinepfs, 12u));
  for (const char* name : {"keeper", "", "9pfs-", "9pfs-x", "-1", "01", "2147483648", "9pfs--1"}) {
    EXPECT_FALSE(xenstore::ParseShareName(name)) << name;
  }
}

TEST(ShareNamesTest, WhichDomainAnEventIsAbout) {
  EXPECT_EQ(DomidBelow("/local/domain/0/virtfs", "/local/domain/0/virtfs/5/0/path"), 5u);
  EXPECT_EQ(DomidBelow("/local/domain", "/local/domain/7"), 7u);
  for (const char* path : {"/local/domain/0/virtfs", "/local/domain/0/virtfs/", "/local/domain/0/virtfs/x",
                           "/local/domain/0/virtfs2/5", "/local/domain/1/virtfs/5", "@releaseDomain"}) {
    EXPECT_FALSE(DomidBelow("/local/domain/0/virtfs", path)) << path;
  }
}

class DirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/watch-parts-XXXXXX";  // short enough for a socket's name
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
};

TEST_F(DirectoryTest, OneWatchAtATime) {
  const std::string runtime = directory_ + "/run";
  EXPECT_FALSE(WatchLock::IsHeld(runtime));
  {
    const auto lock = WatchLock::Take(runtime);
    ASSERT_TRUE(lock.ok()) << lock.status().message();
    EXPECT_TRUE(WatchLock::IsHeld(runtime));
    // To ask does not take it.
    EXPECT_TRUE(WatchLock::IsHeld(runtime));
    EXPECT_THAT(std::string(WatchLock::Take(runtime).status().message()), HasSubstr("runs already"));
  }
  EXPECT_FALSE(WatchLock::IsHeld(runtime));
  EXPECT_TRUE(WatchLock::Take(runtime).ok());
}

TEST_F(DirectoryTest, NotifiesSystemd) {
  unsetenv("NOTIFY_SOCKET");
  Notify("READY=1");  // To nobody.

  for (const std::string& name : {directory_ + "/notify", "@" + directory_ + "/abstract"}) {
    const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    ASSERT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size())),
              0);
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
    Notify("READY=1\nSTATUS=x");
    char text[64];
    const ssize_t size = recv(socket.get(), text, sizeof(text), 0);
    EXPECT_EQ(std::string(text, size > 0 ? static_cast<size_t>(size) : 0), "READY=1\nSTATUS=x");
    unsetenv("NOTIFY_SOCKET");
  }
}

}  // namespace
}  // namespace virtfs::toolstack
