// Subcommand: one row of the table that `xl-virtfs` consists of, and what its function is given.
//
// Parsing, --help, the manual's check and shell completion read the table; nothing else says what there is.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "toolstack/config/places.h"

namespace virtfs::toolstack {

struct Flag {
  std::string_view name;      // without the dashes
  std::string_view argument;  // as the help shows the value; empty: it takes none
  std::string_view help;      // what it does, in one line
};

// What was written behind the subcommand's name.
struct Arguments {
  Places places;
  std::vector<std::string> operands;                      // as many as the subcommand wants
  std::map<std::string, std::string, std::less<>> flags;  // those that were there, by name

  bool Has(std::string_view flag) const { return flags.find(flag) != flags.end(); }
  // Of a flag whose value is a number from `min` to `max`; `initial` if it is not there.
  absl::StatusOr<uint32_t> Number(std::string_view flag, uint32_t min, uint32_t max, uint32_t initial) const;
};

struct Subcommand {
  std::string_view name;
  std::vector<std::string_view> operands;  // in capitals, as DOMAIN; in brackets if it may be left out: [DOMAIN]
  std::string_view summary;                // the line in the list of all
  std::string_view help;                   // paragraphs for its own --help
  std::vector<Flag> flags;
  // InvalidArgument: what was asked for is wrong in itself (exit status 2). Any other error: it could not be done (1).
  // Each line of the message is one sentence for the operator.
  absl::Status (*run)(const Arguments& arguments);
};

// All of them, in the order of the help.
std::span<const Subcommand> AllSubcommands();

// Null: there is none of that name.
const Subcommand* FindSubcommand(std::string_view name);

// Flags of every subcommand.
std::span<const Flag> CommonFlags();

// `words`: what follows the subcommand's name. --help is among the flags if it was there; then nothing else is checked.
absl::StatusOr<Arguments> ParseArguments(const Subcommand& subcommand, std::span<const std::string> words);

// "xl-virtfs attach [FLAG]... DOMAIN SPEC".
std::string UsageOf(const Subcommand& subcommand);

std::string HelpOf(const Subcommand& subcommand);

// The text of `xl-virtfs --help`.
std::string HelpOfAll();

}  // namespace virtfs::toolstack
