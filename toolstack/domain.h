// Domain: a living domain as xenstore knows it, by the names that an administrator has for it.
//
// Errors: one sentence for the operator.
// Trust: name and UUID are written by the toolstack; a guest can read them, not change them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "xenstore/store.h"

namespace virtfs::toolstack {

struct Domain {
  uint32_t id = 0;
  std::string name;  // empty: it has none (yet)
  std::string uuid;  // lower case; empty: as domain 0, which has none
};

// By id, ascending.
std::vector<Domain> AllDomains(xenstore::Store& store);

// NotFound if there is no domain of that id.
absl::StatusOr<Domain> DomainOf(xenstore::Store& store, uint32_t id);

// By its name, or its id in decimal: as xl, which takes what looks like a number for an id.
absl::StatusOr<Domain> FindDomain(xenstore::Store& store, std::string_view name_or_id);

// The id of the domain that this runs in.
absl::StatusOr<uint32_t> OwnDomain(xenstore::Store& store);

}  // namespace virtfs::toolstack
