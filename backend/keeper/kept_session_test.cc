#include "backend/keeper/kept_session.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace virtfs::backend {
namespace {

using testing::HasSubstr;

KeptSession Session() {
  return {.id = "5ed1e0c3b49a4f0d8f3d2c7a90b1e655",
          .place = "61267:0102:1:ff",
          .files = {{.type = 1, .bytes = {1, 2, 3, 4, 5, 6, 7, 8}}, {}, {.type = -1, .bytes = {0}}},
          .image = {'i', 'm', 'a', 'g', 'e', 0, 255}};
}

class KeptSessionTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/dev/shm/virtfs-session-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path(const std::string& name) const { return directory_ + "/" + name; }
  static std::string MistakeIn(const std::string& path) {
    return std::string(ReadSessionFile(path).status().message());
  }

  std::string directory_;
};

TEST_F(KeptSessionTest, AFileGivesBackWhatItWasGiven) {
  std::ofstream(Path("0.new")) << "left by one who was killed";
  ASSERT_TRUE(WriteSessionFile(Path("0"), Session()).ok());
  const auto read = ReadSessionFile(Path("0"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, Session());
  struct stat status;
  ASSERT_EQ(stat(Path("0").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_FALSE(std::filesystem::exists(Path("0.new")));
  KeptSession other = Session();
  other.image.clear();
  ASSERT_TRUE(WriteSessionFile(Path("0"), other).ok()) << "in place of the former";
  EXPECT_EQ(*ReadSessionFile(Path("0")), other);
  EXPECT_THAT(std::string(WriteSessionFile(Path("no/where"), other).message()), HasSubstr("No such file"));
}

TEST_F(KeptSessionTest, WhatOthersCouldHaveWrittenIsNotRead) {
  ASSERT_TRUE(WriteSessionFile(Path("0"), Session()).ok());
  EXPECT_THAT(MistakeIn(Path("none")), HasSubstr("cannot read"));
  ASSERT_EQ(symlink("0", Path("link").c_str()), 0);
  EXPECT_THAT(MistakeIn(Path("link")), HasSubstr("cannot read"));
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_THAT(MistakeIn(Path("fifo")), HasSubstr("could be another user's"));
  ASSERT_EQ(chmod(Path("0").c_str(), 0640), 0);
  EXPECT_THAT(MistakeIn(Path("0")), HasSubstr("could be another user's"));
  ASSERT_EQ(chmod(Path("0").c_str(), 0600), 0);
  if (geteuid() == 0) {
    ASSERT_EQ(chown(Path("0").c_str(), 1000, 0), 0);
    EXPECT_THAT(MistakeIn(Path("0")), HasSubstr("could be another user's"));
  }
}

TEST_F(KeptSessionTest, WhatIsNoSessionIsRefusedAsAWhole) {
  const std::vector<uint8_t> whole = EncodeSession(Session());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(DecodeSession(std::span(whole).first(size)).ok()) << size;
  }
  std::vector<uint8_t> longer = whole;
  longer.push_back(0);
  EXPECT_THAT(std::string(DecodeSession(longer).status().message()), HasSubstr("there is more"));
  std::vector<uint8_t> other = whole;
  ++other[sizeof("xen-virtfs session ") - 1];
  EXPECT_THAT(std::string(DecodeSession(other).status().message()), HasSubstr("does not begin"));
  KeptSession path = Session();
  path.id = "../../../../../../../../etc/shad";
  EXPECT_THAT(std::string(DecodeSession(EncodeSession(path)).status().message()), HasSubstr("session-id"));
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::vector<uint8_t> mutated = whole;
    for (int n = 0; n < 3; ++n) mutated[random() % mutated.size()] ^= static_cast<uint8_t>(1U << (random() % 8));
    static_cast<void>(DecodeSession(mutated));
  }
}

TEST_F(KeptSessionTest, APlaceIsADirectoryAndNoOther) {
  std::filesystem::create_directory(Path("a"));
  std::filesystem::create_directory(Path("b"));
  const UniqueFd a(open(Path("a").c_str(), O_PATH)), b(open(Path("b").c_str(), O_PATH));
  std::filesystem::rename(Path("a"), Path("c"));
  const UniqueFd renamed(open(Path("c").c_str(), O_PATH));
  const auto place = PlaceOf(a.get()), other = PlaceOf(b.get()), same = PlaceOf(renamed.get());
  ASSERT_TRUE(place.ok() && other.ok() && same.ok());
  EXPECT_EQ(*place, *same);
  EXPECT_NE(*place, *other);
}

}  // namespace
}  // namespace virtfs::backend
