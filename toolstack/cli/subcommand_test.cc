#include "toolstack/cli/subcommand.h"

#include <fstream>
#include <iterator>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace virtfs::toolstack {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Subcommand kCopy = {
    .name = "copy",
    .operands = {"FROM", "[TO]"},
    .summary = "copies",
    .help = "Copies it.",
    .flags = {{"force", "", "do not ask"}, {"wait", "SECONDS", "how long"}},
    .run = [](const Arguments&) { return absl::OkStatus(); },
};

absl::StatusOr<Arguments> Parse(const std::vector<std::string>& words) { return ParseArguments(kCopy, words); }
std::string MistakeIn(const std::vector<std::string>& words) { return std::string(Parse(words).status().message()); }

TEST(SubcommandTest, FlagsStandAnywhere) {
  const auto arguments = Parse({"a", "--force", "--wait", "5", "--run=/tmp/x", "b"});
  ASSERT_TRUE(arguments.ok()) << arguments.status();
  EXPECT_THAT(arguments->operands, ElementsAre("a", "b"));
  EXPECT_TRUE(arguments->Has("force"));
  EXPECT_FALSE(arguments->Has("json"));
  EXPECT_EQ(*arguments->Number("wait", 0, 10, 1), 5u);
  EXPECT_EQ(*arguments->Number("other", 0, 10, 1), 1u);
  EXPECT_EQ(arguments->places.runtime, "/tmp/x");
  EXPECT_EQ(arguments->places.config, "/etc/xen/virtfs.conf");
}

TEST(SubcommandTest, BehindTwoDashesAllAreOperands) {
  const auto arguments = Parse({"--", "--force", "-x"});
  ASSERT_TRUE(arguments.ok());
  EXPECT_THAT(arguments->operands, ElementsAre("--force", "-x"));
}

TEST(SubcommandTest, HelpIsHadWithoutTheRest) { EXPECT_TRUE(Parse({"--help"})->Has("help")); }

TEST(SubcommandTest, EachMistakeSaysWhatToWrite) {
  EXPECT_THAT(MistakeIn({}), HasSubstr("FROM is missing: write xl-virtfs copy [FLAG]... FROM [TO]"));
  EXPECT_THAT(MistakeIn({"a", "b", "c"}), HasSubstr("what is c for? write xl-virtfs copy"));
  EXPECT_THAT(MistakeIn({"a", "--fast"}), HasSubstr("unknown flag --fast: copy has --force, --wait, --conf"));
  EXPECT_THAT(MistakeIn({"a", "-f"}), HasSubstr("unknown flag -f"));
  EXPECT_THAT(MistakeIn({"a", "--wait"}), HasSubstr("--wait needs a value: write --wait SECONDS"));
  EXPECT_THAT(MistakeIn({"a", "--wait="}), HasSubstr("--wait needs a value"));
  EXPECT_THAT(MistakeIn({"a", "--force=1"}), HasSubstr("--force takes no value"));
  EXPECT_THAT(MistakeIn({"a", "--force", "--force"}), HasSubstr("--force is there twice"));
  EXPECT_THAT(std::string(Parse({"a", "--wait=11"})->Number("wait", 0, 10, 1).status().message()),
              HasSubstr("--wait 11: write a number from 0 to 10"));
}

TEST(SubcommandTest, EveryRowOfTheTableIsWhole) {
  const std::string all = HelpOfAll();
  for (const Subcommand& row : AllSubcommands()) {
    EXPECT_EQ(FindSubcommand(row.name), &row);
    EXPECT_THAT(all, HasSubstr("\n  " + std::string(row.name)));
    EXPECT_FALSE(row.summary.empty() || row.help.empty()) << row.name;
    EXPECT_THAT(HelpOf(row), HasSubstr(UsageOf(row)));
    bool optional = false;
    for (const std::string_view operand : row.operands) {
      EXPECT_FALSE(optional && !operand.starts_with('[')) << row.name << ": what may be left out comes last";
      optional = operand.starts_with('[');
    }
    EXPECT_NE(row.run, nullptr);
  }
  EXPECT_EQ(FindSubcommand("colour"), nullptr);
}

// What the manual has between two of its lines.
std::string Between(const std::string& text, const std::string& from, const std::string& to) {
  const size_t begin = text.find(from);
  if (begin == text.npos) return "";
  return text.substr(begin, text.find(to, begin + from.size()) - begin);
}

// The manual has each subcommand, with each of its flags and no others.
TEST(SubcommandTest, TheManualAgrees) {
  std::ifstream file("docs/man/xl-virtfs.1");
  std::string manual{std::istreambuf_iterator<char>(file), {}};
  for (size_t at; (at = manual.find("\\-")) != manual.npos;) manual.erase(at, 1);
  const std::string sections = Between(manual, ".SH SUBCOMMANDS\n", ".SH FLAGS OF EVERY SUBCOMMAND\n");
  const auto expect_flags = [](const std::string& text, std::span<const Flag> flags) {
    size_t count = 0;
    for (size_t at = 0; (at = text.find("\n.TP\n", at)) != text.npos; ++at) ++count;
    EXPECT_EQ(count, flags.size()) << text;
    for (const Flag& flag : flags) {
      EXPECT_THAT(text, HasSubstr((flag.argument.empty() ? "\n.B --" : "\n.BI --") + std::string(flag.name)));
    }
  };
  expect_flags(Between(manual, ".SH FLAGS OF EVERY SUBCOMMAND\n", "\n.SH FILES"), CommonFlags());
  for (const Subcommand& row : AllSubcommands()) {
    SCOPED_TRACE(row.name);
    // Its flags are one level deeper.
    const std::string head = row.operands.empty() ? "\n.TP\n.B " : "\n.TP\n.BI ";
    const std::string name(row.name),
        rest = Between(sections, head + name + (row.operands.empty() ? "\n" : "\\ "), "\n.SH");
    ASSERT_FALSE(rest.empty());
    const std::string text = rest.substr(0, rest.find("\n.TP\n", 1));
    EXPECT_EQ(text.find("\n.RS") != text.npos, !row.flags.empty());
    if (!row.flags.empty()) expect_flags(Between(rest, "\n.RS\n", "\n.RE\n").substr(4), row.flags);
  }
}

}  // namespace
}  // namespace virtfs::toolstack
