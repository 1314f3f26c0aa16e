#include "toolstack/records/record.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace virtfs::toolstack {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Pair;

constexpr char kUuid[] = "01234567-89ab-cdef-0123-456789abcdef";

Record Example() {
  return {.uuid = kUuid,
          .name = "web",
          .shares = {{.devid = 0, .backend = "0", .spec = "tag=a,path=/srv/a \"b\"\\,security_model=passthrough"},
                     {.devid = 7, .backend = "storage", .spec = "tag=ä,path=/srv/ä,security_model=none"}},
          .absent_since = 1800000000};
}

std::string MistakeIn(std::string_view text) { return std::string(DecodeRecord(text).status().message()); }

TEST(RecordTest, IsTheSameAfterItWasWrittenAndRead) {
  for (const Record& record : {Example(), Record{.uuid = kUuid, .name = "", .shares = {}, .absent_since = {}}}) {
    const auto text = EncodeRecord(record);
    ASSERT_TRUE(text.ok()) << text.status().message();
    const auto read = DecodeRecord(*text);
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(*read, record);
  }
}

// What is on disk today must be read by every later version.
TEST(RecordTest, TheFormOfTheFile) {
  Record record = Example();
  record.shares.pop_back();
  const auto text = EncodeRecord(record);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text, R"({
  "version": 1,
  "uuid": "01234567-89ab-cdef-0123-456789abcdef",
  "name": "web",
  "absent_since": 1800000000,
  "shares": [
    {
      "devid": 0,
      "backend": "0",
      "spec": "tag=a,path=/srv/a \"b\"\\,security_model=passthrough"
    }
  ]
}
)");
}

TEST(RecordTest, WhatIsDamagedIsRefusedWhole) {
  const auto whole = EncodeRecord(Example());
  ASSERT_TRUE(whole.ok());
  for (size_t size = 0; size < whole->size() - 2; ++size) {
    EXPECT_FALSE(DecodeRecord(whole->substr(0, size)).ok()) << size;
  }
  EXPECT_THAT(MistakeIn("[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(MistakeIn(R"({"uuid": "x"})"), HasSubstr("version is missing"));
  EXPECT_THAT(MistakeIn(R"({"version": 2})"), HasSubstr("knows version 1 only"));
  const std::string head = R"({"version": 1, "name": "n", "uuid": ")";
  EXPECT_THAT(MistakeIn(head + R"(../../etc/passwd", "shares": []})"), HasSubstr("is no UUID"));
  EXPECT_THAT(MistakeIn(head + kUuid + R"("})"), HasSubstr("shares are missing"));
  EXPECT_THAT(MistakeIn(head + kUuid + R"(", "shares": [7]})"), HasSubstr("a share has not"));
  EXPECT_THAT(MistakeIn(head + kUuid + R"(", "shares": [{"devid": -1, "backend": "0", "spec": ""}]})"),
              HasSubstr("a share has not"));
  EXPECT_THAT(MistakeIn(head + kUuid + R"(", "shares": [{"devid": 4294967296, "backend": "0", "spec": ""}]})"),
              HasSubstr("a share has not"));
  EXPECT_THAT(MistakeIn(head + kUuid + R"(", "absent_since": "long", "shares": []})"), HasSubstr("absent_since"));
}

TEST(RecordTest, WhatCannotBeReadAgainIsNotWritten) {
  Record record = Example();
  record.shares[1].devid = 0;
  EXPECT_THAT(std::string(EncodeRecord(record).status().message()), HasSubstr("two shares"));
  record = Example();
  record.shares[0].spec = "tag=a,path=/srv/\xff";
  EXPECT_THAT(std::string(EncodeRecord(record).status().message()), HasSubstr("not UTF-8"));
  record = Example();
  record.uuid = "no";
  EXPECT_FALSE(EncodeRecord(record).ok());
}

TEST(RecordTest, Uuids) {
  EXPECT_TRUE(IsUuid(kUuid));
  for (const char* text : {"", "01234567-89AB-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-456789abcde",
                           "0123456789ab-cdef-0123-456789abcdef-", "01234567-89ab-cdef-0123-456789abcdeg"}) {
    EXPECT_FALSE(IsUuid(text)) << text;
  }
}

TEST(RecordTest, AShareAsItIsAttached) {
  const Record record = Example();
  const auto spec = SpecOf(record, record.shares[0]);
  ASSERT_TRUE(spec.ok()) << spec.status().message();
  EXPECT_EQ(spec->devid, 0u);
  EXPECT_THAT(spec->nodes, Contains(Pair("path", "/srv/a \"b\"\\")));
  EXPECT_THAT(spec->nodes, Contains(Pair(kMarkNode, std::string(kUuid) + " a")));
  // A tag that only a newer version takes, say.
  EXPECT_FALSE(SpecOf(record, record.shares[1]).ok());
}

TEST(RecordTest, DeviceIds) {
  const Record record = Example();
  EXPECT_EQ(FindShare(record, 7), &record.shares[1]);
  EXPECT_EQ(FindShare(record, 1), nullptr);
  EXPECT_EQ(FirstFreeDevid(record, [](uint32_t) { return false; }), 1u);
  EXPECT_EQ(FirstFreeDevid(record, [](uint32_t devid) { return devid == 1; }), 2u);
}

}  // namespace
}  // namespace virtfs::toolstack
