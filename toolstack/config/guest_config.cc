#include "toolstack/config/guest_config.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "xenstore/number.h"

namespace virtfs::toolstack {
namespace {

constexpr char kShares[] = "virtfs", kName[] = "name";

// xl takes the last of several and says nothing; shares would be lost without a word.
void RefuseReplacement(const ConfigFile& file, std::vector<Mistake>& mistakes) {
  int first = 0;
  for (const ConfigFile::Setting& setting : file.settings()) {
    if (setting.name != kShares) continue;
    if (first != 0 && !setting.adds) {
      mistakes.push_back({file.path(), setting.line, kShares,
                          absl::StrCat("this would replace the list of line ", first, ": write one list, or += here")});
    }
    first = setting.line;
  }
}

// What is wrong with a share beside those before it; empty: nothing.
std::string Contradiction(const GuestShare& share, const std::vector<GuestShare>& before) {
  for (const GuestShare& other : before) {
    if (share.spec.tag == other.spec.tag) {
      return absl::StrCat("tag=", share.spec.tag, " is the tag of the share of line ", other.line,
                          ", too: write another tag");
    }
    if (share.spec.devid && share.spec.devid == other.spec.devid) {
      return absl::StrCat("devid=", *share.spec.devid, " is the devid of the share of line ", other.line,
                          ", too: write another number, or leave it out");
    }
  }
  return "";
}

}  // namespace

absl::StatusOr<GuestConfig> ReadGuestConfig(const std::string& path, const HostConfig& host) {
  absl::StatusOr<ConfigFile> file = ConfigFile::Read(path);
  if (!file.ok()) return file.status();
  GuestConfig guest;
  guest.path = path;
  if (const std::optional<ConfigFile::Strings> name = file->String(kName)) {
    guest.mistakes.insert(guest.mistakes.end(), name->mistakes.begin(), name->mistakes.end());
    if (!name->values.empty()) guest.name = name->values[0].text;
    if (xenstore::ParseNumber(guest.name)) {
      guest.mistakes.push_back({path, name->values[0].line, kName,
                                absl::StrCat(guest.name, " would be taken for a domain id: write a letter into it")});
    }
  }
  RefuseReplacement(*file, guest.mistakes);
  const std::optional<ConfigFile::Strings> shares = file->List(kShares);
  if (!shares) return guest;
  guest.mistakes.insert(guest.mistakes.end(), shares->mistakes.begin(), shares->mistakes.end());
  for (const ConfigFile::Value& value : shares->values) {
    GuestShare share{.text = WithDefaults(value.text, host), .line = value.line, .spec = {}};
    absl::StatusOr<ShareSpec> spec = ParseShareSpec(share.text);
    std::string wrong(spec.status().message());
    if (spec.ok()) {
      share.spec = *std::move(spec);
      wrong = Contradiction(share, guest.shares);
    }
    if (!wrong.empty()) {
      guest.mistakes.push_back({path, value.line, kShares, wrong});
    } else {
      guest.shares.push_back(std::move(share));
    }
  }
  return guest;
}

}  // namespace virtfs::toolstack
