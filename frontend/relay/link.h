// Link: where a relay's ring comes from, and comes from again after the backend has gone.
//
// Threads: those of a relay's loop; changed_fd() may be polled beside everything.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "frontend/device.h"
#include "frontend/ring_client.h"

namespace virtfs::frontend {

class Link {
 public:
  virtual ~Link() = default;

  // The connection; null while there is none. One that has failed stays until Renew.
  virtual RingClient* ring() = 0;
  // Whether the 9P session of the connection before goes on in this one.
  virtual bool session_goes_on() = 0;
  // The connection has failed and nobody uses it any more: makes another, in the background.
  virtual void Renew() = 0;
  // An eventfd that counts when ring() is no longer null.
  virtual int changed_fd() const = 0;
};

// The link to a share of this guest.
class DeviceLink : public Link {
 public:
  // Waits for the share and connects it.
  static absl::StatusOr<std::unique_ptr<DeviceLink>> Connect(const DeviceOptions& options);
  // Closes it in order, or gives up making a connection.
  ~DeviceLink() override;

  // Waits for what is in flight and closes. Says why if the connection had ended by itself.
  absl::Status Close();

  RingClient* ring() override;
  bool session_goes_on() override;
  void Renew() override;
  int changed_fd() const override { return changed_.get(); }

 private:
  DeviceLink(DeviceOptions options, std::unique_ptr<Device> device, UniqueFd changed);
  void Reconnect();

  const DeviceOptions options_;
  UniqueFd changed_;
  std::mutex mutex_;
  std::unique_ptr<Device> device_;  // The thread's, while connected_ is false.
  bool connected_ = true;
  bool stopped_ = false;
  std::condition_variable stop_;
  std::thread thread_;
};

}  // namespace virtfs::frontend
