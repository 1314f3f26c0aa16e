#include "toolstack/share_spec.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace virtfs::toolstack {
namespace {

using testing::HasSubstr;

std::string MistakeIn(std::string_view text) { return std::string(ParseShareSpec(text).status().message()); }

TEST(ShareSpecTest, AllKeys) {
  const auto spec =
      ParseShareSpec("tag=share,path=/srv/share,security_model=passthrough,readonly,max-msize=65536,devid=3");
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->tag, "share");
  EXPECT_EQ(spec->path, "/srv/share");
  EXPECT_EQ(spec->security_model, "passthrough");
  EXPECT_TRUE(spec->readonly);
  EXPECT_EQ(spec->max_msize, 65536u);
  EXPECT_EQ(spec->devid, 3u);
}

TEST(ShareSpecTest, WhatIsLeftOutHasItsDefault) {
  const auto spec = ParseShareSpec("path=/a=b,tag=t,security_model=passthrough,readonly=0");
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->path, "/a=b");
  EXPECT_FALSE(spec->readonly);
  EXPECT_FALSE(spec->max_msize);
  EXPECT_FALSE(spec->devid);
}

TEST(ShareSpecTest, EachMistakeSaysWhatToWriteInstead) {
  EXPECT_THAT(MistakeIn(""), HasSubstr("write tag="));
  EXPECT_THAT(MistakeIn("tag=t"), HasSubstr("write path=/"));
  EXPECT_THAT(MistakeIn("tag=t,path=/a"), HasSubstr("write security_model="));
  EXPECT_THAT(MistakeIn("tag=t,path=a"), HasSubstr("path=a is not absolute"));
  EXPECT_THAT(MistakeIn("tag=a b"), HasSubstr("without blanks"));
  EXPECT_THAT(MistakeIn("tag"), HasSubstr("write tag=..."));
  EXPECT_THAT(MistakeIn("readonly=yes"), HasSubstr("readonly=0"));
  EXPECT_THAT(MistakeIn("max-msize=1k"), HasSubstr("from 4096 to 4194304"));
  EXPECT_THAT(MistakeIn("devid=-1"), HasSubstr("write a number"));
  EXPECT_THAT(MistakeIn("colour=red"), HasSubstr("unknown option colour"));
  EXPECT_THAT(MistakeIn("tag=t,,path=/a"), HasSubstr("beside a comma"));
}

}  // namespace
}  // namespace virtfs::toolstack
