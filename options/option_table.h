// The table of a share's options: each is declared once, and is from then on a key of virtfs-attach, a node of the
// share's private directory in xenstore (docs/virtfs.md 11.3) and a line of help.
//
// Errors: one sentence for the operator that says what to write instead.
// Trust: the operator's text; wrong only by mistake.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "options/share_options.h"

namespace virtfs::options {

struct Option {
  std::string_view name;      // the key, and the node
  std::string_view argument;  // as the help shows the value; empty: a flag, which may stand alone for =1
  std::string_view initial;   // what holds where it is not said; empty: it must be said
  std::string_view values;    // what can be written, as the end of the sentence "write ..."
  std::string_view help;
  // False: the text is none of `values`, and nothing has changed.
  bool (*set)(ShareOptions& options, std::string_view text);
};

std::span<const Option> AllOptions();

// Null: there is none of that name.
const Option* FindOption(std::string_view name);

absl::Status SetOption(ShareOptions& options, const Option& option, std::string_view text);

// Once all are set: those that must be said are, and none contradicts another.
absl::Status CheckOptions(const ShareOptions& options);

// One or more lines for each option, for --help: its name, help and default.
std::string OptionsHelp();

}  // namespace virtfs::options
