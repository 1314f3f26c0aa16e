// EventChannel: one event channel between this process and one guest.
//
// libxenevtchn's handles are not made for several threads: every use of one is under a lock here.
// Errors: false with errno set.
// Threads: any, once Bind has returned.
#pragma once

#include <cstdint>
#include <mutex>

struct xenevtchn_handle;

namespace virtfs::backend {

class EventChannel {
 public:
  EventChannel() = default;
  ~EventChannel();
  EventChannel(const EventChannel&) = delete;
  EventChannel& operator=(const EventChannel&) = delete;

  // Opens a handle that can serve no other domain than `domid`, before the process is locked down.
  bool Open(uint32_t domid);

  // Connects to the port that the guest offers.
  bool Bind(uint32_t remote_port);
  void Unbind();

  // Readable when there is an event for Consume. For poll and epoll only.
  int fd() const;

  // Takes an event off, if there is one, and allows the next.
  void Consume();

  void Notify();

 private:
  std::mutex mutex_;
  xenevtchn_handle* handle_ = nullptr;
  uint32_t domid_ = 0;
  int port_ = -1;
};

}  // namespace virtfs::backend
