// Points 4 to 7, 9, 10, 13, 20 to 22: opening, bytes and attributes of files.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <ctime>
#include <set>
#include <string>
#include <vector>

#include "tests/semantics/fixture.h"

namespace virtfs {
namespace {

// --- 4: Tlopen ---

TEST_P(Reading, P04_OpensOnceOnly) {
  MakeFile("f", "text");
  const p9::Fid file = At({"f"});
  const Result<p9::Rlopen> reply = wire()(p9::Tlopen{file, p9::kOpenReadOnly});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->qid.path, Stat(file).qid.path);
  EXPECT_LE(reply->iounit, Wire::kMsize - p9::kIoHeaderSize);
  EXPECT_EQ(OpenError(file, p9::kOpenReadOnly), EINVAL);
  EXPECT_EQ(Read(file), "text") << "open still";
}

TEST_P(Reading, P04_FlagsOfNoConcernAreIgnored) {
  MakeFile("f", "text");
  for (const uint32_t flag : {p9::kOpenNoCtty, p9::kOpenAsync, p9::kOpenDirect, p9::kOpenLargeFile, p9::kOpenNoFollow,
                              p9::kOpenCloseOnExec, p9::kOpenNoAtime, p9::kOpenNonblock}) {
    const p9::Fid file = OpenAt("f", p9::kOpenReadOnly | flag);
    EXPECT_EQ(Read(file, 1, 2), "ex") << flag;  // unaligned: O_DIRECT would refuse
  }
  // O_CREAT makes nothing and is no error.
  if (!GetParam().readonly) {
    EXPECT_EQ(Read(OpenAt("f", p9::kOpenReadOnly | p9::kOpenCreate)), "text");
  }
}

TEST_P(Changing, P04_TruncatesAndAppends) {
  MakeFile("f", "text");
  p9::Fid file = OpenAt("f", p9::kOpenReadWrite | p9::kOpenAppend);
  EXPECT_EQ(WriteError(file, 0, "+"), 0);
  EXPECT_EQ(Read(file), "text+");
  file = OpenAt("f", p9::kOpenWriteOnly | p9::kOpenTruncate);
  EXPECT_EQ(Stat(file).size, 0u);
}

TEST_P(Reading, P04_SpecialFilesAreRefusedAtOnce) {
  MakeNode("fifo", S_IFIFO | 0644);
  MakeNode("socket", S_IFSOCK | 0644);
  if (GetParam().makes_devices) MakeNode("null", S_IFCHR | 0666, 1, 3);
  MakeSymlink("link", "f");
  for (const std::string& name : Names()) {
    for (const uint32_t flags : {p9::kOpenReadOnly, p9::kOpenWriteOnly, p9::kOpenReadWrite}) {
      const p9::Fid file = At({name});
      EXPECT_NE(OpenError(file, flags), 0) << name << " " << flags;
      EXPECT_EQ(StatError(file), 0) << name;
    }
  }
  EXPECT_GE(Names().size(), 3u);
}

TEST_P(Reading, P04_DirectoriesAreNotForWriting) {
  MakeDirectory("d");
  for (const uint32_t flags : {p9::kOpenWriteOnly, p9::kOpenReadWrite, p9::kOpenReadOnly | p9::kOpenTruncate}) {
    EXPECT_THAT(OpenError(At({"d"}), flags), testing::AnyOf(EISDIR, EROFS)) << flags;
  }
  EXPECT_EQ(OpenError(At({"d"}), p9::kOpenReadOnly | p9::kOpenDirectory), 0);
  MakeFile("f");
  EXPECT_EQ(OpenError(At({"f"}), p9::kOpenReadOnly | p9::kOpenDirectory), ENOTDIR);
  EXPECT_EQ(OpenError(4711, p9::kOpenReadOnly), EBADF);
}

// --- 5: Tlcreate ---

TEST_P(Changing, P05_TheDirectorysFidBecomesTheFile) {
  const p9::Fid fid = At({});
  const Result<p9::Rlcreate> reply = wire()(p9::Tlcreate{fid, "f", p9::kOpenReadWrite, 0640, 0});
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->qid.type, p9::kQidFile);
  EXPECT_EQ(WriteError(fid, 0, "text"), 0);
  EXPECT_EQ(Stat(fid).qid.path, reply->qid.path);
  EXPECT_EQ(Stat(At({"f"})).qid.path, reply->qid.path);
  EXPECT_EQ(WalkError(fid, 900, {"x"}), ENOTDIR) << "a directory no more";
}

TEST_P(Changing, P05_AfterAnErrorItIsTheDirectoryStill) {
  MakeFile("f", "text");
  const p9::Fid fid = At({});
  EXPECT_EQ(ErrorOf(wire()(p9::Tlcreate{fid, "f", p9::kOpenReadWrite | p9::kOpenExclusive, 0640, 0})), EEXIST);
  EXPECT_EQ(ErrorOf(wire()(p9::Tlcreate{fid, std::string(256, 'n'), p9::kOpenReadWrite, 0640, 0})), ENAMETOOLONG);
  EXPECT_EQ(Stat(fid).qid, Stat(dir_).qid);
  EXPECT_EQ(WalkError(fid, NewFid(), {"f"}), 0);
  EXPECT_EQ(ErrorOf(wire()(p9::Tlcreate{At({"f"}), "x", p9::kOpenReadWrite, 0640, 0})), ENOTDIR);
}

TEST_P(Changing, P05_WithoutExclusiveOpensWhatIsThere) {
  MakeFile("f", "text");
  EXPECT_EQ(Read(Create("f", p9::kOpenReadWrite)), "text");
  EXPECT_EQ(Stat(Create("f", p9::kOpenReadWrite | p9::kOpenTruncate)).size, 0u);
}

TEST_P(Changing, P05_TheModeIsAsGiven) {
  for (const uint32_t mode : {0666u, 0777u, 0600u, 0444u, 0u}) {
    const p9::Fid file = Create("f" + std::to_string(mode), p9::kOpenReadWrite, mode);
    EXPECT_EQ(Stat(file).mode, S_IFREG | mode) << "the client has applied its umask";
  }
}

TEST_P(Changing, P05_TheGroupIsAsGivenUnlessTheDirectoryIsSetgid) {
  if (!GetParam().keeps_owners) GTEST_SKIP() << "every file is the server's";
  EXPECT_EQ(Stat(Create("f", p9::kOpenReadWrite, 0644, 2000)).gid, 2000u);
  MakeDirectory("d");
  const p9::Fid d = At({"d"});
  ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = d, .valid = p9::kSetattrGid, .gid = 3000})), 0);
  ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = d, .valid = p9::kSetattrMode, .mode = 02777})), 0);
  ASSERT_EQ(ErrorOf(wire()(p9::Tlcreate{d, "f", p9::kOpenReadWrite, 0644, 2000})), 0);
  EXPECT_EQ(Stat(d).gid, 3000u);
}

// --- 6: Tread ---

TEST_P(Reading, P06_CountsAreClamped) {
  const std::string content(size_t{3} * Wire::kMsize, 'x');
  MakeFile("f", content.substr(0, 60'000));
  const p9::Fid file = OpenAt("f", p9::kOpenReadOnly);
  EXPECT_EQ(Read(file, 0, 0xffffffff).size(), 60'000u);
  EXPECT_EQ(Read(file, 59'990, 100).size(), 10u);
  EXPECT_EQ(Read(file, 60'000, 100), "") << "the end";
  EXPECT_EQ(Read(file, 1'000'000, 100), "");
  EXPECT_EQ(Read(file, 0, 0), "");
  EXPECT_NE(ErrorOf(wire()(p9::Tread{file, ~uint64_t{0}, 10})), 0) << "no offset";
}

TEST_P(Reading, P06_OnlyOpenFilesAreRead) {
  MakeFile("f", "text");
  EXPECT_EQ(ReadError(At({"f"})), EBADF);
  EXPECT_EQ(ReadError(4711), EBADF);
  const p9::Fid directory = At({});
  ASSERT_EQ(OpenError(directory, p9::kOpenReadOnly), 0);
  EXPECT_EQ(ReadError(directory), EISDIR);
  if (!GetParam().readonly) {
    EXPECT_EQ(ReadError(OpenAt("f", p9::kOpenWriteOnly)), EBADF);
  }
}

// --- 7: Twrite ---

TEST_P(Changing, P07_WritesWhatItSays) {
  const p9::Fid file = Create("f");
  const std::string most(Wire::kMsize - 23, 'x');
  const Result<p9::Rwrite> written = wire()(p9::Twrite{file, 5, static_cast<uint32_t>(most.size())}, most);
  ASSERT_TRUE(written.ok());
  EXPECT_GT(written->count, 0u);
  EXPECT_LE(written->count, most.size());
  EXPECT_EQ(Stat(file).size, 5 + written->count);
  EXPECT_EQ(Read(file, 0, 6), std::string(5, '\0') + "x");
  EXPECT_EQ(WriteError(file, 0, ""), 0);
  EXPECT_NE(WriteError(file, ~uint64_t{0}, "x"), 0) << "no offset";
}

// A guest's kernel leaves it to the server, which writes as root (pjdfstest chmod/12).
TEST_P(Changing, P07_AWriteByAnyoneButRootClearsSetIds) {
  MakeFile("root", "text", 06777);
  MakeFile("user", "", 06777);
  MakeFile("no-group-x", "text", 06767);
  EXPECT_EQ(WriteError(OpenAt("root", p9::kOpenWriteOnly), 0, "x"), 0);
  // An unprivileged server is nobody's root.
  EXPECT_EQ(Stat(At({"root"})).mode, S_IFREG | (GetParam().keeps_owners ? 06777u : 0777u));
  Begin(1000);
  EXPECT_EQ(WriteError(OpenAt("user", p9::kOpenReadOnly), 0, "x"), EBADF);
  EXPECT_EQ(WriteError(OpenAt("user", p9::kOpenWriteOnly), 0, ""), 0);
  EXPECT_EQ(Stat(At({"user"})).mode, S_IFREG | 06777u) << "nothing was written";
  EXPECT_EQ(WriteError(OpenAt("user", p9::kOpenWriteOnly), 0, "x"), 0);
  EXPECT_EQ(Stat(At({"user"})).mode, S_IFREG | 0777u);
  EXPECT_EQ(WriteError(OpenAt("no-group-x", p9::kOpenWriteOnly), 0, "x"), 0);
  EXPECT_EQ(Stat(At({"no-group-x"})).mode, S_IFREG | 02767u) << "set-gid means something else there";
}

TEST_P(Changing, P07_OnlyWhatIsOpenForIt) {
  MakeFile("f", "text");
  EXPECT_EQ(WriteError(At({"f"}), 0, "x"), EBADF);
  EXPECT_EQ(WriteError(OpenAt("f", p9::kOpenReadOnly), 0, "x"), EBADF);
  EXPECT_EQ(WriteError(4711, 0, "x"), EBADF);
  EXPECT_EQ(Read(OpenAt("f", p9::kOpenReadOnly)), "text");
}

TEST_P(Changing, P07_AppendIgnoresTheOffset) {
  MakeFile("f", "text");
  const p9::Fid file = OpenAt("f", p9::kOpenReadWrite | p9::kOpenAppend);
  EXPECT_EQ(WriteError(file, 1, "12"), 0);
  EXPECT_EQ(WriteError(file, 1'000'000, "34"), 0);
  EXPECT_EQ(Read(file), "text1234");
}

TEST_P(Changing, P07_ACountThatIsNotThePayloadsIsInvalid) {
  const p9::Fid file = Create("f");
  for (const uint32_t count : {0u, 3u, 5u, 0xffffffffu}) {
    Bytes frame = Wire::BytesOf(9, p9::Twrite{file, 0, 4}, "text");
    std::memcpy(frame.data() + 19, &count, sizeof count);
    EXPECT_EQ(ErrorOf(wire().Raw(frame)), EINVAL) << count;
  }
  EXPECT_EQ(Stat(file).size, 0u);
}

// --- 9: Tgetattr ---

TEST_P(Reading, P09_AttributesAreWholeAndTheQidIsWalks) {
  MakeFile("f", "text", 0640);
  const Result<p9::Rwalk> walk = wire()(p9::Twalk{dir_, 900, {"f"}});
  ASSERT_TRUE(walk.ok());
  for (const uint64_t mask : {p9::kGetattrBasic, p9::kGetattrAll, ~uint64_t{0}}) {
    const Bytes reply = wire().Start(9, p9::Tgetattr{900, mask})->Wait();
    EXPECT_EQ(reply.size(), 7u + 153);
    const Result<p9::Rgetattr> attributes = p9::Decode<p9::Rgetattr>(reply);
    ASSERT_TRUE(attributes.ok());
    EXPECT_EQ(attributes->valid & p9::kGetattrBasic, p9::kGetattrBasic);
    EXPECT_EQ(attributes->qid, walk->wqid[0]);
    EXPECT_EQ(attributes->mode, S_IFREG | 0640u);
    EXPECT_EQ(attributes->nlink, 1u);
    EXPECT_EQ(attributes->size, 4u);
    EXPECT_NEAR(static_cast<double>(attributes->mtime_sec), static_cast<double>(time(nullptr)), 60);
  }
}

// --- 10: Tsetattr ---

TEST_P(Changing, P10_EachBitChangesItsOwnOnly) {
  MakeFile("f", "text");
  const p9::Fid file = At({"f"});
  const auto set = [&](const p9::Tsetattr& change) { EXPECT_EQ(ErrorOf(wire()(change)), 0) << change.valid; };
  set({.fid = file, .valid = p9::kSetattrMode, .mode = 0711, .size = 99});
  EXPECT_EQ(Stat(file).mode, S_IFREG | 0711u);
  EXPECT_EQ(Stat(file).size, 4u);
  set({.fid = file, .valid = p9::kSetattrSize, .mode = 0, .size = 2});
  EXPECT_EQ(Stat(file).size, 2u);
  set({.fid = file, .valid = p9::kSetattrSize, .size = 1000});
  EXPECT_EQ(Stat(file).size, 1000u);
  EXPECT_EQ(Stat(file).mode, S_IFREG | 0711u);
}

TEST_P(Changing, P10_TimesAreSetOrNow) {
  MakeFile("f");
  const p9::Fid file = At({"f"});
  const uint32_t both = p9::kSetattrAtime | p9::kSetattrAtimeSet | p9::kSetattrMtime | p9::kSetattrMtimeSet;
  ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{
                .fid = file, .valid = both, .atime_sec = 1000, .atime_nsec = 1, .mtime_sec = 2000, .mtime_nsec = 2})),
            0);
  EXPECT_EQ(Stat(file).atime_sec, 1000u);
  EXPECT_EQ(Stat(file).atime_nsec, 1u);
  EXPECT_EQ(Stat(file).mtime_sec, 2000u);
  EXPECT_EQ(Stat(file).mtime_nsec, 2u);
  // Without SET: now, whatever the field says; the other stays.
  ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = file, .valid = p9::kSetattrAtime, .atime_sec = 5})), 0);
  EXPECT_NEAR(static_cast<double>(Stat(file).atime_sec), static_cast<double>(time(nullptr)), 60);
  EXPECT_EQ(Stat(file).mtime_sec, 2000u);
  // With a size: the times come last, or the truncation would spoil them.
  ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = file,
                                        .valid = p9::kSetattrSize | p9::kSetattrMtime | p9::kSetattrMtimeSet,
                                        .size = 9,
                                        .mtime_sec = 3000})),
            0);
  EXPECT_EQ(Stat(file).mtime_sec, 3000u);
}

TEST_P(Changing, P10_CtimeAloneTouchesCtime) {
  MakeFile("f");
  const p9::Fid file = At({"f"});
  const p9::Rgetattr before = Stat(file);
  // The clock of file times ticks every few milliseconds.
  const auto deadline = std::chrono::steady_clock::now() + kBound;
  p9::Rgetattr after = before;
  while (after.ctime_sec == before.ctime_sec && after.ctime_nsec == before.ctime_nsec) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = file, .valid = p9::kSetattrCtime})), 0);
    after = Stat(file);
  }
  EXPECT_EQ(after.mtime_sec, before.mtime_sec);
  EXPECT_EQ(after.mtime_nsec, before.mtime_nsec);
  EXPECT_EQ(after.mode, before.mode);
}

TEST_P(Changing, P10_OwnersOneAtATimeAndBeforeTheMode) {
  MakeFile("f");
  const p9::Fid file = At({"f"});
  ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = file, .valid = p9::kSetattrUid | p9::kSetattrGid, .uid = 7, .gid = 8})),
            0);
  if (!GetParam().keeps_owners) {
    EXPECT_EQ(Stat(file).uid, kServersUid) << "no error, and no change";
    return;
  }
  ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = file, .valid = p9::kSetattrUid, .uid = 9, .gid = 99})), 0);
  EXPECT_EQ(Stat(file).uid, 9u);
  EXPECT_EQ(Stat(file).gid, 8u);
  ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = file, .valid = p9::kSetattrGid, .uid = 99, .gid = 10})), 0);
  EXPECT_EQ(Stat(file).uid, 9u);
  EXPECT_EQ(Stat(file).gid, 10u);
  // A change of owner takes the setuid bit away: the new mode comes after it.
  ASSERT_EQ(
      ErrorOf(wire()(p9::Tsetattr{.fid = file, .valid = p9::kSetattrMode | p9::kSetattrUid, .mode = 04755, .uid = 11})),
      0);
  EXPECT_EQ(Stat(file).mode, S_IFREG | 04755u);
  EXPECT_EQ(Stat(file).uid, 11u);
}

TEST_P(Changing, P10_ASymlinkIsNotFollowed) {
  MakeFile("f", "text", 0644);
  MakeSymlink("link", "f");
  const p9::Rgetattr before = Stat(At({"f"}));
  const p9::Fid link = At({"link"});
  const uint32_t mtime = p9::kSetattrMtime | p9::kSetattrMtimeSet;
  EXPECT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = link, .valid = mtime, .mtime_sec = 4000})), 0);
  EXPECT_EQ(Stat(link).mtime_sec, 4000u);
  EXPECT_NE(ErrorOf(wire()(p9::Tsetattr{.fid = link, .valid = p9::kSetattrSize, .size = 0})), 0);
  if (GetParam().keeps_owners) {
    EXPECT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = link, .valid = p9::kSetattrUid, .uid = 5})), 0);
    EXPECT_EQ(Stat(link).uid, 5u);
  }
  EXPECT_EQ(Stat(At({"f"})), before);
}

// --- 13: open, but unlinked ---

TEST_P(Changing, P13_AnOpenFileWorksWithoutAName) {
  MakeFile("f", "text");
  const p9::Fid file = OpenAt("f", p9::kOpenReadWrite);
  ASSERT_EQ(ErrorOf(wire()(p9::Tunlinkat{dir_, "f", 0})), 0);
  MakeFile("f", "another of that name");
  EXPECT_EQ(Read(file), "text");
  EXPECT_EQ(WriteError(file, 4, "!"), 0);
  EXPECT_EQ(Stat(file).size, 5u);
  EXPECT_EQ(Stat(file).nlink, 0u);
  EXPECT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = file, .valid = p9::kSetattrSize, .size = 2})), 0);
  EXPECT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = file, .valid = p9::kSetattrMode, .mode = 0600})), 0);
  EXPECT_EQ(Stat(file).mode, S_IFREG | 0600u);
  EXPECT_EQ(Read(file), "te");
  EXPECT_EQ(ErrorOf(wire()(p9::Tfsync{file, 0})), 0);
  const Result<p9::Rlock> lock = wire()(p9::Tlock{file, p9::kLockWrite, 0, 0, 0, 1, "client"});
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(lock->status, p9::kLockSuccess);
  EXPECT_EQ(Read(OpenAt("f", p9::kOpenReadOnly)), "another of that name");
  EXPECT_EQ(ClunkError(file), 0);
}

TEST_P(Changing, P13_AnIdleFidNeverBecomesTheNextFileOfItsName) {
  MakeFile("f", "text");
  const p9::Fid file = At({"f"});
  ASSERT_EQ(ErrorOf(wire()(p9::Tunlinkat{dir_, "f", 0})), 0);
  MakeFile("f", "another");
  const p9::Qid other = Stat(At({"f"})).qid;
  const Result<p9::Rgetattr> old = wire()(p9::Tgetattr{file, p9::kGetattrBasic});
  if (old.ok()) {
    EXPECT_NE(old->qid.path, other.path);
    EXPECT_EQ(old->nlink, 0u);
  } else {
    EXPECT_THAT(ErrorOf(old), testing::AnyOf(ENOENT, ESTALE));
  }
  const int opened = OpenError(file, p9::kOpenReadOnly);
  EXPECT_THAT(opened, testing::AnyOf(0, ENOENT, ESTALE));
  if (opened == 0) {
    EXPECT_EQ(Read(file), "text");
  }
}

// --- 20: qids ---

TEST_P(Reading, P20_OneFileOneQid) {
  MakeFile("f", "text");
  MakeDirectory("d");
  MakeSymlink("l", "f");
  const p9::Fid directory = At({});
  ASSERT_EQ(OpenError(directory, p9::kOpenReadOnly), 0);
  std::set<uint64_t> paths;
  size_t count = 0;
  for (const Entry& entry : List(directory)) {
    if (entry.name == "." || entry.name == "..") continue;
    const Result<p9::Rwalk> walk = wire()(p9::Twalk{dir_, NewFid(), {entry.name}});
    ASSERT_TRUE(walk.ok() && walk->wqid.size() == 1);
    EXPECT_EQ(walk->wqid[0].path, entry.qid.path) << entry.name;
    EXPECT_EQ(Stat(At({entry.name})).qid, walk->wqid[0]) << entry.name;
    paths.insert(entry.qid.path);
    ++count;
  }
  EXPECT_EQ(count, 3u);
  EXPECT_EQ(paths.size(), 3u);
  // In another session too.
  const p9::Qid before = Stat(At({"f"})).qid;
  Begin();
  EXPECT_EQ(Stat(At({"f"})).qid, before);
}

TEST_P(Changing, P20_HardLinksShareItAndCreationTellsIt) {
  const p9::Fid fid = At({});
  const Result<p9::Rlcreate> made = wire()(p9::Tlcreate{fid, "f", p9::kOpenReadWrite, 0644, 0});
  ASSERT_TRUE(made.ok());
  ASSERT_EQ(ErrorOf(wire()(p9::Tlink{dir_, fid, "g"})), 0);
  EXPECT_EQ(Stat(At({"g"})).qid.path, made->qid.path);
  EXPECT_EQ(Stat(At({"g"})).nlink, 2u);
}

TEST_P(Changing, P20_TheVersionChangesWithTheFile) {
  const p9::Fid file = Create("f");
  const p9::Qid before = Stat(file).qid;
  p9::Qid after = before;
  const auto deadline = std::chrono::steady_clock::now() + kBound;
  while (after.version == before.version) {  // within a tick of the clock of file times
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    ASSERT_EQ(WriteError(file, 0, "text"), 0);
    after = Stat(file).qid;
  }
  EXPECT_EQ(after.path, before.path);
}

TEST_P(Changing, P20_AReusedInodeIsNoAliasOfAnOpenFile) {
  MakeFile("f", "text");
  const p9::Fid file = OpenAt("f", p9::kOpenReadOnly);
  const uint64_t path = Stat(file).qid.path;
  ASSERT_EQ(ErrorOf(wire()(p9::Tunlinkat{dir_, "f", 0})), 0);
  for (int i = 0; i < 50; ++i) {
    const p9::Fid next = Create("g" + std::to_string(i));
    EXPECT_NE(Stat(next).qid.path, path);
  }
  EXPECT_EQ(Read(file), "text");
}

// --- 21: Tstatfs ---

TEST_P(Reading, P21_TheFileSystemsNumbers) {
  const Bytes reply = wire().Start(9, p9::Tstatfs{dir_})->Wait();
  EXPECT_EQ(reply.size(), 7u + 60);
  const Result<p9::Rstatfs> status = p9::Decode<p9::Rstatfs>(reply);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->namelen, 255u);
  EXPECT_GT(status->bsize, 0u);
  EXPECT_GE(status->blocks, status->bfree);
  EXPECT_GE(status->bfree, status->bavail);
  EXPECT_EQ(ErrorOf(wire()(p9::Tstatfs{4711})), EBADF);
}

// --- 22: Tfsync ---

TEST_P(Reading, P22_DatasyncMayBeLeftOut) {
  MakeFile("f");
  const p9::Fid file = OpenAt("f", p9::kOpenReadOnly);
  for (const uint32_t datasync : {0u, 1u}) EXPECT_EQ(ErrorOf(wire()(p9::Tfsync{file, datasync})), 0);
  Bytes frame = Wire::BytesOf(9, p9::Tfsync{file, 0});
  ASSERT_EQ(frame.size(), 15u);
  frame.resize(11);
  frame[0] = 11;
  EXPECT_EQ(wire().Raw(frame), (Bytes{7, 0, 0, 0, 51, 9, 0}));
  EXPECT_EQ(ErrorOf(wire()(p9::Tfsync{At({"f"}), 0})), EBADF) << "not open";
}

}  // namespace
}  // namespace virtfs
