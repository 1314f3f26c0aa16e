// What an operator reads, on standard error: one line a message, "xen-virtfsd: warning: domain 3 share 0: ...".
//
// Bytes that are not printable ASCII are shown as '?', so that nothing a guest wrote can move a terminal or forge a
// line.
// Threads: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace virtfs::backend {

enum class LogLevel : uint32_t { kError, kWarning, kInfo, kDebug };

// "error", "warning", "info" or "debug".
std::optional<LogLevel> ParseLogLevel(std::string_view name);

// Messages above this level are dropped from now on. kInfo before the first call.
void SetLogLevel(LogLevel level);
LogLevel GetLogLevel();

// `about` says of what, e.g. "domain 3 share 0"; empty if of the whole program.
void Log(LogLevel level, std::string_view about, std::string_view message);

// `text` with every byte that is not printable ASCII replaced.
std::string Printable(std::string_view text);

// `text` with every byte that is not printable ASCII replaced and cut to `max` bytes, in quotes.
std::string Quoted(std::string_view text, size_t max = 80);

}  // namespace virtfs::backend
