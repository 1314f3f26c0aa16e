#include "fsops/session/ids.h"

#include <cerrno>

#include "gtest/gtest.h"

namespace virtfs::session {
namespace {

IdOptions Mapped() {
  IdOptions options;
  EXPECT_TRUE(options.uids.Add({.guest = 0, .host = 100000, .count = 1000}));
  EXPECT_TRUE(options.gids.Add({.guest = 0, .host = 200000, .count = 1000}));
  return options;
}

int ErrorOf(const Result<uint32_t>& result) { return result ? 0 : result.error().value(); }

TEST(IdsTest, WithoutOptionsEverybodyIsHimself) {
  const Ids ids{IdOptions{}};
  EXPECT_EQ(ids.Acting(0), 0u);
  EXPECT_EQ(*ids.HostUid(5), 5u);
  EXPECT_EQ(*ids.HostGid(5), 5u);
  EXPECT_EQ(ids.GuestUid(5), 5u);
  EXPECT_EQ(ids.GuestGid(65534), 65534u);
  EXPECT_FALSE(ids.Anonymous());
}

TEST(IdsTest, MapsGoBothWaysAndStrangersAreNobody) {
  const Ids ids{Mapped()};
  EXPECT_EQ(ids.Acting(7), 100007u);
  EXPECT_EQ(*ids.HostGid(7), 200007u);
  EXPECT_EQ(ids.GuestUid(100007), 7u);
  EXPECT_EQ(ids.GuestGid(200007), 7u);
  EXPECT_FALSE(ids.Acting(1000));
  EXPECT_EQ(ErrorOf(ids.HostUid(1000)), EOVERFLOW);
  EXPECT_EQ(ErrorOf(ids.HostGid(65534)), EOVERFLOW);
  EXPECT_EQ(ids.GuestUid(0), 65534u) << "the host's root";
}

TEST(IdsTest, TheSquashedBecomeOne) {
  IdOptions options = Mapped();
  options.squash = IdOptions::Squash::kRoot;
  options.anon_uid = 5;
  options.anon_gid = 6;
  const Ids root{options};
  EXPECT_EQ(root.Acting(0), 5u);
  EXPECT_EQ(*root.HostUid(0), 5u);
  EXPECT_EQ(*root.HostGid(0), 6u);
  EXPECT_EQ(root.Acting(1), 100001u);
  EXPECT_EQ(*root.Anonymous(), (host::Owner{.uid = 5, .gid = 6}));
  options.squash = IdOptions::Squash::kAll;
  const Ids all{options};
  EXPECT_EQ(all.Acting(4000000000), 5u);
  EXPECT_EQ(*all.HostGid(77), 6u);
}

// Version 2; user::rwx, user:7:r--, group::r-x, group:8:-w-, mask::rwx, other::---
std::string SampleAcl(uint8_t user, uint8_t group, std::string_view user_above, std::string_view group_above) {
  const auto entry = [](uint8_t tag, uint8_t permissions, const std::string& id) {
    return std::string{static_cast<char>(tag), 0, static_cast<char>(permissions), 0} + id;
  };
  const std::string none = "\xff\xff\xff\xff";
  return std::string("\2\0\0\0", 4) + entry(1, 7, none) +
         entry(2, 4, std::string(1, static_cast<char>(user)) + std::string(user_above)) + entry(4, 5, none) +
         entry(8, 2, std::string(1, static_cast<char>(group)) + std::string(group_above)) + entry(16, 7, none) +
         entry(32, 0, none);
}

TEST(IdsTest, AclsNameTheirUsersAndGroupsOnEitherSide) {
  using std::string_view_literals::operator""sv;
  const Ids ids{Mapped()};
  const std::string guest = SampleAcl(7, 8, "\0\0\0"sv, "\0\0\0"sv);
  const std::string host = SampleAcl(0xa7, 0x48, "\x86\x01\0"sv, "\x0d\x03\0"sv);  // 100007, 200008
  EXPECT_EQ(*ids.AclForHost(guest), host);
  EXPECT_EQ(ids.AclForGuest(host), guest);
  EXPECT_FALSE(ids.AclForHost(host));
  EXPECT_EQ(ids.AclForHost(host).error(), Errno(EOVERFLOW));
  EXPECT_EQ(ids.AclForGuest(guest), SampleAcl(0xfe, 0xfe, "\xff\0\0"sv, "\xff\0\0"sv)) << "65534";

  EXPECT_TRUE(Ids::IsAcl("system.posix_acl_access") && Ids::IsAcl("system.posix_acl_default"));
  EXPECT_FALSE(Ids::IsAcl("system.posix_acl") || Ids::IsAcl("user.x"));
}

TEST(IdsTest, WhatIsNoAclStaysAsItIs) {
  const Ids ids{Mapped()};
  const std::string good = SampleAcl(7, 8, std::string_view("\0\0\0", 3), std::string_view("\0\0\0", 3));
  for (const std::string& bad : {std::string(), std::string("\2\0\0", 3), good + "x", "\3" + good.substr(1)}) {
    EXPECT_EQ(*ids.AclForHost(bad), bad);
    EXPECT_EQ(ids.AclForGuest(bad), bad);
  }
}

}  // namespace
}  // namespace virtfs::session
