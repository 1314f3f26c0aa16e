#include "frontend/client/trees.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <vector>

#include "frontend/client/local_node.h"
#include "frontend/client/place.h"
#include "gtest/gtest.h"

namespace virtfs::frontend {
namespace {

class TreesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = ::testing::TempDir() + "/trees.XXXXXX";
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
    ASSERT_EQ(mkdir(Path("a").c_str(), 0755), 0);
    ASSERT_EQ(mkdir(Path("a/sub").c_str(), 0750), 0);
    WriteFile("a/file", std::string(700'000, 'x') + "end");
    WriteFile("a/sub/empty", "");
    ASSERT_EQ(chmod(Path("a/sub/empty").c_str(), 04711), 0);
    ASSERT_EQ(symlink("../file", Path("a/sub/link").c_str()), 0);
    const timespec times[2] = {{1000, 1}, {2000, 123456789}};
    ASSERT_EQ(utimensat(AT_FDCWD, Path("a/file").c_str(), times, 0), 0);
    ASSERT_EQ(utimensat(AT_FDCWD, Path("a/sub/link").c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
    ASSERT_EQ(utimensat(AT_FDCWD, Path("a/sub").c_str(), times, 0), 0);
  }

  std::string Path(const std::string& name) const { return root_ + "/" + name; }

  void WriteFile(const std::string& name, const std::string& content) {
    std::ofstream(Path(name), std::ios::trunc) << content;
  }

  uint64_t Copy(const std::string& from, const std::string& to) {
    WorkPool pool(4);
    Report report;
    CopyTree({pool, report, [] { return false; }}, LocalNode(Path(from)), LocalNode(root_), to, from);
    return report.problems();
  }

  std::vector<std::string> Differences(const std::string& a, const std::string& b, bool skip_special = false) {
    WorkPool pool(4);
    Report report;
    std::mutex mutex;
    std::vector<std::string> differences;
    CompareTrees({pool, report, [] { return false; }}, LocalNode(Path(a)), LocalNode(Path(b)),
                 {.skip_special = skip_special}, [&](const std::string& path, const std::string& what) {
                   const std::lock_guard lock(mutex);
                   differences.push_back(path + ": " + what);
                 });
    EXPECT_EQ(report.problems(), 0U);
    std::sort(differences.begin(), differences.end());
    return differences;
  }

  std::string root_;
};

using Lines = std::vector<std::string>;

TEST_F(TreesTest, CopyIsTheSame) {
  ASSERT_EQ(Copy("a", "b"), 0U);
  EXPECT_EQ(Differences("a", "b"), Lines());
  // Again, over what is there.
  ASSERT_EQ(Copy("a", "b"), 0U);
  EXPECT_EQ(Differences("a", "b"), Lines());
}

TEST_F(TreesTest, EveryKindOfDifferenceIsNamed) {
  ASSERT_EQ(Copy("a", "b"), 0U);
  const int fd = open(Path("b/file").c_str(), O_RDWR);
  ASSERT_EQ(pwrite(fd, "y", 1, 300'000), 1);
  const timespec times[2] = {{1000, 1}, {2000, 123456789}};
  ASSERT_EQ(futimens(fd, times), 0);
  close(fd);
  EXPECT_EQ(Differences("a", "b"), Lines{"file: content, first at byte 300000"});

  ASSERT_EQ(truncate(Path("b/file").c_str(), 10), 0);
  ASSERT_EQ(chmod(Path("b/sub/empty").c_str(), 0711), 0);
  ASSERT_EQ(unlink(Path("b/sub/link").c_str()), 0);
  ASSERT_EQ(symlink("elsewhere", Path("b/sub/link").c_str()), 0);
  const timespec link_times[2] = {{0, 0}, {5, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, Path("b/sub/link").c_str(), link_times, AT_SYMLINK_NOFOLLOW), 0);
  ASSERT_EQ(utimensat(AT_FDCWD, Path("b/file").c_str(), times, 0), 0);
  ASSERT_EQ(utimensat(AT_FDCWD, Path("b/sub").c_str(), times, 0), 0);
  EXPECT_EQ(Differences("a", "b"),
            (Lines{"file: size 700003, 10", "sub/empty: mode 4711, 0711", "sub/link: mtime 2000.123456789, 5.000000000",
                   "sub/link: symlink to ../file, to elsewhere"}));

  ASSERT_EQ(Copy("a", "b"), 0U);
  WriteFile("a/new", "");
  WriteFile("b/other", "");
  ASSERT_EQ(unlink(Path("b/sub/empty").c_str()), 0);
  ASSERT_EQ(mkdir(Path("b/sub/empty").c_str(), 0711), 0);
  ASSERT_EQ(utimensat(AT_FDCWD, Path("b/sub").c_str(), times, 0), 0);
  for (const char* root : {"a", "b"}) ASSERT_EQ(utimensat(AT_FDCWD, Path(root).c_str(), times, 0), 0);
  EXPECT_EQ(Differences("a", "b"),
            (Lines{"new: only in the first", "other: only in the second", "sub/empty: a file, a directory"}));
}

TEST_F(TreesTest, SymlinkInTheWayIsReplacedNotFollowed) {
  WriteFile("victim", "untouched");
  ASSERT_EQ(mkdir(Path("b").c_str(), 0755), 0);
  ASSERT_EQ(symlink("../victim", Path("b/file").c_str()), 0);
  ASSERT_EQ(Copy("a", "b"), 0U);
  EXPECT_EQ(Differences("a", "b"), Lines());
  struct stat info;
  ASSERT_EQ(stat(Path("victim").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 9);
}

TEST_F(TreesTest, DirectoryIsNotCopiedOverWhatIsNone) {
  WriteFile("b", "file");
  EXPECT_EQ(Copy("a", "b"), 1U);
}

TEST_F(TreesTest, SpecialFilesAreLeftOut) {
  ASSERT_EQ(mkfifo(Path("a/fifo").c_str(), 0600), 0);
  ASSERT_EQ(Copy("a", "b"), 0U);
  EXPECT_EQ(Differences("a", "b"), Lines{"fifo: only in the first"});
  EXPECT_EQ(Differences("a", "b", true), Lines());
}

TEST_F(TreesTest, RemoveTakesEverything) {
  ASSERT_EQ(Copy("a", "b"), 0U);
  WorkPool pool(4);
  Report report;
  RemoveTree({pool, report, [] { return false; }}, LocalNode(root_), "b", "b");
  EXPECT_EQ(report.problems(), 0U);
  EXPECT_NE(access(Path("b").c_str(), F_OK), 0);
  EXPECT_EQ(access(Path("a/file").c_str(), F_OK), 0);
}

TEST(Place, Notation) {
  EXPECT_EQ(ParsePlace("share:/a/b", "").tag, "share");
  EXPECT_EQ(ParsePlace("share:/a/b", "").path, "a/b");
  EXPECT_EQ(ParsePlace(":/a", "tag").tag, "tag");
  EXPECT_FALSE(ParsePlace(":/a", "").in_share());
  EXPECT_FALSE(ParsePlace("./share:/a", "").in_share());
  EXPECT_FALSE(ParsePlace("share:a", "").in_share());
  EXPECT_EQ(ParsePlace("share:/", "").Name(), "");
  EXPECT_EQ(ParsePlace("share:/a/b/", "").Name(), "b");
  EXPECT_EQ(ParsePlace("share:/a/b", "").Parent().Text(), "share:/a");
  EXPECT_EQ(ParsePlace("share:/a", "").Parent().Text(), "share:/");
  EXPECT_EQ(ParsePlace("/a", "").Parent().Text(), "/");
  EXPECT_EQ(ParsePlace("a", "").Parent().Text(), ".");
  EXPECT_EQ(ParsePlace("..", "").Name(), "");
}

TEST(Printable, ControlCharactersAreShown) { EXPECT_EQ(Printable("a\033[2J\\b"), "a\\033[2J\\134b"); }

}  // namespace
}  // namespace virtfs::frontend
