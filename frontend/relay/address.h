// Where virtfs-relay listens: an address as the command line has it, and the socket that waits there.
//
//     tcp:127.0.0.1:5640      tcp:[::1]:5640      unix:/run/share.sock
//
// Errors: absl::Status, a sentence for who wrote the address. Threads: values; a Listener one at a time.
#pragma once

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace virtfs::frontend {

class Listener {
 public:
  // `address`: numeric, not resolved. TCP port 0: any that is free. A unix socket is for its owner only, and takes the
  // place of one on which nobody listens any more.
  static absl::StatusOr<Listener> Listen(const std::string& address);
  Listener(Listener&&) = default;
  Listener& operator=(Listener&&) = delete;
  // Removes the unix socket's name.
  ~Listener();

  // Readable when a client connects.
  int fd() const { return fd_.get(); }
  // The client; not ok() if it went again.
  UniqueFd Accept() const;
  // The address, with the port that was found.
  const std::string& address() const { return address_; }

 private:
  Listener(UniqueFd fd, std::string address) : fd_(std::move(fd)), address_(std::move(address)) {}

  UniqueFd fd_;
  std::string address_;
};

}  // namespace virtfs::frontend
