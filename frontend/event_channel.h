// EventChannel: one event channel that the backend's domain may bind.
//
// Threads: one at a time (a libxenevtchn handle is not to be shared), but fd() may be polled beside everything.
// Source: /usr/include/xenevtchn.h.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

struct xenevtchn_handle;

namespace virtfs::frontend {

class EventChannel {
 public:
  static absl::StatusOr<std::unique_ptr<EventChannel>> Create(uint32_t backend);
  ~EventChannel();
  EventChannel(const EventChannel&) = delete;
  EventChannel& operator=(const EventChannel&) = delete;

  // For the node event-channel.
  uint32_t port() const { return port_; }

  void Notify();

  // Readable when an event has come.
  int fd() const;
  // Takes the event that made fd() readable. Does not wait.
  void Acknowledge();

 private:
  EventChannel(xenevtchn_handle* handle, uint32_t port) : handle_(handle), port_(port) {}

  xenevtchn_handle* handle_;
  uint32_t port_;
};

}  // namespace virtfs::frontend
