#include "frontend/relay/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno.h"

namespace virtfs::frontend {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr std::string_view kTcp = "tcp:";

union Address {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_un path;
};

socklen_t SizeOf(const Address& address) {
  switch (address.any.sa_family) {
    case AF_INET:
      return sizeof(address.v4);
    case AF_INET6:
      return sizeof(address.v6);
    default:
      return sizeof(address.path);
  }
}

absl::Status Bad(const std::string& address) {
  return absl::InvalidArgumentError(
      absl::StrCat("'", address, "' is no address; write tcp:127.0.0.1:5640, tcp:[::1]:5640 or unix:/run/share.sock"));
}

// host:port, the host numeric and in brackets if it has colons.
std::optional<Address> ParseTcp(std::string_view text) {
  Address address = {};
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  std::string host(text.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    if (inet_pton(AF_INET6, host.c_str(), &address.v6.sin6_addr) != 1) return std::nullopt;
  } else {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    if (inet_pton(AF_INET, host.c_str(), &address.v4.sin_addr) != 1) return std::nullopt;
  }
  return address;
}

std::optional<Address> ParseUnix(std::string_view path) {
  Address address = {};
  address.path.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.path.sun_path)) return std::nullopt;
  std::memcpy(address.path.sun_path, path.data(), path.size());
  return address;
}

// A socket's name outlives its process. Removes it if nobody answers there.
void RemoveStale(const Address& address) {
  struct stat status;
  if (lstat(address.path.sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(probe.get(), &address.any, SizeOf(address)) != 0 && errno == ECONNREFUSED) {
    unlink(address.path.sun_path);
  }
}

}  // namespace

absl::StatusOr<Listener> Listener::Listen(const std::string& text) {
  const bool is_unix = text.starts_with(kUnix);
  std::optional<Address> address;
  if (is_unix) address = ParseUnix(std::string_view(text).substr(kUnix.size()));
  if (text.starts_with(kTcp)) address = ParseTcp(std::string_view(text).substr(kTcp.size()));
  if (!address) return Bad(text);
  UniqueFd fd(socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (is_unix) RemoveStale(*address);
  const int yes = 1;
  if (!is_unix) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  const mode_t mask = umask(0177);
  const int bound = bind(fd.get(), &address->any, SizeOf(*address));
  const Errno bind_error(bound != 0 ? errno : EIO);
  umask(mask);
  if (bound != 0) return absl::UnavailableError(absl::StrCat("cannot listen on ", text, ": ", bind_error.message()));
  Listener listener(std::move(fd), text);
  // One client at a time; the next may wait.
  if (listen(listener.fd(), 1) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", text, ": ", Errno::Last().message()));
  }
  if (!is_unix) {
    socklen_t size = sizeof(*address);
    getsockname(listener.fd(), &address->any, &size);
    const uint16_t port = address->any.sa_family == AF_INET ? address->v4.sin_port : address->v6.sin6_port;
    listener.address_ = absl::StrCat(text.substr(0, text.rfind(':') + 1), ntohs(port));
  }
  return listener;
}

Listener::~Listener() {
  if (fd_.ok() && address_.starts_with(kUnix)) unlink(address_.substr(kUnix.size()).c_str());
}

UniqueFd Listener::Accept() const {
  UniqueFd client(accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const int yes = 1;
  // Replies are written whole. Not of use, and refused, on a unix socket.
  if (client.ok()) setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  return client;
}

}  // namespace virtfs::frontend
