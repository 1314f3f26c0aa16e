// WaitFor: waits until nodes of xenstore are as somebody wants them.
#pragma once

#include <chrono>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "xenstore/store.h"

namespace virtfs::toolstack {

// Waits until `done`, which is asked now and whenever one of `nodes` may have changed. False when patience has run out,
// or the connection.
bool WaitFor(xenstore::Store& store, std::span<const std::string> nodes, std::chrono::milliseconds patience,
             absl::FunctionRef<bool()> done);

}  // namespace virtfs::toolstack
