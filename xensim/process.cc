#include "xensim/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace xensim {
namespace {

std::vector<std::string> MergedEnvironment(const std::vector<std::string>& changes) {
  std::vector<std::string> merged = changes;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const size_t name = std::strcspn(*entry, "=") + 1;
    bool replaced = false;
    for (const std::string& change : changes) replaced |= change.compare(0, name, *entry, name) == 0;
    if (!replaced) merged.emplace_back(*entry);
  }
  return merged;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

pid_t Launch(const LaunchOptions& options) {
  const std::vector<std::string> environment = MergedEnvironment(options.environment);
  const std::vector<char*> argv = Pointers(options.argv);
  const std::vector<char*> envp = Pointers(environment);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid != 0) return pid;
  // The child of a process that may have threads: async-signal-safe calls only.
  if (options.new_session) setsid();
  if (options.die_with_parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (options.output >= 0 && (dup2(options.output, 1) < 0 || dup2(options.output, 2) < 0)) _exit(127);
  if (options.keep >= 0) fcntl(options.keep, F_SETFD, 0);
  execve(argv[0], argv.data(), envp.data());
  _exit(127);
}

}  // namespace xensim
