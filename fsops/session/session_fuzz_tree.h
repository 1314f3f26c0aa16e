// The directory on which session_fuzz runs: exported, emptied before each run, with a sentinel beside it.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "fsops/session/session_fuzz_input.h"

namespace virtfs {

// Stops the fuzzer, whatever the build.
inline void Require(bool holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "violated: %s\n", what);
  abort();
}

class FuzzTree {
 public:
  // What no reply may ever have in it.
  static constexpr std::string_view kSecret = "<what only the host may read>";

  FuzzTree() {
    if (mkdtemp(path_.data()) == nullptr) path_ = "/tmp/session-fuzz-XXXXXX";
    if (access(path_.c_str(), F_OK) != 0) Require(mkdtemp(path_.data()) != nullptr, "a directory can be made");
    Require(mkdir((path_ + "/export").c_str(), 0755) == 0, "a directory can be made in it");
    outside_ = UniqueFd(open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    root_ = UniqueFd(openat(outside_.get(), "export", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Write(outside_.get(), "sentinel", kSecret);
    before_ = Outside();
  }
  ~FuzzTree() {
    Empty();
    unlinkat(outside_.get(), "sentinel", 0);
    unlinkat(outside_.get(), "export", AT_REMOVEDIR);
    rmdir(path_.c_str());
  }
  FuzzTree(const FuzzTree&) = delete;
  FuzzTree& operator=(const FuzzTree&) = delete;

  UniqueFd Root() const { return UniqueFd(openat(outside_.get(), "export", O_PATH | O_DIRECTORY | O_CLOEXEC)); }

  // Files of most types, and a way out for whoever follows it.
  void Fill() const {
    const int root = root_.get();
    fchmod(root, 0755);
    fchown(root, 0, 0);
    Write(root, "a", "text");
    mkdirat(root, "d", 0755);
    Write(root, "d/a", "other");
    symlinkat("../sentinel", root, "l");
    mkfifoat(root, "p", 0600);
  }

  // Nobody may have locked anything there any more.
  void Empty() const {
    EmptyDirectory(root_.get());
    for (const std::string& name : XattrsOf("/proc/self/fd/" + std::to_string(root_.get()))) {
      fremovexattr(root_.get(), name.c_str());
    }
  }

  void CheckOutside() const {
    Require(Outside() == before_, "nothing beside the export was touched");
    const UniqueFd sentinel(openat(outside_.get(), "sentinel", O_RDONLY | O_CLOEXEC));
    char text[100];
    const ssize_t size = read(sentinel.get(), text, sizeof(text));
    Require(size >= 0 && std::string_view(text, static_cast<size_t>(size)) == kSecret,
            "the sentinel says what it said");
  }

  // Something that another process of the host does meanwhile.
  void HostActs(FuzzInput& input) const {
    const int root = root_.get();
    switch (input.Byte() % 8) {
      case 0:
        renameat(root, "a", root, "b");
        break;
      case 1:
        unlinkat(root, "a", 0);
        break;
      case 2:
        Write(root, "a", "made by the host");
        break;
      case 3:
        // A directory under the guest's feet becomes a way out.
        renameat(root, "d", root, "c");
        symlinkat("..", root, "d");
        break;
      case 4:
        renameat(root, "d/a", root, "a");
        break;
      case 5: {
        static constexpr std::array<const char*, 5> kNames = {"user.virtfs.mode", "user.virtfs.uid", "user.virtfs.gid",
                                                              "user.virtfs.rdev", "user.x"};
        const char* name = input.Of(kNames);
        const std::string value = input.Text(input.Byte() % 12);
        const UniqueFd file(openat(root, "a", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        fsetxattr(file.get(), name, value.data(), value.size(), 0);
        break;
      }
      case 6:
        mkdirat(root, ".virtfs_metadata", 0700);
        Write(root, ".virtfs_metadata/a", input.Text(input.Byte()));
        break;
      default:
        mkdirat(root, "d", 0755);
        break;
    }
  }

 private:
  static void Write(int dir, const char* name, std::string_view text) {
    const UniqueFd file(openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644));
    if (file.ok() && write(file.get(), text.data(), text.size()) < 0) return;
  }

  static std::vector<std::string> XattrsOf(const std::string& path) {
    char names[8192];
    const ssize_t size = listxattr(path.c_str(), names, sizeof(names));
    std::vector<std::string> all;
    for (const char* name = names; name < names + size; name += strlen(name) + 1) all.emplace_back(name);
    return all;
  }

  static std::vector<std::pair<std::string, unsigned char>> Entries(int dir) {
    std::vector<std::pair<std::string, unsigned char>> all;
    DIR* stream = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (stream == nullptr) return all;
    while (const dirent* entry = readdir(stream)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") all.emplace_back(name, entry->d_type);
    }
    closedir(stream);
    return all;
  }

  static void EmptyDirectory(int dir) {
    for (const auto& [name, type] : Entries(dir)) {
      if (type == DT_DIR) {
        const UniqueFd inner(openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        EmptyDirectory(inner.get());
        Require(unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0, "a directory can be removed");
        continue;
      }
      if (type == DT_REG) {
        const UniqueFd file(openat(dir, name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        struct flock lock = {};
        lock.l_type = F_WRLCK;
        Require(fcntl(file.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK, "no lock is left");
      }
      Require(unlinkat(dir, name.c_str(), 0) == 0, "a file can be removed");
    }
  }

  // Everything of the directory around the export that an operation could change.
  std::string Outside() const {
    std::string text;
    for (const auto& [name, type] : Entries(outside_.get())) {
      struct stat stat;
      Require(fstatat(outside_.get(), name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) == 0, "what is there has attributes");
      text += name + '\n';
      if (name != "sentinel") continue;
      for (const int64_t value :
           {int64_t{stat.st_mode}, int64_t{stat.st_uid}, int64_t{stat.st_gid}, static_cast<int64_t>(stat.st_nlink),
            static_cast<int64_t>(stat.st_size), stat.st_mtim.tv_sec, stat.st_mtim.tv_nsec, stat.st_ctim.tv_sec,
            stat.st_ctim.tv_nsec}) {
        text += std::to_string(value) + ' ';
      }
    }
    return text;
  }

  std::string path_ = "/dev/shm/session-fuzz-XXXXXX";
  UniqueFd outside_;
  UniqueFd root_;
  std::string before_;
};

}  // namespace virtfs
