#include "toolstack/cli/subcommand.h"

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

}  // namespace
}  // namespace virtfs::toolstack
