// The stock toolstack's command, as a program: `xl` of $PATH.
//
// Errors: one sentence that names the call; why it failed xl has told on standard error itself.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace virtfs::toolstack {

// Runs it to its end, with this process's standard input, output and error.
absl::Status RunXl(const std::vector<std::string>& arguments);

}  // namespace virtfs::toolstack
