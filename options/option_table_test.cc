#include "options/option_table.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "options/values.h"

namespace virtfs::options {
namespace {

using testing::HasSubstr;
using Values = std::map<std::string, std::string>;

// The sentence of the first mistake; empty if there is none.
std::string Mistake(const Values& values, ShareOptions* into = nullptr) {
  ShareOptions options;
  for (const auto& [name, text] : values) {
    const Option* option = FindOption(name);
    if (option == nullptr) return "no option " + name;
    if (const absl::Status set = SetOption(options, *option, text); !set.ok()) return std::string(set.message());
  }
  if (const absl::Status checked = CheckOptions(options); !checked.ok()) return std::string(checked.message());
  if (into != nullptr) *into = options;
  return "";
}

std::string MistakeBeside(Values values) {
  values.insert({{"path", "/srv"}, {"security_model", "passthrough"}});
  return Mistake(values);
}

TEST(OptionTableTest, EachHasItsOwnNameAndAllTexts) {
  for (const Option& option : AllOptions()) {
    EXPECT_EQ(FindOption(option.name), &option) << option.name;
    EXPECT_FALSE(option.values.empty() || option.help.empty()) << option.name;
    EXPECT_THAT(OptionsHelp(), HasSubstr("  " + std::string(option.name)));
  }
  EXPECT_EQ(FindOption("colour"), nullptr);
  EXPECT_EQ(FindOption(""), nullptr);
}

// A default that is told and one that holds cannot differ: setting it changes nothing.
TEST(OptionTableTest, WhatIsToldAsADefaultIsOne) {
  for (const Option& option : AllOptions()) {
    if (option.initial.empty() || option.name.ends_with("-map")) continue;
    ShareOptions set, unset;
    ASSERT_TRUE(SetOption(set, option, option.initial).ok()) << option.name;
    const ServerOptions &a = set.server, &b = unset.server;
    EXPECT_TRUE(a.transport == b.transport && a.enforce == b.enforce && a.devices == b.devices &&
                a.squash == b.squash && a.readonly == b.readonly && a.file_mode == b.file_mode &&
                a.directory_mode == b.directory_mode && a.umask == b.umask && a.anon_uid == b.anon_uid &&
                a.anon_gid == b.anon_gid && a.max_msize == b.max_msize && a.max_fids == b.max_fids &&
                a.max_open_files == b.max_open_files && a.max_xattr_bytes == b.max_xattr_bytes &&
                a.max_locks == b.max_locks && a.max_requests == b.max_requests && a.max_files == b.max_files &&
                a.max_space == b.max_space && a.operations.per_second == b.operations.per_second &&
                a.operations.burst == b.operations.burst && a.bytes.per_second == b.bytes.per_second &&
                a.bytes.burst == b.bytes.burst)
        << option.name;
  }
}

TEST(OptionTableTest, EachReachesItsOwnField) {
  ShareOptions o;
  EXPECT_EQ(Mistake({{"path", "/srv/a=b"},
                     {"security_model", "passthrough"},
                     {"readonly", "1"},
                     {"enforce", "server"},
                     {"uid-map", "0:100000:1000+2000:5:1"},
                     {"gid-map", "7:8:9"},
                     {"squash", "root"},
                     {"anon-uid", "1"},
                     {"anon-gid", "2"},
                     {"umask", "027"},
                     {"multidevs", "forbid"},
                     {"max-msize", "65536"},
                     {"max-fids", "17"},
                     {"max-open-files", "18"},
                     {"max-xattr-bytes", "128K"},
                     {"max-locks", "19"},
                     {"max-requests", "20"},
                     {"max-files", "9223372036854775807"},
                     {"max-space", "10G"},
                     {"throttle-ops", "21"},
                     {"throttle-ops-burst", "22"},
                     {"throttle-bytes", "23M"},
                     {"throttle-bytes-burst", "24"}},
                    &o),
            "");
  EXPECT_EQ(o.path, "/srv/a=b");
  const ServerOptions& s = o.server;
  EXPECT_EQ(s.security_model, SecurityModel::kPassthrough);
  EXPECT_TRUE(s.readonly);
  EXPECT_EQ(s.enforce, Enforce::kServer);
  EXPECT_EQ(s.uid_map.ToHost(2000), 5u);
  EXPECT_EQ(s.uid_map.ToHost(999), 100999u);
  EXPECT_EQ(s.gid_map.ToHost(7), 8u);
  EXPECT_EQ(s.squash, Squash::kRoot);
  EXPECT_EQ(s.anon_uid, 1u);
  EXPECT_EQ(s.anon_gid, 2u);
  EXPECT_EQ(s.umask, 027u);
  EXPECT_EQ(s.devices, Devices::kForbid);
  EXPECT_EQ(s.max_msize, 65536u);
  EXPECT_EQ(s.max_fids, 17u);
  EXPECT_EQ(s.max_open_files, 18u);
  EXPECT_EQ(s.max_xattr_bytes, 131072u);
  EXPECT_EQ(s.max_locks, 19u);
  EXPECT_EQ(s.max_requests, 20u);
  EXPECT_EQ(s.max_files, uint64_t{INT64_MAX});
  EXPECT_EQ(s.max_space, uint64_t{10} << 30);
  EXPECT_EQ(s.operations.per_second, 21u);
  EXPECT_EQ(s.operations.burst, 22u);
  EXPECT_EQ(s.bytes.per_second, 23u << 20);
  EXPECT_EQ(s.bytes.burst, 24u);

  EXPECT_EQ(Mistake({{"path", "/"}, {"security_model", "mapped-file"}, {"fmode", "0644"}, {"dmode", "755"}}, &o), "");
  EXPECT_EQ(o.server.security_model, SecurityModel::kMappedFile);
  EXPECT_EQ(o.server.file_mode, 0644u);
  EXPECT_EQ(o.server.directory_mode, 0755u);
  EXPECT_EQ(Mistake({{"path", "/"}, {"security_model", "mapped-xattr"}}, &o), "");
  EXPECT_EQ(o.server.security_model, SecurityModel::kMappedXattr);
  EXPECT_EQ(Mistake({{"path", "/"}, {"security_model", "none"}}, &o), "");
  EXPECT_EQ(o.server.security_model, SecurityModel::kNone);
}

TEST(OptionTableTest, EachMistakeSaysWhatToWriteInstead) {
  EXPECT_THAT(Mistake({}), HasSubstr("has no path: write path=DIRECTORY"));
  EXPECT_THAT(Mistake({{"path", "/"}}), HasSubstr("passthrough, mapped-xattr, mapped-file or none"));
  const struct {
    const char *name, *text, *sentence;
  } kMistakes[] = {
      {"path", "srv", "path=srv: write the directory from the root on"},
      {"security_model", "mapped", "write passthrough, mapped-xattr, mapped-file or none"},
      {"readonly", "yes", "write 1 or 0"},
      {"enforce", "both", "write client or server"},
      {"squash", "", "write none, root or all"},
      {"multidevs", "ignore", "write remap, forbid or warn"},
      {"umask", "888", "octal"},
      {"fmode", "0400", "let the owner read and write"},
      {"dmode", "0600", "let the owner do everything"},
      {"anon-uid", "4294967295", "from 0 to 4294967294"},
      {"max-msize", "4095", "from 4096 to 4194304"},
      {"max-fids", "4294967312", "from 16 to 16777216"},
      {"max-xattr-bytes", "2G", "from 64K to 1G"},
      {"max-space", "lots", "500M or 10G"},
      {"throttle-bytes", "1025T", "of up to 1024T"},
      {"uid-map", "0:1:2,", "none overlapping another"},
  };
  for (const auto& [name, text, sentence] : kMistakes) {
    EXPECT_THAT(MistakeBeside({{name, text}}), HasSubstr(sentence)) << name;
  }
}

TEST(OptionTableTest, ContradictionsAreRefused) {
  EXPECT_THAT(MistakeBeside({{"fmode", "0600"}}), HasSubstr("fmode only means something with security_model=mapped"));
  EXPECT_THAT(MistakeBeside({{"dmode", "0700"}}), HasSubstr("dmode only means"));
  EXPECT_THAT(MistakeBeside({{"anon-uid", "1"}}), HasSubstr("write squash=root"));
  EXPECT_THAT(MistakeBeside({{"anon-gid", "1"}, {"squash", "none"}}), HasSubstr("write squash=root"));
  EXPECT_THAT(MistakeBeside({{"throttle-ops-burst", "5"}}), HasSubstr("write throttle-ops, too"));
  EXPECT_THAT(MistakeBeside({{"throttle-bytes-burst", "5"}}), HasSubstr("write throttle-bytes, too"));
  for (const char* model : {"mapped-xattr", "mapped-file", "none"}) {
    const std::string write = "write security_model=passthrough";
    EXPECT_THAT(MistakeBeside({{"security_model", model}, {"enforce", "server"}}), HasSubstr(write));
    EXPECT_THAT(MistakeBeside({{"security_model", model}, {"uid-map", "0:0:1"}}), HasSubstr(write));
    EXPECT_THAT(MistakeBeside({{"security_model", model}, {"gid-map", "0:0:1"}}), HasSubstr(write));
    EXPECT_THAT(MistakeBeside({{"security_model", model}, {"squash", "all"}}), HasSubstr(write));
    EXPECT_EQ(MistakeBeside({{"security_model", model}, {"enforce", "client"}, {"squash", "none"}}), "");
  }
  EXPECT_THAT(MistakeBeside({{"security_model", "none"}, {"fmode", "0600"}}), HasSubstr("mapped-xattr or mapped-file"));
}

TEST(ValuesTest, Numbers) {
  EXPECT_EQ(ParseNumber("0", 0, 5), 0u);
  EXPECT_EQ(ParseNumber("18446744073709551615", 0, UINT64_MAX), UINT64_MAX);
  for (const char* text :
       {"", "00", "01", "+1", "-1", " 1", "1 ", "1\n", "0x1", "18446744073709551616", "99999999999999999999999"}) {
    EXPECT_FALSE(ParseNumber(text, 0, UINT64_MAX)) << text;
  }
  EXPECT_FALSE(ParseNumber("6", 0, 5));
  EXPECT_FALSE(ParseNumber("6", 7, 9));
}

TEST(ValuesTest, Sizes) {
  EXPECT_EQ(ParseSize("1", 0, 10), 1u);
  EXPECT_EQ(ParseSize("3K", 0, UINT64_MAX), 3072u);
  EXPECT_EQ(ParseSize("3M", 0, UINT64_MAX), 3u << 20);
  EXPECT_EQ(ParseSize("3G", 0, UINT64_MAX), uint64_t{3} << 30);
  EXPECT_EQ(ParseSize("8388607T", 0, INT64_MAX), uint64_t{8388607} << 40);
  for (const char* text : {"", "K", "1k", "1KB", "1.5G", "K1", "01K", "8388608T", "99999999999999999T"}) {
    EXPECT_FALSE(ParseSize(text, 0, INT64_MAX)) << text;
  }
  EXPECT_FALSE(ParseSize("63K", 64 << 10, 1 << 30));
}

TEST(ValuesTest, Permissions) {
  EXPECT_EQ(ParsePermissions("0640", 0600), 0640u);
  EXPECT_EQ(ParsePermissions("0", 0), 0u);
  for (const char* text : {"", "8", "01777", "1777", "00640", "-1", "u+x"})
    EXPECT_FALSE(ParsePermissions(text, 0)) << text;
  EXPECT_FALSE(ParsePermissions("0440", 0600));
}

TEST(ValuesTest, IdMaps) {
  const auto map = ParseIdMap("0:100000:65536+100000:5:1");
  ASSERT_TRUE(map);
  EXPECT_EQ(map->ToHost(65535), 165535u);
  EXPECT_EQ(map->ToHost(100000), 5u);
  for (const char* text : {"", "+", "0", "0:0", "0:0:0", "0:0:1:", "0:0:1:1", ":0:1", "0:0:1+", "+0:0:1", "0:0:-1",
                           "0:0:1+0:5:1", "0:0:2+5:1:1", "4294967295:0:1", "0:4294967296:1", "0:0:1 "}) {
    EXPECT_FALSE(ParseIdMap(text)) << text;
  }
}

}  // namespace
}  // namespace virtfs::options
