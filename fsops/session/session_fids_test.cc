// Cases 1 to 3, 18 to 20, 25 and 26 of 9P2000.L: versions, attaching, walking, flushing, tags, qids, clunking, errors.

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <algorithm>
#include <set>
#include <string>

#include "fsops/session/session_test_client.h"

namespace virtfs {
namespace {

using Case01Version = SessionTest;
using Case02Attach = SessionTest;
using Case03Walk = SessionTest;
using Case18Flush = SessionTest;
using Case19Tags = SessionTest;
using Case20Qid = SessionTest;
using Case25Clunk = SessionTest;
using Case26Errors = SessionTest;

p9::Tversion Version(uint32_t msize, std::string_view version = p9::kVersion) {
  return {.msize = msize, .version = version};
}

p9::Tattach Attach(p9::Fid fid, std::string_view aname = "", uint32_t n_uname = 0, std::string_view uname = "") {
  return {.fid = fid, .afid = p9::kNoFid, .uname = uname, .aname = aname, .n_uname = n_uname};
}

TEST_F(Case01Version, MsizeIsAtMostWhatWasAskedAndWhatWeCan) {
  EXPECT_EQ(client_(Version(8192))->msize, 8192u);
  EXPECT_EQ(client_(Version(0xffffffff))->msize, 512u * 1024);
  EXPECT_EQ(client_(Version(4096))->msize, 4096u);
  EXPECT_EQ(client_(Version(65536))->msize, 65536u) << "raised again";
  EXPECT_EQ(Error(client_(Version(4095))), EMSGSIZE);
}

TEST_F(Case01Version, OnlyTheExactDialectIsKnown) {
  EXPECT_EQ(client_(Version(8192))->version, "9P2000.L");
  for (const std::string_view other : {"9P2000", "9P2000.u", "9P2000.L ", "9P2000.Lx", ""}) {
    const auto reply = client_(Version(8192, other));
    ASSERT_TRUE(reply.ok()) << other;
    EXPECT_EQ(reply->version, "unknown") << other;
    EXPECT_EQ(Error(client_(Attach(1))), EINVAL) << "no version, nothing else";
  }
  EXPECT_TRUE(client_(Version(8192)).ok());
  EXPECT_TRUE(client_(Attach(1)).ok());
}

TEST_F(Case01Version, ClunksAllFids) {
  MakeFile("open", "x");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"open"}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  ASSERT_TRUE(client_(Version(8192)).ok());
  EXPECT_EQ(Error(client_.Getattr(kRoot)), EBADF);
  EXPECT_EQ(Error(client_.Read(1, 0, 1)), EBADF);
  EXPECT_TRUE(client_(Attach(kRoot)).ok());
}

TEST_F(Case01Version, ANewMsizeBoundsRequestsAndReplies) {
  MakeFile("file", std::string(10000, 'x'));
  ASSERT_TRUE(client_(Version(4096)).ok());
  ASSERT_TRUE(client_(Attach(kRoot)).ok());
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"file"}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadWrite).ok());
  EXPECT_EQ(client_.Read(1, 0, 10000)->size(), 4096u - 11);
  EXPECT_EQ(Error(client_.Write(1, 0, std::string(4096 - 23 + 1, 'y'))), EMSGSIZE);
  EXPECT_EQ(*client_.Write(1, 0, std::string(4096 - 23, 'y')), 4096u - 23);
}

TEST_F(Case02Attach, RefusesAuthenticationAndBadFids) {
  EXPECT_EQ(Error(client_(p9::Tauth{.afid = 1, .uname = "", .aname = "", .n_uname = 0})), EOPNOTSUPP);
  p9::Tattach with_afid = Attach(1);
  with_afid.afid = 5;
  EXPECT_EQ(Error(client_(with_afid)), EINVAL);
  EXPECT_EQ(Error(client_(Attach(p9::kNoFid))), EINVAL);
  EXPECT_EQ(Error(client_(Attach(kRoot))), EBADF) << "in use";
}

TEST_F(Case02Attach, SeveralCoexistEachWithItsUser) {
  ASSERT_TRUE(client_(Attach(1, "", 1234)).ok());
  ASSERT_TRUE(client_(Attach(2, "", p9::kNoUname, "4321")).ok());
  ASSERT_TRUE(client_(Attach(3, "", p9::kNoUname, "nobody")).ok());
  ASSERT_TRUE(client_(Attach(4, "", p9::kNoUname, "root")).ok());
  int i = 0;
  for (const uint32_t uid : {0u, 1234u, 4321u, 65534u, 0u}) {
    const std::string name = "of" + std::to_string(i);
    ASSERT_TRUE(client_(p9::Tmkdir{.dfid = static_cast<p9::Fid>(i++), .name = name, .mode = 0755, .gid = 77}).ok());
    EXPECT_EQ(HostStat(name).st_uid, uid) << name;
    EXPECT_EQ(HostStat(name).st_gid, 77u) << name;
  }
}

TEST_F(Case02Attach, AnameIsConfinedToTheExport) {
  MakeDirectory("sub");
  MakeDirectory("sub/dir");
  MakeFile("file");
  ASSERT_EQ(symlink("/", Host("link").c_str()), 0);
  const p9::Qid root = client_(Attach(1, "/"))->qid;
  EXPECT_EQ(client_(Attach(2, "/sub/../../.."))->qid, root);
  EXPECT_EQ(client_(Attach(3, "sub//./dir/"))->qid.path, HostStat("sub/dir").st_ino);
  EXPECT_EQ(Error(client_(Attach(4, "/etc"))), ENOENT);
  EXPECT_EQ(Error(client_(Attach(4, "/link"))), ENOTDIR);
  EXPECT_EQ(Error(client_(Attach(4, "/file"))), ENOTDIR);
}

TEST_F(Case03Walk, NoNamesClonesAlsoOntoItself) {
  EXPECT_TRUE(client_.Walk(kRoot, 1, {})->wqid.empty());
  EXPECT_TRUE(client_.Walk(1, 1, {}).ok());
  EXPECT_EQ(client_.Getattr(1)->qid, client_.Getattr(kRoot)->qid);
}

TEST_F(Case03Walk, OntoTheSameFidMovesIt) {
  MakeDirectory("a");
  MakeFile("a/b");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  const auto walked = client_.Walk(1, 1, {"a", "b"});
  ASSERT_EQ(walked->wqid.size(), 2u);
  EXPECT_EQ(client_.Getattr(1)->qid, walked->wqid[1]);
  EXPECT_EQ(Error(client_.Walk(1, 1, {"c"})), ENOTDIR);
  EXPECT_EQ(client_.Getattr(1)->qid, walked->wqid[1]) << "unchanged by a failure";
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  EXPECT_EQ(Error(client_.Walk(1, 1, {".."})), EINVAL) << "open";
  EXPECT_TRUE(client_.Walk(1, 2, {}).ok()) << "a clone of an open fid is not open";
  EXPECT_EQ(Error(client_.Read(2, 0, 1)), EBADF);
}

TEST_F(Case03Walk, RefusesBadFids) {
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  EXPECT_EQ(Error(client_.Walk(kRoot, 1, {})), EBADF) << "in use";
  EXPECT_EQ(Error(client_.Walk(99, 2, {})), EBADF) << "unknown";
  EXPECT_EQ(Error(client_.Walk(kRoot, p9::kNoFid, {})), EINVAL);
}

TEST_F(Case03Walk, SeventeenNamesAreTooMany) {
  std::vector<uint8_t> frame = TestCall::FrameOf(1, p9::Twalk{.fid = kRoot, .newfid = 1, .wname = {}});
  frame[15] = 17;
  for (int i = 0; i < 17; ++i) frame.insert(frame.end(), {2, 0, '.', '.'});
  frame[0] = static_cast<uint8_t>(frame.size());
  TestCall call(frame);
  ASSERT_EQ(session_->Serve(call.call()), Outcome::kAnswered);
  EXPECT_EQ(Error(p9::DecodeReply<p9::Twalk>(call.Reply())), EINVAL);
}

TEST_F(Case03Walk, PartialWalkMakesNoFid) {
  MakeDirectory("a");
  MakeFile("a/file");
  EXPECT_EQ(Error(client_.Walk(kRoot, 1, {"no"})), ENOENT);
  const auto partial = client_.Walk(kRoot, 1, {"a", "no", "b"});
  ASSERT_TRUE(partial.ok());
  ASSERT_EQ(partial->wqid.size(), 1u);
  EXPECT_EQ(partial->wqid[0].path, HostStat("a").st_ino);
  EXPECT_EQ(Error(client_.Getattr(1)), EBADF);
  EXPECT_EQ(client_.Walk(kRoot, 1, {"a", "file", "below"})->wqid.size(), 2u) << "through a file";
  EXPECT_EQ(Error(client_.Getattr(1)), EBADF);
}

TEST_F(Case03Walk, DotDotStopsAtTheRoot) {
  MakeDirectory("a");
  const p9::Qid root = client_.Getattr(kRoot)->qid;
  const auto walked = client_.Walk(kRoot, 1, {"..", "..", "a", "..", ".."});
  ASSERT_EQ(walked->wqid.size(), 5u);
  for (const size_t i : {0u, 1u, 3u, 4u}) EXPECT_EQ(walked->wqid[i], root) << i;
}

TEST_F(Case03Walk, NeverFollowsSymlinks) {
  MakeDirectory("dir");
  MakeFile("dir/file");
  ASSERT_EQ(symlink("dir", Host("link").c_str()), 0);
  ASSERT_EQ(symlink("/", Host("out").c_str()), 0);
  EXPECT_EQ(client_.Walk(kRoot, 1, {"link"})->wqid[0].type, p9::kQidSymlink);
  EXPECT_EQ(client_.Walk(kRoot, 2, {"link", "file"})->wqid.size(), 1u);
  EXPECT_EQ(Error(client_.Walk(1, 2, {"file"})), ENOTDIR);
  EXPECT_EQ(client_.Walk(kRoot, 2, {"out", "etc"})->wqid.size(), 1u);
}

TEST_F(Case18Flush, OfNothingInFlightIsAnsweredAtOnce) {
  EXPECT_TRUE(client_(p9::Tflush{.oldtag = 77}).ok());
  EXPECT_TRUE(client_(p9::Tflush{.oldtag = 1}).ok()) << "its own tag";
  EXPECT_TRUE(client_(p9::Tflush{.oldtag = p9::kNoTag}).ok());
}

TEST_F(Case18Flush, FollowsTheReplyThatItNames) {
  TestCall getattr(7, p9::Tgetattr{.fid = kRoot, .request_mask = 0});
  TestCall flush(8, p9::Tflush{.oldtag = 7});
  session_->Arrive(getattr.call());
  session_->Arrive(flush.call());
  EXPECT_EQ(session_->Serve(flush.call()), Outcome::kWaiting);
  EXPECT_EQ(session_->Serve(getattr.call()), Outcome::kAnswered);
  EXPECT_EQ(session_->Finish(getattr.call()), std::vector<Call*>{&flush.call()});
  EXPECT_EQ(session_->Serve(flush.call()), Outcome::kAnswered);
  EXPECT_TRUE(p9::DecodeReply<p9::Tflush>(flush.Reply()).ok());
  EXPECT_TRUE(session_->Finish(flush.call()).empty());
}

TEST_F(Case19Tags, AnyTagButNoTag) {
  for (const int tag : {0, 1, 0x8000, 0xfffe}) {
    TestCall call(static_cast<p9::Tag>(tag), p9::Tgetattr{.fid = kRoot, .request_mask = 0});
    ASSERT_EQ(session_->Serve(call.call()), Outcome::kAnswered);
    EXPECT_TRUE(p9::DecodeReply<p9::Tgetattr>(call.Reply()).ok());
    EXPECT_EQ(p9::ParseHeader(call.Reply())->tag, tag);
    EXPECT_TRUE(session_->Finish(call.call()).empty());
  }
  TestCall call(p9::kNoTag, p9::Tgetattr{.fid = kRoot, .request_mask = 0});
  ASSERT_EQ(session_->Serve(call.call()), Outcome::kAnswered);
  EXPECT_EQ(Error(p9::DecodeReply<p9::Tgetattr>(call.Reply())), EINVAL);
}

TEST_F(Case19Tags, ADuplicateInFlightCorruptsNothing) {
  MakeFile("a", "aaaa");
  ASSERT_TRUE(client_.Walk(kRoot, 1, {"a"}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  TestCall first(5, p9::Tread{.fid = 1, .offset = 0, .count = 4});
  TestCall second(5, p9::Tgetattr{.fid = kRoot, .request_mask = 0});
  ASSERT_EQ(session_->Serve(first.call()), Outcome::kAnswered);
  ASSERT_EQ(session_->Serve(second.call()), Outcome::kAnswered);
  EXPECT_TRUE(session_->Finish(second.call()).empty());
  EXPECT_TRUE(session_->Finish(first.call()).empty());
  EXPECT_EQ(p9::DecodeReply<p9::Tread>(first.Reply())->count, 4u);
  EXPECT_TRUE(p9::DecodeReply<p9::Tgetattr>(second.Reply()).ok());
}

TEST_F(Case20Qid, IsTheSameHoweverTheFileIsReached) {
  MakeFile("file");
  ASSERT_EQ(link(Host("file").c_str(), Host("hardlink").c_str()), 0);
  const p9::Qid walked = client_.Walk(kRoot, 1, {"file"})->wqid[0];
  EXPECT_EQ(client_.Walk(kRoot, 2, {"hardlink"})->wqid[0], walked);
  EXPECT_EQ(client_.Getattr(1)->qid, walked);
  EXPECT_EQ(client_.Open(1, p9::kOpenReadOnly)->qid, walked);
  ASSERT_TRUE(client_.Walk(kRoot, 3, {}).ok());
  ASSERT_TRUE(client_.Open(3, p9::kOpenReadOnly).ok());
  const auto entries = client_.Readdir(3, 0, 4096);
  ASSERT_TRUE(entries.ok());
  for (const auto& entry : *entries) {
    if (entry.name == "file" || entry.name == "hardlink") {
      EXPECT_EQ(entry.qid.path, walked.path);
    }
    if (entry.name == "." || entry.name == "..") {
      EXPECT_EQ(entry.qid.path, client_.Getattr(kRoot)->qid.path) << entry.name;
    }
  }
  ASSERT_TRUE(client_.Walk(kRoot, 4, {}).ok());
  const p9::Qid created = client_.Create(4, "new", p9::kOpenReadWrite)->qid;
  EXPECT_EQ(client_.Walk(kRoot, 5, {"new"})->wqid[0], created);
  Session other(*tree_, {});
  TestClient other_client(&other);
  ASSERT_TRUE(other_client(Version(8192)).ok());
  ASSERT_TRUE(other_client(Attach(0)).ok());
  EXPECT_EQ(other_client.Walk(0, 1, {"file"})->wqid[0], walked) << "in another session";
}

TEST_F(Case20Qid, VersionChangesWhenTheFileDoesAndIsNeverZero) {
  MakeFile("file", "one");
  std::set<uint32_t> versions = {0};
  EXPECT_TRUE(versions.insert(client_.Walk(kRoot, 1, {"file"})->wqid[0].version).second);
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadWrite).ok());
  EXPECT_FALSE(versions.insert(client_.Getattr(1)->qid.version).second) << "nothing has changed";
  ASSERT_TRUE(client_.Write(1, 0, "longer").ok());
  EXPECT_TRUE(versions.insert(client_.Getattr(1)->qid.version).second);
  ASSERT_TRUE(
      client_(
          p9::Tsetattr{.fid = 1, .valid = p9::kSetattrMtime | p9::kSetattrMtimeSet, .mtime_sec = 1000, .mtime_nsec = 5})
          .ok());
  EXPECT_TRUE(versions.insert(client_.Getattr(1)->qid.version).second);
}

TEST_F(Case20Qid, PathTellsDevicesApart) {
  MakeDirectory("mounted");
  if (mount("tmpfs", Host("mounted").c_str(), "tmpfs", 0, "size=64k") != 0) GTEST_SKIP() << "may not mount";
  std::set<uint64_t> paths = {client_.Getattr(kRoot)->qid.path};
  const p9::Qid mounted = client_.Walk(kRoot, 1, {"mounted"})->wqid[0];
  EXPECT_TRUE(paths.insert(mounted.path).second);
  ASSERT_TRUE(client_(p9::Tmkdir{.dfid = 1, .name = "below", .mode = 0755, .gid = 0}).ok());
  const p9::Qid below = client_.Walk(1, 2, {"below"})->wqid[0];
  EXPECT_TRUE(paths.insert(below.path).second);
  EXPECT_EQ(below.path >> 48, mounted.path >> 48);
  EXPECT_NE(below.path >> 48, 0u);
  EXPECT_EQ(client_.Walk(2, 3, {"..", ".."})->wqid[1], client_.Getattr(kRoot)->qid);
  ASSERT_TRUE(client_.Walk(1, 4, {}).ok());
  ASSERT_TRUE(client_.Open(4, p9::kOpenReadOnly).ok());
  const auto entries = client_.Readdir(4, 0, 4096);
  for (const auto& entry : *entries) {
    if (entry.name == "..") {
      EXPECT_EQ(entry.qid, client_.Getattr(kRoot)->qid);
    }
    if (entry.name == "below") {
      EXPECT_EQ(entry.qid.path, below.path);
    }
  }
  session_.reset();
  tree_.reset();
  broker_.reset();
  EXPECT_EQ(umount(Host("mounted").c_str()), 0);
}

// A file system mounted inside the export, and a file of it mounted over one of the export's.
class DevicesTest : public SessionTest {
 protected:
  explicit DevicesTest(SessionOptions::Devices devices = SessionOptions::Devices::kForbid)
      : SessionTest({.devices = devices}) {
    MakeDirectory("mounted");
    MakeFile("file");
    may_mount_ = mount("tmpfs", Host("mounted").c_str(), "tmpfs", 0, "size=64k") == 0;
    if (!may_mount_) return;
    MakeFile("mounted/inside", "text");
    EXPECT_EQ(mount(Host("mounted/inside").c_str(), Host("file").c_str(), nullptr, MS_BIND, nullptr), 0);
  }
  ~DevicesTest() override {
    session_.reset();
    tree_.reset();
    broker_.reset();
    if (!may_mount_) return;
    EXPECT_EQ(umount(Host("file").c_str()), 0);
    EXPECT_EQ(umount(Host("mounted").c_str()), 0);
  }
  void SetUp() override {
    if (!may_mount_) GTEST_SKIP() << "may not mount";
  }

  bool may_mount_;
};

TEST_F(DevicesTest, WhatIsForbiddenCannotBeReached) {
  EXPECT_EQ(Error(client_.Walk(kRoot, 1, {"mounted"})), ENODEV);
  EXPECT_EQ(Error(client_.Getattr(1)), EBADF);
  MakeDirectory("dir");
  const auto partial = client_.Walk(kRoot, 1, {"dir", "..", "mounted", "inside"});
  ASSERT_TRUE(partial.ok());
  EXPECT_EQ(partial->wqid.size(), 2u);
  EXPECT_EQ(Error(client_(p9::Tattach{.fid = 1, .afid = p9::kNoFid, .uname = "", .aname = "mounted", .n_uname = 0})),
            ENODEV);
  // Nor opened by its name, let alone truncated.
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  EXPECT_EQ(Error(client_.Create(1, "file", p9::kOpenReadWrite | p9::kOpenTruncate)), ENODEV);
  EXPECT_EQ(HostRead("mounted/inside"), "text");
  EXPECT_TRUE(client_.Create(1, "new", p9::kOpenReadWrite | p9::kOpenTruncate).ok()) << "still the directory";
}

TEST_F(DevicesTest, NamesOfMountPointsAreSeen) {
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  ASSERT_TRUE(client_.Open(1, p9::kOpenReadOnly).ok());
  const auto entries = client_.Readdir(1, 0, 4096);
  ASSERT_TRUE(entries.ok());
  std::set<std::string> names;
  for (const auto& entry : *entries) names.insert(entry.name);
  EXPECT_EQ(names, (std::set<std::string>{".", "..", "file", "mounted"}));
  EXPECT_EQ(Error(client_(p9::Tmkdir{.dfid = kRoot, .name = "mounted", .mode = 0755, .gid = 0})), EEXIST);
}

class WarnedDevicesTest : public DevicesTest {
 protected:
  WarnedDevicesTest() : DevicesTest(SessionOptions::Devices::kWarn) {}
};

TEST_F(WarnedDevicesTest, NumbersAreTakenAsTheyAre) {
  EXPECT_EQ(client_.Walk(kRoot, 1, {"mounted", "inside"})->wqid[1].path, HostStat("mounted/inside").st_ino);
}

TEST_F(Case25Clunk, AlwaysFreesTheFid) {
  EXPECT_EQ(Error(client_.Clunk(9)), EBADF);
  ASSERT_TRUE(client_.Walk(kRoot, 1, {}).ok());
  EXPECT_TRUE(client_.Clunk(1).ok());
  EXPECT_EQ(Error(client_.Clunk(1)), EBADF);
  EXPECT_TRUE(client_.Walk(kRoot, 1, {}).ok()) << "free again";
}

TEST_F(Case26Errors, UnknownTypesAreNotSupported) {
  for (const int type : {0, 1, 6, 7, 10, 13, 42, 98, 112, 124, 255}) {
    TestCall call(std::vector<uint8_t>{7, 0, 0, 0, static_cast<uint8_t>(type), 3, 0});
    ASSERT_EQ(session_->Serve(call.call()), Outcome::kAnswered) << type;
    EXPECT_EQ(Error(p9::DecodeReply<p9::Tclunk>(call.Reply())), EOPNOTSUPP) << type;
    EXPECT_TRUE(session_->Finish(call.call()).empty());
  }
}

TEST_F(Case26Errors, AReplyThatDoesNotFitIsNotBegun) {
  client_.capacity = 11;
  EXPECT_EQ(Error(client_(p9::Tmkdir{.dfid = kRoot, .name = "d", .mode = 0755, .gid = 0})), EMSGSIZE);
  EXPECT_FALSE(HostHas("d"));
  EXPECT_EQ(Error(client_.Walk(kRoot, 1, {".."})), EMSGSIZE);
  EXPECT_EQ(Error(client_.Getattr(kRoot)), EMSGSIZE);
  EXPECT_EQ(Error(client_(Version(4096))), EMSGSIZE);
  EXPECT_TRUE(client_.Walk(kRoot, 1, {}).ok()) << "9 bytes";
  client_.capacity = TestCall::kMsize;
  EXPECT_TRUE(client_.Getattr(kRoot).ok()) << "the version was not negotiated again";
}

}  // namespace
}  // namespace virtfs
