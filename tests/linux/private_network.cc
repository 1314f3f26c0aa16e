#include "tests/linux/private_network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"

namespace virtfs {
namespace {

absl::Status Failed(const std::string& what) { return absl::InternalError(absl::StrCat(what, ": ", strerror(errno))); }

ifreq RequestFor(const char* device) {
  ifreq request = {};
  strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  return request;
}

bool SetAddress(int socket, unsigned long what, const char* address) {
  ifreq request = RequestFor(kTapDevice);
  sockaddr_in in = {};
  in.sin_family = AF_INET;
  inet_pton(AF_INET, address, &in.sin_addr);
  memcpy(&request.ifr_addr, &in, sizeof(in));
  return ioctl(socket, what, &request) == 0;
}

bool BringUp(int socket, const char* device) {
  ifreq request = RequestFor(device);
  if (ioctl(socket, SIOCGIFFLAGS, &request) != 0) return false;
  request.ifr_flags |= IFF_UP;
  return ioctl(socket, SIOCSIFFLAGS, &request) == 0;
}

}  // namespace

absl::Status EnterPrivateNetwork() {
  if (unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) return Failed("cannot make a network of its own (is this root?)");
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return Failed("cannot make mounts private");
  const UniqueFd tap(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!tap.ok()) return Failed("cannot open /dev/net/tun (is the module tun loaded?)");
  ifreq request = RequestFor(kTapDevice);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(tap.get(), TUNSETIFF, &request) != 0 || ioctl(tap.get(), TUNSETPERSIST, 1) != 0) {
    return Failed("cannot make a tap device");
  }
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!SetAddress(socket.get(), SIOCSIFADDR, kHostAddress) ||
      !SetAddress(socket.get(), SIOCSIFNETMASK, "255.255.255.0") || !BringUp(socket.get(), kTapDevice) ||
      !BringUp(socket.get(), "lo")) {
    return Failed("cannot set the tap device up");
  }
  return absl::OkStatus();
}

}  // namespace virtfs
