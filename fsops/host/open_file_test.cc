#include "fsops/host/open_file.h"

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <vector>

#include "fsops/host/export_fixture.h"
#include "fsops/host/file_io.h"

namespace virtfs::host {
namespace {

// --- directories ---

class DirectoryTest : public ExportTest {
 protected:
  static constexpr size_t kBuffer = 32 << 10;

  std::unique_ptr<OpenFile> OpenRoot() { return *tree_->Open(root(), {}); }

  // From `cookie` to the end, at most `most` entries at a time. Returns name -> cookie.
  static std::multimap<std::string, uint64_t> ReadAll(OpenFile& dir, uint64_t cookie = 0, size_t buffer = kBuffer,
                                                      size_t most = SIZE_MAX) {
    std::multimap<std::string, uint64_t> entries;
    for (bool more = true; more;) {
      more = false;
      size_t taken = 0;
      const Result<void> done = dir.ReadDirectory(cookie, buffer, [&](const DirectoryEntry& entry) {
        if (taken++ == most) return false;
        entries.emplace(entry.name, entry.cookie);
        cookie = entry.cookie;
        return more = true;
      });
      EXPECT_EQ(ErrorOf(done), 0);
    }
    return entries;
  }
};
INSTANTIATE_ON_FILE_SYSTEMS(DirectoryTest);

TEST_P(DirectoryTest, EntriesSayWhatTheyAre) {
  Write(path("f"), "");
  ASSERT_EQ(mkdir(path("d").c_str(), 0755), 0);
  ASSERT_EQ(symlink("x", path("l").c_str()), 0);
  ASSERT_EQ(mkfifo(path("p").c_str(), 0644), 0);
  std::set<std::string> names;
  ASSERT_EQ(ErrorOf(OpenRoot()->ReadDirectory(0, kBuffer,
                                              [&](const DirectoryEntry& entry) {
                                                names.emplace(entry.name);
                                                const struct stat host = StatOf(path(std::string(entry.name)));
                                                EXPECT_EQ(entry.type, host.st_mode & S_IFMT);
                                                EXPECT_EQ(entry.ino, host.st_ino);
                                                return true;
                                              })),
            0);
  EXPECT_EQ(names, (std::set<std::string>{".", "..", "f", "d", "l", "p"}));
}

TEST_P(DirectoryTest, ManyWithAnyBuffer) {
  // ext4 has a tree of them long before; making more on a busy disk is what takes time.
  const int count = std::string(GetParam()) == "/tmp" ? 2000 : 10000;
  for (int i = 0; i < count; ++i) {
    ASSERT_EQ(mknod(path("file-with-a-name-" + std::to_string(i)).c_str(), S_IFREG | 0644, 0), 0);
  }
  const std::unique_ptr<OpenFile> dir = OpenRoot();
  const auto all = ReadAll(*dir);
  ASSERT_EQ(all.size(), static_cast<size_t>(count) + 2);
  EXPECT_EQ(ReadAll(*dir, 0, 1), all);             // as few as there can be at a time
  EXPECT_EQ(ReadAll(*dir, 0, 3500), all);          // msize 4096
  EXPECT_EQ(ReadAll(*dir, 0, 512 << 10), all);     // msize 512 KiB
  EXPECT_EQ(ReadAll(*dir, 0, kBuffer, 777), all);  // a caller that refuses some
}

TEST_P(DirectoryTest, CookiesSurviveReopeningAndDeletes) {
  for (int i = 0; i < 500; ++i) Write(path(std::to_string(i)), "");
  std::vector<std::pair<std::string, uint64_t>> order;
  const std::unique_ptr<OpenFile> dir = OpenRoot();
  ASSERT_EQ(ErrorOf(dir->ReadDirectory(0, kBuffer,
                                       [&](const DirectoryEntry& entry) {
                                         order.emplace_back(entry.name, entry.cookie);
                                         return true;
                                       })),
            0);
  ASSERT_EQ(order.size(), 502u);
  for (const size_t at : {0u, 1u, 100u, 250u, 499u, 500u}) {
    const auto rest = ReadAll(*OpenRoot(), order[at].second);
    EXPECT_EQ(rest.size(), 501 - at);
    for (size_t i = at + 1; i < order.size(); ++i) EXPECT_EQ(rest.count(order[i].first), 1u);
  }
  // rm -r: read some, delete them, read on.
  size_t deleted = 0;
  uint64_t cookie = 0;
  for (;;) {
    std::vector<std::string> some;
    ASSERT_EQ(ErrorOf(dir->ReadDirectory(cookie, 1000,
                                         [&](const DirectoryEntry& entry) {
                                           some.emplace_back(entry.name);
                                           cookie = entry.cookie;
                                           return true;
                                         })),
              0);
    if (some.empty()) break;
    for (const std::string& name : some) deleted += unlink(path(name).c_str()) == 0;
  }
  EXPECT_EQ(deleted, 500u);
  EXPECT_EQ(ReadAll(*dir).size(), 2u);
}

TEST_P(DirectoryTest, Errors) {
  Write(path("f"), "");
  const std::unique_ptr<OpenFile> file = *tree_->Open(*Get("f"), {});
  const auto never = [](const DirectoryEntry&) {
    ADD_FAILURE();
    return true;
  };
  EXPECT_EQ(ErrorOf(file->ReadDirectory(0, kBuffer, never)), ENOTDIR);
  EXPECT_EQ(ErrorOf(OpenRoot()->ReadDirectory(~uint64_t{0}, kBuffer, never)), EINVAL);
}

// --- files ---

class FileIoTest : public ExportTest {
 protected:
  std::unique_ptr<OpenFile> OpenNew(OpenFlags flags = {.access = Access::kReadWrite}) {
    return std::move(tree_->Create(root(), Name("f"), flags, 0644, {0, 0})->file);
  }

  // `bytes` in pieces of `piece`; the Payload is to be cut to `size`.
  static std::vector<iovec> Pieces(std::vector<char>& bytes, size_t piece) {
    std::vector<iovec> list;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      list.push_back({bytes.data() + at, std::min(piece, bytes.size() - at)});
    }
    return list;
  }
  static std::vector<char> Pattern(size_t size) {
    std::vector<char> bytes(size);
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
    return bytes;
  }
};
INSTANTIATE_ON_FILE_SYSTEMS(FileIoTest);

TEST_P(FileIoTest, AnySegmentsAndAnyCut) {
  const std::unique_ptr<OpenFile> file = OpenNew();
  std::vector<char> out = Pattern(5000);
  // One segment, cut within the first, at a boundary, within a later one, and more than one system call can take.
  for (const size_t piece : {5000u, 1000u, 4096u, 1u, 3u}) {
    for (const size_t size : {1u, 999u, 1000u, 1001u, 2500u, 4096u, 4999u, 5000u}) {
      SCOPED_TRACE(testing::Message() << piece << " " << size);
      ASSERT_EQ(ErrorOf(tree_->SetAttributes(file->inode(), {.size = 0})), 0);
      const std::vector<iovec> from = Pieces(out, piece);
      Payload data(from, out.size());
      data.Truncate(size);
      EXPECT_EQ(*FileIo::WriteFrom(*file, 10, data), size);
      EXPECT_EQ(tree_->Stat(file->inode())->size, size + 10);

      std::vector<char> in(5000, 'x');
      const std::vector<iovec> to = Pieces(in, piece);
      Payload room(to, in.size());
      room.Truncate(size);
      EXPECT_EQ(*FileIo::ReadInto(*file, 10, room), size);
      EXPECT_TRUE(std::equal(in.begin(), in.begin() + static_cast<ptrdiff_t>(size), out.begin()));
      EXPECT_EQ(static_cast<size_t>(std::count(in.begin() + static_cast<ptrdiff_t>(size), in.end(), 'x')), 5000 - size);
    }
  }
}

TEST_P(FileIoTest, EndsAndOffsets) {
  const std::unique_ptr<OpenFile> file = OpenNew();
  std::vector<char> bytes = Pattern(100);
  const std::vector<iovec> list = Pieces(bytes, 30);
  const Payload payload(list, bytes.size());
  const uint64_t far = uint64_t{5} << 30;
  EXPECT_EQ(*FileIo::WriteFrom(*file, far, payload), 100u);
  EXPECT_EQ(*FileIo::ReadInto(*file, far + 60, payload), 40u);
  EXPECT_EQ(*FileIo::ReadInto(*file, far + 100, payload), 0u);
  EXPECT_EQ(*FileIo::ReadInto(*file, far + 5000, payload), 0u);
  EXPECT_EQ(*FileIo::WriteFrom(*file, 0, Payload()), 0u);
  EXPECT_EQ(*FileIo::ReadInto(*file, 0, Payload()), 0u);
  for (const uint64_t offset : {~uint64_t{0}, uint64_t{1} << 63}) {
    EXPECT_EQ(ErrorOf(FileIo::ReadInto(*file, offset, payload)), EINVAL);
    EXPECT_EQ(ErrorOf(FileIo::WriteFrom(*file, offset, payload)), EINVAL);
  }
  const int beyond = ErrorOf(FileIo::WriteFrom(*file, INT64_MAX - 50, payload));
  EXPECT_TRUE(beyond == EINVAL || beyond == EFBIG) << beyond;
}

TEST_P(FileIoTest, OnlyAsItWasOpened) {
  OpenNew();
  std::vector<char> bytes = Pattern(10);
  const std::vector<iovec> list = Pieces(bytes, 10);
  const Payload payload(list, bytes.size());
  const InodeRef f = Get("f");
  const auto reader = *tree_->Open(*f, {});
  const auto writer = *tree_->Open(*f, {.access = Access::kWrite});
  const auto directory = *tree_->Open(root(), {});
  EXPECT_EQ(ErrorOf(FileIo::WriteFrom(*reader, 0, payload)), EBADF);
  EXPECT_EQ(ErrorOf(FileIo::ReadInto(*writer, 0, payload)), EBADF);
  EXPECT_EQ(ErrorOf(FileIo::ReadInto(*directory, 0, payload)), EISDIR);
  EXPECT_EQ(ErrorOf(FileIo::WriteFrom(*directory, 0, payload)), EBADF);
  EXPECT_EQ(ErrorOf(directory->Sync(true)), 0);

  const auto appender = *tree_->Open(*f, {.access = Access::kWrite, .append = true});
  EXPECT_EQ(*FileIo::WriteFrom(*appender, 0, payload), 10u);
  EXPECT_EQ(*FileIo::WriteFrom(*appender, 0, payload), 10u);
  EXPECT_EQ(tree_->Stat(*f)->size, 20u);
  EXPECT_EQ(ErrorOf(appender->Sync(true)), 0);
}

TEST_P(FileIoTest, PartOfAWriteIsReportedAndNoneIsAnError) {
  const std::unique_ptr<OpenFile> file = OpenNew();
  std::vector<char> bytes = Pattern(3000);
  const std::vector<iovec> list = Pieces(bytes, 1);
  const Payload payload(list, bytes.size());
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old = signal(SIGXFSZ, SIG_IGN);
  for (const size_t limit : {500u, 1024u, 2000u}) {
    const rlimit small{limit, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT_EQ(*FileIo::WriteFrom(*file, 0, payload), limit);
    EXPECT_EQ(ErrorOf(FileIo::WriteFrom(*file, limit, payload)), EFBIG);
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, old);
}

TEST_P(FileIoTest, MemoryThatIsGoneIsAnError) {
  const std::unique_ptr<OpenFile> file = OpenNew();
  const iovec nowhere{reinterpret_cast<void*>(4096), 100};
  EXPECT_EQ(ErrorOf(FileIo::WriteFrom(*file, 0, Payload({&nowhere, 1}, 100))), EFAULT);
}

}  // namespace
}  // namespace virtfs::host
