#include "frontend/mount/relay_process.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "frontend/relay/device_link.h"
#include "frontend/relay/relay.h"

// Linux 5.6, newer than libc's header.
#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif
// Linux 5.11.
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

namespace virtfs::frontend {
namespace {

// What the child says when it is ready, before its msize; everything else is what went wrong.
constexpr std::string_view kReady = "ready ";
// Its descriptors.
constexpr int kStream = 3;
constexpr int kReport = 4;
// The socket's own, in each direction: two of the largest messages that a share usually has.
constexpr int kSocketBuffer = 1024 * 1024;

absl::Status Failed(const char* what) { return absl::InternalError(absl::StrCat(what, ": ", Errno::Last().message())); }

void WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) return;
    if (written > 0) text.remove_prefix(static_cast<size_t>(written));
  }
}

std::string ReadAll(int fd) {
  std::string text;
  std::array<char, 512> part;
  for (;;) {
    const ssize_t got = read(fd, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(part.data(), static_cast<size_t>(got));
  }
}

void GrowSocket(int fd) {
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBuffer, sizeof(kSocketBuffer)) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof(kSocketBuffer));
  }
}

// Leaves the terminal, the working directory and all descriptors but `keep`, which become 3 and 4.
void Detach(std::array<UniqueFd, 2> keep) {
  setsid();
  // Where it fails, a directory stays in use until the unmount.
  [[maybe_unused]] const int moved = chdir("/");
  umask(0);
  // Ignored signals stay so in the next program.
  for (const int ignored : {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGQUIT}) signal(ignored, SIG_IGN);
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int standard = 0; standard < 3; ++standard) dup2(null.get(), standard);
  // Out of each other's way first.
  for (UniqueFd& fd : keep) fd.reset(fcntl(fd.get(), F_DUPFD_CLOEXEC, kReport + 1));
  dup2(keep[0].get(), kStream);
  dup2(keep[1].get(), kReport);
  close_range(kReport + 1, ~0U, CLOSE_RANGE_CLOEXEC);
}

// First of all, before there are threads, which inherit it. What is refused, to a process that is not fully root, is
// done without.
void PrepareForWriteBack() {
  prctl(PR_SET_NAME, "virtfs-relay");
  prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
  const UniqueFd score(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (score.ok()) WriteAll(score.get(), "-1000");
  // All code and data, which may be on a disk that cannot be read later.
  static_cast<void>(mlockall(MCL_CURRENT));
}

// When all is made that is ever used: what was touched stays, and so does what is touched from now on. Without
// MCL_ONFAULT all of each thread's stack, 8 MiB, would be made present.
bool LockMemory() { return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0; }

void Log(const std::string& sentence) { syslog(LOG_WARNING, "%s", sentence.c_str()); }

}  // namespace

int RunRelay(const std::vector<std::string>& arguments) {
  const auto number = [&](size_t i) -> uint32_t {
    uint32_t value = 0;
    if (i < arguments.size()) static_cast<void>(absl::SimpleAtoi(arguments[i], &value));
    return value;
  };
  if (arguments.size() != 4 || fcntl(kStream, F_GETFD) < 0 || fcntl(kReport, F_GETFD) < 0) return 1;
  UniqueFd stream(kStream);
  UniqueFd report(kReport);
  const std::string& tag = arguments[0];
  const std::chrono::seconds wait(number(3));
  PrepareForWriteBack();
  openlog("mount.virtfs", LOG_PID, LOG_DAEMON);
  const auto log = [&tag](const std::string& sentence) { Log(absl::StrCat(tag, ": ", sentence)); };
  const absl::StatusOr<std::unique_ptr<DeviceLink>> link =
      DeviceLink::Connect({.tag = tag, .timeout = wait, .pages = number(2)});
  if (!link.ok()) {
    WriteAll(report.get(), std::string(link.status().message()));
    return 1;
  }
  Relay relay(**link, {.max_msize = number(1), .patience = wait, .log = log});
  if (!LockMemory()) {
    log(absl::StrCat("cannot lock memory, under memory pressure the mount may hang: ", Errno::Last().message()));
  }
  WriteAll(report.get(), absl::StrCat(std::string(kReady), relay.max_msize()));
  report.reset();
  const absl::Status end = relay.Serve(stream.get(), -1);
  if (!end.ok()) log(std::string(end.message()));
  stream.reset();
  const absl::Status closed = (*link)->Close();
  if (!closed.ok()) log(std::string(closed.message()));
  return 0;
}

absl::StatusOr<RelayProcess> RelayProcess::Start(const std::string& program, const RelaySettings& settings) {
  std::array<int, 2> sockets;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0)
    return Failed("cannot make a socketpair");
  UniqueFd ours(sockets[0]);
  UniqueFd theirs(sockets[1]);
  GrowSocket(ours.get());
  GrowSocket(theirs.get());
  std::array<int, 2> pipe;
  if (pipe2(pipe.data(), O_CLOEXEC) != 0) return Failed("cannot make a pipe");
  const UniqueFd answer(pipe[0]);
  UniqueFd report(pipe[1]);
  // Named as what it is, for who looks at the processes.
  std::vector<std::string> words = {"virtfs-relay",
                                    kRelayOption,
                                    settings.tag,
                                    absl::StrCat(settings.msize),
                                    absl::StrCat(settings.pages),
                                    absl::StrCat(settings.wait.count())};
  std::vector<char*> argv(words.size() + 1);
  std::ranges::transform(words, argv.begin(), [](std::string& word) { return word.data(); });
  const pid_t child = fork();
  if (child < 0) return Failed("cannot fork");
  if (child == 0) {
    Detach({std::move(theirs), std::move(report)});
    execv(program.c_str(), argv.data());
    WriteAll(kReport, absl::StrCat("cannot run ", program, ": ", Errno::Last().message()));
    _exit(1);
  }
  theirs.reset();
  report.reset();
  RelayProcess process(child, std::move(ours));
  const std::string text = ReadAll(answer.get());
  if (text.starts_with(kReady)) {
    std::from_chars(text.data() + kReady.size(), text.data() + text.size(), process.msize_);
    return process;
  }
  return absl::UnavailableError(text.empty() ? "the relay died while it connected the share" : text);
}

RelayProcess::~RelayProcess() {
  stream_.reset();
  if (pid_ < 0) return;
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace virtfs::frontend
