// xl-virtfs list [DOMAIN]

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "toolstack/attached_shares.h"
#include "toolstack/cli/subcommands.h"
#include "toolstack/cli/table.h"
#include "toolstack/domain.h"
#include "toolstack/records/record_store.h"
#include "toolstack/share_spec.h"

namespace virtfs::toolstack {
namespace {

// A share as it is shown: of xenstore, of a record or of both.
struct Row {
  std::string guest;
  std::string uuid;
  std::optional<uint32_t> domid;  // none: no domain has that UUID now
  uint32_t devid = 0;
  std::string tag;
  std::string transport;
  std::string backend;
  std::string state;
  std::string path;
  std::string error;
  bool recorded = false;
};

Row RowOf(const Domain& guest, const AttachedShare& share, const std::map<uint32_t, std::string>& names) {
  const auto backend = names.find(share.backend);
  return {.guest = guest.name,
          .uuid = guest.uuid,
          .domid = guest.id,
          .devid = share.devid,
          .tag = share.tag,
          .transport = xenstore::NameOf(share.type),
          .backend = backend == names.end() ? absl::StrCat(share.backend) : backend->second,
          .state = xenstore::NameOf(share.state),
          .path = share.path,
          .error = share.error,
          .recorded = !share.mark.empty()};
}

Row RowOf(const Record& record, std::optional<uint32_t> domid, const RecordedShare& share) {
  Row row{.guest = record.name,
          .uuid = record.uuid,
          .domid = domid,
          .devid = share.devid,
          .tag = "",
          .transport = "",
          .backend = share.backend,
          .state = domid ? "not attached" : "no domain",
          .path = "",
          .error = "",
          .recorded = true};
  if (const absl::StatusOr<ShareSpec> spec = ParseShareSpec(share.spec); spec.ok()) {
    row.tag = spec->tag;
    row.path = spec->options.path;
    row.transport = spec->options.server.transport == options::Transport::kNinepfs ? "9pfs" : "virtfs";
  } else {
    row.error = std::string(spec.status().message());
  }
  return row;
}

bool Has(const std::vector<AttachedShare>& shares, uint32_t devid) {
  return std::any_of(shares.begin(), shares.end(), [&](const AttachedShare& share) { return share.devid == devid; });
}

void PrintJson(const std::vector<Row>& rows) {
  nlohmann::ordered_json all = nlohmann::json::array();
  for (const Row& row : rows) {
    nlohmann::ordered_json share = {{"domain", row.guest}, {"uuid", row.uuid}};
    if (row.domid) share["domid"] = *row.domid;
    share.update({{"devid", row.devid},
                  {"tag", row.tag},
                  {"transport", row.transport},
                  {"backend", row.backend},
                  {"state", row.state},
                  {"path", row.path},
                  {"recorded", row.recorded}});
    if (!row.error.empty()) share["error"] = row.error;
    all.push_back(share);
  }
  printf("%s\n", all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

void PrintTable(const std::vector<Row>& rows) {
  Table table({"DOMAIN", "ID", "DEV", "TAG", "TRANSPORT", "BACKEND", "STATE", "PATH"});
  for (const Row& row : rows) {
    table.Add({row.guest, row.domid ? absl::StrCat(*row.domid) : "-", absl::StrCat(row.devid), row.tag, row.transport,
               row.backend, row.state, row.path});
    if (!row.error.empty()) table.AddLine(row.error);
  }
  fputs(table.Text().c_str(), stdout);
}

absl::Status Run(const Arguments& arguments) {
  const absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
  if (!store.ok()) return store.status();
  const std::vector<Domain> all = AllDomains(**store);
  std::vector<Domain> guests = all;
  const bool one = !arguments.operands.empty();
  if (one) {
    const absl::StatusOr<Domain> guest = FindDomain(**store, arguments.operands[0]);
    if (!guest.ok()) return guest.status();
    guests = {*guest};
  }
  const absl::StatusOr<RecordStore::Listing> records = RecordStore(arguments.places.records).All();
  if (!records.ok()) return records.status();

  std::map<uint32_t, std::string> names;
  for (const Domain& domain : all) {
    if (!domain.name.empty()) names[domain.id] = domain.name;
  }
  std::vector<Row> rows;
  for (const Domain& guest : guests) {
    const std::vector<AttachedShare> attached = AttachedShares(**store, guest.id);
    for (const AttachedShare& share : attached) rows.push_back(RowOf(guest, share, names));
    for (const Record& record : records->records) {
      if (record.uuid != guest.uuid) continue;
      for (const RecordedShare& share : record.shares) {
        if (!Has(attached, share.devid)) rows.push_back(RowOf(record, guest.id, share));
      }
    }
  }
  for (const Record& record : records->records) {
    const bool lives = std::any_of(all.begin(), all.end(), [&](const Domain& d) { return d.uuid == record.uuid; });
    if (lives || !arguments.Has("all")) continue;
    for (const RecordedShare& share : record.shares) rows.push_back(RowOf(record, std::nullopt, share));
  }
  arguments.Has("json") ? PrintJson(rows) : PrintTable(rows);
  // What can be shown is; and what cannot is told.
  std::string unreadable;
  for (const absl::Status& status : records->unreadable) {
    absl::StrAppend(&unreadable, unreadable.empty() ? "" : "\n", std::string(status.message()));
  }
  return unreadable.empty() ? absl::OkStatus() : absl::UnavailableError(unreadable);
}

}  // namespace

Subcommand ListSubcommand() {
  return {
      .name = "list",
      .operands = {"[DOMAIN]"},
      .summary = "show the shares of a guest, or of all",
      .help =
          "Shows each share with the state of its backend: InitWait while the guest does not use it, Connected\n"
          "while it does, Closed if it cannot be served, with the reason in the line below. \"not attached\" is\n"
          "a share that the guest is to have and `xl-virtfs watch` has not attached yet.",
      .flags = {{"all", "", "recorded shares of guests that are not there, too"}, {"json", "", "as JSON, for scripts"}},
      .run = Run};
}

}  // namespace virtfs::toolstack
