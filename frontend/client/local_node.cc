#include "frontend/client/local_node.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <mutex>
#include <utility>

#include "base/unique_fd.h"

namespace virtfs::frontend {
namespace {

constexpr size_t kChunk = 256 * 1024;

Time TimeOf(const timespec& time) { return {time.tv_sec, static_cast<uint32_t>(time.tv_nsec)}; }
timespec TimespecOf(const Time& time) { return {time.seconds, static_cast<long>(time.nanoseconds)}; }

class LocalReader : public Reader {
 public:
  LocalReader(UniqueFd fd, uint64_t expected) : fd_(std::move(fd)), bytes_(std::min<uint64_t>(expected + 1, kChunk)) {}

  Result<std::span<const uint8_t>> Next() override {
    ssize_t got;
    do {
      got = read(fd_.get(), bytes_.data(), bytes_.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) return Errno::Last();
    return std::span<const uint8_t>(bytes_).first(static_cast<size_t>(got));
  }

 private:
  UniqueFd fd_;
  std::vector<uint8_t> bytes_;
};

class LocalWriter : public Writer {
 public:
  explicit LocalWriter(UniqueFd fd) : fd_(std::move(fd)) {}

  Result<void> Append(std::span<const uint8_t> bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = write(fd_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return Errno::Last();
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
    return {};
  }

  Result<void> Finish(const Attributes& like) override {
    const timespec times[2] = {TimespecOf(like.atime), TimespecOf(like.mtime)};
    // The mode behind the writes, which take setuid away; the times last.
    if (fchmod(fd_.get(), like.mode & 07777) != 0 || futimens(fd_.get(), times) != 0) return Errno::Last();
    return {};
  }

 private:
  UniqueFd fd_;
};

// An open directory, closed when the last node in it goes.
using Directory = std::shared_ptr<const UniqueFd>;

class LocalFile : public Node {
 public:
  // What is called `name` in `parent`, or in the working directory if there is none.
  LocalFile(Directory parent, std::string name) : parent_(std::move(parent)), name_(std::move(name)) {}

  Result<Attributes> Stat() override {
    struct stat info;
    if (fstatat(parent(), name_.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return Errno::Last();
    return Attributes{info.st_mode,
                      info.st_uid,
                      info.st_gid,
                      info.st_nlink,
                      static_cast<uint64_t>(info.st_size),
                      info.st_ino,
                      TimeOf(info.st_atim),
                      TimeOf(info.st_mtim),
                      TimeOf(info.st_ctim)};
  }

  Result<void> Become(const Attributes& like) override {
    if (!S_ISLNK(like.mode) && fchmodat(parent(), name_.c_str(), like.mode & 07777, 0) != 0) return Errno::Last();
    const timespec times[2] = {TimespecOf(like.atime), TimespecOf(like.mtime)};
    if (utimensat(parent(), name_.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) return Errno::Last();
    return {};
  }

  Result<std::string> ReadLink() override {
    char target[PATH_MAX];
    const ssize_t size = readlinkat(parent(), name_.c_str(), target, sizeof(target));
    if (size < 0) return Errno::Last();
    return std::string(target, static_cast<size_t>(size));
  }

  Result<std::unique_ptr<Reader>> Read(uint64_t expected) override {
    UniqueFd fd(openat(parent(), name_.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!fd.ok()) return Errno::Last();
    return std::unique_ptr<Reader>(std::make_unique<LocalReader>(std::move(fd), expected));
  }

  Result<std::vector<std::string>> List() override {
    const Result<Directory> self = Open();
    if (!self.ok()) return self.error();
    const int fd = openat((*self)->get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* stream = fd >= 0 ? fdopendir(fd) : nullptr;
    if (stream == nullptr) return Errno::Last();
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = readdir(stream)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    const int error = errno;
    closedir(stream);
    if (error != 0) return Errno(error);
    return names;
  }

  Result<std::unique_ptr<Node>> Child(const std::string& name) override {
    const Result<Directory> self = Open();
    if (!self.ok()) return self.error();
    return std::unique_ptr<Node>(std::make_unique<LocalFile>(*self, name));
  }

  Result<void> MakeDirectory(const std::string& name) override {
    const Result<Directory> self = Open();
    if (!self.ok()) return self.error();
    if (mkdirat((*self)->get(), name.c_str(), 0700) != 0) return Errno::Last();
    return {};
  }

  Result<void> MakeSymlink(const std::string& name, const std::string& target) override {
    const Result<Directory> self = Open();
    if (!self.ok()) return self.error();
    if (symlinkat(target.c_str(), (*self)->get(), name.c_str()) != 0) return Errno::Last();
    return {};
  }

  Result<std::unique_ptr<Writer>> MakeFile(const std::string& name) override {
    const Result<Directory> self = Open();
    if (!self.ok()) return self.error();
    UniqueFd fd(openat((*self)->get(), name.c_str(),
                       O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600));
    if (!fd.ok()) return Errno::Last();
    return std::unique_ptr<Writer>(std::make_unique<LocalWriter>(std::move(fd)));
  }

  Result<void> Remove(const std::string& name, bool directory) override {
    const Result<Directory> self = Open();
    if (!self.ok()) return self.error();
    if (unlinkat((*self)->get(), name.c_str(), directory ? AT_REMOVEDIR : 0) != 0) return Errno::Last();
    return {};
  }

 private:
  int parent() const { return parent_ ? parent_->get() : AT_FDCWD; }

  Result<Directory> Open() {
    const std::lock_guard lock(mutex_);
    if (!self_) {
      UniqueFd fd(openat(parent(), name_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!fd.ok()) return Errno::Last();
      self_ = std::make_shared<const UniqueFd>(std::move(fd));
    }
    return self_;
  }

  const Directory parent_;
  const std::string name_;
  std::mutex mutex_;
  Directory self_;  // Once it was needed.
};

}  // namespace

std::unique_ptr<Node> LocalNode(const std::string& path) { return std::make_unique<LocalFile>(nullptr, path); }

}  // namespace virtfs::frontend
