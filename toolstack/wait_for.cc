#include "toolstack/wait_for.h"

#include <poll.h>

namespace virtfs::toolstack {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

bool WaitFor(xenstore::Store& store, std::span<const std::string> nodes, milliseconds patience,
             absl::FunctionRef<bool()> done) {
  const auto end = steady_clock::now() + patience;
  for (const std::string& node : nodes) {
    if (!store.Watch(node, "wait").ok()) return false;
  }
  bool met;
  for (;;) {
    met = done();
    const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now()).count();
    if (met || left <= 0 || store.lost()) break;
    pollfd event{store.watch_fd(), POLLIN, 0};
    poll(&event, 1, static_cast<int>(left));
    while (store.NextWatch()) {
    }
  }
  for (const std::string& node : nodes) store.Unwatch(node, "wait");
  return met;
}

}  // namespace virtfs::toolstack
