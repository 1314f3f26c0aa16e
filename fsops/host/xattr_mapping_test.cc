// The mapped-xattr model's own: the bytes on the disk, the guest's extended attributes, what the host may put there.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cstddef>

#include "fsops/host/model_fixture.h"

namespace virtfs::host {
namespace {

class XattrMappingTest : public ModelTest {
 protected:
  std::string HostXattr(const std::string& name, const std::string& attribute) const {
    std::string value(256, '\0');
    const ssize_t size = lgetxattr(path(name).c_str(), attribute.c_str(), value.data(), value.size());
    value.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return value;
  }
  void SetHostXattr(const std::string& name, const std::string& attribute, std::string_view value) const {
    ASSERT_EQ(lsetxattr(path(name).c_str(), attribute.c_str(), value.data(), value.size(), 0), 0);
  }
};
INSTANTIATE_TEST_SUITE_P(Models, XattrMappingTest, ::testing::Values(SecurityModel::kMappedXattr), ModelName);

TEST_P(XattrMappingTest, WritesWhatQemuWrites) {
  MakeFile("f", 0640, {1000, 0x01020304});
  EXPECT_EQ(HostXattr("f", "user.virtfs.uid"), std::string("\xe8\x03\0\0", 4));
  EXPECT_EQ(HostXattr("f", "user.virtfs.gid"), "\x04\x03\x02\x01");
  EXPECT_EQ(HostXattr("f", "user.virtfs.mode"), std::string("\xa0\x81\0\0", 4));
  EXPECT_EQ(HostXattr("f", "user.virtfs.rdev"), "");
  ASSERT_EQ(ErrorOf(tree_->MakeNode(root(), Name("c"), S_IFCHR | 0600, makedev(0x123, 0x45678), {})), 0);
  EXPECT_EQ(HostXattr("c", "user.virtfs.mode"), std::string("\x80\x21\0\0", 4));
  EXPECT_EQ(HostXattr("c", "user.virtfs.rdev"), std::string("\x78\x23\x61\x45\0\0\0\0", 8));
}

TEST_P(XattrMappingTest, ReadsWhatQemuWrote) {
  Write("f", "where to");
  SetHostXattr("f", "user.virtfs.uid", std::string("\x01\0\0\0", 4));
  EXPECT_EQ(Stat("f").uid, 1u);
  EXPECT_EQ(Stat("f").mode, S_IFREG | 0644u);
  SetHostXattr("f", "user.virtfs.mode", std::string("\xff\xa1\0\0", 4));
  EXPECT_EQ(Stat("f").mode, S_IFLNK | 0777u);
  EXPECT_EQ(*tree_->ReadLink(*Get("f")), "where to");
}

TEST_P(XattrMappingTest, NonsenseCountsAsNotKept) {
  Write("f", "text");
  ASSERT_EQ(mkdir(path("d").c_str(), 0711), 0);
  for (const char* attribute : {"user.virtfs.uid", "user.virtfs.gid", "user.virtfs.mode"}) {
    for (const std::string& value :
         {std::string(), std::string("\x01"), std::string(5, '\x01'), std::string(500, 'x')}) {
      SetHostXattr("f", attribute, value);
      const Attributes f = Stat("f");
      EXPECT_EQ(f.mode, S_IFREG | 0644u);
      EXPECT_EQ(f.uid, geteuid());
      EXPECT_EQ(f.gid, getegid());
    }
  }
  // A type that no regular file can stand for, and one for a directory.
  for (const std::string& mode :
       {std::string("\xff\xff\xff\xff"), std::string("\xff\x41\0\0", 4), std::string(4, '\0')}) {
    SetHostXattr("f", "user.virtfs.mode", mode);
    EXPECT_EQ(Stat("f").mode & S_IFMT, static_cast<uint32_t>(S_IFREG));
    EXPECT_EQ(ErrorOf(tree_->Open(*Get("f"), {})), 0);
  }
  SetHostXattr("d", "user.virtfs.mode", std::string("\xff\xa1\0\0", 4));
  EXPECT_EQ(Stat("d").mode, S_IFDIR | 0777u);
  EXPECT_TRUE(Get("d")->is_directory());
}

TEST_P(XattrMappingTest, ASymlinksContentIsAnythingsButShort) {
  const auto link_to = [&](std::string_view content) {
    Write("l", content);
    SetHostXattr("l", "user.virtfs.mode", std::string("\xff\xa1\0\0", 4));
    return *tree_->ReadLink(*Get("l"));
  };
  EXPECT_EQ(link_to(""), "");
  EXPECT_EQ(link_to(std::string("a\0b", 3)), "a");
  EXPECT_EQ(link_to(std::string(100000, 'x')), std::string(4095, 'x'));
}

TEST_P(XattrMappingTest, TheGuestsAttributesAreNotOurs) {
  const InodeRef f = MakeFile("f");
  const auto set = [&](std::string_view name) {
    return ErrorOf(tree_->SetXattr(*f, name, BytesOf("v"), XattrMode::kEither));
  };
  EXPECT_EQ(*tree_->ListXattr(*f), "");
  for (const char* name : {"user.virtfs.uid", "user.virtfs.x", "user.virtfs.system.posix_acl_access"}) {
    EXPECT_EQ(set(name), EACCES) << name;
    EXPECT_EQ(ErrorOf(tree_->GetXattr(*f, name)), ENODATA) << name;
    EXPECT_EQ(ErrorOf(tree_->RemoveXattr(*f, name)), EACCES) << name;
  }
  for (const char* name : {"trusted.a", "security.a", "system.a", "nonsense", "user"}) {
    EXPECT_EQ(set(name), EOPNOTSUPP) << name;
    EXPECT_EQ(ErrorOf(tree_->GetXattr(*f, name)), EOPNOTSUPP) << name;
  }
  SetHostXattr("f", "trusted.a", "the host's");
  EXPECT_EQ(set("user.virtfs"), 0);
  EXPECT_EQ(set("user.a"), 0);
  EXPECT_EQ(tree_->ListXattr(*f)->size(), sizeof("user.virtfs") + sizeof("user.a"));
  EXPECT_EQ(*tree_->GetXattr(*f, "user.a"), "v");
  EXPECT_EQ(ErrorOf(tree_->RemoveXattr(*f, "user.a")), 0);
  EXPECT_EQ(*tree_->ListXattr(*f), std::string("user.virtfs\0", 12));
  EXPECT_EQ(Stat(*f).uid, 1000u);
}

TEST_P(XattrMappingTest, AclsAreKeptAsTheyAre) {
  const InodeRef d = MakeDirectory("d");
  for (const std::string name : {"system.posix_acl_access", "system.posix_acl_default"}) {
    EXPECT_EQ(ErrorOf(tree_->GetXattr(*d, name)), ENODATA);
    EXPECT_EQ(ErrorOf(tree_->RemoveXattr(*d, name)), 0);
    EXPECT_EQ(ErrorOf(tree_->SetXattr(*d, name, BytesOf("opaque"), XattrMode::kCreate)), 0);
    EXPECT_EQ(ErrorOf(tree_->SetXattr(*d, name, BytesOf("opaque"), XattrMode::kCreate)), EEXIST);
    EXPECT_EQ(*tree_->GetXattr(*d, name), "opaque");
    EXPECT_EQ(*tree_->ListXattr(*d), name + '\0');
    EXPECT_EQ(HostXattr("d", "user.virtfs." + name), "opaque");
    EXPECT_EQ(HostXattr("d", name), "");
    EXPECT_EQ(ErrorOf(tree_->RemoveXattr(*d, name)), 0);
    EXPECT_EQ(*tree_->ListXattr(*d), "");
  }
}

TEST_P(XattrMappingTest, WhatStandsForAnotherTypeHasNoUserAttributes) {
  ASSERT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("l"), "t", {})), 0);
  const InodeRef l = Get("l");
  EXPECT_EQ(ErrorOf(tree_->SetXattr(*l, "user.a", {}, XattrMode::kEither)), EPERM);
  SetHostXattr("l", "user.a", "the host's");
  EXPECT_EQ(ErrorOf(tree_->GetXattr(*l, "user.a")), ENODATA);
  EXPECT_EQ(ErrorOf(tree_->RemoveXattr(*l, "user.a")), EPERM);
  EXPECT_EQ(*tree_->ListXattr(*l), "");
}

// Where nothing can be kept, a change is refused and nothing half-done stays.
TEST_P(XattrMappingTest, AHostsSymlinkKeepsItsOwner) {
  ASSERT_EQ(symlink("t", path("l").c_str()), 0);
  EXPECT_EQ(ErrorOf(tree_->SetAttributes(*Get("l"), {.uid = 7})), EPERM);
  EXPECT_EQ(HostStat("l").st_uid, geteuid());
}

// openat with O_TMPFILE fails as on a file system without it.
void ForbidNamelessFiles() {
  constexpr uint32_t kFlag = O_TMPFILE & ~O_DIRECTORY;
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kFlag, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
  ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

TEST_P(XattrMappingTest, FileSystemsWithoutNamelessFiles) {
  const pid_t child = fork();
  if (child == 0) {
    Reexport();
    ForbidNamelessFiles();
    Result<CreatedFile> f = tree_->Create(root(), Name("f"), {.exclusive = true}, 0640, {1, 2});
    EXPECT_EQ(ErrorOf(f), 0);
    EXPECT_EQ(f->node.attributes.uid, 1u);
    EXPECT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("l"), "target", {3, 4})), 0);
    EXPECT_EQ(*tree_->ReadLink(*Get("l")), "target");
    EXPECT_EQ(ErrorOf(tree_->MakeNode(root(), Name("f"), S_IFIFO | 0600, 0, {3, 4})), EEXIST);
    EXPECT_EQ(Stat("f").mode, S_IFREG | 0640u);
    _exit(HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// An attribute that does not fit makes the file not appear at all.
TEST_P(XattrMappingTest, AFileThatCannotBeStampedIsNotMade) {
  const pid_t child = fork();
  if (child == 0) {
    Reexport();
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setxattr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSPC),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    EXPECT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    EXPECT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    for (int nameless = 1; nameless >= 0; --nameless) {
      EXPECT_EQ(ErrorOf(tree_->Create(root(), Name("f"), {}, 0640, {1, 2})), ENOSPC);
      EXPECT_EQ(ErrorOf(tree_->MakeSymlink(root(), Name("l"), "t", {3, 4})), ENOSPC);
      EXPECT_EQ(ErrorOf(tree_->MakeDirectory(root(), Name("d"), 0700, {3, 4})), ENOSPC);
      EXPECT_TRUE(List(root()).empty());
      ForbidNamelessFiles();
    }
    _exit(HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(XattrMappingUnsupportedTest, IsSaidAtTheStart) {
  if (geteuid() != 0) GTEST_SKIP() << "opens a file system of the kernel's";
  const UniqueFd root = OpenDirectory("/sys/kernel");
  LocalHandleBroker broker(root.get());
  EXPECT_EQ(ErrorOf(Export::Make(OpenDirectory("/proc/sys"), OpenDirectory("/proc/self/fd"), broker,
                                 {.model = SecurityModel::kMappedXattr})),
            EOPNOTSUPP);
}

}  // namespace
}  // namespace virtfs::host
