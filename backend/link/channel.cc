#include "backend/link/channel.h"

#include <sys/socket.h>
#include <sys/uio.h>

namespace virtfs::link {
namespace {

// Room for more descriptors than an honest packet has, so that a crowd is seen (and closed), not cut off by the kernel.
constexpr size_t kMaxDescriptors = 4;

struct Control {
  alignas(cmsghdr) char bytes[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
};

// Takes every descriptor out of a received message. Returns how many; the first goes to `first`, others are closed.
size_t TakeDescriptors(msghdr& message, UniqueFd& first) {
  size_t count = 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < here; ++i, ++count) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      UniqueFd owned(fd);
      if (count == 0) first = std::move(owned);
    }
  }
  return count;
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> MakeLink() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return Errno::Last();
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<void> SendBytes(int link, Kind kind, std::span<const uint8_t> bytes, int fd, Wait wait) {
  iovec parts[2] = {{&kind, sizeof(kind)}, {const_cast<uint8_t*>(bytes.data()), bytes.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  Control control{};
  if (fd >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(c), &fd, sizeof(int));
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
  const size_t descriptors = TakeDescriptors(message, packet.fd_);
  if (descriptors > 1 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return Errno(EPROTO);
  if (static_cast<size_t>(got) < sizeof(packet.kind_)) return Errno(EPROTO);
  packet.size_ = static_cast<size_t>(got) - sizeof(packet.kind_);
  return packet;
}

}  // namespace virtfs::link
