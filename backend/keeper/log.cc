#include "backend/keeper/log.h"

#include <unistd.h>

#include <array>
#include <atomic>

namespace virtfs::backend {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"error", "warning", "info", "debug"};
constexpr size_t kMaxLine = 1024;

std::atomic<LogLevel> g_level = LogLevel::kInfo;

void AppendPrintable(std::string& out, std::string_view text) {
  for (char c : text) out += c >= ' ' && c <= '~' ? c : '?';
}

}  // namespace

std::optional<LogLevel> ParseLogLevel(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<LogLevel>(i);
  }
  return std::nullopt;
}

void SetLogLevel(LogLevel level) { g_level = level; }
LogLevel GetLogLevel() { return g_level; }

void Log(LogLevel level, std::string_view about, std::string_view message) {
  if (level > g_level) return;
  std::string line = "xen-virtfsd: ";
  line += kNames[static_cast<size_t>(level)];
  line += ": ";
  if (!about.empty()) {
    AppendPrintable(line, about);
    line += ": ";
  }
  AppendPrintable(line, message.substr(0, kMaxLine));
  line += '\n';
  // One write, so that lines of keeper and servers do not mix. A log that nobody takes is no reason to stop.
  (void)!write(STDERR_FILENO, line.data(), line.size());
}

std::string Printable(std::string_view text) {
  std::string printable;
  AppendPrintable(printable, text);
  return printable;
}

std::string Quoted(std::string_view text, size_t max) {
  std::string quoted = "\"";
  AppendPrintable(quoted, text.substr(0, max));
  if (text.size() > max) quoted += "...";
  quoted += '"';
  return quoted;
}

}  // namespace virtfs::backend
