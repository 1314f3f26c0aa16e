// virtfs-relay: a virtfs share for any 9P2000.L client of the guest, on a TCP or unix socket.

#include <getopt.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "frontend/relay/address.h"
#include "frontend/relay/device_link.h"
#include "frontend/relay/relay.h"
#include "xen/io/virtfs.h"

namespace virtfs::frontend {
namespace {

constexpr char kHelp[] = R"(virtfs-relay: a virtfs share for 9P clients of this Xen guest

usage: virtfs-relay TAG --listen ADDRESS [OPTION...]

Connects the share with this tag and passes 9P2000.L messages between it and one client after the other. A client that
connects meanwhile waits. When a client goes, its fids go.

  --listen ADDRESS  tcp:127.0.0.1:5640, tcp:[::1]:5640 (port 0: any) or unix:/run/share.sock
                    Whoever can connect has the share with all rights that this guest has on it: there is no login.
                    A unix socket is for its owner only.
  --msize BYTES     largest message to let through (as many as two fit into the granted pages at once)
  --pages N         pages to grant to the backend, 8 to 256 (256)
  --timeout SEC     how long to wait for the share to appear, and for the backend to come back (10)
  --once            ends after the first client
  --help, --version

Says on stdout where it listens, and on stderr why a client's connection ended if it was not the client's wish.
SIGTERM and SIGINT close the share in order.

Exit status: 0 success; 1 the share cannot be had; 2 wrong usage.

  virtfs-relay share --listen tcp:127.0.0.1:5640
  mount -t 9p -o trans=tcp,port=5640,version=9p2000.L,msize=262144 127.0.0.1 /mnt
)";

int Usage(const std::string& sentence) {
  fprintf(stderr, "virtfs-relay: %s; virtfs-relay --help explains\n", sentence.c_str());
  return 2;
}

int Complain(const absl::Status& status) {
  fprintf(stderr, "virtfs-relay: %s\n", std::string(status.message()).c_str());
  return 1;
}

std::optional<uint32_t> Number(std::string_view text, uint32_t least, uint32_t most) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) return std::nullopt;
  return value;
}

// Counts when a signal has asked the relay to end.
int stop_event = -1;

void OnSignal(int /*signal*/) { eventfd_write(stop_event, 1); }

// Serves clients until it is told to end. An interrupted wait finds the event.
void ServeClients(const Listener& listener, Relay& relay, bool once) {
  for (bool first = true; first || !once; first = false) {
    pollfd fds[2] = {{listener.fd(), POLLIN, 0}, {stop_event, POLLIN, 0}};
    while (poll(fds, 2, -1) < 0) {
    }
    if (fds[1].revents != 0) return;
    const UniqueFd client = listener.Accept();
    if (!client.ok()) continue;
    const absl::Status end = relay.Serve(client.get(), stop_event);
    if (absl::IsCancelled(end)) return;
    if (!end.ok()) static_cast<void>(Complain(end));
  }
}

int Main(int argc, char** argv) {
  enum { kListen = 256, kMsize, kPages, kTimeout, kOnce, kVersionOption };
  const option kOptions[] = {{"listen", required_argument, nullptr, kListen},
                             {"msize", required_argument, nullptr, kMsize},
                             {"pages", required_argument, nullptr, kPages},
                             {"timeout", required_argument, nullptr, kTimeout},
                             {"once", no_argument, nullptr, kOnce},
                             {"help", no_argument, nullptr, 'h'},
                             {"version", no_argument, nullptr, kVersionOption},
                             {nullptr, 0, nullptr, 0}};
  DeviceOptions device;
  RelayOptions options;
  std::string address;
  bool once = false;
  opterr = 0;
  for (int letter; (letter = getopt_long(argc, argv, "h", kOptions, nullptr)) != -1;) {
    std::optional<uint32_t> number;
    switch (letter) {
      case 'h':
        fputs(kHelp, stdout);
        return 0;
      case kVersionOption:
        puts("virtfs-relay: virtfs version " XEN_VIRTFS_VERSION ", 9P2000.L");
        return 0;
      case kListen:
        address = optarg;
        break;
      case kMsize:
        number = Number(optarg, XEN_VIRTFS_MIN_MSIZE, XEN_VIRTFS_MAX_MSIZE);
        if (!number) return Usage("--msize wants 4096 to 4194304 bytes");
        options.max_msize = *number;
        break;
      case kPages:
        number = Number(optarg, 8, XEN_VIRTFS_SLOTS_PER_PAGE);
        if (!number) return Usage("--pages wants 8 to 256 pages");
        device.pages = *number;
        break;
      case kTimeout:
        number = Number(optarg, 1, 86400);
        if (!number) return Usage("--timeout wants 1 to 86400 seconds");
        device.timeout = options.patience = std::chrono::seconds(*number);
        break;
      case kOnce:
        once = true;
        break;
      default:
        return Usage(std::string("no such option, or no value for it: ") + argv[optind - 1]);
    }
  }
  if (argc - optind != 1) return Usage("give the tag of one share");
  if (address.empty())
    return Usage("say where to listen: --listen tcp:127.0.0.1:5640 or --listen unix:/run/share.sock");
  device.tag = argv[optind];

  // Before the share is connected: a wrong address costs nothing then.
  const absl::StatusOr<Listener> listener = Listener::Listen(address);
  if (!listener.ok()) {
    return absl::IsInvalidArgument(listener.status()) ? Usage(std::string(listener.status().message()))
                                                      : Complain(listener.status());
  }
  const absl::StatusOr<std::unique_ptr<DeviceLink>> link = DeviceLink::Connect(device);
  if (!link.ok()) return Complain(link.status());
  stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  signal(SIGTERM, OnSignal);
  signal(SIGINT, OnSignal);
  // Who reads our complaints may go.
  signal(SIGPIPE, SIG_IGN);
  options.log = [](const std::string& sentence) { fprintf(stderr, "virtfs-relay: %s\n", sentence.c_str()); };
  Relay relay(**link, options);
  printf("virtfs-relay: share '%s' on %s, msize at most %" PRIu32 "\n", device.tag.c_str(), listener->address().c_str(),
         relay.max_msize());
  fflush(stdout);
  ServeClients(*listener, relay, once);
  const absl::Status closed = (*link)->Close();
  return closed.ok() ? 0 : Complain(closed);
}

}  // namespace
}  // namespace virtfs::frontend

int main(int argc, char** argv) { return virtfs::frontend::Main(argc, argv); }
