#include "toolstack/status/keeper_query.h"

#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "options/keeper_socket.h"
#include "xenstore/number.h"
#include "xenstore/paths.h"

namespace virtfs::toolstack {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{10};
// Of a keeper with hundreds of shares.
constexpr size_t kMaxAnswer = 256 << 20;

bool WaitFor(int fd, int16_t events, Clock::time_point end) {
  pollfd ready{fd, events, 0};
  const auto left = std::chrono::ceil<milliseconds>(end - Clock::now()).count();
  return left > 0 && poll(&ready, 1, static_cast<int>(left)) != 0;
}

// EAGAIN: it took too long.
bool Connect(int fd, const sockaddr_un& address, Clock::time_point end) {
  while (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    // A unix socket whose queue is full, which no poll tells of.
    if ((errno != EAGAIN && errno != EINTR) || Clock::now() >= end) return false;
    poll(nullptr, 0, 10);
  }
  return true;
}

absl::Status TooLate(uint32_t domid) {
  return absl::DeadlineExceededError(
      absl::StrCat("xen-virtfsd --domid ", domid, " does not answer: its log may say what holds it up"));
}

absl::StatusOr<std::string> Ask(const std::string& directory, uint32_t domid) {
  const std::string path = options::KeeperSocket(directory, domid);
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is too long a path for a socket"));
  }
  path.copy(address.sun_path, path.size());
  const Clock::time_point end = Clock::now() + kPatience;
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return absl::ErrnoToStatus(errno, "cannot make a socket");
  if (!Connect(fd.get(), address, end)) {
    if (errno == EAGAIN || errno == EINTR) return TooLate(domid);
    if (errno == ENOENT || errno == ECONNREFUSED) {
      return absl::NotFoundError(absl::StrCat("no xen-virtfsd serves domain ", domid, " from this domain"));
    }
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot connect to ", path));
  }
  std::string answer;
  for (;;) {
    char bytes[65536];
    const ssize_t got = recv(fd.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got == 0) return answer;
    if (got > 0) answer.append(bytes, static_cast<size_t>(got));
    if (answer.size() > kMaxAnswer) return absl::OutOfRangeError("the keeper's answer does not end");
    if (got > 0 || errno == EINTR) continue;
    if (errno != EAGAIN) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read from ", path));
    if (!WaitFor(fd.get(), POLLIN, end)) return TooLate(domid);
  }
}

}  // namespace

absl::StatusOr<GuestStatus> AskKeeper(const std::string& directory, uint32_t domid) {
  const absl::StatusOr<std::string> answer = Ask(directory, domid);
  if (!answer.ok()) return answer.status();
  return ParseGuestStatus(*answer);
}

std::vector<uint32_t> GuestsWithKeepers(const std::string& directory) {
  std::vector<uint32_t> guests;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(directory.c_str()), closedir);
  if (entries == nullptr) return guests;
  while (const dirent* entry = readdir(entries.get())) {
    std::string_view name = entry->d_name;
    if (!name.starts_with(options::kKeeperSocketPrefix) || !name.ends_with(options::kKeeperSocketSuffix)) continue;
    name.remove_prefix(options::kKeeperSocketPrefix.size());
    name.remove_suffix(options::kKeeperSocketSuffix.size());
    if (const std::optional<uint32_t> domid = xenstore::ParseNumber(name, 0, xenstore::kMaxDomid))
      guests.push_back(*domid);
  }
  std::sort(guests.begin(), guests.end());
  return guests;
}

absl::StatusOr<uint64_t> OpenFiles(const std::string& directory, uint32_t domid, uint32_t devid) {
  const absl::StatusOr<GuestStatus> guest = AskKeeper(directory, domid);
  if (!guest.ok()) return guest.status();
  const auto share = std::find_if(guest->shares.begin(), guest->shares.end(),
                                  [devid](const ShareStatus& share) { return share.devid == devid; });
  if (share == guest->shares.end()) {
    return absl::NotFoundError(absl::StrCat("domain ", domid, " has no share ", devid));
  }
  if (!share->pid || !share->counters) return 0;
  const auto& limits = share->counters->limits;
  const auto open =
      std::find_if(limits.begin(), limits.end(), [](const LimitStatus& limit) { return limit.name == "open_files"; });
  return open == limits.end() ? 0 : open->used;
}

}  // namespace virtfs::toolstack
