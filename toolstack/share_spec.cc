#include "toolstack/share_spec.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "options/option_table.h"
#include "xenstore/number.h"

namespace virtfs::toolstack {
namespace {

constexpr size_t kMaxTag = 255;

absl::Status Mistake(const std::string& sentence) { return absl::InvalidArgumentError(sentence); }

absl::Status UnknownKey(const std::string& key) {
  std::string sentence = absl::StrCat("unknown option ", key, ": there are tag, devid, backend");
  for (const options::Option& option : options::AllOptions()) {
    const bool last = &option == &options::AllOptions().back();
    absl::StrAppend(&sentence, last ? " and " : ", ", std::string(option.name));
  }
  return Mistake(sentence);
}

// `value`: none if there is no "=".
absl::Status Set(ShareSpec& spec, const std::string& key, std::optional<std::string> value) {
  const options::Option* const option = options::FindOption(key);
  const bool known = option != nullptr || key == "tag" || key == "devid" || key == "backend";
  if (!known) return UnknownKey(key);
  if (option != nullptr && option->argument.empty() && !value) value = "1";
  if (!value || value->empty()) return Mistake(absl::StrCat(key, " needs a value: write ", key, "=..."));

  if (option != nullptr) {
    if (absl::Status set = options::SetOption(spec.options, *option, *value); !set.ok()) return set;
    spec.nodes.emplace_back(key, *value);
  } else if (key == "tag") {
    if (value->size() > kMaxTag ||
        !std::all_of(value->begin(), value->end(), [](char c) { return c > ' ' && c <= '~'; })) {
      return Mistake("tag: write 1 to 255 printable ASCII characters without blanks");
    }
    spec.tag = *value;
  } else if (key == "backend") {
    spec.backend = *std::move(value);
  } else {
    spec.devid = xenstore::ParseNumber(*value, 0, INT32_MAX);
    if (!spec.devid) return Mistake(absl::StrCat("devid=", *value, ": write a number, or leave it out"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ShareSpec> ParseShareSpec(std::string_view text) {
  ShareSpec spec;
  absl::flat_hash_set<std::string> seen;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), item.size() + 1));
    const size_t equals = item.find('=');
    const std::string key(item.substr(0, equals));
    if (key.empty()) return Mistake("an option is missing beside a comma: write KEY=VALUE,KEY=VALUE");
    if (!seen.insert(key).second) return Mistake(absl::StrCat(key, " is there twice: write it once"));
    std::optional<std::string> value;
    if (equals != item.npos) value = std::string(item.substr(equals + 1));
    if (absl::Status set = Set(spec, key, std::move(value)); !set.ok()) return set;
  }
  if (spec.tag.empty()) return Mistake("the share has no tag: write tag=NAME, which is what the guest mounts");
  if (absl::Status checked = options::CheckOptions(spec.options); !checked.ok()) return checked;
  return spec;
}

}  // namespace virtfs::toolstack
