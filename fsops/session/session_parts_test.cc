// FidTable, Names and QidPaths by themselves: what no single client can bring about by its requests.

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "fsops/host/export_fixture.h"
#include "fsops/session/attributes.h"
#include "fsops/session/fid_table.h"
#include "fsops/session/names.h"

namespace virtfs::session {
namespace {

class PartsTest : public ::testing::Test {
 protected:
  PartsTest()
      : directory_("/tmp"),
        broker_(host::OpenDirectory(directory_.path()).get()),
        tree_(host::MakeExport(directory_.path(), broker_)) {}

  std::unique_ptr<FidState> NewState(uint32_t uid = 0) {
    return std::make_unique<FidState>(uid, tree_->root(), NameRef());
  }
  std::string Where(const NameRef& name) { return std::string(names_.Where(name).name.view()); }

  host::ScratchDirectory directory_;
  host::LocalHandleBroker broker_;
  std::unique_ptr<host::Export> tree_;
  Names names_;
  std::atomic<uint64_t> count_ = 0;
  FidTable fids_{3, count_};
};

TEST_F(PartsTest, AClunkedFidsStateLivesAsLongAsItIsUsed) {
  ASSERT_TRUE(fids_.Insert(1, NewState(42)).ok());
  const FidRef used = *fids_.Find(1);
  EXPECT_TRUE(fids_.Remove(1).ok());
  EXPECT_FALSE(fids_.Find(1).ok());
  EXPECT_EQ(used->uid, 42u);
}

TEST_F(PartsTest, AFidIsChangedByOneAtATime) {
  ASSERT_TRUE(fids_.Insert(1, NewState(1)).ok());
  {
    Result<FidTable::Change> change = fids_.BeginChange(1);
    ASSERT_TRUE(change.ok());
    EXPECT_EQ(fids_.BeginChange(1).error(), Errno(EBUSY));
    EXPECT_EQ((*fids_.Find(1))->uid, 1u);
    std::move(*change).Commit(NewState(2));
  }
  EXPECT_EQ((*fids_.Find(1))->uid, 2u);
  EXPECT_TRUE(fids_.BeginChange(1).ok()) << "given up by its destructor";
  EXPECT_TRUE(fids_.BeginChange(1).ok());
}

TEST_F(PartsTest, AFidThatIsClunkedDuringAChangeStaysClunked) {
  ASSERT_TRUE(fids_.Insert(1, NewState(1)).ok());
  Result<FidTable::Change> change = fids_.BeginChange(1);
  ASSERT_TRUE(fids_.Remove(1).ok());
  ASSERT_TRUE(fids_.Insert(1, NewState(3)).ok()) << "and used again";
  std::move(*change).Commit(NewState(2));
  EXPECT_EQ((*fids_.Find(1))->uid, 3u);
  EXPECT_TRUE(fids_.BeginChange(1).ok());
}

TEST_F(PartsTest, FidsAreLimited) {
  for (p9::Fid fid = 0; fid < 3; ++fid) ASSERT_TRUE(fids_.Insert(fid, NewState()).ok());
  EXPECT_EQ(fids_.Insert(3, NewState()).error(), Errno(ENFILE));
  EXPECT_EQ(fids_.Insert(2, NewState()).error(), Errno(EBADF));
  EXPECT_EQ(fids_.Insert(p9::kNoFid, NewState()).error(), Errno(EINVAL));
  fids_.Clear();
  EXPECT_EQ(fids_.size(), 0u);
}

TEST_F(PartsTest, ARenameMovesTheNameOfAllItsFids) {
  const host::InodeRef& root = tree_->root();
  const NameRef one = names_.Intern(root, "a");
  const NameRef same = names_.Intern(root, "a");
  EXPECT_EQ(names_.size(), 1u);
  names_.Renamed(*root, "a", root, "b");
  EXPECT_EQ(Where(one), "b");
  EXPECT_EQ(Where(same), "b");
  const NameRef fresh = names_.Intern(root, "a");
  EXPECT_EQ(Where(fresh), "a");
  names_.Renamed(*root, "a", root, "a");
  EXPECT_EQ(Where(fresh), "a");
  names_.Renamed(*root, "no", root, "b");
  EXPECT_EQ(Where(one), "b") << "of a file that was replaced";
}

TEST_F(PartsTest, ANameMayGrowAndShrink) {
  const host::InodeRef& root = tree_->root();
  const NameRef name = names_.Intern(root, "a");
  std::string from = "a";
  for (const size_t size : {255u, 8u, 9u, 254u, 1u, 2u}) {
    const std::string to(size, 'x');
    names_.Renamed(*root, from, root, to);
    EXPECT_EQ(Where(name), to);
    from = to;
  }
}

TEST_F(PartsTest, AReplacedNameBelongsToWhatReplacedIt) {
  const host::InodeRef& root = tree_->root();
  NameRef old = names_.Intern(root, "target");
  const NameRef moved = names_.Intern(root, "source");
  names_.Renamed(*root, "source", root, "target");
  const NameRef found = names_.Intern(root, "target");
  names_.Renamed(*root, "target", root, "again");
  EXPECT_EQ(Where(moved), "again");
  EXPECT_EQ(Where(found), "again");
  EXPECT_EQ(Where(old), "target") << "where nothing will be found";
  old = NameRef();
  EXPECT_EQ(names_.size(), 1u);
}

TEST_F(PartsTest, NamesGoWithTheirLastFid) {
  {
    const NameRef name = names_.Intern(tree_->root(), "a");
    const std::vector<NameRef> copies(3, name);
    EXPECT_TRUE(copies.back());
    EXPECT_EQ(names_.size(), 1u);
  }
  EXPECT_EQ(names_.size(), 0u);
}

TEST(QidPathsTest, TheRootsDeviceHasPlainNumbers) {
  QidPaths paths(7);
  EXPECT_EQ(paths.Path(7, 1), 1u);
  EXPECT_EQ(paths.Path(7, (uint64_t{1} << 48) - 1), (uint64_t{1} << 48) - 1);
  EXPECT_TRUE(paths.Entries().empty());
}

TEST(QidPathsTest, OtherDevicesAndLongNumbersAreTold) {
  QidPaths paths(7);
  std::set<uint64_t> seen = {5};
  for (const uint64_t dev : {uint64_t{7}, uint64_t{8}, uint64_t{0x800001}}) {
    for (const uint64_t prefix : {uint64_t{1}, uint64_t{2}, uint64_t{0xffff}}) {
      EXPECT_TRUE(seen.insert(paths.Path(dev, prefix << 48 | 5)).second) << dev << " " << prefix;
    }
  }
  EXPECT_TRUE(seen.insert(paths.Path(8, 5)).second);
  QidPaths other(7);
  EXPECT_EQ(other.Path(0x800001, 5), paths.Path(0x800001, 5)) << "in another session, in another order";
}

TEST(QidPathsTest, DevicesAreRemappedForbiddenOrIgnored) {
  using Devices = SessionOptions::Devices;
  EXPECT_TRUE(QidPaths(7, Devices::kRemap).Allows(8));
  EXPECT_TRUE(QidPaths(7, Devices::kWarn).Allows(8));
  EXPECT_FALSE(QidPaths(7, Devices::kForbid).Allows(8));
  EXPECT_TRUE(QidPaths(7, Devices::kForbid).Allows(7));
  EXPECT_EQ(QidPaths(7, Devices::kWarn).Path(8, 5), 5u);
  EXPECT_EQ(QidPaths(7, Devices::kWarn).Path(8, UINT64_MAX), UINT64_MAX);
  EXPECT_NE(QidPaths(7, Devices::kRemap).Path(8, 5), 5u);
}

TEST(QidPathsTest, TenThousandDevicesCollideNowhereAndAreRestored) {
  QidPaths paths(0);
  std::set<uint64_t> seen;
  for (uint64_t dev = 1; dev <= 10000; ++dev) EXPECT_TRUE(seen.insert(paths.Path(dev, 1)).second);
  QidPaths other(0);
  other.Restore(paths.Entries());
  for (uint64_t dev = 10000; dev >= 1; --dev) EXPECT_EQ(other.Path(dev, 1), paths.Path(dev, 1));
  for (uint64_t dev = 1; dev <= 70000; ++dev) static_cast<void>(paths.Path(dev, 1));
  EXPECT_EQ(paths.Entries().size(), 0x8000u) << "bounded";
}

TEST(QidTest, VersionIsNeverZeroAndTypeIsTheModes) {
  EXPECT_NE(QidVersion({}), 0u);
  EXPECT_EQ(QidType(S_IFDIR | 0755), p9::kQidDirectory);
  EXPECT_EQ(QidType(S_IFLNK | 0777), p9::kQidSymlink);
  for (const mode_t type : {S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK}) EXPECT_EQ(QidType(type), p9::kQidFile);
}

}  // namespace
}  // namespace virtfs::session
