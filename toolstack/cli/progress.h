// Progress: a line on standard error for a step that may take seconds: "attaching docs (/srv/docs) ... device 0, 0.2
// s".
#pragma once

#include <chrono>
#include <cstdio>
#include <string>

namespace virtfs::toolstack {

class Progress {
 public:
  explicit Progress(const std::string& step) {
    fflush(stdout);
    fprintf(stderr, "%s ... ", step.c_str());
  }
  // Not done: the sentence that follows says why.
  ~Progress() {
    if (!done_) fputs("failed\n", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Done(const std::string& result) {
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start_;
    fprintf(stderr, "%s%s%.1f s\n", result.c_str(), result.empty() ? "" : ", ", time.count());
    done_ = true;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  bool done_ = false;
};

}  // namespace virtfs::toolstack
