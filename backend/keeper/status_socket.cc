#include "backend/keeper/status_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "options/keeper_socket.h"

namespace virtfs::backend {

absl::StatusOr<StatusSocket> StatusSocket::Open(const std::string& directory, uint32_t guest) {
  const std::string path = options::KeeperSocket(directory, guest);
  const auto failed = [&] { return absl::ErrnoToStatus(errno, absl::StrCat("cannot make the socket ", path)); };
  // In place of a former one at once, for whoever connects meanwhile.
  const std::string made = absl::StrCat(path, ".", getpid());
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  if (made.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(directory, " is too long a path for a socket"));
  }
  made.copy(address.sun_path, made.size());
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return failed();
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // The file gets the socket's mode when it is bound.
  if (!fd.ok() || fchmod(fd.get(), 0600) != 0) return failed();
  unlink(made.c_str());
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return failed();
  if (listen(fd.get(), kClients) != 0 || rename(made.c_str(), path.c_str()) != 0) {
    const absl::Status status = failed();
    unlink(made.c_str());
    return status;
  }
  return StatusSocket(std::move(fd), path);
}

StatusSocket::StatusSocket(StatusSocket&& other) noexcept
    : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, "")), clients_(std::move(other.clients_)) {}

StatusSocket::~StatusSocket() {
  if (!path_.empty()) unlink(path_.c_str());
}

void StatusSocket::Poll(std::vector<pollfd>& fds) const {
  // Others wait in the socket's own queue.
  if (clients_.size() < kClients) fds.push_back({fd_.get(), POLLIN, 0});
  for (const Client& client : clients_) fds.push_back({client.fd.get(), POLLOUT, 0});
}

std::optional<StatusSocket::Time> StatusSocket::WakeTime() const {
  const auto first = std::min_element(clients_.begin(), clients_.end(),
                                      [](const Client& a, const Client& b) { return a.deadline < b.deadline; });
  return first == clients_.end() ? std::nullopt : std::optional<Time>(first->deadline);
}

void StatusSocket::Step(Time now, absl::FunctionRef<std::string()> document) {
  while (clients_.size() < kClients) {
    UniqueFd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd.ok()) break;
    clients_.push_back({.fd = std::move(fd), .deadline = now + kPatience, .document = document()});
  }
  std::erase_if(clients_, [now](Client& client) { return !Send(client) || client.deadline <= now; });
}

bool StatusSocket::Send(Client& client) {
  while (client.sent < client.document.size()) {
    const ssize_t sent = send(client.fd.get(), client.document.data() + client.sent,
                              client.document.size() - client.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN;
    client.sent += static_cast<size_t>(sent);
  }
  return false;
}

}  // namespace virtfs::backend
