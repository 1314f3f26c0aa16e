#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "toolstack/config/config_file.h"
#include "toolstack/config/guest_config.h"
#include "toolstack/config/host_config.h"

namespace virtfs::toolstack {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/config-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = std::filesystem::canonical(pattern);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string File(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
    return directory_ + "/" + name;
  }
  absl::StatusOr<HostConfig> Host(const std::string& text) { return ReadHostConfig(File("virtfs.conf", text)); }
  std::string HostMistake(const std::string& text) { return std::string(Host(text).status().message()); }
  absl::StatusOr<GuestConfig> Guest(const std::string& text, const HostConfig& host = {}) {
    return ReadGuestConfig(File("guest.cfg", text), host);
  }
  std::string GuestMistakes(const std::string& text) {
    const absl::StatusOr<GuestConfig> guest = Guest(text);
    return std::string((guest.ok() ? StatusOf(guest->mistakes) : guest.status()).message());
  }
  std::string DirectoryMistake(const std::string& path, const HostConfig& host = {}, const char* more = "") {
    const auto spec = ParseShareSpec("tag=t,security_model=none,path=" + path + more);
    EXPECT_TRUE(spec.ok()) << spec.status();
    return std::string(CheckDirectory(*spec, host).message());
  }

  std::string directory_;
};

TEST_F(ConfigTest, ValuesAreToldWithTheirLines) {
  auto file =
      ConfigFile::Parse("f", "# a = 1\na = \"x=y # no\"\n\nb = [ 'p',\n  \"q\",\n ]\nb += ['r'] # b = 1\nc=5;d=6");
  ASSERT_TRUE(file.ok()) << file.status();
  const auto a = file->String("a");
  ASSERT_TRUE(a && a->values.size() == 1);
  EXPECT_EQ(a->values[0].text, "x=y # no");
  EXPECT_EQ(a->values[0].line, 2);
  const auto b = file->List("b");
  ASSERT_TRUE(b && b->values.size() == 3);
  EXPECT_EQ(b->values[0].line, 4);
  EXPECT_EQ(b->values[1].text, "q");
  EXPECT_EQ(b->values[1].line, 5);
  EXPECT_EQ(b->values[2].line, 7);
  EXPECT_FALSE(file->List("z"));
  EXPECT_FALSE(file->String("z"));
  std::vector<std::string> settings;
  for (const auto& setting : file->settings()) {
    settings.push_back(setting.name + ":" + std::to_string(setting.line) + (setting.adds ? "+" : ""));
  }
  EXPECT_THAT(settings, ElementsAre("a:2", "b:4", "b:7+", "c:8", "d:8"));
}

TEST_F(ConfigTest, WhatIsNoListOrNoSyntaxIsToldWithItsLine) {
  auto file = ConfigFile::Parse("f", "a='1'\nb=['1',\n['2']]");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->List("a")->mistakes[0].Text(), "f:1: a: write a list, a=[ \"...\", ... ]");
  EXPECT_EQ(file->String("b")->mistakes[0].Text(), "f:2: b: write one string, b=\"...\"");
  EXPECT_EQ(file->List("b")->mistakes[0].Text(), "f:3: b: there is a list in the list: write strings only");
  EXPECT_THAT(std::string(ConfigFile::Parse("f", "a=1\nb=['x'\nc=1").status().message()),
              HasSubstr("f:3: not the syntax of xl.cfg(5) near `c'"));
  EXPECT_THAT(std::string(ConfigFile::Read("/no/such").status().message()), HasSubstr("cannot read /no/such: No such"));
  EXPECT_THAT(std::string(ConfigFile::Read("/etc").status().message()), HasSubstr("cannot read /etc: Is a directory"));
  EXPECT_TRUE(ConfigFile::Read(File("empty", "")).ok());
}

TEST_F(ConfigTest, AHostWithoutAFileAllowsEverything) {
  const auto host = ReadHostConfig(directory_ + "/none");
  ASSERT_TRUE(host.ok());
  EXPECT_THAT(host->roots, IsEmpty());
  EXPECT_EQ(WithDefaults("tag=a", *host), "tag=a");
}

TEST_F(ConfigTest, DefaultsAreForWhatAShareDoesNotSay) {
  const auto host = Host("defaults = \"security_model=mapped-xattr,readonly,max-files=10,backend=files\"\n");
  ASSERT_TRUE(host.ok()) << host.status();
  EXPECT_THAT(host->defaults, ElementsAre(Pair("security_model", "mapped-xattr"), Pair("readonly", "1"),
                                          Pair("max-files", "10"), Pair("backend", "files")));
  EXPECT_EQ(WithDefaults("tag=a,readonly=0,path=/a", *host),
            "tag=a,readonly=0,path=/a,security_model=mapped-xattr,max-files=10,backend=files");
  EXPECT_EQ(WithDefaults("security_model=none,readonly", *host),
            "security_model=none,readonly,max-files=10,backend=files");
}

TEST_F(ConfigTest, EachMistakeInTheHostsFileIsOneSentence) {
  EXPECT_THAT(HostMistake("root=['/srv']"),
              HasSubstr("virtfs.conf:1: root: unknown key: there are roots and defaults"));
  EXPECT_THAT(HostMistake("\nroots='/srv'"), HasSubstr("virtfs.conf:2: roots: write a list"));
  EXPECT_THAT(HostMistake("roots=[\n'srv']"),
              HasSubstr("virtfs.conf:2: roots: \"srv\": write a directory from the root"));
  EXPECT_THAT(HostMistake("roots=[]"), HasSubstr("roots: the list is empty"));
  EXPECT_THAT(HostMistake("defaults=['a']"), HasSubstr("defaults: write one string"));
  EXPECT_THAT(HostMistake("\ndefaults='path=/srv'"), AllOf(HasSubstr("virtfs.conf:2: defaults: path cannot have a "),
                                                           HasSubstr("write backend, security_model, transport, ")));
  EXPECT_THAT(HostMistake("defaults='tag=a'"), HasSubstr("tag cannot have a default"));
  EXPECT_THAT(HostMistake("defaults='max-fids=x'"), HasSubstr("max-fids=x: write a number from 16 to 16777216"));
  EXPECT_THAT(HostMistake("defaults='umask'"), HasSubstr("umask=: write octal"));
  EXPECT_THAT(HostMistake("defaults='umask=0,umask=7'"), HasSubstr("umask is there twice"));
}

TEST_F(ConfigTest, SharesOfAGuest) {
  const auto guest = Guest(
      "name = \"web\"\nmemory = 512\nvirtfs = [ 'tag=a,path=/a,security_model=none',\n"
      "  'tag=b,path=/b,security_model=none,transport=9pfs,backend=files,devid=4' ]\ndisk = [ 'phy:/dev/x,xvda,w' ]\n");
  ASSERT_TRUE(guest.ok()) << guest.status();
  EXPECT_THAT(guest->mistakes, IsEmpty());
  EXPECT_EQ(guest->name, "web");
  ASSERT_EQ(guest->shares.size(), 2u);
  EXPECT_EQ(guest->shares[0].line, 3);
  EXPECT_EQ(guest->shares[1].line, 4);
  EXPECT_EQ(guest->shares[1].spec.backend, "files");
  EXPECT_THAT(Guest("name='x'")->shares, IsEmpty());
}

TEST_F(ConfigTest, EveryMistakeOfAGuestIsTold) {
  const std::string mistakes = GuestMistakes(
      "virtfs=['tag=a,path=/a,security_model=none',\n'tag=a,path=/b,security_model=none',\n'tag=b,path=/a,security_"
      "model=x',\n'colour=red', ['x'],\n'tag=c,path=/c,security_model=none,devid=1',\n"
      "'tag=d,path=/d,security_model=none,devid=1']");
  EXPECT_THAT(mistakes, HasSubstr("guest.cfg:2: virtfs: tag=a is the tag of the share of line 1, too: write another"));
  EXPECT_THAT(mistakes,
              HasSubstr("guest.cfg:3: virtfs: security_model=x: write passthrough, mapped-xattr, mapped-file"));
  EXPECT_THAT(mistakes, HasSubstr("guest.cfg:4: virtfs: unknown option colour: there are tag, devid, backend, path"));
  EXPECT_THAT(mistakes, HasSubstr("guest.cfg:4: virtfs: there is a list in the list"));
  EXPECT_THAT(mistakes, HasSubstr("guest.cfg:6: virtfs: devid=1 is the devid of the share of line 5, too"));
}

TEST_F(ConfigTest, ASecondListIsNotTakenForTheFirst) {
  const std::string share = "['tag=a,path=/a,security_model=none']\n", other = "['tag=b,path=/b,security_model=none']";
  EXPECT_THAT(GuestMistakes("virtfs=" + share + "virtfs=" + other),
              HasSubstr("guest.cfg:2: virtfs: this would replace the list of line 1: write one list, or += here"));
  const auto guest = Guest("virtfs=" + share + "virtfs+=" + other);
  ASSERT_TRUE(guest.ok());
  EXPECT_THAT(guest->mistakes, IsEmpty());
  EXPECT_EQ(guest->shares.size(), 2u);
}

TEST_F(ConfigTest, DirectoriesAndRoots) {
  std::filesystem::create_directories(directory_ + "/root/share");
  std::filesystem::create_directories(directory_ + "/rooted");
  std::filesystem::create_directory_symlink(directory_ + "/rooted", directory_ + "/root/link");
  std::filesystem::create_directory_symlink(directory_ + "/root", directory_ + "/alias");
  const auto host = Host("roots=['" + directory_ + "/alias', '/no/such']");
  ASSERT_TRUE(host.ok()) << host.status();
  EXPECT_EQ(DirectoryMistake(directory_ + "/root", *host), "");
  EXPECT_EQ(DirectoryMistake(directory_ + "/alias/share", *host), "");
  EXPECT_EQ(DirectoryMistake(directory_ + "/rooted"), "");
  EXPECT_THAT(DirectoryMistake(directory_ + "/rooted", *host),
              AllOf(HasSubstr("rooted may not be shared: " + directory_ + "/virtfs.conf allows what is in "),
                    HasSubstr(directory_ + "/root, /no/such")));
  EXPECT_THAT(DirectoryMistake(directory_ + "/root/../rooted", *host), HasSubstr("may not be shared"));
  EXPECT_THAT(DirectoryMistake(directory_ + "/root/link", *host),
              HasSubstr("(which is " + directory_ + "/rooted) may not be shared"));
  EXPECT_THAT(DirectoryMistake(directory_ + "/none"), HasSubstr("does not exist: create it"));
  EXPECT_THAT(DirectoryMistake(File("file", "")), HasSubstr("is not a directory"));
  EXPECT_THAT(DirectoryMistake("/proc/self/cwd"), HasSubstr("leads through a link of /proc"));
  // Roots alone: whether it is there is for the keeper to say.
  const auto allowed = [&](const std::string& name) {
    ShareSpec spec;
    spec.options.path = directory_ + name;
    return CheckRoots(spec, *host).ok();
  };
  EXPECT_TRUE(allowed("/root/share"));
  EXPECT_FALSE(allowed("/rooted"));
  EXPECT_TRUE(allowed("/none"));
  HostConfig all;
  all.roots = {"/"};
  EXPECT_EQ(DirectoryMistake(directory_, all), "");
}

TEST_F(ConfigTest, AReadOnlyMountIsForReadOnlyShares) {
  const std::string place = directory_ + "/mount";
  std::filesystem::create_directory(place);
  ASSERT_EQ(mount("none", place.c_str(), "tmpfs", MS_RDONLY, ""), 0) << strerror(errno);
  const std::string mistake = DirectoryMistake(place), readonly = DirectoryMistake(place, {}, ",readonly");
  ASSERT_EQ(umount(place.c_str()), 0);
  EXPECT_THAT(mistake, HasSubstr("is on a read-only mount: write readonly=1, or mount it"));
  EXPECT_EQ(readonly, "");
}

}  // namespace
}  // namespace virtfs::toolstack
