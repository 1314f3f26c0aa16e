#include "backend/link/channel.h"

#include <sys/socket.h>
#include <sys/uio.h>

namespace virtfs::link {
namespace {

struct Control {
  alignas(cmsghdr) char bytes[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
};

// Every descriptor of a received message. (More than there is room for are closed by the kernel, which says so by
// MSG_CTRUNC.)
std::vector<UniqueFd> TakeDescriptors(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < here; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> MakeLink() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return Errno::Last();
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<void> SendBytes(int link, Kind kind, std::span<const uint8_t> bytes, std::span<const int> fds, Wait wait) {
  iovec parts[2] = {{&kind, sizeof(kind)}, {const_cast<uint8_t*>(bytes.data()), bytes.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  Control control{};
  if (fds.size() > kMaxDescriptors) return Errno(E2BIG);
  if (!fds.empty()) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (sendmsg(link, &message, MSG_NOSIGNAL | (wait == Wait::kNo ? MSG_DONTWAIT : 0)) >= 0) return {};
    if (errno == EINTR) continue;
    return errno == EPIPE ? Errno(ECONNRESET) : Errno::Last();
  }
}

Result<Packet> Receive(int link, Wait wait) {
  Packet packet;
  iovec parts[2] = {{&packet.kind_, sizeof(packet.kind_)}, {packet.bytes_.data(), packet.bytes_.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  Control control{};
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof(control.bytes);
  ssize_t got;
  do {
    got = recvmsg(link, &message, MSG_CMSG_CLOEXEC | (wait == Wait::kNo ? MSG_DONTWAIT : 0));
  } while (got < 0 && errno == EINTR);
  if (got < 0) return Errno::Last();
  if (got == 0) return Errno(ECONNRESET);

  // Descriptors first: they are ours to close whatever else is wrong.
  packet.fds_ = TakeDescriptors(message);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return Errno(EPROTO);
  if (static_cast<size_t>(got) < sizeof(packet.kind_)) return Errno(EPROTO);
  packet.size_ = static_cast<size_t>(got) - sizeof(packet.kind_);
  return packet;
}

}  // namespace virtfs::link
