// Report: what a command has done so far, what went wrong, and how both are told to the user.
//
// On a terminal a line at the bottom shows the progress of what takes more than a second; elsewhere a plain line comes
// every ten seconds. Nothing of it goes to stdout.
//
// Threads: every method from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/errno.h"

namespace virtfs::frontend {

// Names come from others: what could steer a terminal is shown as \ooo.
std::string Printable(std::string_view name);

class Report {
 public:
  // `verb`: what is being done, for the progress line; none without one.
  explicit Report(std::string verb = "");
  ~Report();
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  // One line on stderr; the command fails.
  void Problem(std::string_view path, std::string_view what);
  void Problem(std::string_view path, Errno error) { Problem(path, error.message()); }
  // One line on stderr; the command does not fail.
  void Note(std::string_view path, std::string_view what);

  uint64_t problems() const { return problems_; }

  // How much there is to do, as far as is known: files of any kind, bytes of content.
  std::atomic<uint64_t> found_entries = 0;
  std::atomic<uint64_t> found_bytes = 0;

  // What is done.
  std::atomic<uint64_t> files = 0;
  std::atomic<uint64_t> directories = 0;
  std::atomic<uint64_t> symlinks = 0;
  std::atomic<uint64_t> bytes = 0;
  // One more of the kind that is in `mode`.
  void Count(uint32_t mode);

  std::chrono::duration<double> elapsed() const { return std::chrono::steady_clock::now() - start_; }

 private:
  void ShowProgress();
  std::string ProgressLine(size_t width) const;

  const std::string verb_;
  const bool terminal_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::atomic<uint64_t> problems_ = 0;
  std::mutex mutex_;  // Of stderr, and of those below.
  std::condition_variable changed_;
  bool shown_ = false;  // A progress line is on the terminal.
  bool over_ = false;
  std::thread progress_;
};

}  // namespace virtfs::frontend
