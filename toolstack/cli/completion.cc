#include "toolstack/cli/completion.h"

#include <algorithm>
#include <memory>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "options/option_table.h"
#include "toolstack/attached_shares.h"
#include "toolstack/cli/subcommand.h"
#include "toolstack/domain.h"

namespace virtfs::toolstack {
namespace {

using Words = std::vector<std::string>;

// Of what an option's help says can be written, those parts that can be written as they stand: words, not "a number".
Words ValuesOf(const options::Option& option) {
  Words values;
  const std::string text(option.values);
  for (const std::string& list : Words(absl::StrSplit(text, ", "))) {
    for (const std::string& value : Words(absl::StrSplit(list, " or "))) {
      options::ShareOptions unused;
      if (option.set(unused, value)) values.push_back(value);
    }
  }
  return values;
}

// A share: its last key, or the value of that.
Words CompleteShare(const std::string& word, const CompletionSources& sources) {
  const size_t comma = word.rfind(',');
  const std::string before = comma == word.npos ? "" : word.substr(0, comma + 1);
  const std::string item = word.substr(before.size());
  Words candidates;
  if (const size_t equals = item.find('='); equals != item.npos) {
    const std::string key = item.substr(0, equals);
    Words values;
    if (key == "backend") values = sources.domains();
    if (const options::Option* const option = options::FindOption(key); option != nullptr) values = ValuesOf(*option);
    for (const std::string& value : values) candidates.push_back(absl::StrCat(before, key, "=", value));
    return candidates;
  }
  Words keys = {"tag", "devid", "backend"};
  for (const options::Option& option : options::AllOptions()) keys.emplace_back(option.name);
  const Words used = absl::StrSplit(before, ',');
  for (const std::string& key : keys) {
    const bool is_used = std::any_of(used.begin(), used.end(), [&](const std::string& other) {
      return other == key || other.starts_with(key + "=");
    });
    if (!is_used) candidates.push_back(absl::StrCat(before, key, "="));
  }
  return candidates;
}

Words FlagsOf(const Subcommand& subcommand) {
  Words flags;
  for (const std::span<const Flag> some : {std::span<const Flag>(subcommand.flags), CommonFlags()}) {
    for (const Flag& flag : some) flags.push_back(absl::StrCat("--", std::string(flag.name)));
  }
  return flags;
}

bool TakesValue(const Subcommand& subcommand, const std::string& word) {
  for (const std::span<const Flag> some : {std::span<const Flag>(subcommand.flags), CommonFlags()}) {
    for (const Flag& flag : some) {
      if (word == absl::StrCat("--", std::string(flag.name))) return !flag.argument.empty();
    }
  }
  return false;
}

Words CompleteOperand(std::string_view operand, const Words& before, const std::string& word,
                      const CompletionSources& sources) {
  if (operand.find("DOMAIN") != operand.npos) return sources.domains();
  if (operand.find("SPEC") != operand.npos) return CompleteShare(word, sources);
  if (operand.find("DEV") != operand.npos) return sources.devices(before.back());
  return {};
}

Words Candidates(std::span<const std::string> words, const CompletionSources& sources) {
  const std::string& word = words.back();
  if (words.size() == 1) {
    Words names = {"--help", "--version"};
    for (const Subcommand& subcommand : AllSubcommands()) names.emplace_back(subcommand.name);
    return names;
  }
  const Subcommand* const subcommand = FindSubcommand(words[0]);
  if (subcommand == nullptr) return {};
  if (word.starts_with("-")) return FlagsOf(*subcommand);
  Words operands;
  bool value = false;
  for (const std::string& other : words.subspan(1, words.size() - 2)) {
    if (!value && !other.starts_with("-")) operands.push_back(other);
    value = !value && TakesValue(*subcommand, other);
  }
  if (value || operands.size() >= subcommand->operands.size()) return {};
  return CompleteOperand(subcommand->operands[operands.size()], operands, word, sources);
}

}  // namespace

std::vector<std::string> Complete(std::span<const std::string> words, const CompletionSources& sources) {
  if (words.empty()) return {};
  Words candidates = Candidates(words, sources);
  std::erase_if(candidates, [&](const std::string& candidate) { return !candidate.starts_with(words.back()); });
  std::sort(candidates.begin(), candidates.end());
  return candidates;
}

CompletionSources StoreSources() {
  CompletionSources sources;
  sources.domains = [] {
    Words names;
    const absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
    if (!store.ok()) return names;
    for (const Domain& domain : AllDomains(**store)) names.push_back(domain.name);
    return names;
  };
  sources.devices = [](const std::string& name) {
    Words tags;
    const absl::StatusOr<std::unique_ptr<xenstore::Store>> store = xenstore::Store::Open();
    if (!store.ok()) return tags;
    const absl::StatusOr<Domain> domain = FindDomain(**store, name);
    if (!domain.ok()) return tags;
    for (const AttachedShare& share : AttachedShares(**store, domain->id)) tags.push_back(share.tag);
    return tags;
  };
  return sources;
}

}  // namespace virtfs::toolstack
