#include "protocol/print.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "protocol/golden.h"

namespace virtfs::p9 {
namespace {

TEST(PrintTest, FieldsInTheirNaturalBase) {
  EXPECT_EQ(Print(7, Twalk{.fid = 1, .newfid = 2, .wname = {"usr", ""}}),
            "Twalk tag 7 fid 1 newfid 2 wname [\"usr\" \"\"]");
  EXPECT_EQ(Print(7, Tattach{.fid = 1, .afid = kNoFid, .uname = "u", .aname = "", .n_uname = 1000}),
            "Tattach tag 7 fid 1 afid none uname \"u\" aname \"\" n_uname 1000");
  EXPECT_EQ(Print(65535, Tlcreate{.fid = 1, .name = "f", .flags = 0x8241, .mode = 0100644, .gid = 5}),
            "Tlcreate tag 65535 fid 1 name \"f\" flags 0x8241 mode 0100644 gid 5");
  EXPECT_EQ(Print(1, Rlopen{.qid = {.type = 0x80, .version = 3, .path = 0x1f}, .iounit = 0}),
            "Rlopen tag 1 qid {0x80 0x1f 3} iounit 0");
  EXPECT_EQ(Print(1, Rflush{}), "Rflush tag 1");
}

TEST(PrintTest, HostileStringsAreEscapedAndCutShort) {
  EXPECT_EQ(Print(1, Rreadlink{.target = std::string_view("a\0\n\x1b\"\\\xff", 7)}),
            R"(Rreadlink tag 1 target "a\x00\x0a\x1b\"\\\xff")");
  EXPECT_EQ(Print(1, Rreadlink{.target = std::string(65, 'x')}),
            "Rreadlink tag 1 target \"" + std::string(64, 'x') + "\"...");

  const std::string ugly(70, '\n');
  Twalk walk;
  while (!walk.wname.full()) walk.wname.push_back(ugly);
  const std::string line = Print(1, walk);
  EXPECT_EQ(line.size(), kMaxPrinted);
  EXPECT_TRUE(line.ends_with("..."));
  EXPECT_TRUE(std::ranges::all_of(line, [](char c) { return c >= ' ' && c <= '~'; }));
}

TEST(PrintFrameTest, MessagesAndWhatIsNone) {
  EXPECT_EQ(PrintFrame(BytesOf(Golden<Tflush>::kBytes)), "Tflush tag 513 oldtag 1027");
  EXPECT_EQ(PrintFrame(BytesOf(Golden<Twrite>::kBytes)),
            "Twrite tag 513 fid 218893066 offset 2893323226570760737 count 6");
  EXPECT_EQ(PrintFrame(BytesOf("07 00 00 00  70  01 02")), "type 112: 07 00 00 00 70 01 02");
  EXPECT_EQ(PrintFrame(BytesOf("07 00 00 00  0c  01 02")), "malformed message of type 12: 07 00 00 00 0c 01 02");
  EXPECT_EQ(PrintFrame(BytesOf("07 00")), "no 9P header: 07 00");
  EXPECT_TRUE(PrintFrame(std::vector<uint8_t>(1000, 0xff)).ends_with(" ff ff ..."));
}

}  // namespace
}  // namespace virtfs::p9
