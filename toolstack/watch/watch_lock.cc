#include "toolstack/watch/watch_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"

namespace virtfs::toolstack {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// A watch that was killed while it started a keeper: that has the lock, too, until it is another program.
constexpr milliseconds kPatience{2000};
constexpr milliseconds kPause{20};

constexpr char kFile[] = "/watch.lock";

struct flock WholeFile() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

absl::Status Failed(const char* what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno)));
}

}  // namespace

absl::StatusOr<WatchLock> WatchLock::Take(const std::string& directory) {
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return Failed("make", directory);
  const std::string path = directory + kFile;
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.ok()) return Failed("open", path);
  for (const auto end = steady_clock::now() + kPatience; steady_clock::now() < end;
       std::this_thread::sleep_for(kPause)) {
    struct flock lock = WholeFile();
    if (fcntl(fd.get(), F_OFD_SETLK, &lock) == 0) return WatchLock(std::move(fd));
    if (errno != EAGAIN && errno != EACCES) return Failed("lock", path);
  }
  return absl::FailedPreconditionError(
      absl::StrCat("another xl-virtfs watch runs already and has ", path, ": one serves all guests of this domain"));
}

bool WatchLock::IsHeld(const std::string& directory) {
  const UniqueFd fd(open((directory + kFile).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  struct flock lock = WholeFile();
  return fd.ok() && fcntl(fd.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace virtfs::toolstack
