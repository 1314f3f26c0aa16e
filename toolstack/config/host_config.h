// HostConfig: /etc/xen/virtfs.conf, what holds for all guests: which directories may be shared, and what a share has
// that does not say otherwise.
//
//   roots    = [ "/srv", "/home/shared" ]
//   defaults = "security_model=mapped-xattr,max-files=1000000"
//
// Errors: InvalidArgument with one sentence for each mistake.
// Trust: roots keep the administrator from sharing by mistake what is not to be shared. They are no wall against a
// guest: nothing that a guest can say reaches them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "toolstack/share_spec.h"

namespace virtfs::toolstack {

struct HostConfig {
  std::string path;                // of the file, for sentences
  std::vector<std::string> roots;  // without symbolic links; empty: every directory may be shared
  std::vector<std::pair<std::string, std::string>> defaults;
};

// A file that is not there says nothing: every path is allowed, nothing has another default than its own.
absl::StatusOr<HostConfig> ReadHostConfig(const std::string& path);

// A share as written, and behind it the defaults for what it does not say. (For ParseShareSpec.)
std::string WithDefaults(std::string_view share, const HostConfig& host);

// What can be seen of a share's directory before it is attached, if it is one of this domain: it is there, is a
// directory, lies in an allowed root, and can be written unless the share is read-only.
absl::Status CheckDirectory(const ShareSpec& spec, const HostConfig& host);

// Of that only whether it lies in an allowed root; one that cannot be opened does.
absl::Status CheckRoots(const ShareSpec& spec, const HostConfig& host);

}  // namespace virtfs::toolstack
