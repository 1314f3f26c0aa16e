// Where a share's nodes are in xenstore: docs/virtfs.md section 11.1; of a 9pfs device, docs/9pfs.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "xenstore/number.h"

namespace virtfs::xenstore {

inline constexpr uint32_t kMaxDomid = 0x7fef;  // DOMID_FIRST_RESERVED - 1

// xenbus states of either end, with the numbers of Xen's io/xenbus.h. Unknown: there is no node, or nonsense in it.
enum class State : uint32_t {
  kUnknown = 0,
  kInitialising = 1,
  kInitWait = 2,
  kInitialised = 3,
  kConnected = 4,
  kClosing = 5,
  kClosed = 6,
};

inline const char* NameOf(State state) {
  constexpr const char* kNames[] = {"Unknown",   "Initialising", "InitWait", "Initialised",
                                    "Connected", "Closing",      "Closed"};
  return kNames[static_cast<uint32_t>(state)];
}

// What a guest's xenbus takes a share for.
enum class DeviceType : uint8_t { kVirtfs, kNinepfs };
inline constexpr DeviceType kDeviceTypes[] = {DeviceType::kVirtfs, DeviceType::kNinepfs};

inline const char* NameOf(DeviceType type) { return type == DeviceType::kVirtfs ? "virtfs" : "9pfs"; }

// All devices of one guest served by one backend domain: B/ and P/ without the device. Those of 9pfs may be other
// backends' too; ours are those that have a P/.
inline std::string BackendRoot(uint32_t backend, uint32_t guest, DeviceType type) {
  return absl::StrCat("/local/domain/", backend, "/backend/", NameOf(type), "/", guest);
}
inline std::string PrivateRoot(uint32_t backend, uint32_t guest) {
  return absl::StrCat("/local/domain/", backend, "/virtfs/", guest);
}

// Of the PrivateRoot: who serves the guest, "<pid> <start time>" of a process in the backend domain.
inline constexpr char kKeeperNode[] = "keeper";

// Of a share's P/, between the toolstack and a keeper of this implementation (docs/virtfs.md 11.3). While the first is
// there the share is closed; the session that it had is in the file that the node names. The second names a file with
// the session to go on with; the keeper removes it when it has begun to.
inline constexpr char kHandOverNode[] = "x-hand-over";
inline constexpr char kSessionNode[] = "x-session";

// What a share is called in the PrivateRoot: "5", "9pfs-5".
inline constexpr std::string_view kNinepfsPrefix = "9pfs-";
inline std::string ShareName(DeviceType type, uint32_t devid) {
  return absl::StrCat(type == DeviceType::kVirtfs ? "" : std::string(kNinepfsPrefix), devid);
}
// The type and device id; none: whatever else is there is no share.
inline std::optional<std::pair<DeviceType, uint32_t>> ParseShareName(std::string_view name) {
  const bool is_9pfs = name.starts_with(kNinepfsPrefix);
  if (is_9pfs) name.remove_prefix(kNinepfsPrefix.size());
  const std::optional<uint32_t> devid = ParseNumber(name, 0, INT32_MAX);
  if (!devid) return std::nullopt;
  return std::pair(is_9pfs ? DeviceType::kNinepfs : DeviceType::kVirtfs, *devid);
}

// The three directories of one share; no trailing slash.
struct SharePaths {
  SharePaths(uint32_t backend, uint32_t guest, DeviceType type, uint32_t devid)
      : backend_dir(absl::StrCat(BackendRoot(backend, guest, type), "/", devid)),
        frontend_dir(absl::StrCat("/local/domain/", guest, "/device/", NameOf(type), "/", devid)),
        private_dir(absl::StrCat(PrivateRoot(backend, guest), "/", ShareName(type, devid))) {}

  std::string backend_dir;   // "B": the guest may read it
  std::string frontend_dir;  // "F": the guest owns it
  std::string private_dir;   // "P": of the backend domain alone
};

}  // namespace virtfs::xenstore
