#include "backend/keeper/server_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "backend/link/channel.h"

namespace virtfs::backend {
namespace {

// A killed process frees a million inodes in less.
constexpr int kDeathMilliseconds = 5000;

// The simulated Xen's libraries and state; and how sanitizers are to report.
bool IsPassedOn(std::string_view variable) {
  for (std::string_view prefix : {"LD_LIBRARY_PATH=", "XENSIM_", "ASAN_OPTIONS=", "TSAN_OPTIONS=", "UBSAN_OPTIONS="}) {
    if (variable.starts_with(prefix)) return true;
  }
  return false;
}

std::vector<char*> ServerEnvironment() {
  std::vector<char*> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (IsPassedOn(*variable)) environment.push_back(*variable);
  }
  environment.push_back(nullptr);
  return environment;
}

}  // namespace

absl::StatusOr<ServerProcess> ServerProcess::Start(const std::string& about) {
  auto link = link::MakeLink();
  if (!link.ok()) return absl::UnavailableError(absl::StrCat("cannot make a socket pair: ", link.error().message()));

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, link->second.get(), kServerLinkFd);
  posix_spawn_file_actions_addclosefrom_np(&files, kServerLinkFd + 1);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);

  std::string name = "xen-virtfsd", flag = kServerFlag, label = about;
  char* arguments[] = {name.data(), flag.data(), label.data(), nullptr};
  pid_t pid;
  const int error = posix_spawn(&pid, "/proc/self/exe", &files, &attributes, arguments, ServerEnvironment().data());
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return absl::UnavailableError(absl::StrCat("cannot start a server: ", strerror(error)));

  // Nobody else reaps it, so the number is still its own.
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  ServerProcess process(pid, std::move(pidfd), std::move(link->first));
  if (!process.pidfd_.ok()) return absl::UnavailableError(absl::StrCat("cannot watch a server: ", strerror(errno)));
  return process;
}

ServerProcess::ServerProcess(pid_t pid, UniqueFd pidfd, UniqueFd link)
    : pid_(pid), pidfd_(std::move(pidfd)), link_(std::move(link)) {}

ServerProcess::ServerProcess(ServerProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      pidfd_(std::move(other.pidfd_)),
      link_(std::move(other.link_)),
      exited_well_(other.exited_well_) {}

ServerProcess::~ServerProcess() {
  if (pid_ == 0) return;
  Kill();
  // One that a hung file system holds in the kernel dies when that lets it go: by then init reaps it.
  pollfd ended = {pidfd_.get(), POLLIN, 0};
  poll(&ended, 1, kDeathMilliseconds);
  Wait(WNOHANG);
}

void ServerProcess::Kill() {
  if (pid_ != 0) kill(pid_, SIGKILL);
}

std::optional<std::string> ServerProcess::Reap() { return Wait(WNOHANG); }

std::optional<std::string> ServerProcess::Wait(int flags) {
  int status;
  pid_t got;
  do {
    got = waitpid(pid_, &status, flags);
  } while (got < 0 && errno == EINTR);
  if (got != pid_) return std::nullopt;
  pid_ = 0;
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
    return "was killed by the kernel for a system call that a server never makes (SIGSYS)";
  }
  if (WIFSIGNALED(status)) return absl::StrCat("was killed by signal ", WTERMSIG(status));
  exited_well_ = WEXITSTATUS(status) == 0;
  return absl::StrCat("exited with status ", WEXITSTATUS(status));
}

}  // namespace virtfs::backend
