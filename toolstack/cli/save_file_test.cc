#include "toolstack/cli/save_file.h"

#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace virtfs::toolstack {
namespace {

using testing::HasSubstr;

constexpr char kConfig[] =
    R"({"c_info": {"type": "pvh", "name": "web", "uuid": "AAAAAAAA-2222-3333-4444-555555555555"}})";

std::string File(const std::string& config, uint32_t flags = 3, uint32_t order = 0x01020304, int excess = 0) {
  const auto size = static_cast<uint32_t>(config.size());
  const uint32_t fields[] = {order, flags, 0, size + 4, size + static_cast<uint32_t>(excess)};
  std::string file("Xen saved domain, xl format\n \0 \r", 32);
  file.append(reinterpret_cast<const char*>(fields), sizeof(fields));
  return file + config;
}

std::string MistakeIn(const std::string& head) { return std::string(ParseSaveFile("f", head).status().message()); }

TEST(SaveFileTest, TellsTheGuest) {
  const auto guest = ParseSaveFile("f", File(std::string(kConfig) + '\0') + "pages");
  ASSERT_TRUE(guest.ok()) << guest.status();
  EXPECT_EQ(guest->name, "web");
  EXPECT_EQ(guest->uuid, "aaaaaaaa-2222-3333-4444-555555555555");
}

TEST(SaveFileTest, WhatIsNoneIsToldSo) {
  EXPECT_THAT(MistakeIn(""), HasSubstr("f is no file of `xl save`: it does not begin like one"));
  EXPECT_THAT(MistakeIn("LinuxGuestRecord"), HasSubstr("does not begin"));
  const std::string whole = File(kConfig);
  for (size_t size = 32; size < whole.size(); ++size)
    EXPECT_THAT(MistakeIn(whole.substr(0, size)), HasSubstr("too soon"));
  EXPECT_THAT(MistakeIn(File(kConfig, 3, 0x01020304, 1)), HasSubstr("too soon"));
  EXPECT_THAT(MistakeIn(File(kConfig, 3, 0x04030201)), HasSubstr("byte order"));
  EXPECT_THAT(MistakeIn(File(kConfig, 2)), HasSubstr("no configuration"));
  for (const char* config : {"", "{", "[]", "{}", R"({"c_info": 1})", R"({"c_info": {"uuid": 1}})",
                             R"({"c_info": {"uuid": "../../etc/passwd"}})"}) {
    EXPECT_THAT(MistakeIn(File(config)), HasSubstr("does not say the guest's UUID")) << config;
  }
  EXPECT_THAT(std::string(ReadSaveFile("/no/such").status().message()),
              HasSubstr("cannot read /no/such: No such file"));
}

}  // namespace
}  // namespace virtfs::toolstack
