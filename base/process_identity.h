// A process by more than its number, which another process may have later.
//
// Threads: any.
#pragma once

#include <string>

namespace virtfs {

// "<pid> <start time>", the start time in the kernel's ticks since boot; "" if there is no such process or it has
// ended.
std::string ProcessIdentity(const std::string& pid);

// That of the process whose identity `text` is, if it lives; else "".
std::string LivingPid(const std::string& text);

}  // namespace virtfs
