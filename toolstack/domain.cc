#include "toolstack/domain.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "xenstore/number.h"
#include "xenstore/paths.h"

namespace virtfs::toolstack {
namespace {

constexpr char kRoot[] = "/local/domain";

// None: there is no such domain.
std::optional<Domain> Find(xenstore::Store& store, uint32_t id) {
  const std::string directory = absl::StrCat(kRoot, "/", id);
  if (!store.Exists(directory)) return std::nullopt;
  Domain domain{.id = id, .name = "", .uuid = ""};
  if (Result<std::string> name = store.Read(absl::StrCat(directory, "/name")); name.ok())
    domain.name = *std::move(name);
  const Result<std::string> vm = store.Read(absl::StrCat(directory, "/vm"));
  if (vm.ok()) domain.uuid = absl::AsciiStrToLower(vm->substr(vm->rfind('/') + 1));
  return domain;
}

}  // namespace

std::vector<Domain> AllDomains(xenstore::Store& store) {
  std::vector<Domain> domains;
  const Result<std::vector<std::string>> ids = store.List(kRoot);
  if (!ids.ok()) return domains;
  for (const std::string& text : *ids) {
    const std::optional<uint32_t> id = xenstore::ParseNumber(text, 0, xenstore::kMaxDomid);
    if (!id) continue;
    // It may have gone meanwhile.
    if (std::optional<Domain> domain = Find(store, *id)) domains.push_back(*std::move(domain));
  }
  std::sort(domains.begin(), domains.end(), [](const Domain& a, const Domain& b) { return a.id < b.id; });
  return domains;
}

absl::StatusOr<Domain> DomainOf(xenstore::Store& store, uint32_t id) {
  if (std::optional<Domain> domain = Find(store, id)) return *std::move(domain);
  return absl::NotFoundError(absl::StrCat("there is no domain ", id, ": `xl list` shows those that there are"));
}

absl::StatusOr<Domain> FindDomain(xenstore::Store& store, std::string_view name_or_id) {
  if (const std::optional<uint32_t> id = xenstore::ParseNumber(name_or_id, 0, xenstore::kMaxDomid))
    return DomainOf(store, *id);
  for (Domain& domain : AllDomains(store)) {
    if (!domain.name.empty() && domain.name == name_or_id) return std::move(domain);
  }
  return absl::NotFoundError(absl::StrCat("there is no domain ", std::string(name_or_id),
                                          ": write the name or the id of one that runs, as `xl list` shows them"));
}

absl::StatusOr<uint32_t> OwnDomain(xenstore::Store& store) {
  const Result<std::string> text = store.Read("domid");
  if (!text.ok() && text.error() == Errno(ENOENT)) return 0;  // Not every toolstack writes it in domain 0.
  if (text.ok()) {
    if (const std::optional<uint32_t> id = xenstore::ParseNumber(*text, 0, xenstore::kMaxDomid)) return *id;
  }
  return absl::UnavailableError("xenstore does not say which domain this is: cannot read the node domid");
}

}  // namespace virtfs::toolstack
