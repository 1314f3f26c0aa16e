// Points 8, 11, 12, 23, 24, 27 to 30: directories, and what gives, changes and takes away names.

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/semantics/fixture.h"

namespace virtfs {
namespace {

// --- 8: Treaddir ---

TEST_P(Reading, P08_ListsEverythingOnce) {
  MakeFile("f");
  MakeDirectory("d");
  MakeSymlink("l", "f");
  MakeNode("p", S_IFIFO | 0644);
  const p9::Fid directory = At({});
  ASSERT_EQ(OpenError(directory, p9::kOpenReadOnly), 0);
  std::map<std::string, Entry> entries;
  for (const Entry& entry : List(directory)) EXPECT_TRUE(entries.emplace(entry.name, entry).second) << entry.name;
  ASSERT_EQ(entries.size(), 6u);
  EXPECT_EQ(entries.at(".").qid.path, Stat(dir_).qid.path);
  EXPECT_EQ(entries.at("..").qid.path, Stat(kRoot).qid.path);
  // DT_UNKNOWN makes the client ask.
  const auto is = [&](const std::string& name, uint8_t type) {
    EXPECT_THAT(entries.at(name).type, testing::AnyOf(type, DT_UNKNOWN)) << name;
  };
  is("f", DT_REG);
  is("d", DT_DIR);
  is("l", DT_LNK);
  is("p", DT_FIFO);
  EXPECT_EQ(entries.at("d").type, DT_DIR);
}

TEST_P(Reading, P08_AboveTheRootIsTheRoot) {
  const p9::Fid root = NewFid();
  ASSERT_EQ(WalkError(kRoot, root, {}), 0);
  ASSERT_EQ(OpenError(root, p9::kOpenReadOnly), 0);
  int seen = 0;
  for (const Entry& entry : List(root)) {
    if (entry.name != "." && entry.name != "..") continue;
    EXPECT_EQ(entry.qid.path, Stat(kRoot).qid.path) << entry.name;
    ++seen;
  }
  EXPECT_EQ(seen, 2);
}

TEST_P(Reading, P08_OffsetsAreCookies) {
  std::set<std::string> names;
  for (int i = 0; i < 40; ++i) {
    const std::string name = "file" + std::to_string(i) + std::string(static_cast<size_t>(i), '.');
    MakeFile(name);
    names.insert(name);
  }
  p9::Fid directory = At({});
  ASSERT_EQ(OpenError(directory, p9::kOpenReadOnly), 0);
  const std::vector<Entry> all = List(directory);
  ASSERT_EQ(all.size(), 42u);
  const auto rest = [&](uint64_t offset) {
    std::vector<std::string> result;
    for (const Entry& entry : List(directory, offset, 300)) result.push_back(entry.name);
    return result;
  };
  const auto expected = [&](size_t from) {
    std::vector<std::string> result;
    for (size_t i = from; i < all.size(); ++i) result.push_back(all[i].name);
    return result;
  };
  // Backwards and forwards, and in another opening of it.
  for (const size_t i : {41, 0, 20, 3, 40}) EXPECT_EQ(rest(all[i].offset), expected(i + 1)) << i;
  EXPECT_EQ(rest(0), expected(0)) << "0 rewinds";
  directory = At({});
  ASSERT_EQ(OpenError(directory, p9::kOpenReadOnly), 0);
  EXPECT_EQ(rest(all[20].offset), expected(21));
}

TEST_P(Changing, P08_DeletionLosesNoOthers) {
  for (int i = 0; i < 60; ++i) MakeFile("f" + std::to_string(i));
  const p9::Fid directory = At({});
  ASSERT_EQ(OpenError(directory, p9::kOpenReadOnly), 0);
  // As rm -r does: some entries, delete them, go on from the last.
  std::set<std::string> seen;
  for (uint64_t offset = 0;;) {
    const Result<p9::Rreaddir> reply = wire()(p9::Treaddir{directory, offset, 200});
    ASSERT_TRUE(reply.ok());
    if (reply->count == 0) break;
    const std::string payload = wire().payload();
    std::span<const uint8_t> data(reinterpret_cast<const uint8_t*>(payload.data()), payload.size());
    for (p9::DirEntry entry; p9::DecodeDirEntry(data, entry); offset = entry.offset) {
      if (entry.name == "." || entry.name == "..") continue;
      EXPECT_TRUE(seen.emplace(entry.name).second) << entry.name;
      EXPECT_EQ(ErrorOf(wire()(p9::Tunlinkat{dir_, std::string(entry.name), 0})), 0) << entry.name;
    }
  }
  EXPECT_EQ(seen.size(), 60u);
  EXPECT_TRUE(Names().empty());
}

TEST_P(Reading, P08_EntriesAreNeverSplit) {
  const std::string longest(255, 'n');
  MakeFile(longest);
  const p9::Fid directory = At({});
  ASSERT_EQ(OpenError(directory, p9::kOpenReadOnly), 0);
  // "." and ".." fit into 60 bytes, the long one takes 24 + 255.
  EXPECT_EQ(ErrorOf(wire()(p9::Treaddir{directory, 0, 10})), EINVAL) << "0 would be the end";
  EXPECT_EQ(List(directory, 0, 279).size(), 3u);
  EXPECT_EQ(List(directory, 0, 0xffffffff).size(), 3u) << "clamped to msize";
}

TEST_P(Reading, P08_OnlyOfOpenDirectories) {
  MakeFile("f");
  EXPECT_EQ(ErrorOf(wire()(p9::Treaddir{dir_, 0, 1000})), EBADF);
  EXPECT_EQ(ErrorOf(wire()(p9::Treaddir{4711, 0, 1000})), EBADF);
  EXPECT_EQ(ErrorOf(wire()(p9::Treaddir{OpenAt("f", p9::kOpenReadOnly), 0, 1000})), ENOTDIR);
}

// --- 11: Trename, Trenameat, Tremove ---

TEST_P(Changing, P11_FidsOutliveRenamesOfThemAndOfAncestors) {
  MakeDirectory("a");
  const p9::Fid a = At({"a"});
  ASSERT_EQ(ErrorOf(wire()(p9::Tmkdir{a, "b", 0755, 0})), 0);
  const p9::Fid b = At({"a", "b"});
  const p9::Fid file = At(b, {});
  ASSERT_EQ(ErrorOf(wire()(p9::Tlcreate{file, "f", p9::kOpenReadWrite, 0644, 0})), 0);
  const p9::Fid idle = At(b, {"f"});
  ASSERT_EQ(WriteError(file, 0, "text"), 0);
  ASSERT_EQ(ErrorOf(wire()(p9::Trenameat{dir_, "a", dir_, "renamed by the guest"})), 0);
  ASSERT_EQ(ErrorOf(wire()(p9::Trename{idle, a, "f2"})), 0);
  EXPECT_EQ(Read(file), "text");
  EXPECT_EQ(Stat(idle).size, 4u);
  EXPECT_EQ(Stat(At({"renamed by the guest", "f2"})).qid.path, Stat(idle).qid.path);
  EXPECT_EQ(WalkError(b, NewFid(), {"f"}), ENOENT);
  EXPECT_EQ(WalkError(b, NewFid(), {"..", "..", "renamed by the guest"}), 0);
}

TEST_P(Reading, P11_FidsOutliveTheHostsRenames) {
  MakeDirectory("a");
  const p9::Fid a = At({"a"});
  const p9::Qid before = Stat(a).qid;
  ASSERT_EQ(rename(Host("a").c_str(), Host("b").c_str()), 0);
  EXPECT_EQ(Stat(a).qid.path, before.path);
  EXPECT_EQ(WalkError(a, NewFid(), {"..", "b"}), 0);
}

TEST_P(Changing, P11_RenameReplacesAndRefuses) {
  MakeFile("f", "text");
  MakeFile("g", "another");
  MakeDirectory("d");
  MakeDirectory("e");
  MakeDirectory("full");
  ASSERT_EQ(ErrorOf(wire()(p9::Tmkdir{At({"full"}), "x", 0755, 0})), 0);
  const auto rename_at = [&](const std::string& from, const std::string& to) {
    return ErrorOf(wire()(p9::Trenameat{dir_, from, dir_, to}));
  };
  EXPECT_EQ(rename_at("f", "g"), 0);
  EXPECT_EQ(Read(OpenAt("g", p9::kOpenReadOnly)), "text");
  EXPECT_EQ(rename_at("f", "h"), ENOENT);
  EXPECT_EQ(rename_at("d", "e"), 0);
  EXPECT_EQ(rename_at("g", "e"), EISDIR);
  EXPECT_EQ(rename_at("e", "g"), ENOTDIR);
  EXPECT_THAT(rename_at("e", "full"), testing::AnyOf(ENOTEMPTY, EEXIST));
  EXPECT_EQ(ErrorOf(wire()(p9::Trenameat{dir_, "full", At({"full"}), "inside"})), EINVAL);
  EXPECT_EQ(ErrorOf(wire()(p9::Trename{At({"g"}), At({"e"}), "moved"})), 0);
  EXPECT_EQ(Read([&] {
              const p9::Fid moved = At({"e", "moved"});
              EXPECT_EQ(OpenError(moved, p9::kOpenReadOnly), 0);
              return moved;
            }()),
            "text");
  EXPECT_NE(ErrorOf(wire()(p9::Trename{kRoot, dir_, "root"})), 0);
  EXPECT_EQ(ErrorOf(wire()(p9::Trename{4711, dir_, "x"})), EBADF);
}

TEST_P(Changing, P11_RemoveEndsTheFidEvenIfItFails) {
  MakeFile("f");
  MakeDirectory("full");
  ASSERT_EQ(ErrorOf(wire()(p9::Tmkdir{At({"full"}), "x", 0755, 0})), 0);
  const p9::Fid file = At({"f"}), full = At({"full"}), root = At(kRoot, {});
  EXPECT_EQ(ErrorOf(wire()(p9::Tremove{file})), 0);
  EXPECT_EQ(StatError(file), EBADF);
  EXPECT_THAT(ErrorOf(wire()(p9::Tremove{full})), testing::AnyOf(ENOTEMPTY, EEXIST));
  EXPECT_EQ(StatError(full), EBADF);
  EXPECT_NE(ErrorOf(wire()(p9::Tremove{root})), 0);
  EXPECT_EQ(StatError(root), EBADF);
  EXPECT_EQ(ErrorOf(wire()(p9::Tremove{4711})), EBADF);
  EXPECT_EQ(Names(), std::vector<std::string>{"full"});
}

// --- 12: Tunlinkat ---

TEST_P(Changing, P12_DirectoriesOnlyWithTheFlag) {
  MakeFile("f");
  MakeDirectory("d");
  MakeSymlink("l", "d");
  const auto unlink = [&](const std::string& name, uint32_t flags) {
    return ErrorOf(wire()(p9::Tunlinkat{dir_, name, flags}));
  };
  EXPECT_EQ(unlink("d", 0), EISDIR);
  EXPECT_EQ(unlink("f", p9::kUnlinkRemoveDirectory), ENOTDIR);
  EXPECT_EQ(unlink("l", p9::kUnlinkRemoveDirectory), ENOTDIR);
  for (const uint32_t flags : {1u, 0x100u, 0x201u, 0x1000u, 0x80000000u})
    EXPECT_EQ(unlink("f", flags), EINVAL) << flags;
  EXPECT_EQ(unlink("missing", 0), ENOENT);
  EXPECT_EQ(unlink("l", 0), 0);
  EXPECT_EQ(unlink("d", p9::kUnlinkRemoveDirectory), 0);
  EXPECT_EQ(unlink("f", 0), 0);
  EXPECT_TRUE(Names().empty());
  for (const std::string name : {"", ".", "..", "a/b", "/"}) {
    EXPECT_NE(unlink(name, 0), 0) << name;
    EXPECT_NE(unlink(name, p9::kUnlinkRemoveDirectory), 0) << name;
  }
}

// --- 23: Tmkdir, Tmknod, Tsymlink, Treadlink ---

TEST_P(Changing, P23_NodesOfEveryType) {
  struct Case {
    const char* name;
    uint32_t mode;
    uint32_t major, minor;
  };
  for (const Case& c :
       {Case{"file", S_IFREG | 0640, 0, 0}, Case{"fifo", S_IFIFO | 0600, 0, 0}, Case{"socket", S_IFSOCK | 0777, 0, 0},
        Case{"char", S_IFCHR | 0666, 1, 3}, Case{"block", S_IFBLK | 0660, 250, 300}}) {
    const Result<p9::Rmknod> made = wire()(p9::Tmknod{dir_, c.name, c.mode, c.major, c.minor, 0});
    const bool device = S_ISCHR(c.mode) || S_ISBLK(c.mode);
    if (device && !GetParam().makes_devices) {
      EXPECT_EQ(ErrorOf(made), EPERM) << c.name;
      continue;
    }
    ASSERT_EQ(ErrorOf(made), 0) << c.name;
    const p9::Rgetattr attributes = Stat(At({c.name}));
    EXPECT_EQ(attributes.mode, c.mode) << c.name;
    EXPECT_EQ(attributes.qid.path, made->qid.path);
    EXPECT_EQ(attributes.qid.type, p9::kQidFile);
    if (device) {
      EXPECT_EQ(attributes.rdev, makedev(c.major, c.minor)) << c.name;
    }
    EXPECT_EQ(ErrorOf(wire()(p9::Tmknod{dir_, c.name, c.mode, c.major, c.minor, 0})), EEXIST);
  }
  EXPECT_NE(ErrorOf(wire()(p9::Tmknod{dir_, "dir", S_IFDIR | 0755, 0, 0, 0})), 0);
  EXPECT_NE(ErrorOf(wire()(p9::Tmknod{dir_, "link", S_IFLNK | 0755, 0, 0, 0})), 0);
}

TEST_P(Changing, P23_Directories) {
  const Result<p9::Rmkdir> made = wire()(p9::Tmkdir{dir_, "d", 0751, 0});
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->qid.type, p9::kQidDirectory);
  EXPECT_EQ(Stat(At({"d"})).mode, S_IFDIR | 0751u);
  EXPECT_EQ(Stat(At({"d"})).qid.path, made->qid.path);
  EXPECT_EQ(ErrorOf(wire()(p9::Tmkdir{dir_, "d", 0751, 0})), EEXIST);
  EXPECT_EQ(ErrorOf(wire()(p9::Tmkdir{4711, "e", 0751, 0})), EBADF);
  MakeFile("f");
  EXPECT_EQ(ErrorOf(wire()(p9::Tmkdir{At({"f"}), "e", 0751, 0})), ENOTDIR);
}

TEST_P(Changing, P23_GroupsAreInheritedFromSetgidDirectories) {
  if (!GetParam().keeps_owners) GTEST_SKIP() << "every file is the server's";
  MakeDirectory("d");
  const p9::Fid d = At({"d"});
  ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = d, .valid = p9::kSetattrGid, .gid = 3000})), 0);
  ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = d, .valid = p9::kSetattrMode, .mode = 02777})), 0);
  EXPECT_EQ(ErrorOf(wire()(p9::Tmkdir{d, "sub", 0755, 2000})), 0);
  EXPECT_EQ(ErrorOf(wire()(p9::Tmknod{d, "fifo", S_IFIFO | 0644, 0, 0, 2000})), 0);
  EXPECT_EQ(ErrorOf(wire()(p9::Tsymlink{d, "link", "x", 2000})), 0);
  for (const std::string name : {"sub", "fifo", "link"}) EXPECT_EQ(Stat(At({"d", name})).gid, 3000u) << name;
  EXPECT_EQ(Stat(At({"d", "sub"})).mode, S_IFDIR | 02755u);
}

TEST_P(Changing, P23_SymlinksAreOpaque) {
  const std::vector<std::string> targets = {"f",     "/etc/passwd",         "../../..", "\xff\xfe not UTF-8",
                                            "a//b/", std::string(4095, 't')};
  for (size_t i = 0; i < targets.size(); ++i) {
    const std::string name = "l" + std::to_string(i);
    const Result<p9::Rsymlink> made = wire()(p9::Tsymlink{dir_, name, targets[i], 0});
    ASSERT_EQ(ErrorOf(made), 0) << i;
    EXPECT_EQ(made->qid.type, p9::kQidSymlink);
    const p9::Fid link = At({name});
    EXPECT_EQ(Stat(link).mode & S_IFMT, static_cast<uint32_t>(S_IFLNK));
    EXPECT_EQ(Stat(link).size, targets[i].size());
    const Result<p9::Rreadlink> target = wire()(p9::Treadlink{link});
    ASSERT_EQ(ErrorOf(target), 0) << i;
    EXPECT_EQ(target->target, targets[i]);
  }
  EXPECT_EQ(ErrorOf(wire()(p9::Tsymlink{dir_, "e", "", 0})), ENOENT);
  EXPECT_EQ(ErrorOf(wire()(p9::Tsymlink{dir_, "e", std::string(4096, 't'), 0})), ENAMETOOLONG);
  EXPECT_EQ(ErrorOf(wire()(p9::Tsymlink{dir_, "l0", "x", 0})), EEXIST);
}

TEST_P(Reading, P23_OnlyASymlinkIsReadAsOne) {
  MakeFile("f");
  MakeSymlink("l", "target");
  EXPECT_EQ(ErrorOf(wire()(p9::Treadlink{At({"f"})})), EINVAL);
  EXPECT_EQ(ErrorOf(wire()(p9::Treadlink{dir_})), EINVAL);
  EXPECT_EQ(ErrorOf(wire()(p9::Treadlink{4711})), EBADF);
  const p9::Fid link = At({"l"});
  const Result<p9::Rreadlink> target = wire()(p9::Treadlink{link});
  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->target, "target");
}

// --- 24: Tlink ---

TEST_P(Changing, P24_LinksTheFileItself) {
  MakeFile("f", "text");
  MakeSymlink("l", "f");
  MakeDirectory("d");
  EXPECT_EQ(ErrorOf(wire()(p9::Tlink{At({"d"}), At({"f"}), "g"})), 0);
  EXPECT_EQ(Stat(At({"d", "g"})).nlink, 2u);
  EXPECT_EQ(ErrorOf(wire()(p9::Tlink{dir_, At({"l"}), "m"})), 0);
  const p9::Fid m = At({"m"});
  EXPECT_EQ(Stat(m).qid.type, p9::kQidSymlink) << "the link, not what it points to";
  EXPECT_EQ(Stat(m).nlink, 2u);
  EXPECT_EQ(ErrorOf(wire()(p9::Tlink{dir_, At({"d"}), "e"})), EPERM);
  EXPECT_EQ(ErrorOf(wire()(p9::Tlink{dir_, At({"f"}), "d"})), EEXIST);
  EXPECT_EQ(ErrorOf(wire()(p9::Tlink{dir_, 4711, "x"})), EBADF);
  EXPECT_EQ(ErrorOf(wire()(p9::Tlink{At({"f"}), At({"f"}), "x"})), ENOTDIR);
}

// --- 27: names ---

TEST_P(Changing, P27_NamesAreBytes) {
  const std::vector<std::string> good = {"\xff\xfe\x80", "\xc3\xa4\xc3",          "a b\n\t", "-rf", "...",
                                         "..a",          std::string(255, '\xe4')};
  for (const std::string& name : good) {
    EXPECT_EQ(ErrorOf(wire()(p9::Tmkdir{dir_, name, 0755, 0})), 0) << name;
    EXPECT_EQ(WalkError(dir_, NewFid(), {name}), 0) << name;
  }
  std::vector<std::string> sorted = good;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(Names(), sorted);
}

TEST_P(Changing, P27_WhatIsNoNameIsRefusedEverywhere) {
  MakeFile("f", "text");
  const p9::Fid file = At({"f"});
  struct Case {
    std::string name;
    std::vector<int> errors;
  };
  const std::vector<int> invalid = {EINVAL, ENOENT, EEXIST, EISDIR, EBUSY, ENOTEMPTY};
  for (const Case& c : {Case{"", invalid}, Case{".", invalid}, Case{"..", invalid}, Case{"/", invalid},
                        Case{"a/b", invalid}, Case{"/etc", invalid}, Case{std::string("a\0b", 3), invalid},
                        Case{std::string(256, 'n'), {ENAMETOOLONG}}, Case{std::string(60'000, 'n'), {ENAMETOOLONG}}}) {
    const auto refused = testing::AnyOfArray(c.errors);
    const std::string said = c.name.substr(0, 20);
    EXPECT_THAT(ErrorOf(wire()(p9::Tmkdir{dir_, c.name, 0755, 0})), refused) << said;
    EXPECT_THAT(ErrorOf(wire()(p9::Tmknod{dir_, c.name, S_IFIFO | 0644, 0, 0, 0})), refused) << said;
    EXPECT_THAT(ErrorOf(wire()(p9::Tsymlink{dir_, c.name, "t", 0})), refused) << said;
    EXPECT_THAT(ErrorOf(wire()(p9::Tlink{dir_, file, c.name})), refused) << said;
    EXPECT_THAT(ErrorOf(wire()(p9::Tlcreate{At({}), c.name, p9::kOpenReadWrite, 0644, 0})), refused) << said;
    EXPECT_THAT(ErrorOf(wire()(p9::Trename{file, dir_, c.name})), refused) << said;
    EXPECT_THAT(ErrorOf(wire()(p9::Trenameat{dir_, "f", dir_, c.name})), refused) << said;
    EXPECT_THAT(ErrorOf(wire()(p9::Trenameat{dir_, c.name, dir_, "g"})), refused) << said;
  }
  EXPECT_EQ(Names(), std::vector<std::string>{"f"});
}

TEST_P(Changing, P27_AModelsOwnNamesAreNobodys) {
  if (GetParam().name != std::string_view("mapped_file")) {
    EXPECT_EQ(ErrorOf(wire()(p9::Tmkdir{dir_, ".virtfs_metadata", 0755, 0})), 0) << "a name like others";
    return;
  }
  MakeFile("f", "text");
  for (const std::string name : {".virtfs_metadata", ".virtfs_metadata_root"}) {
    EXPECT_EQ(WalkError(dir_, 900, {name}), ENOENT) << name;
    EXPECT_NE(WalkError(kRoot, 900, {name}), 0) << name;
    EXPECT_EQ(ErrorOf(wire()(p9::Tmkdir{dir_, name, 0755, 0})), EINVAL) << name;
    EXPECT_EQ(ErrorOf(wire()(p9::Tlcreate{At({}), name, p9::kOpenReadWrite, 0644, 0})), EINVAL) << name;
    EXPECT_EQ(ErrorOf(wire()(p9::Tsymlink{dir_, name, "x", 0})), EINVAL) << name;
    EXPECT_EQ(ErrorOf(wire()(p9::Tlink{dir_, At({"f"}), name})), EINVAL) << name;
    EXPECT_EQ(ErrorOf(wire()(p9::Trenameat{dir_, "f", dir_, name})), EINVAL) << name;
    EXPECT_EQ(ErrorOf(wire()(p9::Trename{At({"f"}), dir_, name})), EINVAL) << name;
    EXPECT_EQ(ErrorOf(wire()(p9::Trenameat{dir_, name, dir_, "g"})), ENOENT) << name;
    EXPECT_EQ(ErrorOf(wire()(p9::Tunlinkat{dir_, name, 0})), ENOENT) << name;
    EXPECT_EQ(ErrorOf(wire()(p9::Tunlinkat{dir_, name, p9::kUnlinkRemoveDirectory})), ENOENT) << name;
  }
  EXPECT_EQ(Names(), std::vector<std::string>{"f"});
}

TEST_P(Reading, P27_WalksTakeNoPaths) {
  MakeDirectory("d");
  for (const std::string name : {"", ".", "/", "d/", "/d", "d/..", "../.."}) {
    EXPECT_NE(WalkError(dir_, 900, {name}), 0) << name;
    EXPECT_EQ(StatError(900), EBADF) << name;
  }
  EXPECT_NE(WalkError(dir_, 900, {std::string("d\0", 2)}), 0);
  EXPECT_EQ(WalkError(dir_, 900, {std::string(256, 'n')}), ENAMETOOLONG);
}

// --- 28: depth ---

TEST_P(Changing, P28_DeeperThanAnyPath) {
  // 280 names of 250 bytes: a path of 70,000.
  constexpr int kDepth = 280;
  const std::string name(250, 'd');
  p9::Fid deepest = At({});
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(ErrorOf(wire()(p9::Tmkdir{deepest, name, 0755, 0})), 0) << i;
    ASSERT_EQ(WalkError(deepest, deepest, {name}), 0) << i;
  }
  const p9::Fid file = At(deepest, {});
  ASSERT_EQ(ErrorOf(wire()(p9::Tlcreate{file, "f", p9::kOpenReadWrite, 0644, 0})), 0);
  EXPECT_EQ(WriteError(file, 0, "text"), 0);
  EXPECT_EQ(Read(file), "text");
  EXPECT_EQ(ErrorOf(wire()(p9::Tlink{deepest, file, "g"})), 0);
  EXPECT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = file, .valid = p9::kSetattrMode, .mode = 0600})), 0);
  EXPECT_EQ(ErrorOf(wire()(p9::Trenameat{deepest, "f", dir_, "out"})), 0);
  EXPECT_EQ(Read(OpenAt("out", p9::kOpenReadOnly)), "text");
  // And all the way up again, taking it down.
  EXPECT_EQ(ErrorOf(wire()(p9::Tunlinkat{deepest, "g", 0})), 0);
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(WalkError(deepest, deepest, {".."}), 0) << i;
    ASSERT_EQ(ErrorOf(wire()(p9::Tunlinkat{deepest, name, p9::kUnlinkRemoveDirectory})), 0) << i;
  }
  EXPECT_EQ(Stat(deepest).qid.path, Stat(dir_).qid.path);
}

// --- 29: FIFOs and sockets ---

TEST_P(Changing, P29_FifosAndSocketsAreFilesLikeOthersButForOpening) {
  MakeNode("fifo", S_IFIFO | 0644);
  MakeNode("socket", S_IFSOCK | 0644);
  for (const std::string name : {"fifo", "socket"}) {
    const p9::Fid file = At({name});
    const uint32_t type = Stat(file).mode & S_IFMT;
    EXPECT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = file, .valid = p9::kSetattrMode, .mode = 0600})), 0) << name;
    EXPECT_EQ(Stat(file).mode, type | 0600) << name;
    EXPECT_EQ(ErrorOf(wire()(p9::Tlink{dir_, file, name + "2"})), 0) << name;
    EXPECT_EQ(ErrorOf(wire()(p9::Trenameat{dir_, name, dir_, name + "3"})), 0) << name;
    EXPECT_EQ(Stat(At({name + "3"})).mode, type | 0600) << name;
    EXPECT_NE(OpenError(file, p9::kOpenReadWrite), 0) << name;
    EXPECT_EQ(ErrorOf(wire()(p9::Tunlinkat{dir_, name + "3", 0})), 0) << name;
  }
  EXPECT_EQ(Names(), (std::vector<std::string>{"fifo2", "socket2"}));
}

// --- 30: who owns what is made ---

TEST_P(Changing, P30_TheHostSeesWhatTheModelSays) {
  MakeFile("f", "text", 0640);
  MakeSymlink("l", "f");
  MakeNode("p", S_IFIFO | 0640);
  const Model& model = GetParam();
  for (const std::string name : {"f", "l", "p"}) {
    struct stat host;
    ASSERT_EQ(lstat(Host(name).c_str(), &host), 0) << name;
    const bool servers = model.mapped || !model.keeps_owners;
    EXPECT_EQ(host.st_uid, servers ? kServersUid : 0) << name;
    const p9::Rgetattr guest = Stat(At({name}));
    EXPECT_EQ(guest.uid, model.keeps_owners ? 0 : kServersUid) << name;
    EXPECT_EQ(host.st_mode, model.mapped ? S_IFREG | 0600 : guest.mode) << name;
  }
}

TEST_P(Changing, P30_TheAttachedUserAndTheGivenGroup) {
  if (!GetParam().keeps_owners) GTEST_SKIP() << "every file is the server's";
  ASSERT_EQ(ErrorOf(wire()(p9::Tsetattr{.fid = dir_, .valid = p9::kSetattrMode, .mode = 0777})), 0);
  // Ids of which no passwd or group knows.
  constexpr uint32_t kUid = 3'123'456, kGid = 3'654'321;
  Begin(kUid);
  EXPECT_EQ(ErrorOf(wire()(p9::Tmkdir{dir_, "dir", 0755, kGid})), 0);
  EXPECT_EQ(ErrorOf(wire()(p9::Tmknod{dir_, "fifo", S_IFIFO | 0644, 0, 0, kGid})), 0);
  EXPECT_EQ(ErrorOf(wire()(p9::Tsymlink{dir_, "link", "x", kGid})), 0);
  Create("file", p9::kOpenReadWrite, 0644, kGid);
  for (const std::string& name : Names()) {
    EXPECT_EQ(Stat(At({name})).uid, kUid) << name;
    EXPECT_EQ(Stat(At({name})).gid, kGid) << name;
  }
  EXPECT_EQ(Names().size(), 4u);
}

}  // namespace
}  // namespace virtfs
