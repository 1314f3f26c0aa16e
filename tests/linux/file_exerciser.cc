// file_exerciser FILE SECONDS SEED [mmap]: does to a file, at random, what a program can do to one, keeps in memory
// what must be in it, and compares after every read. With `mmap` through shared mappings, too.
//
// Prints "N operations: the same" and gives 0; or says what was done last, where the first wrong byte is, and gives 1.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr size_t kLongest = 1 << 20;
constexpr size_t kRemembered = 30;

class Exerciser {
 public:
  Exerciser(const char* path, uint64_t seed, bool mmap) : path_(path), mmap_(mmap), random_(seed) {
    fd_ = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd_ < 0) Fail("open", errno);
  }
  ~Exerciser() { close(fd_); }
  Exerciser(const Exerciser&) = delete;
  Exerciser& operator=(const Exerciser&) = delete;

  void Step() {
    ++operations_;
    const size_t offset = Below(kLongest - 1), length = 1 + Below(std::min<size_t>(kLongest - offset, 128 * 1024));
    switch (Below(12)) {
      case 0:
        return Resize(Below(kLongest));
      case 1:
        return Reopen();
      case 2:
        return Append(std::min(length, kLongest - content_.size()));
      case 3:
        return Sync();
      case 4:
      case 5:
        return mmap_ ? WriteMapped(offset, length) : Write(offset, length);
      case 6:
        return mmap_ ? ReadMapped() : Read(offset, length);
      case 7:
      case 8:
      case 9:
        return Write(offset, length);
      default:
        return Read(offset, length);
    }
  }

  void End() { Read(0, kLongest); }
  uint64_t operations() const { return operations_; }

 private:
  size_t Below(size_t bound) { return bound == 0 ? 0 : std::uniform_int_distribution<size_t>(0, bound - 1)(random_); }

  void Note(const char* what, size_t offset, size_t length) {
    done_.push_back(std::string(what) + " " + std::to_string(offset) + " +" + std::to_string(length));
    if (done_.size() > kRemembered) done_.pop_front();
  }

  [[noreturn]] void Fail(const char* what, int error) {
    for (const std::string& done : done_) fprintf(stderr, "  %s\n", done.c_str());
    fprintf(stderr, "%s: operation %llu, %s: %s\n", path_, static_cast<unsigned long long>(operations_), what,
            error != 0 ? strerror(error) : "wrong");
    exit(1);
  }

  std::string Bytes(size_t length) {
    std::string bytes(length, '\0');
    uint64_t word = 0;
    for (size_t i = 0; i < length; ++i) {
      if (i % 8 == 0) word = random_();
      bytes[i] = static_cast<char>(word >> (i % 8 * 8));
    }
    return bytes;
  }

  void Check(const char* what, size_t offset, std::string_view seen) {
    const std::string_view expected = std::string_view(content_).substr(std::min(offset, content_.size()), seen.size());
    if (seen == expected) return;
    const size_t at = static_cast<size_t>(
        std::mismatch(seen.begin(), seen.end(), expected.begin(), expected.end()).first - seen.begin());
    fprintf(stderr, "byte %zu of %zu, read at %zu: %zu bytes came, %zu were expected\n", offset + at, content_.size(),
            offset, seen.size(), expected.size());
    Fail(what, 0);
  }

  void Put(size_t offset, const std::string& bytes) {
    content_.resize(std::max(content_.size(), offset + bytes.size()));
    content_.replace(offset, bytes.size(), bytes);
  }

  void Write(size_t offset, size_t length) {
    Note("write", offset, length);
    const std::string bytes = Bytes(length);
    for (size_t done = 0; done < length;) {
      const ssize_t size = pwrite(fd_, &bytes[done], length - done, static_cast<off_t>(offset + done));
      if (size <= 0) Fail("pwrite", size < 0 ? errno : ENOSPC);
      done += static_cast<size_t>(size);
    }
    Put(offset, bytes);
  }

  void Append(size_t length) {
    Note("append", content_.size(), length);
    const int fd = open(path_, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0) Fail("open to append", errno);
    const std::string bytes = Bytes(length);
    for (size_t done = 0; done < length;) {
      const ssize_t size = write(fd, &bytes[done], length - done);
      if (size <= 0) Fail("append", size < 0 ? errno : ENOSPC);
      done += static_cast<size_t>(size);
    }
    if (close(fd) != 0) Fail("close", errno);
    Put(content_.size(), bytes);
  }

  void Read(size_t offset, size_t length) {
    Note("read", offset, length);
    std::string seen(length, '\0');
    size_t done = 0;
    while (done < length) {
      const ssize_t size = pread(fd_, &seen[done], length - done, static_cast<off_t>(offset + done));
      if (size < 0) Fail("pread", errno);
      if (size == 0) break;
      done += static_cast<size_t>(size);
    }
    seen.resize(done);
    const size_t end = std::min(offset + length, content_.size());
    if (done != end - std::min(offset, end)) Check("a short read", offset, seen + std::string(1, '?'));
    Check("read", offset, seen);
  }

  void Resize(size_t size) {
    Note("truncate", size, 0);
    if (ftruncate(fd_, static_cast<off_t>(size)) != 0) Fail("ftruncate", errno);
    content_.resize(size);
    struct stat attributes = {};
    if (fstat(fd_, &attributes) != 0) Fail("fstat", errno);
    if (static_cast<size_t>(attributes.st_size) != size) Fail("the size after ftruncate", 0);
  }

  void Reopen() {
    Note("close and open", 0, 0);
    if (close(fd_) != 0) Fail("close", errno);
    fd_ = open(path_, O_RDWR | O_CLOEXEC);
    if (fd_ < 0) Fail("open again", errno);
  }

  void Sync() {
    Note("fsync", 0, 0);
    if (fsync(fd_) != 0) Fail("fsync", errno);
  }

  void WriteMapped(size_t offset, size_t length) {
    if (offset >= content_.size()) return Write(offset, length);
    length = std::min(length, content_.size() - offset);
    Note("write mapped", offset, length);
    char* memory = static_cast<char*>(mmap(nullptr, content_.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
    if (memory == MAP_FAILED) Fail("mmap", errno);
    const std::string bytes = Bytes(length);
    memcpy(memory + offset, bytes.data(), length);
    if (Below(2) == 0 && msync(memory, content_.size(), MS_SYNC) != 0) Fail("msync", errno);
    munmap(memory, content_.size());
    Put(offset, bytes);
  }

  void ReadMapped() {
    if (content_.empty()) return;
    Note("read mapped", 0, content_.size());
    const char* memory = static_cast<const char*>(mmap(nullptr, content_.size(), PROT_READ, MAP_SHARED, fd_, 0));
    if (memory == MAP_FAILED) Fail("mmap", errno);
    Check("read mapped", 0, {memory, content_.size()});
    munmap(const_cast<char*>(memory), content_.size());
  }

  const char* const path_;
  const bool mmap_;
  std::mt19937_64 random_;
  int fd_ = -1;
  uint64_t operations_ = 0;
  std::string content_;
  std::deque<std::string> done_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: file_exerciser FILE SECONDS SEED [mmap]\n");
    return 2;
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(atoi(argv[2]));
  Exerciser exerciser(argv[1], strtoull(argv[3], nullptr, 10), argc > 4);
  while (std::chrono::steady_clock::now() < end) exerciser.Step();
  exerciser.End();
  fprintf(stderr, "%llu operations\n", static_cast<unsigned long long>(exerciser.operations()));
  printf("the same\n");
}
