// Users: what a thread may do after it took a user's rights. In child processes, since those cannot be given back.
#include "fsops/host/users.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "fsops/host/export_fixture.h"
#include "fsops/host/local_user_database.h"

namespace virtfs::host {
namespace {

constexpr uint32_t kAlice = 70001, kBob = 70002, kTeam = 70010;

// Knows alice and bob, who are both in the team, and how often it was asked.
class FakeDatabase final : public UserDatabase {
 public:
  Result<User> Find(uint32_t uid) override {
    ++asked;
    if (fails) return Errno(EIO);
    if (const auto found = users.find(uid); found != users.end()) return found->second;
    return User{};
  }

  std::map<uint32_t, User> users = {{kAlice, {.gid = kAlice, .groups = {kAlice, kTeam}}},
                                    {kBob, {.gid = kBob, .groups = {kTeam, kBob}}}};
  std::atomic<int> asked = 0;
  std::atomic<bool> fails = false;
};

class UsersTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "becomes other users";
    for (const auto& [name, uid, gid, mode] : {std::tuple("alice", kAlice, kAlice, 0600),
                                               {"bob", kBob, kBob, 0600},
                                               {"team", 0U, kTeam, 0040},
                                               {"root", 0U, 0U, 0600}}) {
      ASSERT_EQ(mknodat(dir_.get(), name, S_IFREG | 0600, 0), 0);
      ASSERT_EQ(fchownat(dir_.get(), name, uid, gid, 0), 0);
      ASSERT_EQ(fchmodat(dir_.get(), name, static_cast<mode_t>(mode), 0), 0);
    }
  }

  // In a child whose rights follow its fsuid, as those of a server with enforce=server; what it expects must hold.
  static void InChild(const std::function<void()>& body) {
    const pid_t child = fork();
    if (child == 0) {
      if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP_LOCKED) != 0) _exit(2);
      PrepareCredentials(Rights::kOfUsers);
      // The thread that forked may have done something on its own behalf already; this one has not.
      std::thread(body).join();
      _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }

  bool CanRead(const char* name) const {
    const UniqueFd fd(openat(dir_.get(), name, O_RDONLY | O_CLOEXEC));
    return fd.ok();
  }

  ScratchDirectory scratch_{"/tmp"};
  UniqueFd dir_ = OpenDirectory(scratch_.path());
  FakeDatabase database_;
};

TEST_F(UsersTest, AThreadHasTheRightsOfItsUserAndGetsRootsBack) {
  InChild([&] {
    Users users(database_, std::nullopt);
    for (int again = 0; again < 2; ++again) {
      ASSERT_TRUE(users.Assume(kAlice));
      EXPECT_TRUE(CanRead("alice") && CanRead("team") && !CanRead("bob") && !CanRead("root"));
      ASSERT_TRUE(users.Assume(kBob));
      EXPECT_TRUE(CanRead("bob") && CanRead("team") && !CanRead("alice") && !CanRead("root"));
      ASSERT_TRUE(users.Assume(12345));
      EXPECT_TRUE(!CanRead("bob") && !CanRead("team") && !CanRead("alice") && !CanRead("root"));
      ASSERT_TRUE(users.Assume(0));
      EXPECT_TRUE(CanRead("bob") && CanRead("team") && CanRead("alice") && CanRead("root"));
    }
    EXPECT_EQ(database_.asked, 4);
    EXPECT_EQ(ErrorOf(users.Assume(0xffffffff)), EINVAL);
  });
}

TEST_F(UsersTest, ThreadsDoNotMix) {
  InChild([&] {
    Users users(database_, std::nullopt);
    std::vector<std::thread> threads;
    std::atomic<int> wrong = 0;
    for (unsigned seed = 1; seed <= 4; ++seed) {
      threads.emplace_back([&, seed] {
        unsigned random = seed;
        for (int i = 0; i < 3000; ++i) {
          random = random * 1103515245 + 12345;
          const bool alice = (random >> 16 & 1) != 0;
          if (!users.Assume(alice ? kAlice : kBob)) ++wrong;
          if (CanRead("alice") != alice || CanRead("bob") == alice || !CanRead("team") || CanRead("root")) ++wrong;
          if (i % 100 == 0 && !users.Refresh(kAlice)) ++wrong;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  });
}

TEST_F(UsersTest, ARefreshCountsForEveryThreadThatActsForHim) {
  InChild([&] {
    Users users(database_, std::nullopt);
    ASSERT_TRUE(users.Assume(kAlice));
    EXPECT_TRUE(CanRead("team"));
    database_.users[kAlice].groups = {kAlice};
    ASSERT_TRUE(users.Assume(kAlice));
    EXPECT_TRUE(CanRead("team")) << "nobody has asked yet";
    std::thread([&] { ASSERT_TRUE(users.Refresh(kAlice)); }).join();
    ASSERT_TRUE(users.Assume(kAlice));
    EXPECT_FALSE(CanRead("team"));
  });
}

TEST_F(UsersTest, TheAnonymousUserHasHisGroupAndNoOther) {
  InChild([&] {
    Users users(database_, Owner{.uid = kAlice, .gid = kBob});
    ASSERT_TRUE(users.Assume(kAlice));
    EXPECT_FALSE(CanRead("team"));
    EXPECT_EQ(Users::GroupOfNew(kTeam), kBob);
    EXPECT_EQ(database_.asked, 0);
  });
}

TEST_F(UsersTest, AFileGetsAGroupThatItsMakerIsIn) {
  InChild([&] {
    Users users(database_, std::nullopt);
    EXPECT_EQ(Users::GroupOfNew(7), 7u) << "nobody acts";
    ASSERT_TRUE(users.Assume(kAlice));
    EXPECT_EQ(Users::GroupOfNew(kTeam), kTeam);
    EXPECT_EQ(Users::GroupOfNew(kBob), kAlice);
    ASSERT_TRUE(users.Assume(0));
    EXPECT_EQ(Users::GroupOfNew(kBob), kBob);
  });
}

TEST_F(UsersTest, AnUnreadableDatabaseGivesNobodyRights) {
  InChild([&] {
    Users users(database_, std::nullopt);
    database_.fails = true;
    EXPECT_EQ(ErrorOf(users.Refresh(kAlice)), EIO);
    EXPECT_EQ(ErrorOf(users.Assume(kAlice)), EIO);
    database_.fails = false;
    ASSERT_TRUE(users.Assume(kAlice));
    EXPECT_FALSE(CanRead("root"));
  });
}

TEST_F(UsersTest, ManyUsersAreServedAndFewRemembered) {
  InChild([&] {
    Users users(database_, std::nullopt);
    constexpr uint32_t kMany = 3 * Users::kMaxUsers;
    for (int round = 0; round < 2; ++round) {
      for (uint32_t i = 0; i < kMany; ++i) ASSERT_TRUE(users.Assume(200000 + i));
    }
    EXPECT_GT(database_.asked, static_cast<int>(kMany));
  });
}

TEST(LocalUserDatabaseTest, KnowsRootAndSaysNothingOfStrangers) {
  LocalUserDatabase database;
  const Result<User> root = database.Find(0);
  ASSERT_TRUE(root);
  EXPECT_EQ(root->gid, 0u);
  EXPECT_TRUE(std::binary_search(root->groups.begin(), root->groups.end(), 0u));
  EXPECT_EQ(*database.Find(0xfffffff0), User{});
}

}  // namespace
}  // namespace virtfs::host
