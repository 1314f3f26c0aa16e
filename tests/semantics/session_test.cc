// Points 1 to 3, 18, 19, 25, 26: the session, its fids and its tags.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/semantics/fixture.h"

namespace virtfs {
namespace {

// --- 1: Tversion ---

TEST_P(Reading, P01_MsizeIsTheSmallerOfBoth) {
  const Result<p9::Rversion> small = wire()(p9::Tversion{4096, p9::kVersion});
  ASSERT_TRUE(small.ok());
  EXPECT_EQ(small->msize, 4096u);
  EXPECT_EQ(small->version, p9::kVersion);
  const Result<p9::Rversion> huge = wire()(p9::Tversion{0xffffffff, p9::kVersion});
  ASSERT_TRUE(huge.ok());
  EXPECT_GE(huge->msize, 4096u);
  EXPECT_LE(huge->msize, 1048576u);  // max-msize
  const Result<p9::Rversion> between = wire()(p9::Tversion{8193, p9::kVersion});
  ASSERT_TRUE(between.ok());
  EXPECT_EQ(between->msize, 8193u) << "a later Tversion may raise it";
}

TEST_P(Reading, P01_AnotherVersionIsUnknownAndNoError) {
  for (const std::string_view version : {"9P2000", "9P2000.u", "9P2000.Lx", "", "9p2000.l"}) {
    const Result<p9::Rversion> reply = wire()(p9::Tversion{8192, version});
    ASSERT_TRUE(reply.ok()) << version;
    EXPECT_EQ(reply->version, "unknown") << version;
    EXPECT_NE(ErrorOf(wire()(p9::Tattach{1, p9::kNoFid, "", "", 0})), 0) << "there is no session";
  }
  Begin();
  EXPECT_EQ(StatError(dir_), 0);
}

TEST_P(Reading, P01_BelowTheFloorNothingIsAgreedOn) {
  for (const uint32_t msize : {0u, 7u, 4095u})
    EXPECT_NE(ErrorOf(wire()(p9::Tversion{msize, p9::kVersion})), 0) << msize;
  EXPECT_EQ(wire()(p9::Tversion{4096, p9::kVersion})->msize, 4096u);
}

TEST_P(Reading, P01_EndsAllFids) {
  MakeFile("f", "text");
  const p9::Fid file = OpenAt("f", p9::kOpenReadOnly);
  ASSERT_TRUE(wire()(p9::Tversion{Wire::kMsize, p9::kVersion}).ok());
  for (const p9::Fid fid : {kRoot, dir_, file}) EXPECT_EQ(StatError(fid), EBADF);
}

TEST_P(Reading, P01_RepliesStayWithinMsize) {
  MakeFile("f", std::string(10'000, 'x'));
  ASSERT_TRUE(wire()(p9::Tversion{4096, p9::kVersion}).ok());
  ASSERT_TRUE(wire()(p9::Tattach{kRoot, p9::kNoFid, "", "", 0}).ok());
  dir_ = At(kRoot, {dir_name_});
  const p9::Fid file = OpenAt("f", p9::kOpenReadOnly);
  EXPECT_EQ(Read(file, 0, 0xffffffff).size(), 4096u - 11);
  // A request that is longer than msize is refused, and nothing else is hurt.
  EXPECT_NE(ErrorOf(wire()(p9::Tsymlink{dir_, "s", std::string(5000, 'x'), 0})), 0);
  EXPECT_EQ(StatError(file), 0);
}

// --- 2: Tattach, Tauth ---

TEST_P(Reading, P02_AuthIsRefused) {
  EXPECT_EQ(ErrorOf(wire()(p9::Tauth{50, "root", "", 0})), EOPNOTSUPP);
  EXPECT_EQ(StatError(50), EBADF);
  EXPECT_NE(ErrorOf(wire()(p9::Tattach{51, 50, "", "", 0})), 0);
  EXPECT_NE(ErrorOf(wire()(p9::Tattach{51, kRoot, "", "", 0})), 0);
  EXPECT_EQ(StatError(51), EBADF);
}

TEST_P(Reading, P02_AFidInUseOrNoneIsRefused) {
  EXPECT_THAT(ErrorOf(wire()(p9::Tattach{kRoot, p9::kNoFid, "", "", 0})), testing::AnyOf(EBADF, EINVAL));
  EXPECT_EQ(StatError(kRoot), 0);
  EXPECT_EQ(ErrorOf(wire()(p9::Tattach{p9::kNoFid, p9::kNoFid, "", "", 0})), EINVAL);
}

TEST_P(Reading, P02_SeveralAttachesStandBesideEachOther) {
  ASSERT_TRUE(wire()(p9::Tattach{100, p9::kNoFid, "", "", 1000}).ok());
  ASSERT_TRUE(wire()(p9::Tattach{101, p9::kNoFid, "nobody", "", p9::kNoUname}).ok());
  EXPECT_EQ(Stat(100).qid, Stat(kRoot).qid);
  EXPECT_EQ(ClunkError(100), 0);
  EXPECT_EQ(StatError(101), 0);
  EXPECT_EQ(StatError(kRoot), 0);
}

TEST_P(Reading, P02_AnameStaysWithinTheExport) {
  const p9::Qid root = Stat(kRoot).qid;
  MakeDirectory("sub");
  MakeFile("f");
  MakeSymlink("out", "/etc");
  p9::Fid fid = 100;
  for (const std::string_view above : {"..", "/", "../../..", "/../../../..", "//", "."}) {
    const Result<p9::Rattach> reply = wire()(p9::Tattach{++fid, p9::kNoFid, "", above, 0});
    ASSERT_TRUE(reply.ok()) << above;
    EXPECT_EQ(reply->qid, root) << above;
  }
  const Result<p9::Rattach> sub = wire()(p9::Tattach{++fid, p9::kNoFid, "", dir_name_ + "/sub", 0});
  ASSERT_TRUE(sub.ok());
  EXPECT_EQ(sub->qid.path, Stat(At({"sub"})).qid.path);
  EXPECT_NE(ErrorOf(wire()(p9::Tattach{200, p9::kNoFid, "", dir_name_ + "/out", 0})), 0) << "a symlink to /etc";
  EXPECT_EQ(ErrorOf(wire()(p9::Tattach{200, p9::kNoFid, "", dir_name_ + "/f", 0})), ENOTDIR);
  EXPECT_EQ(ErrorOf(wire()(p9::Tattach{200, p9::kNoFid, "", "etc", 0})), ENOENT);
}

TEST_P(Changing, P02_TheUserIsNUnameOrElseUname) {
  if (!GetParam().keeps_owners) GTEST_SKIP() << "every file is the server's";
  const auto owner_of_new = [&](std::string_view uname, uint32_t n_uname) {
    static int number = 0;
    const std::string name = "d" + std::to_string(++number);
    const p9::Fid root = NewFid();
    EXPECT_TRUE(wire()(p9::Tattach{root, p9::kNoFid, uname, dir_name_, n_uname}).ok());
    EXPECT_EQ(ErrorOf(wire()(p9::Tmkdir{root, name, 0755, 0})), 0);
    return Stat(At({name})).uid;
  };
  ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = dir_, .valid = p9::kSetattrMode, .mode = 0777})), 0);
  EXPECT_EQ(owner_of_new("root", 1000), 1000u);
  EXPECT_EQ(owner_of_new("1001", p9::kNoUname), 1001u);
  EXPECT_EQ(owner_of_new("root", p9::kNoUname), 0u);
}

// --- 3: Twalk ---

TEST_P(Reading, P03_NoNamesCloneAFid) {
  MakeFile("f", "text");
  const p9::Fid file = At({"f"});
  const p9::Fid clone = NewFid();
  ASSERT_EQ(WalkError(file, clone, {}), 0);
  EXPECT_EQ(Stat(clone).qid, Stat(file).qid);
  ASSERT_EQ(WalkError(file, file, {}), 0) << "onto itself";
  EXPECT_EQ(ClunkError(file), 0);
  EXPECT_EQ(StatError(clone), 0) << "a fid of its own";
}

TEST_P(Reading, P03_SixteenNamesAndNoMore) {
  std::vector<std::string> names(16, "..");
  EXPECT_EQ(WalkError(dir_, NewFid(), names), 0);
  // Seventeen: no well-formed message of ours has them.
  Bytes frame = Wire::BytesOf(7, p9::Twalk{dir_, 900, {}});
  frame[15] = 17;
  for (int i = 0; i < 17; ++i) frame.insert(frame.end(), {2, 0, '.', '.'});
  frame[0] = static_cast<uint8_t>(frame.size());
  EXPECT_EQ(ErrorOf(wire().Raw(frame)), EINVAL);
  EXPECT_EQ(StatError(900), EBADF);
}

TEST_P(Reading, P03_ANewFidInUseIsRefused) {
  MakeFile("f");
  const p9::Fid used = At({"f"});
  EXPECT_THAT(WalkError(dir_, used, {}), testing::AnyOf(EBADF, EINVAL));
  EXPECT_THAT(WalkError(dir_, used, {"f"}), testing::AnyOf(EBADF, EINVAL));
  EXPECT_EQ(Stat(used).qid.type, p9::kQidFile);
  EXPECT_NE(WalkError(dir_, p9::kNoFid, {}), 0);
}

TEST_P(Reading, P03_FirstNameMissingIsAnError) {
  EXPECT_EQ(WalkError(dir_, 900, {"missing"}), ENOENT);
  EXPECT_EQ(WalkError(dir_, 900, {"missing", "further"}), ENOENT);
  EXPECT_EQ(StatError(900), EBADF);
}

TEST_P(Reading, P03_WalkPartial) {
  MakeDirectory("d");
  const p9::Qid d = Stat(At({"d"})).qid;
  const Result<p9::Rwalk> reply = wire()(p9::Twalk{dir_, 900, {"d", "missing", "more"}});
  ASSERT_TRUE(reply.ok());
  ASSERT_EQ(reply->wqid.size(), 1u);
  EXPECT_EQ(reply->wqid[0], d);
  EXPECT_EQ(StatError(900), EBADF) << "made by half a walk";
  // Onto the same fid: it stays where it was.
  const p9::Fid self = At({});
  const Result<p9::Rwalk> onto = wire()(p9::Twalk{self, self, {"d", "missing"}});
  ASSERT_TRUE(onto.ok());
  EXPECT_EQ(onto->wqid.size(), 1u);
  EXPECT_EQ(Stat(self).qid, Stat(dir_).qid);
  ASSERT_TRUE(wire()(p9::Twalk{self, self, {"d"}}).ok());
  EXPECT_EQ(Stat(self).qid.path, d.path);
}

TEST_P(Reading, P03_AboveTheRootIsTheRoot) {
  const p9::Qid root = Stat(kRoot).qid;
  const Result<p9::Rwalk> reply = wire()(p9::Twalk{kRoot, 900, {"..", "..", dir_name_, "..", ".."}});
  ASSERT_TRUE(reply.ok());
  ASSERT_EQ(reply->wqid.size(), 5u);
  for (const size_t i : {0, 1, 3, 4}) EXPECT_EQ(reply->wqid[i].path, root.path) << i;
  EXPECT_EQ(Stat(900).qid.path, root.path);
}

TEST_P(Reading, P03_FilesAreNoDirectories) {
  MakeFile("f");
  EXPECT_EQ(WalkError(At({"f"}), 900, {"x"}), ENOTDIR);
  EXPECT_EQ(WalkError(At({"f"}), 900, {".."}), ENOTDIR);
  const Result<p9::Rwalk> through = wire()(p9::Twalk{dir_, 900, {"f", "x"}});
  ASSERT_TRUE(through.ok());
  EXPECT_EQ(through->wqid.size(), 1u);
  EXPECT_EQ(StatError(900), EBADF);
}

TEST_P(Reading, P03_SymlinksAreNotFollowed) {
  MakeDirectory("d");
  MakeSymlink("inside", "d");
  MakeSymlink("outside", "/etc");
  for (const std::string name : {"inside", "outside"}) {
    const Result<p9::Rwalk> reply = wire()(p9::Twalk{dir_, NewFid(), {name}});
    ASSERT_TRUE(reply.ok() && reply->wqid.size() == 1) << name;
    EXPECT_EQ(reply->wqid[0].type, p9::kQidSymlink) << name;
    const Result<p9::Rwalk> through = wire()(p9::Twalk{dir_, 900, {name, "passwd"}});
    ASSERT_TRUE(through.ok()) << name;
    EXPECT_EQ(through->wqid.size(), 1u) << name;
    EXPECT_EQ(StatError(900), EBADF) << name;
  }
}

// --- 18: Tflush ---

TEST_P(Reading, P18_FlushOfWhatIsNotThereIsAnswered) {
  EXPECT_TRUE(wire()(p9::Tflush{0x4321}).ok()) << "never heard of";
  EXPECT_EQ(StatError(dir_), 0);
  EXPECT_TRUE(wire()(p9::Tflush{7}).ok()) << "finished, and its own tag";
  EXPECT_TRUE(wire()(p9::Tflush{p9::kNoTag}).ok());
}

// A lease of this process on a file of the host: whoever opens the file waits until it is given back.
class Lease {
 public:
  explicit Lease(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    signal(SIGIO, SIG_IGN);
    EXPECT_EQ(fcntl(fd_, F_SETLEASE, F_WRLCK), 0) << strerror(errno);
  }
  ~Lease() { close(fd_); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  bool wanted() const { return fcntl(fd_, F_GETLEASE) != F_WRLCK; }

 private:
  int fd_;
};

TEST_P(Reading, P18_ABlockedRequestIsFlushedWithoutWaiting) {
  MakeFile("leased", "text");
  const p9::Fid file = At({"leased"});
  const Lease lease(Host("leased"));
  const auto blocked = wire().Start(100, p9::Tlopen{file, p9::kOpenReadOnly});
  const auto deadline = std::chrono::steady_clock::now() + kBound;
  while (!lease.wanted()) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  EXPECT_FALSE(blocked->IsOver());
  // Neither others nor the flush wait for it.
  EXPECT_EQ(StatError(dir_), 0);
  const auto flush = wire().Start(101, p9::Tflush{100});
  EXPECT_EQ(ErrorOf(flush->Wait()), 0);
  EXPECT_TRUE(blocked->IsOver()) << "the reply comes before that of the flush";
  EXPECT_EQ(ErrorOf(blocked->Wait()), EINTR);
  EXPECT_EQ(StatError(file), 0) << "the fid is as it was";
  EXPECT_EQ(ReadError(file), EBADF);
}

// --- 19: tags ---

TEST_P(Reading, P19_AnyTagButNoTag) {
  for (const p9::Tag tag : {0x0000, 0x0001, 0x7fff, 0x8000, 0xfffe}) {
    const Bytes reply = wire().Start(tag, p9::Tgetattr{dir_, p9::kGetattrBasic})->Wait();
    EXPECT_TRUE(p9::Decode<p9::Rgetattr>(reply).ok()) << tag;
    EXPECT_EQ(p9::ParseHeader(reply)->tag, tag);
  }
  EXPECT_EQ(ErrorOf(wire().Start(p9::kNoTag, p9::Tgetattr{dir_, p9::kGetattrBasic})->Wait()), EINVAL);
}

TEST_P(Reading, P19_DuplicateTagsInFlightCorruptNothing) {
  MakeFile("leased", "text");
  MakeFile("f", "12345");
  const p9::Fid leased = At({"leased"}), file = At({"f"});
  {
    const Lease lease(Host("leased"));
    const auto blocked = wire().Start(100, p9::Tlopen{leased, p9::kOpenReadOnly});
    // The same tag again, while the first is surely in flight.
    std::vector<std::unique_ptr<Wire::Pending>> again;
    again.reserve(20);
    for (int i = 0; i < 20; ++i) again.push_back(wire().Start(100, p9::Tgetattr{file, p9::kGetattrBasic}));
    for (const auto& each : again) {
      const Result<p9::Rgetattr> reply = p9::Decode<p9::Rgetattr>(each->Wait());
      if (reply.ok()) {
        EXPECT_EQ(reply->size, 5u);
      }
      EXPECT_TRUE(reply.ok() || ErrorOf(each->Wait()) == EINVAL);
    }
    EXPECT_TRUE(wire()(p9::Tflush{100}).ok());
    EXPECT_TRUE(ErrorOf(blocked->Wait()) == EINTR || ErrorOf(blocked->Wait()) == 0);
  }
  EXPECT_EQ(Stat(file).size, 5u);
  EXPECT_EQ(OpenError(file, p9::kOpenReadOnly), 0);
  EXPECT_EQ(Read(file), "12345");
}

// --- 25: Tclunk ---

TEST_P(Reading, P25_ClunkFreesTheFid) {
  MakeFile("f", "text");
  const p9::Fid file = OpenAt("f", p9::kOpenReadOnly);
  EXPECT_EQ(ClunkError(file), 0);
  EXPECT_EQ(ClunkError(file), EBADF);
  EXPECT_EQ(ReadError(file), EBADF);
  EXPECT_EQ(ClunkError(12345), EBADF);
  EXPECT_EQ(ClunkError(p9::kNoFid), EBADF);
  EXPECT_EQ(WalkError(dir_, file, {"f"}), 0) << "the number is free";
}

// --- 26: Rlerror ---

TEST_P(Reading, P26_UnknownMessagesAreNotSupported) {
  // Old 9P2000's Tread of directories by Topen (112), Tcreate (114), Twstat (126), and what nobody has.
  for (const uint8_t type : {1, 10, 106, 112, 114, 124, 126, 127, 200, 255}) {
    EXPECT_EQ(ErrorOf(wire().Raw({11, 0, 0, 0, type, 9, 0, 1, 0, 0, 0})), EOPNOTSUPP) << int{type};
  }
}

TEST_P(Reading, P26_MalformedMessagesAreInvalid) {
  const Bytes good = Wire::BytesOf(9, p9::Twalk{dir_, 900, {"name"}});
  for (size_t size = 8; size < good.size(); ++size) {
    Bytes cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(size));
    cut[0] = static_cast<uint8_t>(size);
    EXPECT_EQ(ErrorOf(wire().Raw(cut)), EINVAL) << size;
  }
  Bytes longer = good;
  longer.push_back(0);
  longer[0] = static_cast<uint8_t>(longer.size());
  EXPECT_EQ(ErrorOf(wire().Raw(longer)), EINVAL);
  // A reply is no request.
  EXPECT_NE(ErrorOf(wire().Raw({7, 0, 0, 0, 121, 9, 0})), 0);
  EXPECT_EQ(StatError(900), EBADF);
}

}  // namespace
}  // namespace virtfs
