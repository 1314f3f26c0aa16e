// Cases 4 to 10, 13, 21 and 22 of 9P2000.L: opening, creating, bytes, listing, attributes.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <set>
#include <string>

#include "fsops/session/session_test_client.h"

namespace virtfs {
namespace {

using Case04Lopen = SessionTest;
using Case05Lcreate = SessionTest;
using Case06Read = SessionTest;
using Case07Write = SessionTest;
using Case08Readdir = SessionTest;
using Case09Getattr = SessionTest;
using Case10Setattr = SessionTest;
using Case13OpenUnlinked = SessionTest;
using Case21Statfs = SessionTest;
using Case22Fsync = SessionTest;

TEST_F(Case04Lopen, TwiceIsInvalid) {
  MakeFile("file");
  const p9::Qid qid = client_.Walk(kRoot, 1, {"file"})->wqid[0];
  const auto opened = client_.Open(1, p9::kOpenReadOnly);
  EXPECT_EQ(opened->qid, qid);
  EXPECT_EQ(opened->iounit, 0u);
  EXPECT_EQ(Error(client_.Open(1, p9::kOpenReadOnly)), EINVAL);
  EXPECT_EQ(Error(client_.Open(2, p9::kOpenReadOnly)), EBADF);
}

TEST_F(Case04Lopen, IgnoresWhatIsTheClientsOwnMatter) {
  MakeFile("file", "text");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_
                  .Open(1, p9::kOpenReadWrite | p9::kOpenCreate | p9::kOpenExclusive | p9::kOpenNoCtty |
                               p9::kOpenAsync | p9::kOpenDirect | p9::kOpenNonblock | p9::kOpenLargeFile |
                               p9::kOpenCloseOnExec)
                  .ok());
  EXPECT_EQ(*client_.Read(1, 1, 2), "ex") << "not aligned";
}

TEST_F(Case04Lopen, HonoursTruncateAndAppend) {
  MakeFile("file", "text");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenWriteOnly | p9::kOpenTruncate).ok());
  EXPECT_EQ(HostRead("file"), "");
  MakeFile("file", "text");
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"file"}).ok());
  ASSERT_TRUE(client_.Open(2, p9::kOpenWriteOnly | p9::kOpenAppend).ok());
  EXPECT_EQ(*client_.Write(2, 0, "+"), 1u);
  EXPECT_EQ(HostRead("file"), "text+");
}

TEST_F(Case04Lopen, RefusesWhatIsNoFileAtOnce) {
  ASSERT_EQ(mkfifo(Host("fifo").c_str(), 0644), 0);
  ASSERT_EQ(mknod(Host("socket").c_str(), S_IFSOCK | 0644, 0), 0);
  ASSERT_EQ(mknod(Host("null").c_str(), S_IFCHR | 0644, 0x103), 0);
  ASSERT_EQ(symlink("fifo", Host("link").c_str()), 0);
  p9::Fid fid = 1;
  for (const std::string_view name : {"fifo", "socket", "null"}) {
    ASSERT_TRUE(client_.Walk(kRoot, fid, {name}).ok());
    EXPECT_EQ(Error(client_.Open(fid, p9::kOpenReadOnly)), ENXIO) << name;
    EXPECT_EQ(Error(client_.Open(fid++, p9::kOpenWriteOnly)), ENXIO) << name;
  }
  ASSERT_TRUE(client_.Walk(kRoot, fid, {"link"}).ok());
  EXPECT_EQ(Error(client_.Open(fid, p9::kOpenReadOnly)), ELOOP);
  ASSERT_TRUE(client_.Walk(kRoot, 9, {}).ok());
  EXPECT_EQ(Error(client_.Open(9, p9::kOpenReadWrite)), EISDIR);
}

TEST_F(Case05Lcreate, TheDirectorysFidBecomesTheFile) {
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  const auto created = client_.Create(1, "new", p9::kOpenReadWrite, 0666);
  ASSERT_TRUE(created.ok());
  EXPECT_EQ(client_.Getattr(1)->qid, created->qid);
  EXPECT_EQ(*client_.Write(1, 0, "text"), 4u);
  EXPECT_EQ(*client_.Read(1, 0, 9), "text");
  EXPECT_EQ(HostStat("new").st_mode, S_IFREG | 0666u) << "no umask of ours";
  EXPECT_EQ(Error(client_.Create(1, "other", p9::kOpenReadWrite)), EINVAL) << "no directory any more";
}

TEST_F(Case05Lcreate, OnErrorTheFidStillNamesTheDirectory) {
  MakeFile("there", "text");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  EXPECT_EQ(Error(client_.Create(1, "there", p9::kOpenReadWrite | p9::kOpenExclusive)), EEXIST);
  EXPECT_EQ(client_.Getattr(1)->qid, client_.Getattr(kRoot)->qid);
  EXPECT_EQ(Error(client_.Create(1, "a/b", p9::kOpenReadWrite)), EINVAL);
  MakeDirectory("dir");
  for (const uint32_t flags : {p9::kOpenReadOnly, p9::kOpenReadOnly | p9::kOpenDirectory, p9::kOpenReadWrite}) {
    EXPECT_EQ(Error(client_.Create(1, "dir", flags)), EISDIR);
  }
  EXPECT_EQ(Error(client_.Create(1, "dir", p9::kOpenReadOnly | p9::kOpenExclusive)), EEXIST);
  ASSERT_TRUE(client_.Create(1, "there", p9::kOpenReadOnly).ok()) << "not exclusive: it is opened";
  EXPECT_EQ(*client_.Read(1, 0, 9), "text");
}

TEST_F(Case05Lcreate, GidAppliesUnlessTheDirectoryIsSetgid) {
  MakeDirectory("setgid");
  ASSERT_EQ(chown(Host("setgid").c_str(), 0, 55), 0);
  ASSERT_EQ(chmod(Host("setgid").c_str(), 02775), 0);
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  ASSERT_TRUE(client_(p9::Tlcreate{.fid = 1, .name = "f", .flags = 2, .mode = 0600, .gid = 44}).ok());
  EXPECT_EQ(HostStat("f").st_gid, 44u);
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"setgid"}).ok());
  ASSERT_TRUE(client_(p9::Tlcreate{.fid = 2, .name = "f", .flags = 2, .mode = 0600, .gid = 44}).ok());
  EXPECT_EQ(HostStat("setgid/f").st_gid, 55u);
}

TEST_F(Case06Read, ClampsCountsAndEndsWithNothing) {
  MakeFile("file", std::string(100000, 'x'));
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  EXPECT_EQ(Error(client_.Read(1, 0, 1)), EBADF) << "not open";
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  EXPECT_EQ(client_.Read(1, 0, 0xffffffff)->size(), TestCall::kMsize - 11);
  EXPECT_EQ(client_.Read(1, 99990, 100)->size(), 10u);
  EXPECT_EQ(client_.Read(1, 100000, 100)->size(), 0u);
  EXPECT_EQ(client_.Read(1, 5, 0)->size(), 0u);
  EXPECT_EQ(Error(client_.Read(1, ~uint64_t{0}, 1)), EINVAL);
  client_.capacity = 11;
  EXPECT_EQ(Error(client_.Read(1, 0, 1)), EMSGSIZE) << "nothing would mean the end";
  client_.capacity = 12;
  EXPECT_EQ(client_.Read(1, 0, 100)->size(), 1u);
}

TEST_F(Case06Read, OnlyFilesOpenForReading) {
  MakeFile("file", "x");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenWriteOnly).ok());
  EXPECT_EQ(Error(client_.Read(1, 0, 1)), EBADF);
  ASSERT_TRUE(client_.Walk(kRoot, 2, {}).ok());
  ASSERT_TRUE(client_.Open(2, p9::kOpenReadOnly).ok());
  EXPECT_EQ(Error(client_.Read(2, 0, 1)), EISDIR);
}

TEST_F(Case07Write, WritesAtTheOffsetUnlessAppending) {
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  ASSERT_TRUE(client_.Create(1, "file", p9::kOpenReadWrite).ok());
  EXPECT_EQ(*client_.Write(1, 4, "abcd"), 4u);
  EXPECT_EQ(HostRead("file"), std::string("\0\0\0\0abcd", 8));
  EXPECT_EQ(*client_.Write(1, 0, ""), 0u);
  EXPECT_EQ(Error(client_.Write(1, ~uint64_t{0}, "x")), EINVAL);
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"file"}).ok());
  EXPECT_EQ(Error(client_.Write(2, 0, "x")), EBADF) << "not open";
  ASSERT_TRUE(client_.Open(2, p9::kOpenReadOnly).ok());
  EXPECT_EQ(Error(client_.Write(2, 0, "x")), EBADF);
}

TEST_F(Case08Readdir, HasEveryEntryOnceAtAnyCount) {
  std::set<std::string> expected = {".", ".."};
  for (int i = 0; i < 500; ++i) {
    const std::string name = std::string(static_cast<size_t>(1 + i % 60), 'n') + std::to_string(i);
    MakeFile(name);
    expected.insert(name);
  }
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  EXPECT_EQ(Error(client_.Readdir(1, 0, 4096)), EBADF) << "not open";
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  for (const uint32_t count : {100u, 300u, 4096u, 0xffffffffu}) {
    std::set<std::string> seen;
    uint64_t offset = 0;
    for (;;) {
      const auto entries = client_.Readdir(1, offset, count);
      ASSERT_TRUE(entries.ok()) << count;
      if (entries->empty()) break;
      for (const auto& entry : *entries) EXPECT_TRUE(seen.insert(entry.name).second) << entry.name;
      offset = entries->back().offset;
    }
    EXPECT_EQ(seen, expected) << count;
  }
}

TEST_F(Case08Readdir, ACountBelowOneEntryIsInvalid) {
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  for (const uint32_t count : {0u, 1u, 24u}) EXPECT_EQ(Error(client_.Readdir(1, 0, count)), EINVAL) << count;
  EXPECT_FALSE(client_.Readdir(1, 0, 26)->empty());
  client_.capacity = 20;
  EXPECT_EQ(Error(client_.Readdir(1, 0, 4096)), EINVAL);
}

TEST_F(Case08Readdir, OffsetsSurviveReopeningSeekingAndDeletes) {
  for (int i = 0; i < 100; ++i) MakeFile("f" + std::to_string(i));
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  const auto all = client_.Readdir(1, 0, 60000);
  ASSERT_EQ(all->size(), 102u);
  size_t deleted = 0;
  for (size_t i = 0; i < 40; ++i) deleted += unlink(Host((*all)[i].name).c_str()) == 0;  // Not "." and "..".
  ASSERT_GE(deleted, 38u);
  ASSERT_TRUE(client_.Walk(kRoot, 2, {}).ok());
  ASSERT_TRUE(client_.Open(2, p9::kOpenReadOnly).ok());
  for (const p9::Fid fid : {2u, 1u}) {
    const auto rest = client_.Readdir(fid, (*all)[49].offset, 60000);
    ASSERT_EQ(rest->size(), 52u) << fid;
    EXPECT_EQ(rest->front().name, (*all)[50].name);
  }
  EXPECT_EQ(client_.Readdir(1, 0, 60000)->size(), 102 - deleted) << "from the beginning";
}

TEST_F(Case08Readdir, TypesAreThoseOfTheEntries) {
  MakeDirectory("dir");
  MakeFile("file");
  ASSERT_EQ(symlink("x", Host("link").c_str()), 0);
  ASSERT_EQ(mkfifo(Host("fifo").c_str(), 0644), 0);
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  const auto entries = client_.Readdir(1, 0, 4096);
  for (const auto& entry : *entries) {
    if (entry.name == "dir") {
      EXPECT_EQ(entry.type, 4);
      EXPECT_EQ(entry.qid.type, p9::kQidDirectory);
    } else if (entry.name == "file") {
      EXPECT_EQ(entry.type, 8);
    } else if (entry.name == "link") {
      EXPECT_EQ(entry.type, 10);
      EXPECT_EQ(entry.qid.type, p9::kQidSymlink);
    } else if (entry.name == "fifo") {
      EXPECT_EQ(entry.type, 1);
    }
  }
  MakeFile("file");
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"file"}).ok());
  ASSERT_TRUE(client_.Open(2, p9::kOpenReadOnly).ok());
  EXPECT_EQ(Error(client_.Readdir(2, 0, 4096)), ENOTDIR);
}

TEST_F(Case09Getattr, SaysWhatTheHostSays) {
  MakeFile("file", "12345", 0640);
  ASSERT_EQ(chown(Host("file").c_str(), 12, 34), 0);
  const struct stat stat = HostStat("file");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  const auto reply = client_.Getattr(1);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->valid & p9::kGetattrBasic, p9::kGetattrBasic);
  EXPECT_EQ(p9::EncodedSize(*reply) - p9::kHeaderSize, 153u);
  EXPECT_EQ(reply->mode, stat.st_mode);
  EXPECT_EQ(reply->uid, 12u);
  EXPECT_EQ(reply->gid, 34u);
  EXPECT_EQ(reply->nlink, 1u);
  EXPECT_EQ(reply->size, 5u);
  EXPECT_EQ(reply->blocks, static_cast<uint64_t>(stat.st_blocks));
  EXPECT_EQ(reply->blksize, static_cast<uint64_t>(stat.st_blksize));
  EXPECT_EQ(reply->mtime_sec, static_cast<uint64_t>(stat.st_mtim.tv_sec));
  EXPECT_EQ(reply->mtime_nsec, static_cast<uint64_t>(stat.st_mtim.tv_nsec));
  EXPECT_EQ(reply->ctime_nsec, static_cast<uint64_t>(stat.st_ctim.tv_nsec));
  EXPECT_EQ(reply->qid.path, stat.st_ino);
}

TEST_F(Case09Getattr, OfADeviceHasItsNumbers) {
  ASSERT_EQ(mknod(Host("dev").c_str(), S_IFCHR | 0600, 0x80000123405 & 0xffffffff), 0);
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"dev"}).ok());
  EXPECT_EQ(client_.Getattr(1)->rdev, HostStat("dev").st_rdev);
}

TEST_F(Case10Setattr, OwnerBeforeModeSoThatSuidStays) {
  MakeFile("file");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_(p9::Tsetattr{.fid = 1,
                                   .valid = p9::kSetattrMode | p9::kSetattrUid | p9::kSetattrGid,
                                   .mode = 06755,
                                   .uid = 7,
                                   .gid = 8})
                  .ok());
  EXPECT_EQ(HostStat("file").st_mode & 07777, 06755u);
  EXPECT_EQ(HostStat("file").st_uid, 7u);
  ASSERT_TRUE(client_(p9::Tsetattr{.fid = 1, .valid = p9::kSetattrUid, .uid = 9, .gid = 99}).ok());
  EXPECT_EQ(HostStat("file").st_uid, 9u);
  EXPECT_EQ(HostStat("file").st_gid, 8u) << "only the uid was given";
  ASSERT_TRUE(client_(p9::Tsetattr{.fid = 1, .valid = p9::kSetattrGid, .uid = 99, .gid = 10}).ok());
  EXPECT_EQ(HostStat("file").st_uid, 9u);
  EXPECT_EQ(HostStat("file").st_gid, 10u);
}

TEST_F(Case10Setattr, SizeThenTimesLast) {
  MakeFile("file", "text");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_(p9::Tsetattr{.fid = 1,
                                   .valid = p9::kSetattrSize | p9::kSetattrMtime | p9::kSetattrMtimeSet |
                                            p9::kSetattrAtime | p9::kSetattrAtimeSet,
                                   .size = 2,
                                   .atime_sec = 1111,
                                   .atime_nsec = 11,
                                   .mtime_sec = 2222,
                                   .mtime_nsec = 22})
                  .ok());
  const struct stat stat = HostStat("file");
  EXPECT_EQ(stat.st_size, 2);
  EXPECT_EQ(stat.st_atim.tv_sec, 1111);
  EXPECT_EQ(stat.st_atim.tv_nsec, 11);
  EXPECT_EQ(stat.st_mtim.tv_sec, 2222);
  EXPECT_EQ(stat.st_mtim.tv_nsec, 22);
  ASSERT_TRUE(client_(p9::Tsetattr{.fid = 1, .valid = p9::kSetattrMtime, .mtime_sec = 5}).ok());
  EXPECT_GT(HostStat("file").st_mtim.tv_sec, 1000000) << "now, not what was sent";
  EXPECT_EQ(HostStat("file").st_atim.tv_sec, 1111);
}

TEST_F(Case10Setattr, CtimeAloneTouchesIt) {
  MakeFile("file", "text");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  const uint64_t mtime = client_.Getattr(1)->mtime_nsec;
  const auto before = client_.Getattr(1);
  // The host's clock of file times ticks every few milliseconds.
  for (int tries = 0; tries < 100000 && client_.Getattr(1)->ctime_nsec == before->ctime_nsec; ++tries) {
    ASSERT_TRUE(client_(p9::Tsetattr{.fid = 1, .valid = p9::kSetattrCtime}).ok());
  }
  EXPECT_NE(client_.Getattr(1)->ctime_nsec, before->ctime_nsec);
  EXPECT_EQ(client_.Getattr(1)->mtime_nsec, mtime);
}

TEST_F(Case10Setattr, NeverFollowsASymlinkAndRefusesNonsense) {
  MakeFile("file", "text");
  ASSERT_EQ(symlink("file", Host("link").c_str()), 0);
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"link"}).ok());
  ASSERT_TRUE(client_(p9::Tsetattr{.fid = 1, .valid = p9::kSetattrUid, .uid = 5}).ok());
  EXPECT_EQ(HostStat("link").st_uid, 5u);
  EXPECT_EQ(HostStat("file").st_uid, 0u);
  EXPECT_FALSE(client_(p9::Tsetattr{.fid = 1, .valid = p9::kSetattrSize, .size = 0}).ok());
  EXPECT_EQ(HostRead("file"), "text");
  EXPECT_EQ(Error(client_(p9::Tsetattr{.fid = 1, .valid = 0x200})), EINVAL);
  EXPECT_EQ(Error(client_(p9::Tsetattr{
                .fid = 1, .valid = p9::kSetattrMtime | p9::kSetattrMtimeSet, .mtime_nsec = 1'000'000'000})),
            EINVAL);
  EXPECT_TRUE(client_(p9::Tsetattr{.fid = 1, .valid = 0}).ok());
}

TEST_F(Case13OpenUnlinked, EverythingWorksOnTheFid) {
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  ASSERT_TRUE(client_.Create(1, "file", p9::kOpenReadWrite).ok());
  ASSERT_TRUE(client_.Unlink(kRoot, "file").ok());
  EXPECT_EQ(*client_.Write(1, 0, "text"), 4u);
  EXPECT_EQ(*client_.Read(1, 0, 9), "text");
  EXPECT_EQ(client_.Getattr(1)->nlink, 0u);
  EXPECT_TRUE(client_(p9::Tsetattr{.fid = 1, .valid = p9::kSetattrSize, .size = 2}).ok());
  EXPECT_EQ(*client_.Read(1, 0, 9), "te");
  EXPECT_TRUE(client_(p9::Tsetattr{.fid = 1, .valid = p9::kSetattrMode, .mode = 0600}).ok());
  EXPECT_TRUE(client_(p9::Tfsync{.fid = 1, .datasync = 0}).ok());
}

TEST_F(Case13OpenUnlinked, AnUnopenedFidNeverBecomesAnotherFileOfThatName) {
  MakeFile("file", "old");
  const p9::Qid old = client_.Walk(kRoot, 1, {"file"})->wqid[0];
  ASSERT_TRUE(client_.Unlink(kRoot, "file").ok());
  MakeFile("file", "new");
  const auto reply = client_.Getattr(1);
  if (reply.ok()) {
    EXPECT_EQ(reply->qid.path, old.path);
    EXPECT_EQ(reply->nlink, 0u);
  } else {
    EXPECT_EQ(Error(reply), ESTALE);
  }
  EXPECT_NE(Error(client_.Remove(1)), 0);
  EXPECT_EQ(HostRead("file"), "new");
}

TEST_F(Case21Statfs, SaysWhatTheHostSays) {
  struct statfs status;
  ASSERT_EQ(statfs(Host().c_str(), &status), 0);
  const auto reply = client_(p9::Tstatfs{.fid = kRoot});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(p9::EncodedSize(*reply) - p9::kHeaderSize, 60u);
  EXPECT_EQ(reply->namelen, 255u);
  EXPECT_EQ(reply->bsize, static_cast<uint32_t>(status.f_bsize));
  EXPECT_EQ(reply->blocks, status.f_blocks);
  EXPECT_EQ(reply->files, status.f_files);
}

TEST_F(Case22Fsync, WithAndWithoutDatasync) {
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  EXPECT_EQ(Error(client_(p9::Tfsync{.fid = 1, .datasync = 0})), EBADF) << "not open";
  ASSERT_TRUE(client_.Create(1, "file", p9::kOpenReadWrite).ok());
  EXPECT_TRUE(client_(p9::Tfsync{.fid = 1, .datasync = 0}).ok());
  EXPECT_TRUE(client_(p9::Tfsync{.fid = 1, .datasync = 1}).ok());
  TestCall shorter(std::vector<uint8_t>{11, 0, 0, 0, p9::Tfsync::kType, 1, 0, 1, 0, 0, 0});
  ASSERT_EQ(session_->Serve(shorter.call()), Outcome::kAnswered);
  EXPECT_TRUE(p9::DecodeReply<p9::Tfsync>(shorter.Reply()).ok());
  ASSERT_TRUE(client_.Walk(kRoot, 2, {}).ok());
  ASSERT_TRUE(client_.Open(2, p9::kOpenReadOnly).ok());
  EXPECT_TRUE(client_(p9::Tfsync{.fid = 2, .datasync = 0}).ok()) << "a directory";
}

}  // namespace
}  // namespace virtfs
