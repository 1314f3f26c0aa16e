#include "frontend/client/report.h"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_format.h"

namespace virtfs::frontend {
namespace {

constexpr std::chrono::seconds kPatience(1);
constexpr std::chrono::milliseconds kTerminalInterval(100);
constexpr std::chrono::seconds kPlainInterval(10);
constexpr size_t kBarWidth = 20;

std::string Size(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
  return absl::StrFormat("%.*f %s", unit == 0 ? 0 : 1, bytes, kUnits[unit]);
}

size_t TerminalWidth() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string Printable(std::string_view name) {
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || c == '\\') {
      text += absl::StrFormat("\\%03o", byte);
    } else {
      text += c;
    }
  }
  return text;
}

Report::Report(std::string verb) : verb_(std::move(verb)), terminal_(isatty(STDERR_FILENO) == 1) {
  if (!verb_.empty()) progress_ = std::thread(&Report::ShowProgress, this);
}

Report::~Report() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  if (progress_.joinable()) progress_.join();
}

void Report::Problem(std::string_view path, std::string_view what) {
  ++problems_;
  Note(path, what);
}

void Report::Note(std::string_view path, std::string_view what) {
  const std::lock_guard lock(mutex_);
  absl::FPrintF(stderr, "%svirtfs-client: %s: %s\n", shown_ ? "\r\033[K" : "", Printable(path), what);
  shown_ = false;
}

void Report::ShowProgress() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kPatience, [this] { return over_; });
  while (!over_) {
    if (terminal_) {
      absl::FPrintF(stderr, "\r%s\033[K", ProgressLine(TerminalWidth()));
      shown_ = true;
    }
    changed_.wait_for(lock, terminal_ ? std::chrono::milliseconds(kTerminalInterval) : kPlainInterval,
                      [this] { return over_; });
    if (!terminal_ && !over_) absl::FPrintF(stderr, "%s\n", ProgressLine(200));
  }
  if (shown_) absl::FPrintF(stderr, "\r\033[K");
}

void Report::Count(uint32_t mode) { ++(S_ISDIR(mode) ? directories : S_ISLNK(mode) ? symlinks : files); }

std::string Report::ProgressLine(size_t width) const {
  const double seconds = std::max(elapsed().count(), 0.001);
  const uint64_t done = bytes;
  const uint64_t all = std::max<uint64_t>(found_bytes, done);
  const uint64_t entries = files + directories + symlinks;
  const uint64_t all_entries = std::max<uint64_t>(entries, found_entries);
  // Of a tree its bytes are found little before they are done, of a file alone there is but one entry.
  const auto ratio = [](uint64_t some, uint64_t of) {
    return of > 0 ? static_cast<double>(some) / static_cast<double>(of) : 1;
  };
  const double part = all_entries > 1 ? ratio(entries, all_entries) : ratio(done, all);
  std::string bar(static_cast<size_t>(part * kBarWidth), '#');
  bar.resize(kBarWidth, '.');
  std::string line = absl::StrFormat("%s [%s] %3.0f%%  %d of %d files  %s of %s  %s/s", verb_, bar, part * 100, entries,
                                     all_entries, Size(static_cast<double>(done)), Size(static_cast<double>(all)),
                                     Size(static_cast<double>(done) / seconds));
  if (line.size() >= width) line.resize(width - 1);
  return line;
}

}  // namespace virtfs::frontend
