#include "toolstack/records/guest_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "toolstack/records/record.h"

namespace virtfs::toolstack {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// flock has no time limit, so it is asked again and again.
constexpr milliseconds kFirstPause{2};
constexpr milliseconds kLongestPause{50};

absl::Status Failed(const char* what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " ", path, ": ", strerror(errno)));
}

// " by process 17", or "" if the holder has not said yet.
std::string HolderOf(int fd) {
  char text[32];
  const ssize_t size = pread(fd, text, sizeof(text), 0);
  const std::string pid(text, size > 0 ? static_cast<size_t>(size) : 0);
  if (pid.empty() || pid.find_first_not_of("0123456789") != pid.npos) return "";
  return absl::StrCat(" by process ", pid);
}

}  // namespace

absl::StatusOr<GuestLock> GuestLock::Take(const std::string& directory, const std::string& uuid,
                                          milliseconds patience) {
  if (!IsUuid(uuid)) return absl::InvalidArgumentError(absl::StrCat(uuid, " is no UUID"));
  const auto end = steady_clock::now() + patience;
  const std::string path = absl::StrCat(directory, "/", uuid, ".lock");
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return Failed("make", directory);
  // For root alone: whoever can open a file can lock it for ever.
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.ok()) return Failed("open", path);
  for (milliseconds pause = kFirstPause; flock(fd.get(), LOCK_EX | LOCK_NB) != 0;) {
    if (errno != EWOULDBLOCK && errno != EINTR) return Failed("lock", path);
    const auto now = steady_clock::now();
    if (now >= end)
      return absl::DeadlineExceededError(absl::StrCat("the guest's shares are being changed", HolderOf(fd.get())));
    std::this_thread::sleep_for(std::min<steady_clock::duration>(pause, end - now));
    pause = std::min(pause * 2, kLongestPause);
  }
  const std::string pid = absl::StrCat(getpid());
  if (ftruncate(fd.get(), 0) == 0) (void)!pwrite(fd.get(), pid.data(), pid.size(), 0);
  return GuestLock(std::move(fd));
}

}  // namespace virtfs::toolstack
