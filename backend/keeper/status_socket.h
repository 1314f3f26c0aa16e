// StatusSocket: where a keeper answers how its shares are: options/keeper_socket.h.
//
// Nothing here waits: what a client does not take at once is kept for it, for a few clients and a few seconds.
// The socket's file is root's alone, and is gone with the object.
//
// Errors: a sentence for the operator, from Open. A client's failure is the client's.
// Threads: one at a time.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace virtfs::backend {

class StatusSocket {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr size_t kClients = 4;
  static constexpr std::chrono::seconds kPatience{5};

  // Makes the directory if it is missing. A socket that a former keeper of the guest has left there is replaced: that
  // there is no living one is the caller's to know.
  static absl::StatusOr<StatusSocket> Open(const std::string& directory, uint32_t guest);

  StatusSocket(StatusSocket&& other) noexcept;
  StatusSocket& operator=(StatusSocket&&) = delete;
  ~StatusSocket();

  // Appends what is worth waiting for.
  void Poll(std::vector<pollfd>& fds) const;
  std::optional<Time> WakeTime() const;
  // After that: takes clients, each of whom gets `document` as it is now, sends, and gives up those who take too long.
  void Step(Time now, absl::FunctionRef<std::string()> document);

 private:
  struct Client {
    UniqueFd fd;
    Time deadline;
    std::string document;
    size_t sent = 0;
  };

  StatusSocket(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  // Whether there is more to send.
  static bool Send(Client& client);

  UniqueFd fd_;
  std::string path_;  // empty: moved from
  std::vector<Client> clients_;
};

}  // namespace virtfs::backend
