#include "backend/keeper/nodes.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "backend/keeper/log.h"
#include "options/option_table.h"
#include "xenstore/number.h"

namespace virtfs::backend {
namespace {

using xenstore::ParseFlag;
using xenstore::ParseNumber;

// Xen's own limit for the ports of one domain.
constexpr uint32_t kMaxEventChannel = (1 << 17) - 1;

// The node's value, or nothing if it is not there (or not ours to read, which comes to the same).
std::optional<std::string> Get(NodeReader read, const std::string& name) {
  Result<std::string> value = read(name);
  if (!value.ok()) return std::nullopt;
  return *std::move(value);
}

absl::Status Mistake(const std::string& sentence) { return absl::InvalidArgumentError(sentence); }

absl::StatusOr<uint32_t> GuestNumber(NodeReader read, const std::string& name, uint32_t min, uint32_t max) {
  const std::optional<std::string> text = Get(read, name);
  if (!text) return Mistake(absl::StrCat("the frontend has not written ", name));
  const std::optional<uint32_t> number = ParseNumber(*text, min, max);
  if (!number) {
    return Mistake(absl::StrCat("the frontend wrote ", name, " = ", Quoted(*text), ", where a number from ", min,
                                " to ", max, " is due"));
  }
  return *number;
}

}  // namespace

absl::StatusOr<options::ShareOptions> ReadShareOptions(NodeReader read) {
  options::ShareOptions options;
  for (const options::Option& option : options::AllOptions()) {
    const std::optional<std::string> text = Get(read, std::string(option.name));
    if (!text) continue;
    if (absl::Status set = options::SetOption(options, option, *text); !set.ok()) return set;
  }
  if (absl::Status checked = options::CheckOptions(options); !checked.ok()) return checked;
  return options;
}

absl::StatusOr<link::Connect> ReadFrontend(NodeReader read) {
  link::Connect connect;
  if (const std::optional<std::string> version = Get(read, XEN_VIRTFS_NODE_VERSION)) {
    if (*version != XEN_VIRTFS_VERSION) {
      return Mistake(absl::StrCat("the frontend wrote version = ", Quoted(*version), ", where 1 was offered"));
    }
    connect.version = 1;

    // Without a version a frontend knows none of these, and they are ignored.
    if (Get(read, XEN_VIRTFS_NODE_RING_PAGE_ORDER)) {
      const absl::StatusOr<uint32_t> order = GuestNumber(read, XEN_VIRTFS_NODE_RING_PAGE_ORDER, 0, kMaxRingPageOrder);
      if (!order.ok()) return order.status();
      connect.ring_page_order = *order;
    }
    if (Get(read, XEN_VIRTFS_NODE_MULTI_QUEUE_NUM_QUEUES)) {
      const absl::StatusOr<uint32_t> queues = GuestNumber(read, XEN_VIRTFS_NODE_MULTI_QUEUE_NUM_QUEUES, 1, 1);
      if (!queues.ok()) return queues.status();
    }
    if (const std::optional<std::string> text = Get(read, XEN_VIRTFS_NODE_FEATURE_PERSISTENT)) {
      const std::optional<bool> flag = ParseFlag(*text);
      if (!flag) {
        return Mistake(
            absl::StrCat("the frontend wrote feature-persistent = ", Quoted(*text), ", where 0 or 1 is due"));
      }
      connect.feature_persistent = *flag;
    }
  }

  const absl::StatusOr<uint32_t> ring = GuestNumber(read, XEN_VIRTFS_NODE_RING_REF, 1, UINT32_MAX);
  if (!ring.ok()) return ring.status();
  connect.ring_refs[0] = *ring;
  const absl::StatusOr<uint32_t> port = GuestNumber(read, XEN_VIRTFS_NODE_EVENT_CHANNEL, 1, kMaxEventChannel);
  if (!port.ok()) return port.status();
  connect.event_channels[0] = *port;
  return connect;
}

absl::StatusOr<link::Connect> ReadNinepfsFrontend(NodeReader read) {
  link::Connect connect;
  // Backends before this one never looked, so not every frontend may write it.
  if (const std::optional<std::string> version = Get(read, "version"); version && *version != "1") {
    return Mistake(absl::StrCat("the frontend wrote version = ", Quoted(*version), ", where 1 was offered"));
  }
  const absl::StatusOr<uint32_t> rings = GuestNumber(read, "num-rings", 1, link::kMaxRings);
  if (!rings.ok()) return rings.status();
  connect.rings = *rings;
  for (uint32_t i = 0; i < *rings; ++i) {
    const absl::StatusOr<uint32_t> ring = GuestNumber(read, absl::StrCat("ring-ref", i), 1, UINT32_MAX);
    if (!ring.ok()) return ring.status();
    connect.ring_refs[i] = *ring;
    const absl::StatusOr<uint32_t> port = GuestNumber(read, absl::StrCat("event-channel-", i), 1, kMaxEventChannel);
    if (!port.ok()) return port.status();
    connect.event_channels[i] = *port;
  }
  return connect;
}

absl::Status CheckTransport(const options::ServerOptions& options, xenstore::DeviceType type) {
  const bool is_9pfs = options.transport == options::Transport::kNinepfs;
  if (is_9pfs == (type == xenstore::DeviceType::kNinepfs)) return absl::OkStatus();
  return Mistake(
      absl::StrCat("the device is one of ", xenstore::NameOf(type), ": write transport=", xenstore::NameOf(type)));
}

}  // namespace virtfs::backend
