// GuestConfig: what a guest's xl.cfg says for us: its name, and the list virtfs=[ 'tag=...,path=...', ... ]. All else
// in the file is xl's.
//
// Errors: InvalidArgument with one sentence for each mistake, of all shares.
// Trust: the operator's file.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "toolstack/config/config_file.h"
#include "toolstack/config/host_config.h"
#include "toolstack/share_spec.h"

namespace virtfs::toolstack {

struct GuestShare {
  std::string text;  // with the host's defaults in it
  int line = 0;
  ShareSpec spec;
};

struct GuestConfig {
  std::string path;
  std::string name;  // empty: the file does not say it
  std::vector<GuestShare> shares;
  std::vector<Mistake> mistakes;  // a share that has one is not among `shares`
};

// Reads and parses the file, and holds the shares to each other. Looks at nothing else of this machine. An error only
// if the file cannot be read or parsed at all.
absl::StatusOr<GuestConfig> ReadGuestConfig(const std::string& path, const HostConfig& host);

}  // namespace virtfs::toolstack
