#include "toolstack/share_spec.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace virtfs::toolstack {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string MistakeIn(std::string_view text) { return std::string(ParseShareSpec(text).status().message()); }

TEST(ShareSpecTest, AllKeys) {
  const auto spec = ParseShareSpec(
      "tag=share,path=/srv/share,security_model=passthrough,readonly,max-msize=65536,devid=3,backend=files");
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->tag, "share");
  EXPECT_EQ(spec->devid, 3u);
  EXPECT_EQ(spec->backend, "files");
  EXPECT_THAT(spec->nodes, ElementsAre(Pair("path", "/srv/share"), Pair("security_model", "passthrough"),
                                       Pair("readonly", "1"), Pair("max-msize", "65536")));
  EXPECT_EQ(spec->options.server.max_msize, 65536u);
}

TEST(ShareSpecTest, WhatIsLeftOutHasItsDefault) {
  const auto spec = ParseShareSpec("path=/a=b,tag=t,security_model=passthrough,readonly=0");
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->options.path, "/a=b");
  EXPECT_FALSE(spec->devid);
  EXPECT_THAT(spec->nodes,
              ElementsAre(Pair("path", "/a=b"), Pair("security_model", "passthrough"), Pair("readonly", "0")));
}

TEST(ShareSpecTest, EachMistakeSaysWhatToWriteInstead) {
  EXPECT_THAT(MistakeIn(""), HasSubstr("write tag="));
  EXPECT_THAT(MistakeIn("tag=t"), HasSubstr("write path=DIRECTORY"));
  EXPECT_THAT(MistakeIn("tag=t,path=/a"), HasSubstr("write security_model=MODEL"));
  EXPECT_THAT(MistakeIn("tag=t,path=a"), HasSubstr("path=a: write the directory from the root on"));
  EXPECT_THAT(MistakeIn("tag=a b"), HasSubstr("without blanks"));
  EXPECT_THAT(MistakeIn("tag"), HasSubstr("write tag=..."));
  EXPECT_THAT(MistakeIn("readonly=yes"), HasSubstr("readonly=yes: write 1 or 0"));
  EXPECT_THAT(MistakeIn("max-msize=1k"), HasSubstr("from 4096 to 4194304"));
  EXPECT_THAT(MistakeIn("devid=-1"), HasSubstr("write a number"));
  EXPECT_THAT(MistakeIn("colour=red"), HasSubstr("unknown option colour: there are tag, devid, backend, path,"));
  EXPECT_THAT(MistakeIn("tag=t,tag=u"), HasSubstr("tag is there twice"));
  EXPECT_THAT(MistakeIn("tag=t,path=/a,security_model=none,enforce=server"), HasSubstr("enforce=client"));
  EXPECT_THAT(MistakeIn("tag=t,,path=/a"), HasSubstr("beside a comma"));
}

}  // namespace
}  // namespace virtfs::toolstack
