// Many fids on few descriptors, what one of them costs, and a large directory.

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>

#include <string>

#include "base/sanitizer.h"
#include "fsops/session/session_test_client.h"

namespace virtfs {
namespace {

constexpr bool kSanitized = VIRTFS_SANITIZED;
constexpr int kFiles = kSanitized ? 2000 : 20000;

class SessionScaleTest : public SessionTest {
 protected:
  static constexpr rlim_t kDescriptors = 256;

  // On tmpfs, as ext4 takes seconds to make so many files soon after so many were removed.
  SessionScaleTest() : SessionTest({}, {.max_descriptors = 100}, "/dev/shm") {
    MakeDirectory("a");
    MakeDirectory("a/b");
    for (int i = 0; i < kFiles; ++i) MakeFile("a/b/" + NameOf(i));
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit few = {.rlim_cur = kDescriptors, .rlim_max = before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  }
  ~SessionScaleTest() override { setrlimit(RLIMIT_NOFILE, &before_); }

  // Tables are so large that malloc may map them.
  static size_t BytesInUse() { return mallinfo2().uordblks + mallinfo2().hblkhd; }
  static std::string NameOf(int i) { return "file number " + std::to_string(i); }
  static p9::Fid FidOf(int i) { return static_cast<p9::Fid>(1000 + i); }

  void WalkAll() {
    ASSERT_TRUE(client_.Walk(kRoot, 1, {"a", "b"}).ok());
    for (int i = 0; i < kFiles; ++i) ASSERT_EQ(Error(client_.Walk(1, FidOf(i), {NameOf(i)})), 0) << i;
  }

  rlimit before_ = {};
};

TEST_F(SessionScaleTest, AllFidsWorkAtFewDescriptorsThoughAncestorsAreRenamed) {
  WalkAll();
  ASSERT_EQ(rename(Host("a").c_str(), Host("renamed by the host").c_str()), 0);
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"renamed by the host"}).ok());
  ASSERT_TRUE(client_.Rename(2, "b", kRoot, "renamed by the guest").ok());
  for (int i = 0; i < kFiles; ++i) ASSERT_EQ(Error(client_.Getattr(FidOf(i))), 0) << i;
  const struct stat last = HostStat("renamed by the guest/" + NameOf(kFiles - 1));
  EXPECT_EQ(client_.Getattr(FidOf(kFiles - 1))->qid.path, last.st_ino);
  for (int i = 0; i < kFiles; i += 97) {
    ASSERT_EQ(Error(client_.Open(FidOf(i), p9::kOpenReadWrite)), 0) << i;
    ASSERT_EQ(*client_.Write(FidOf(i), 0, "x"), 1u);
    ASSERT_EQ(Error(client_.Remove(FidOf(i))), 0) << i;
    EXPECT_FALSE(HostHas("renamed by the guest/" + NameOf(i)));
  }
}

TEST_F(SessionScaleTest, WhatAnIdleFidTakes) {
  if (kSanitized) GTEST_SKIP() << "another malloc";
  ASSERT_TRUE(client_.Walk(kRoot, 2, {"a", "b"}).ok());
  const size_t before = BytesInUse();
  WalkAll();
  const size_t each = (BytesInUse() - before) / kFiles;
  // The fid's state, its name, the inode, the tables of them (here 3/5 full), and the broker's handle.
  EXPECT_LE(each, 300u);
  printf("%zu bytes for each fid\n", each);
  RecordProperty("bytes_per_fid", static_cast<int>(each));
  for (int i = 0; i < kFiles; ++i) ASSERT_TRUE(client_.Clunk(FidOf(i)).ok());
  const size_t left = BytesInUse() - before;
  EXPECT_LE(left / kFiles, 70u) << "only the tables and the broker's records stay large";
}

TEST_F(SessionScaleTest, ALargeDirectoryIsListedWholeAtAnyMsize) {
  for (const uint32_t msize : {4096u, 512u * 1024}) {
    ASSERT_TRUE(client_(p9::Tversion{.msize = msize, .version = p9::kVersion}).ok());
    client_.capacity = msize;
    ASSERT_TRUE(client_(p9::Tattach{.fid = kRoot, .afid = p9::kNoFid, .uname = "", .aname = "a/b", .n_uname = 0}).ok());
    ASSERT_TRUE(client_.Open(kRoot, p9::kOpenReadOnly).ok());
    int entries = 0;
    int requests = 0;
    uint64_t offset = 0;
    for (;; ++requests) {
      const auto some = client_.Readdir(kRoot, offset, msize - p9::kIoHeaderSize);
      ASSERT_TRUE(some.ok());
      if (some->empty()) break;
      entries += static_cast<int>(some->size());
      offset = some->back().offset;
    }
    EXPECT_EQ(entries, kFiles + 2) << msize;
    EXPECT_LE(static_cast<uint32_t>(requests), kFiles * 50 / msize * 2 + 2) << "replies are not well filled";
  }
}

}  // namespace
}  // namespace virtfs
