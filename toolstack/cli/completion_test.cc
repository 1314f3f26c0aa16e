#include "toolstack/cli/completion.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "options/option_table.h"
#include "toolstack/cli/subcommand.h"

namespace virtfs::toolstack {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

std::vector<std::string> At(const std::vector<std::string>& words) {
  return Complete(words,
                  {.domains =
                       [] {
                         return std::vector<std::string>{"web", "mail"};
                       },
                   .devices = [](const std::string& domain) { return std::vector<std::string>{domain + "-tag"}; }});
}

TEST(CompletionTest, EverySubcommandAndEachOfItsFlags) {
  for (const Subcommand& row : AllSubcommands()) {
    EXPECT_THAT(At({""}), Contains(std::string(row.name)));
    for (const Flag& flag : row.flags) {
      EXPECT_THAT(At({std::string(row.name), "--"}), Contains("--" + std::string(flag.name)));
    }
  }
  EXPECT_THAT(At({"det"}), ElementsAre("detach"));
  EXPECT_THAT(At({"detach", "--f"}), ElementsAre("--force"));
  EXPECT_THAT(At({"none", ""}), IsEmpty());
  EXPECT_THAT(At({}), IsEmpty());
}

TEST(CompletionTest, DomainsAndDevices) {
  EXPECT_THAT(At({"attach", ""}), ElementsAre("mail", "web"));
  EXPECT_THAT(At({"attach", "--wait", "w"}), IsEmpty());
  EXPECT_THAT(At({"attach", "--wait", "5", "w"}), ElementsAre("web"));
  EXPECT_THAT(At({"attach", "--wait=5", "w"}), ElementsAre("web"));
  EXPECT_THAT(At({"list", "m"}), ElementsAre("mail"));
  EXPECT_THAT(At({"detach", "web", ""}), ElementsAre("web-tag"));
  EXPECT_THAT(At({"detach", "web", "x", ""}), IsEmpty());
  EXPECT_THAT(At({"create", ""}), IsEmpty()) << "files are the shell's";
}

TEST(CompletionTest, KeysAndValuesOfAShare) {
  for (const options::Option& option : options::AllOptions()) {
    EXPECT_THAT(At({"attach", "web", ""}), Contains(std::string(option.name) + "="));
  }
  EXPECT_THAT(At({"attach", "web", "tag=a,readonly,sec"}), ElementsAre("tag=a,readonly,security_model="));
  EXPECT_THAT(At({"attach", "web", "tag=a,"}), AllOf(Not(Contains("tag=a,tag=")), Contains("tag=a,path=")));
  EXPECT_THAT(At({"attach", "web", "security_model="}),
              ElementsAre("security_model=mapped-file", "security_model=mapped-xattr", "security_model=none",
                          "security_model=passthrough"));
  EXPECT_THAT(At({"attach", "web", "tag=a,enforce=s"}), ElementsAre("tag=a,enforce=server"));
  EXPECT_THAT(At({"attach", "web", "readonly="}), ElementsAre("readonly=0", "readonly=1"));
  EXPECT_THAT(At({"attach", "web", "backend=m"}), ElementsAre("backend=mail"));
  EXPECT_THAT(At({"attach", "web", "max-fids="}), IsEmpty());
}

}  // namespace
}  // namespace virtfs::toolstack
