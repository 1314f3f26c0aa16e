// enforce=server, through the real binaries: what a user may do in a share is what the host's kernel lets a process of
// that user do. Each case is done twice, by 9P in the share and by a process that became the user on a twin of the
// files beside it, and both errors and both outcomes must be the same.
//
// The users are those of files that are mounted over /etc/passwd and /etc/group for the keeper alone.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/client_fixture.h"
#include "tests/enforce_operations.h"
#include "tests/enforce_scenes.h"

namespace virtfs {
namespace {

using enforce::Guest;
using enforce::kAlice;
using enforce::kBob;
using enforce::kCarol;
using enforce::kNoGroup;
using enforce::kProject;
using enforce::kStaff;
using enforce::Operation;
using enforce::Operations;
using enforce::Scene;
using enforce::Scenes;
using enforce::TestUser;
using enforce::Users;
using frontend::RemoteFid;

// Everything about the entries of a directory that an operation can have changed.
std::string StateOf(const std::string& dir) {
  std::string state;
  for (const char* name : {".", "file", "new", "sub"}) {
    struct stat stat;
    const std::string path = dir + "/" + name;
    state += std::string(name) + ": ";
    if (lstat(path.c_str(), &stat) != 0) {
      state += "none\n";
      continue;
    }
    char mode[16];
    snprintf(mode, sizeof(mode), "%o", stat.st_mode);
    state += std::string(mode) + " uid " + std::to_string(stat.st_uid) + " gid " + std::to_string(stat.st_gid) +
             " links " + std::to_string(stat.st_nlink) + " rdev " + std::to_string(stat.st_rdev);
    if (!S_ISDIR(stat.st_mode)) state += " size " + std::to_string(stat.st_size);
    if (stat.st_mtim.tv_sec == 2000) state += " mtime set";
    char acl[256];
    const ssize_t size =
        S_ISLNK(stat.st_mode) ? 0 : getxattr(path.c_str(), "system.posix_acl_access", acl, sizeof(acl));
    for (ssize_t i = 0; i < size; ++i) state += " " + std::to_string(acl[i]);
    state += "\n";
  }
  return state;
}

class EnforceTest : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    if (geteuid() != 0) GTEST_SKIP() << "becomes other users";
    WriteFile("passwd", enforce::PasswdText());
    WriteFile("group", enforce::GroupText());
    StartGuest({"/usr/bin/unshare", "-m", "--propagation", "private", "/bin/sh", "-c",
                "mount --bind " + Path("passwd") + " /etc/passwd && mount --bind " + Path("group") +
                    " /etc/group && exec \"$@\"",
                "sh"});
  }

  RemoteFid AttachAs(Connection& share, uint32_t uid) {
    const p9::Fid fid = share.client->NewFid();
    const auto attached =
        share.client->Call(p9::Tattach{.fid = fid, .afid = p9::kNoFid, .uname = "", .aname = "", .n_uname = uid});
    EXPECT_TRUE(attached.ok()) << uid;
    return RemoteFid(*share.client, fid);
  }

  static void Make(const std::string& dir, const Scene& scene) {
    const auto set = [](const std::string& path, const char* attribute, const std::string& value) {
      if (!value.empty()) {
        ASSERT_EQ(setxattr(path.c_str(), attribute, value.data(), value.size(), 0), 0) << strerror(errno);
      }
    };
    ASSERT_EQ(mkdir(dir.c_str(), 0700), 0);
    const std::string file = dir + "/file", sub = dir + "/sub";
    const int fd = open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_EQ(write(fd, "some text", 9), 9);
    close(fd);
    ASSERT_EQ(mkdir(sub.c_str(), 0755), 0);
    ASSERT_EQ(chown(sub.c_str(), scene.file_uid, scene.file_gid), 0);
    ASSERT_EQ(chown(file.c_str(), scene.file_uid, scene.file_gid), 0);
    ASSERT_EQ(chmod(file.c_str(), scene.file_mode), 0);
    set(file, "system.posix_acl_access", scene.file_acl);
    ASSERT_EQ(chown(dir.c_str(), scene.dir_uid, scene.dir_gid), 0);
    ASSERT_EQ(chmod(dir.c_str(), scene.dir_mode), 0);
    set(dir, "system.posix_acl_access", scene.dir_acl);
    set(dir, "system.posix_acl_default", scene.dir_default_acl);
  }

  // The errno of `operation` in a process of `user` whose working directory is `twin`.
  static int AsProcess(const TestUser& user, int twin, const std::function<int()>& operation) {
    const pid_t child = fork();
    if (child == 0) {
      // Raw calls: this process has other threads only in its parent's memory.
      const bool ready = fchdir(twin) == 0 && syscall(SYS_setgroups, user.groups.size(), user.groups.data()) == 0 &&
                         syscall(SYS_setresgid, user.gid, user.gid, user.gid) == 0 &&
                         syscall(SYS_setresuid, user.uid, user.uid, user.uid) == 0;
      umask(0);
      _exit(ready ? operation() : 255);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    return WEXITSTATUS(status);
  }
};

TEST_F(EnforceTest, WhatAUserMayDoIsWhatTheHostsKernelLetsAProcessOfThatUserDo) {
  Share("share", ",enforce=server");
  ASSERT_EQ(mkdir(Path("twin").c_str(), 0755), 0);
  const UniqueFd twin(open(Path("twin").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  Connection share = ConnectShare("share");
  ASSERT_TRUE(share);
  std::vector<RemoteFid> roots;
  for (const TestUser& user : Users()) roots.push_back(AttachAs(share, user.uid));

  int cases = 0, refused = 0;
  for (const Operation& operation : Operations()) {
    for (const Scene& scene : Scenes()) {
      for (size_t i = 0; i < Users().size(); ++i) {
        const TestUser& user = Users()[i];
        const std::string dir = "case" + std::to_string(cases++);
        Make(Path("share/" + dir), scene);
        Make(Path("twin/" + dir), scene);
        const int expected = AsProcess(user, twin.get(), [&] { return operation.local(dir); });
        const int found = operation.remote({*share.client, roots[i].get()}, dir);
        const std::string about = std::string(operation.name) + ", " + scene.name + ", " + user.name;
        EXPECT_EQ(found, expected) << about << ": " << strerror(found) << " instead of " << strerror(expected);
        EXPECT_EQ(StateOf(Path("share/" + dir)), StateOf(Path("twin/" + dir))) << about;
        if (expected != 0) ++refused;
      }
    }
  }
  RecordProperty("cases", cases);
  printf("%d cases, of which %d were refused by both\n", cases, refused);
  EXPECT_GE(cases, 200);
  EXPECT_GT(refused, cases / 5);
  EXPECT_LT(refused, cases * 4 / 5);
}

// Which group is asked for counts where the user is in it.
TEST_F(EnforceTest, AFileGetsAGroupThatItsMakerIsIn) {
  Share("share", ",enforce=server");
  ASSERT_EQ(chmod(Path("share").c_str(), 0777), 0);
  Connection share = ConnectShare("share");
  ASSERT_TRUE(share);
  const struct {
    uint32_t uid, asked, got;
  } kCases[] = {
      {kAlice, kProject, kProject}, {kAlice, kAlice, kAlice}, {kAlice, kStaff, kStaff}, {kAlice, 0, kAlice},
      {kCarol, kProject, kStaff},   {kBob, kStaff, kBob},     {70099, 0, kNoGroup},     {0, 12345, 12345},
  };
  for (const auto& [uid, asked, got] : kCases) {
    const RemoteFid root = AttachAs(share, uid);
    const auto made = share.client->Call(p9::Tmkdir{.dfid = root.get(), .name = "d", .mode = 0700, .gid = asked});
    ASSERT_TRUE(made.ok()) << uid;
    struct stat stat;
    ASSERT_EQ(lstat(Path("share/d").c_str(), &stat), 0);
    EXPECT_EQ(stat.st_uid, uid);
    EXPECT_EQ(stat.st_gid, got) << uid << " asked for " << asked;
    rmdir(Path("share/d").c_str());
  }
}

// Groups are read when a user attaches.
TEST_F(EnforceTest, AnAttachSeesTheGroupsAsTheyAreNow) {
  Share("share", ",enforce=server");
  WriteFile("share/secret", "for the project");
  ASSERT_EQ(chown(Path("share/secret").c_str(), 0, kProject), 0);
  ASSERT_EQ(chmod(Path("share/secret").c_str(), 0040), 0);
  Connection share = ConnectShare("share");
  ASSERT_TRUE(share);
  const auto read = [&](const RemoteFid& root) {
    return Guest{*share.client, root.get()}.At({"secret"}, [&](p9::Fid fid) {
      return Guest::ErrorOf(share.client->Call(p9::Tlopen{.fid = fid, .flags = 0}));
    });
  };
  const RemoteFid before = AttachAs(share, kCarol);
  EXPECT_EQ(read(before), EACCES);
  WriteFile("group", enforce::GroupText() + "extra:x:70020:carol\n");
  EXPECT_EQ(read(AttachAs(share, kCarol)), EACCES);
  WriteFile("group", "staff:x:70010:alice\nproject:x:70011:alice,carol\n");
  EXPECT_EQ(read(AttachAs(share, kCarol)), 0);
  // The user's rights, and so those of all his fids.
  EXPECT_EQ(read(before), 0);
  EXPECT_EQ(read(AttachAs(share, kBob)), EACCES);
}

// Guest's root is nobody, its user 1000 is alice; others of the guest can look and own nothing.
TEST_F(EnforceTest, MapsAndSquashHoldWhereTheHostDecides) {
  Share("share", ",enforce=server,squash=root,anon-uid=70002,anon-gid=70010,uid-map=1000:70001:1,gid-map=1000:70001:1");
  ASSERT_EQ(chmod(Path("share").c_str(), 0777), 0);
  for (const auto& [name, uid, mode] :
       {std::tuple("alices", kAlice, 0600), {"bobs", kBob, 0600}, {"roots", 0U, 0600}}) {
    WriteFile(std::string("share/") + name, "text");
    ASSERT_EQ(chown(Path(std::string("share/") + name).c_str(), uid, uid), 0);
    ASSERT_EQ(chmod(Path(std::string("share/") + name).c_str(), static_cast<mode_t>(mode)), 0);
  }
  // Of bob's real groups none: anon-gid is the only one.
  WriteFile("share/projects", "text");
  ASSERT_EQ(chown(Path("share/projects").c_str(), 0, kProject), 0);
  ASSERT_EQ(chmod(Path("share/projects").c_str(), 0040), 0);
  Connection share = ConnectShare("share");
  ASSERT_TRUE(share);
  const auto open_as = [&](uint32_t uid, std::string_view name) {
    const RemoteFid root = AttachAs(share, uid);
    const Guest guest{*share.client, root.get()};
    return guest.At({name}, [&](p9::Fid fid) { return guest.Ask(p9::Tlopen{.fid = fid, .flags = 0}); });
  };
  EXPECT_EQ(open_as(1000, "alices"), 0);
  EXPECT_EQ(open_as(1000, "bobs"), EACCES);
  EXPECT_EQ(open_as(0, "bobs"), 0);
  EXPECT_EQ(open_as(0, "roots"), EACCES);
  EXPECT_EQ(open_as(0, "alices"), EACCES);
  EXPECT_EQ(open_as(0, "projects"), EACCES);
  EXPECT_EQ(open_as(1001, "alices"), EACCES);
  EXPECT_EQ(open_as(kAlice, "alices"), EACCES) << "host's uid of alice, which is nobody of the guest";

  const auto make_as = [&](uint32_t uid, uint32_t gid, const char* name) {
    const RemoteFid root = AttachAs(share, uid);
    return Guest{*share.client, root.get()}.Ask(p9::Tmkdir{.dfid = root.get(), .name = name, .mode = 0755, .gid = gid});
  };
  struct stat stat;
  EXPECT_EQ(make_as(1000, 1000, "made"), 0);
  ASSERT_EQ(lstat(Path("share/made").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_uid, kAlice);
  EXPECT_EQ(stat.st_gid, kAlice);
  EXPECT_EQ(make_as(0, 0, "squashed"), 0);
  ASSERT_EQ(lstat(Path("share/squashed").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_uid, kBob);
  EXPECT_EQ(stat.st_gid, kStaff);
  EXPECT_EQ(make_as(1001, 1000, "none"), EOVERFLOW);
  EXPECT_EQ(make_as(1000, 1001, "none"), EOVERFLOW);

  const RemoteFid root = AttachAs(share, 1000);
  const Guest guest{*share.client, root.get()};
  const auto owner = [&](std::string_view name) {
    std::pair<uint32_t, uint32_t> ids;
    guest.At({name}, [&](p9::Fid fid) {
      const auto attributes = share.client->Call(p9::Tgetattr{.fid = fid, .request_mask = 0x7ff});
      if (attributes.ok()) ids = {attributes->uid, attributes->gid};
      return 0;
    });
    return ids;
  };
  EXPECT_EQ(owner("alices"), std::pair(1000U, 1000U));
  EXPECT_EQ(owner("roots"), std::pair(65534U, 65534U));
  const auto chown_made = [&](uint32_t valid, uint32_t id) {
    return guest.At({"made"}, [&](p9::Fid fid) {
      return guest.Ask(p9::Tsetattr{.fid = fid, .valid = valid, .uid = id, .gid = id});
    });
  };
  EXPECT_EQ(chown_made(p9::kSetattrUid, 1001), EOVERFLOW);
  EXPECT_EQ(chown_made(p9::kSetattrGid, 1001), EOVERFLOW);
  EXPECT_EQ(chown_made(p9::kSetattrUid, 1000), 0);

  // The users in an ACL are the guest's, and on the host the host's.
  const auto acl = [](uint32_t uid) {
    return enforce::Acl({{1, 7, ~0U}, {2, 5, uid}, {4, 5, ~0U}, {16, 7, ~0U}, {32, 5, ~0U}});
  };
  const auto set_acl = [&](const std::string& value) {
    return guest.At({"made"}, [&](p9::Fid fid) {
      EXPECT_EQ(guest.Ask(p9::Txattrcreate{
                    .fid = fid, .name = "system.posix_acl_access", .attr_size = value.size(), .flags = 0}),
                0);
      const std::span bytes(reinterpret_cast<const uint8_t*>(value.data()), value.size());
      const auto count = static_cast<uint32_t>(value.size());
      EXPECT_TRUE(share.client->Call(p9::Twrite{.fid = fid, .offset = 0, .count = count}, bytes).ok());
      return guest.Ask(p9::Tclunk{.fid = fid});
    });
  };
  EXPECT_EQ(set_acl(acl(1001)), EOVERFLOW);
  EXPECT_EQ(set_acl(acl(1000)), 0);
  char on_host[64];
  const ssize_t size = getxattr(Path("share/made").c_str(), "system.posix_acl_access", on_host, sizeof(on_host));
  EXPECT_EQ(std::string(on_host, size < 0 ? 0 : static_cast<size_t>(size)), acl(kAlice));
}

// What the kernel says of the server's process.
TEST_F(EnforceTest, CapabilitiesOverFilesAreOutOfForceForUsers) {
  Share("share", ",enforce=server");
  Connection share = ConnectShare("share");
  ASSERT_TRUE(share);
  const RemoteFid root = AttachAs(share, kAlice);
  (void)Guest{*share.client, root.get()}.Ask(p9::Tlopen{.fid = root.get(), .flags = 0});
  const std::vector<int> servers = ChildrenOf(keeper_->pid());
  ASSERT_EQ(servers.size(), 1u);
  std::set<std::string> effective, filters;
  bool acted = false;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(servers[0]) + "/task")) {
    std::ifstream status(task.path() / "status");
    std::string line, capabilities;
    bool alice = false;
    while (std::getline(status, line)) {
      if (line.starts_with("CapEff:")) capabilities = line.substr(8);
      if (line.starts_with("Uid:")) alice = line.ends_with("\t70001");
      if (line.starts_with("Seccomp:")) filters.insert(line);
      if (line.starts_with("Groups:") && alice) {
        EXPECT_EQ(line, "Groups:\t70001 70010 70011 ");
      }
    }
    // SETGID and SETUID.
    if (alice) {
      EXPECT_EQ(capabilities, "00000000000000c0");
    }
    acted = acted || alice;
  }
  EXPECT_TRUE(acted);
  EXPECT_EQ(filters, std::set<std::string>{"Seccomp:\t2"});
}

// Of the models that need no privilege, all threads.
TEST_F(EnforceTest, AModelWithoutPrivilegeIsServedByTheOwnerOfTheDirectory) {
  ASSERT_EQ(mkdir(Path("share").c_str(), 0700), 0);
  ASSERT_EQ(chown(Path("share").c_str(), kAlice, kStaff), 0);
  auto attach = SpawnAttach(kGuest, {"tag=share,path=" + Path("share") + ",security_model=none"});
  ASSERT_EQ(attach->Wait(), 0) << attach->Output();
  Connection share = ConnectShare("share");
  ASSERT_TRUE(share);
  const auto made = share.client->Call(p9::Tmkdir{.dfid = share.root.get(), .name = "d", .mode = 0755, .gid = 0});
  ASSERT_TRUE(made.ok());
  struct stat stat;
  ASSERT_EQ(lstat(Path("share/d").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_uid, kAlice);

  const std::vector<int> servers = ChildrenOf(keeper_->pid());
  ASSERT_EQ(servers.size(), 1u);
  const std::string none = "\t0000000000000000", alice = "\t70001", staff = "\t70010";
  const std::set<std::string> expected = {"Uid:" + alice + alice + alice + alice,
                                          "Gid:" + staff + staff + staff + staff,
                                          "Groups:\t ",
                                          "CapInh:" + none,
                                          "CapPrm:" + none,
                                          "CapEff:" + none,
                                          "CapBnd:" + none,
                                          "CapAmb:" + none,
                                          "NoNewPrivs:\t1",
                                          "Seccomp:\t2"};
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(servers[0]) + "/task")) {
    std::ifstream status(task.path() / "status");
    std::set<std::string> found;
    for (std::string line; std::getline(status, line);) {
      if (expected.contains(line)) found.insert(line);
    }
    EXPECT_EQ(found, expected);
  }
}

}  // namespace
}  // namespace virtfs
