#include "base/process_identity.h"

#include <fcntl.h>
#include <unistd.h>

#include <string_view>

#include "base/unique_fd.h"

namespace virtfs {

// The start time is field 22 of /proc/PID/stat; fields are counted from the last ')', since the second is a name with
// anything in it.
std::string ProcessIdentity(const std::string& pid) {
  char text[1024];
  const UniqueFd fd(open(("/proc/" + pid + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t size = fd.ok() ? read(fd.get(), text, sizeof(text)) : -1;
  if (size <= 0) return "";
  std::string_view rest(text, static_cast<size_t>(size));
  const size_t name_end = rest.rfind(')');
  if (name_end == std::string_view::npos) return "";
  rest.remove_prefix(name_end + 1);
  // One that nobody has waited for yet.
  if (rest.starts_with(" Z") || rest.starts_with(" X")) return "";
  for (int field = 2; field < 21; ++field) {
    const size_t space = rest.find(' ', 1);
    if (space == std::string_view::npos) return "";
    rest.remove_prefix(space);
  }
  rest.remove_prefix(1);
  return pid + " " + std::string(rest.substr(0, rest.find(' ')));
}

std::string LivingPid(const std::string& text) {
  const std::string pid = text.substr(0, text.find(' '));
  if (pid.empty() || pid.find_first_not_of("0123456789") != pid.npos) return "";
  return ProcessIdentity(pid) == text ? pid : "";
}

}  // namespace virtfs
