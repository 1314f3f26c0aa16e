// Starting processes for a simulated machine.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace xensim {

struct LaunchOptions {
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // "NAME=value", in place of or beside what the caller has
  int output = -1;                       // stdout and stderr; -1: inherited
  int keep = -1;                         // a descriptor that stays open across exec
  bool die_with_parent = false;
  bool new_session = false;
};

// The process id, or -1 with errno.
pid_t Launch(const LaunchOptions& options);

}  // namespace xensim
