#include "xenstore/number.h"

#include "gtest/gtest.h"

namespace virtfs::xenstore {
namespace {

TEST(NumberTest, TakesPlainDecimals) {
  EXPECT_EQ(ParseNumber("0"), 0u);
  EXPECT_EQ(ParseNumber("42"), 42u);
  EXPECT_EQ(ParseNumber("4294967295"), 4294967295u);
}

TEST(NumberTest, RefusesEverythingElse) {
  using std::string_view_literals::operator""sv;
  for (std::string_view text : {""sv, "00"sv, "01"sv, "+1"sv, "-1"sv, " 1"sv, "1 "sv, "1\n"sv, "0x1"sv, "1.0"sv,
                                "4294967296"sv, "99999999999999999999"sv, "1\0"sv, "\xff"sv, "one"sv}) {
    EXPECT_FALSE(ParseNumber(text)) << text;
  }
}

TEST(NumberTest, RefusesWhatIsOutOfBoundsAndDoesNotClamp) {
  EXPECT_FALSE(ParseNumber("4", 5, 9));
  EXPECT_EQ(ParseNumber("5", 5, 9), 5u);
  EXPECT_EQ(ParseNumber("9", 5, 9), 9u);
  EXPECT_FALSE(ParseNumber("10", 5, 9));
}

TEST(NumberTest, FlagsAreZeroOrOne) {
  EXPECT_EQ(ParseFlag("0"), false);
  EXPECT_EQ(ParseFlag("1"), true);
  EXPECT_FALSE(ParseFlag("true"));
  EXPECT_FALSE(ParseFlag(""));
}

}  // namespace
}  // namespace virtfs::xenstore
