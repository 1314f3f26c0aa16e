#include "toolstack/cli/xl_program.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace virtfs::toolstack {

absl::Status RunXl(const std::vector<std::string>& arguments) {
  const std::string call = absl::StrCat("xl ", absl::StrJoin(arguments, " "));
  std::vector<std::string> words = {"xl"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  fflush(stdout);  // What was said before stands before what xl says.
  pid_t pid = -1;
  if (const int error = posix_spawnp(&pid, "xl", nullptr, nullptr, argv.data(), environ); error != 0) {
    return absl::UnavailableError(absl::StrCat("cannot run `", call, "`: ", strerror(error), "; is xl in $PATH?"));
  }
  int status = 0;
  while (waitpid(pid, &status, 0) != pid) {
    if (errno != EINTR) return absl::InternalError(absl::StrCat("lost `", call, "`: ", strerror(errno)));
  }
  if (status == 0) return absl::OkStatus();
  return absl::UnavailableError(WIFEXITED(status)
                                    ? absl::StrCat("`", call, "` failed with status ", WEXITSTATUS(status))
                                    : absl::StrCat("`", call, "` was ended by signal ", WTERMSIG(status)));
}

}  // namespace virtfs::toolstack
