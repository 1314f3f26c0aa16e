#include "toolstack/cli/subcommand.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "xenstore/number.h"

namespace virtfs::toolstack {
namespace {

constexpr Flag kCommonFlags[] = {
    {"conf", "FILE", "allowed roots and defaults (default: /etc/xen/virtfs.conf)"},
    {"records", "DIRECTORY", "what each guest has attached (default: /var/lib/xen-virtfs)"},
    {"run", "DIRECTORY", "locks and sockets (default: /run/xen-virtfs)"},
    {"help", "", "this text"},
};

absl::Status Mistake(const std::string& sentence) { return absl::InvalidArgumentError(sentence); }

std::string String(std::string_view text) { return std::string(text); }

const Flag* FindFlag(const Subcommand& subcommand, std::string_view name) {
  const auto find = [&](std::span<const Flag> flags) -> const Flag* {
    const auto found = std::find_if(flags.begin(), flags.end(), [&](const Flag& flag) { return flag.name == name; });
    return found == flags.end() ? nullptr : &*found;
  };
  const Flag* const own = find(subcommand.flags);
  return own != nullptr ? own : find(kCommonFlags);
}

bool IsOptional(std::string_view operand) { return operand.starts_with('['); }

std::string HelpOf(std::span<const Flag> flags) {
  std::string help;
  for (const Flag& flag : flags) {
    std::string left = absl::StrCat("  --", String(flag.name), flag.argument.empty() ? "" : " ", String(flag.argument));
    left.resize(std::max<size_t>(left.size() + 2, 24), ' ');
    absl::StrAppend(&help, left, String(flag.help), "\n");
  }
  return help;
}

absl::Status UnknownFlag(const Subcommand& subcommand, const std::string& word) {
  std::vector<std::string> names;
  for (const Flag& flag : subcommand.flags) names.push_back(absl::StrCat("--", String(flag.name)));
  for (const Flag& flag : kCommonFlags) names.push_back(absl::StrCat("--", String(flag.name)));
  return Mistake(
      absl::StrCat("unknown flag ", word, ": ", String(subcommand.name), " has ", absl::StrJoin(names, ", ")));
}

// Takes the flag in words[i], and its value from there or from the next word, which `i` is moved to.
absl::Status ParseFlag(const Subcommand& subcommand, std::span<const std::string> words, size_t& i,
                       Arguments& arguments) {
  const std::string& word = words[i];
  const size_t equals = word.find('=');
  const std::string name = word.substr(2, equals == word.npos ? equals : equals - 2);
  const Flag* const flag = FindFlag(subcommand, name);
  if (flag == nullptr) return UnknownFlag(subcommand, word);
  std::string value;
  if (flag->argument.empty()) {
    if (equals != word.npos) return Mistake(absl::StrCat("--", name, " takes no value: write --", name, " alone"));
  } else if (equals != word.npos) {
    value = word.substr(equals + 1);
  } else if (i + 1 < words.size()) {
    value = words[++i];
  }
  if (!flag->argument.empty() && value.empty()) {
    return Mistake(absl::StrCat("--", name, " needs a value: write --", name, " ", String(flag->argument)));
  }
  if (!arguments.flags.emplace(name, value).second) return Mistake(absl::StrCat("--", name, " is there twice"));
  return absl::OkStatus();
}

void SetPlaces(Arguments& arguments) {
  const auto set = [&](std::string_view flag, std::string& place) {
    if (const auto found = arguments.flags.find(flag); found != arguments.flags.end()) place = found->second;
  };
  set("conf", arguments.places.config);
  set("records", arguments.places.records);
  set("run", arguments.places.runtime);
}

}  // namespace

std::span<const Flag> CommonFlags() { return kCommonFlags; }

const Subcommand* FindSubcommand(std::string_view name) {
  const std::span<const Subcommand> all = AllSubcommands();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Subcommand& row) { return row.name == name; });
  return found == all.end() ? nullptr : &*found;
}

absl::StatusOr<uint32_t> Arguments::Number(std::string_view flag, uint32_t min, uint32_t max, uint32_t initial) const {
  const auto found = flags.find(flag);
  if (found == flags.end()) return initial;
  if (const std::optional<uint32_t> number = xenstore::ParseNumber(found->second, min, max)) return *number;
  return Mistake(absl::StrCat("--", String(flag), " ", found->second, ": write a number from ", min, " to ", max));
}

absl::StatusOr<Arguments> ParseArguments(const Subcommand& subcommand, std::span<const std::string> words) {
  Arguments arguments;
  bool flags_end = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (!flags_end && word == "--") {
      flags_end = true;
    } else if (!flags_end && word.starts_with("--")) {
      if (absl::Status parsed = ParseFlag(subcommand, words, i, arguments); !parsed.ok()) return parsed;
    } else if (!flags_end && word == "-h") {
      arguments.flags.emplace("help", "");
    } else if (!flags_end && word.starts_with("-")) {
      return UnknownFlag(subcommand, word);
    } else {
      arguments.operands.push_back(word);
    }
  }
  if (arguments.Has("help")) return arguments;
  const auto needed = static_cast<size_t>(
      std::count_if(subcommand.operands.begin(), subcommand.operands.end(), [](auto o) { return !IsOptional(o); }));
  if (arguments.operands.size() < needed) {
    return Mistake(absl::StrCat(String(subcommand.operands[arguments.operands.size()]), " is missing: write ",
                                UsageOf(subcommand)));
  }
  if (arguments.operands.size() > subcommand.operands.size()) {
    return Mistake(
        absl::StrCat("what is ", arguments.operands[subcommand.operands.size()], " for? write ", UsageOf(subcommand)));
  }
  SetPlaces(arguments);
  return arguments;
}

std::string UsageOf(const Subcommand& subcommand) {
  std::string usage = absl::StrCat("xl-virtfs ", String(subcommand.name), subcommand.flags.empty() ? "" : " [FLAG]...");
  for (const std::string_view operand : subcommand.operands) absl::StrAppend(&usage, " ", String(operand));
  return usage;
}

std::string HelpOf(const Subcommand& subcommand) {
  std::string help = absl::StrCat("Usage: ", UsageOf(subcommand), "\n\n", String(subcommand.help), "\n");
  if (!subcommand.flags.empty()) absl::StrAppend(&help, "\n", HelpOf(subcommand.flags));
  return absl::StrCat(help, "\nFlags of every subcommand:\n", HelpOf(kCommonFlags));
}

std::string HelpOfAll() {
  std::string help =
      "Usage: xl-virtfs SUBCOMMAND [FLAG]... [OPERAND]...\n"
      "\n"
      "Directories of this host, or of a driver domain, for Xen guests: what a guest's xl.cfg says in a line like\n"
      "\n"
      "  virtfs=[ 'tag=share,path=/srv/share,security_model=mapped-xattr' ]\n"
      "\n"
      "or is attached by hand, the guest mounts by its tag: mount -t virtfs share /mnt\n"
      "\n";
  for (const Subcommand& subcommand : AllSubcommands()) {
    std::string left = absl::StrCat("  ", String(subcommand.name));
    for (const std::string_view operand : subcommand.operands) absl::StrAppend(&left, " ", String(operand));
    left.resize(std::max<size_t>(left.size() + 2, 24), ' ');
    absl::StrAppend(&help, left, String(subcommand.summary), "\n");
  }
  return absl::StrCat(
      help,
      "\n"
      "DOMAIN is a guest's name or id. `xl-virtfs SUBCOMMAND --help` tells more, and of a share's keys\n"
      "`xl-virtfs attach --help`. Flags of every subcommand:\n",
      HelpOf(kCommonFlags),
      "\n"
      "Exit status: 0 when done, 1 when it could not be done, 2 for a mistake in what was written.\n");
}

}  // namespace virtfs::toolstack
