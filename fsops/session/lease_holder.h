// A host process that holds leases (fcntl F_SETLEASE) on files, so that opening them would block. For tests.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace virtfs {

// The kernel breaks a lease by force when its holder has ignored the request for /proc/sys/fs/lease-break-time (45 s).
class LeaseHolder {
 public:
  // Fork before there are threads. Nobody else may have the files open.
  explicit LeaseHolder(const std::vector<std::string>& paths) {
    int to_child[2];
    int to_parent[2];
    if (pipe2(to_child, O_CLOEXEC) != 0 || pipe2(to_parent, O_CLOEXEC) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) {
      close(to_child[1]);
      Hold(paths, to_child[0], to_parent[1]);
    }
    close(to_child[0]);
    close(to_parent[1]);
    release_.reset(to_child[1]);
    const UniqueFd ready(to_parent[0]);
    char failure = 1;
    EXPECT_EQ(read(ready.get(), &failure, 1), 1);
    EXPECT_EQ(failure, 0) << "no lease to be had";
  }
  ~LeaseHolder() { Release(); }
  LeaseHolder(const LeaseHolder&) = delete;
  LeaseHolder& operator=(const LeaseHolder&) = delete;

  // When it returns the leases are gone.
  void Release() {
    if (pid_ < 0) return;
    release_.reset();
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  [[noreturn]] static void Hold(const std::vector<std::string>& paths, int release, int ready) {
    signal(SIGIO, SIG_IGN);
    char failure = 0;
    for (const std::string& path : paths) {
      const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
      if (fd < 0 || fcntl(fd, F_SETLEASE, F_WRLCK) != 0) failure = 1;
    }
    char end;
    if (write(ready, &failure, 1) == 1 && read(release, &end, 1) < 0) _exit(1);
    _exit(0);
  }

  pid_t pid_ = -1;
  UniqueFd release_;
};

}  // namespace virtfs
