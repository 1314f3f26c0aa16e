#include "toolstack/watch/log.h"

#include <unistd.h>

#include <array>
#include <string>

namespace virtfs::toolstack {

void Log(WatchLog level, std::string_view message) {
  constexpr std::array<const char*, 3> kNames = {"error", "warning", "info"};
  std::string line = "xl-virtfs watch: ";
  line += kNames[static_cast<size_t>(level)];
  line += ": ";
  for (char c : message) line += c >= ' ' && c <= '~' ? c : '?';
  line += '\n';
  // A log that nobody takes is no reason to stop.
  (void)!write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace virtfs::toolstack
