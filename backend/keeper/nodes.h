// What the keeper reads from xenstore about one share: the toolstack's options (P/) and the frontend's side (F/).
//
// Both take a function that reads one node by its name below the directory, so that the rules are tested without a
// xenstore. The names, bounds and defaults are those of docs/virtfs.md section 11.3; those of options stand in
// options/option_table.cc.
//
// Errors: a sentence for the operator that says what to write instead.
// Trust: options are the operator's, and wrong only by mistake; the frontend's nodes are hostile.
#pragma once

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "backend/link/messages.h"
#include "base/result.h"
#include "options/share_options.h"
#include "xen/io/virtfs.h"
#include "xenstore/paths.h"

namespace virtfs::backend {

using NodeReader = absl::FunctionRef<Result<std::string>(const std::string& name)>;

absl::StatusOr<options::ShareOptions> ReadShareOptions(NodeReader read);

// What we publish and hold the frontend to.
inline constexpr uint32_t kMaxRingPageOrder = 0;
// A one-page ring less the slots that a frontend keeps for Tflush and Tclunk.
inline constexpr uint32_t kMaxChainSlots = XEN_VIRTFS_SLOTS_PER_PAGE - XEN_VIRTFS_RESERVED_SLOTS;

absl::StatusOr<link::Connect> ReadFrontend(NodeReader read);

// The same of a 9pfs device (docs/9pfs.md).
inline constexpr uint32_t kMaxNinepfsRingOrder = 9;
absl::StatusOr<link::Connect> ReadNinepfsFrontend(NodeReader read);

// That the option `transport` is the one for a device of that type.
absl::Status CheckTransport(const options::ServerOptions& options, xenstore::DeviceType type);

}  // namespace virtfs::backend
