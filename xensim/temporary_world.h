// For tests: an empty simulated Xen without xenstored, in which the test itself plays every domain.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "xensim/domains.h"
#include "xensim/world.h"

namespace xensim {

class TemporaryWorld {
 public:
  TemporaryWorld() : directory_("/dev/shm/xensim-test-" + std::to_string(getpid())) {
    std::filesystem::remove_all(directory_);
    World::Create(directory_);
    setenv("XENSIM_DIR", directory_.c_str(), 1);
    world_ = World::Open();
    Become(0);
  }
  ~TemporaryWorld() { std::filesystem::remove_all(directory_); }

  World& operator*() { return *world_; }
  World* operator->() { return world_.get(); }

  // The handles opened from now on are those of this domain.
  void Become(uint32_t domid) { setenv("XENSIM_DOMID", std::to_string(domid).c_str(), 1); }

 private:
  std::string directory_;
  std::shared_ptr<World> world_;
};

// A forked process: runs `body` and waits, holding what it got, to be killed. Returns once `body` is done.
template <typename Body>
pid_t ForkAndHold(Body body) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const pid_t pid = fork();
  if (pid == 0) {
    body();
    if (write(ends[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  close(ends[1]);
  char byte;
  const bool done = read(ends[0], &byte, 1) == 1;
  close(ends[0]);
  return done ? pid : -1;
}

}  // namespace xensim
