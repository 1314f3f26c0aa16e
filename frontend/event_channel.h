// EventChannel: one event channel that the backend's domain may bind, or several.
//
// Threads: one at a time (a libxenevtchn handle is not to be shared), but fd() may be polled beside everything.
// Source: /usr/include/xenevtchn.h.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

struct xenevtchn_handle;

namespace virtfs::frontend {

class EventChannel {
 public:
  static absl::StatusOr<std::unique_ptr<EventChannel>> Create(uint32_t backend, uint32_t count = 1);
  ~EventChannel();
  EventChannel(const EventChannel&) = delete;
  EventChannel& operator=(const EventChannel&) = delete;

  // For the node event-channel, or that of number `index`.
  uint32_t port(uint32_t index = 0) const { return ports_[index]; }

  void Notify(uint32_t index = 0);

  // No event comes or goes any more. Before a guest is saved this must have been called: Linux (6.1 at least) ends a
  // program that unbinds afterwards what it had bound before (docs/decisions/0018).
  void Unbind();

  // Readable when an event has come.
  int fd() const;
  // Takes the event that made fd() readable. Does not wait.
  void Acknowledge();

 private:
  EventChannel(xenevtchn_handle* handle, std::vector<uint32_t> ports) : handle_(handle), ports_(std::move(ports)) {}

  xenevtchn_handle* handle_;
  std::vector<uint32_t> ports_;
};

}  // namespace virtfs::frontend
