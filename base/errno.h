// A Linux errno as a type of its own: the value that a guest reads in Rlerror.
//
// Values are those of Linux's asm-generic/errno.h (1..4095), which is also what 9P2000.L puts on the wire.
#pragma once

#include <cerrno>
#include <cstring>

namespace virtfs {

class Errno {
 public:
  // `value` must be 1..4095.
  constexpr explicit Errno(int value) : value_(value) {}

  // The error of the system call that just failed on this thread.
  static Errno Last() { return Errno(errno); }

  constexpr int value() const { return value_; }
  const char* message() const { return strerrordesc_np(value_); }

  friend constexpr bool operator==(Errno, Errno) = default;

 private:
  int value_;
};

}  // namespace virtfs
