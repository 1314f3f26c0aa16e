// xl-virtfs: the administrator's command. Finds the subcommand, parses its arguments, tells what failed.

#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "toolstack/cli/completion.h"
#include "toolstack/cli/subcommand.h"

namespace {

namespace toolstack = virtfs::toolstack;

constexpr char kVersion[] = "0.1";

int Fail(const absl::Status& status) {
  const std::string message(status.message());
  for (const std::string& sentence : std::vector<std::string>(absl::StrSplit(message, '\n'))) {
    fprintf(stderr, "xl-virtfs: %s\n", sentence.c_str());
  }
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

int Mistake(const std::string& sentence) {
  return Fail(absl::InvalidArgumentError(sentence + " (xl-virtfs --help tells more)"));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) return Mistake("which subcommand?");
  if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    fputs(toolstack::HelpOfAll().c_str(), stdout);
    return 0;
  }
  if (words[0] == "--version") {
    printf("xl-virtfs %s\n", kVersion);
    return 0;
  }
  // Of the shell's, and no row of the table: xl-virtfs complete -- WORD...
  if (words[0] == "complete" && words.size() > 1) {
    for (const std::string& word : toolstack::Complete(std::span(words).subspan(2), toolstack::StoreSources())) {
      printf("%s\n", word.c_str());
    }
    return 0;
  }
  const toolstack::Subcommand* const subcommand = toolstack::FindSubcommand(words[0]);
  if (subcommand == nullptr) return Mistake("there is no subcommand " + words[0]);
  const absl::StatusOr<toolstack::Arguments> arguments =
      toolstack::ParseArguments(*subcommand, std::span(words).subspan(1));
  if (!arguments.ok()) return Fail(arguments.status());
  if (arguments->Has("help")) {
    fputs(toolstack::HelpOf(*subcommand).c_str(), stdout);
    return 0;
  }
  const absl::Status status = subcommand->run(*arguments);
  // What was printed may not have reached where it was to go: a full disk.
  if (status.ok() && fflush(stdout) != 0) return Fail(absl::UnavailableError("cannot write to standard output"));
  return status.ok() ? 0 : Fail(status);
}
