// A tree that QEMU's 9p server wrote under a mapped model reads back the same with ours, and the other way round; and
// each goes on with what the other began.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <map>
#include <memory>
#include <string>

#include "fsops/session/session_test_client.h"
#include "tests/qemu_client.h"

namespace virtfs {
namespace {

constexpr p9::Fid kRoot = 0, kDir = 1, kFile = 2;

struct Model {
  host::SecurityModel model;
  const char* name;
};

// The operations of a guest on either server, in few words. Errors fail the test.
template <typename Client>
class Guest {
 public:
  // `uid`: whose what is made shall be.
  Guest(Client& client, uint32_t uid) : client_(client) {
    EXPECT_EQ(Error(client_(p9::Tversion{.msize = TestCall::kMsize, .version = p9::kVersion})), 0);
    EXPECT_EQ(Error(client_(p9::Tattach{.fid = kRoot, .afid = p9::kNoFid, .uname = "", .aname = "", .n_uname = uid})),
              0);
  }

  void MakeDirectory(std::string_view dir, std::string_view name, uint32_t mode, uint32_t gid) {
    In(dir);
    EXPECT_EQ(Error(client_(p9::Tmkdir{.dfid = kDir, .name = name, .mode = mode, .gid = gid})), 0) << name;
    Close(kDir);
  }
  void MakeFile(std::string_view dir, std::string_view name, uint32_t mode, uint32_t gid, std::string_view text) {
    In(dir);
    const uint32_t flags = p9::kOpenReadWrite | p9::kOpenCreate | p9::kOpenExclusive;
    EXPECT_EQ(Error(client_(p9::Tlcreate{.fid = kDir, .name = name, .flags = flags, .mode = mode, .gid = gid})), 0);
    const auto count = static_cast<uint32_t>(text.size());
    EXPECT_EQ(Error(client_(p9::Twrite{.fid = kDir, .offset = 0, .count = count}, text)), 0) << name;
    Close(kDir);
  }
  void MakeSymlink(std::string_view dir, std::string_view name, std::string_view target, uint32_t gid) {
    In(dir);
    EXPECT_EQ(Error(client_(p9::Tsymlink{.fid = kDir, .name = name, .symtgt = target, .gid = gid})), 0) << name;
    Close(kDir);
  }
  void MakeNode(std::string_view dir, std::string_view name, uint32_t mode, uint32_t major, uint32_t minor) {
    In(dir);
    EXPECT_EQ(
        Error(client_(p9::Tmknod{.dfid = kDir, .name = name, .mode = mode, .major = major, .minor = minor, .gid = 77})),
        0)
        << name;
    Close(kDir);
  }
  void Link(std::string_view dir, std::string_view file, std::string_view to_dir, std::string_view name) {
    In(dir, file);
    In(to_dir);
    EXPECT_EQ(Error(client_(p9::Tlink{.dfid = kDir, .fid = kFile, .name = name})), 0) << name;
    Close(kDir);
    Close(kFile);
  }
  void Rename(std::string_view from_dir, std::string_view from, std::string_view to_dir, std::string_view to) {
    In(from_dir);
    Walk(kFile, to_dir);
    EXPECT_EQ(Error(client_(p9::Trenameat{.olddirfid = kDir, .oldname = from, .newdirfid = kFile, .newname = to})), 0)
        << from;
    Close(kDir);
    Close(kFile);
  }
  void Remove(std::string_view dir, std::string_view name, bool directory = false) {
    In(dir);
    EXPECT_EQ(Error(client_(p9::Tunlinkat{.dirfd = kDir, .name = name, .flags = directory ? 0x200u : 0u})), 0) << name;
    Close(kDir);
  }
  // `mode` with its type, as Linux sends it and QEMU keeps it.
  void SetMode(std::string_view dir, std::string_view name, uint32_t mode) {
    Set(dir, name, {.fid = kFile, .valid = p9::kSetattrMode, .mode = mode});
  }
  void SetOwner(std::string_view dir, std::string_view name, uint32_t uid, uint32_t gid) {
    Set(dir, name, {.fid = kFile, .valid = p9::kSetattrUid | p9::kSetattrGid, .uid = uid, .gid = gid});
  }
  void SetXattr(std::string_view dir, std::string_view file, std::string_view name, std::string_view value) {
    In(dir, file);
    EXPECT_EQ(Error(client_(p9::Txattrcreate{.fid = kFile, .name = name, .attr_size = value.size(), .flags = 0})), 0);
    const auto count = static_cast<uint32_t>(value.size());
    EXPECT_EQ(Error(client_(p9::Twrite{.fid = kFile, .offset = 0, .count = count}, value)), 0);
    EXPECT_EQ(Error(client_(p9::Tclunk{.fid = kFile})), 0) << name;
  }
  // Its value, or the error's number.
  std::string GetXattr(std::string_view dir, std::string_view file, std::string_view name) {
    In(dir, file);
    const auto walked = client_(p9::Txattrwalk{.fid = kFile, .newfid = kDir, .name = name});
    Close(kFile);
    if (!walked.ok()) return std::to_string(walked.error().value());
    EXPECT_EQ(Error(client_(p9::Tread{.fid = kDir, .offset = 0, .count = 1000})), 0);
    std::string value(client_.payload().begin(), client_.payload().end());
    Close(kDir);
    return value;
  }

  // Everything that both must agree on: a line for each name, by path.
  std::map<std::string, std::string> Describe() {
    std::map<std::string, std::string> lines;
    lines["/"] = DescribeFile(kRoot);
    for (const std::string& name : Names("")) DescribeAt("", name, lines);
    return lines;
  }

 private:
  void Walk(p9::Fid fid, std::string_view first, std::string_view second = "") {
    p9::Twalk walk{.fid = kRoot, .newfid = fid, .wname = {}};
    if (!first.empty() && !second.empty()) {
      walk.wname = {first, second};
    } else if (!first.empty() || !second.empty()) {
      walk.wname = {first.empty() ? second : first};
    }
    EXPECT_EQ(Error(client_(walk)), 0) << first << "/" << second;
  }
  void In(std::string_view dir) { Walk(kDir, dir); }
  void In(std::string_view dir, std::string_view file) { Walk(kFile, dir, file); }
  void Close(p9::Fid fid) { EXPECT_EQ(Error(client_(p9::Tclunk{.fid = fid})), 0); }

  void Set(std::string_view dir, std::string_view name, const p9::Tsetattr& change) {
    In(dir, name);
    EXPECT_EQ(Error(client_(change)), 0) << name;
    Close(kFile);
  }

  std::vector<std::string> Names(std::string_view dir) {
    In(dir);
    EXPECT_EQ(Error(client_(p9::Tlopen{.fid = kDir, .flags = 0})), 0);
    std::vector<std::string> names;
    for (uint64_t offset = 0;;) {
      const auto read = client_(p9::Treaddir{.fid = kDir, .offset = offset, .count = 8000});
      EXPECT_EQ(Error(read), 0);
      std::span<const uint8_t> rest = client_.payload();
      if (rest.empty()) break;
      p9::DirEntry entry;
      while (p9::DecodeDirEntry(rest, entry)) {
        offset = entry.offset;
        if (entry.name != "." && entry.name != "..") names.emplace_back(entry.name);
      }
    }
    Close(kDir);
    return names;
  }

  // Trees are two levels deep.
  void DescribeAt(const std::string& dir, const std::string& name, std::map<std::string, std::string>& lines) {
    In(dir, name);
    const std::string line = DescribeFile(kFile);
    Close(kFile);
    lines[(dir.empty() ? "/" : "/" + dir + "/") + name] = line;
    if (dir.empty() && line[0] == '4') {
      for (const std::string& child : Names(name)) DescribeAt(name, child, lines);
    }
  }

  std::string DescribeFile(p9::Fid fid) {
    const auto attributes = client_(p9::Tgetattr{.fid = fid, .request_mask = p9::kGetattrBasic});
    EXPECT_EQ(Error(attributes), 0);
    if (!attributes.ok()) return "";
    char line[200];
    snprintf(line, sizeof(line), "%o uid %u gid %u links %u device %x", attributes->mode, attributes->uid,
             attributes->gid, static_cast<unsigned>(attributes->nlink), static_cast<unsigned>(attributes->rdev));
    std::string text = line;
    if (S_ISLNK(attributes->mode)) {
      const auto target = client_(p9::Treadlink{.fid = fid});
      EXPECT_EQ(Error(target), 0);
      if (target.ok()) text.append(" -> ").append(target->target);
    }
    if (S_ISREG(attributes->mode)) {
      EXPECT_EQ(Error(client_(p9::Tlopen{.fid = fid, .flags = 0})), 0);
      EXPECT_EQ(Error(client_(p9::Tread{.fid = fid, .offset = 0, .count = 1000})), 0);
      text.append(" '").append(client_.payload().begin(), client_.payload().end()).append("'");
    }
    return text;
  }

  Client& client_;
};

// Every kind of file, and every way by which what is kept of one comes to be where it is.
template <typename Client>
void MakeTree(Guest<Client> guest) {
  guest.MakeDirectory("", "d", 0750, 1001);
  guest.MakeDirectory("", "open", 01777, 1002);
  guest.MakeFile("", "f", 0640, 1003, "text");
  guest.MakeFile("d", "setuid", 04755, 1004, "");
  guest.MakeSymlink("", "l", "../where to", 1005);
  guest.MakeSymlink("d", "long", std::string(4000, 't'), 1006);
  guest.MakeNode("", "char", S_IFCHR | 0620, 5, 300);
  guest.MakeNode("d", "block", S_IFBLK | 0600, 2000, 70000);
  guest.MakeNode("", "fifo", S_IFIFO | 0644, 0, 0);
  guest.MakeNode("", "socket", S_IFSOCK | 0755, 0, 0);
  guest.MakeNode("d", "node", S_IFREG | 0604, 0, 0);

  guest.Link("", "f", "d", "f2");
  guest.Link("", "l", "d", "l2");
  guest.SetMode("", "f", S_IFREG | 02711);
  guest.SetOwner("d", "node", 0xfffffffe, 0);
  guest.SetOwner("", "l", 7, 8);
  guest.SetMode("", "char", S_IFCHR | 0666);
  guest.SetMode("", "open", S_IFDIR | 03775);
  guest.SetMode("", "", S_IFDIR | 0711);
  guest.SetOwner("", "", 9, 10);

  guest.MakeFile("", "moved", 0400, 1007, "new");
  guest.MakeFile("d", "victim", 0777, 1008, "old");
  guest.Rename("", "moved", "d", "victim");
  guest.MakeFile("", "renamed", 0604, 1009, "");
  guest.Rename("", "renamed", "open", "name");
  guest.MakeDirectory("", "dir", 0700, 1010);
  guest.MakeFile("dir", "inside", 0601, 1011, "deep");
  guest.Rename("", "dir", "", "dir2");
  guest.MakeFile("", "gone", 0600, 1, "");
  guest.Remove("", "gone");
  guest.MakeDirectory("", "gone", 0700, 1);
  guest.MakeFile("gone", "f", 0600, 1, "");
  guest.Remove("gone", "f");
  guest.Remove("", "gone", true);
}

// What either can do to what the other made.
template <typename Client>
void ChangeTree(Guest<Client> guest) {
  guest.SetMode("d", "setuid", S_IFREG | 0600);
  guest.SetOwner("", "fifo", 21, 22);
  guest.SetOwner("", "f", 23, 24);
  guest.Rename("d", "block", "", "block");
  guest.Rename("", "socket", "open", "name");
  guest.Link("d", "long", "", "longer");
  guest.Remove("d", "long");
  guest.Remove("dir2", "inside");
  guest.Remove("", "dir2", true);
  guest.MakeFile("d", "added", 0660, 25, "more");
}

class QemuInteropTest : public ::testing::TestWithParam<Model> {
 protected:
  QemuInteropTest() : directory_("/tmp") {}

  void SetUp() override {
    host::PrepareCredentials();
    const absl::Status started = qemu_.Start(directory_.path(), std::string("security_model=") + GetParam().name);
    ASSERT_TRUE(started.ok()) << started;
    broker_ = std::make_unique<host::LocalHandleBroker>(host::OpenDirectory(directory_.path()).get());
    tree_ = host::MakeExport(directory_.path(), *broker_, {.model = GetParam().model});
    session_ = std::make_unique<Session>(*tree_, SessionOptions());
    client_ = TestClient(session_.get());
  }

  // A guest of each, which holds nothing that was seen before.
  Guest<QemuClient> Qemus(uint32_t uid = 1000) { return {qemu_, uid}; }
  Guest<TestClient> Ours(uint32_t uid = 1000) { return {client_, uid}; }

  void ExpectTheSame() {
    const std::map<std::string, std::string> qemus = Qemus().Describe();
    EXPECT_GT(qemus.size(), 10u);
    EXPECT_EQ(Ours().Describe(), qemus);
  }

  host::ScratchDirectory directory_;
  QemuClient qemu_;
  std::unique_ptr<host::LocalHandleBroker> broker_;
  std::unique_ptr<host::Export> tree_;
  std::unique_ptr<Session> session_;
  TestClient client_;
};

INSTANTIATE_TEST_SUITE_P(Models, QemuInteropTest,
                         ::testing::Values(Model{host::SecurityModel::kMappedXattr, "mapped-xattr"},
                                           Model{host::SecurityModel::kMappedFile, "mapped-file"}),
                         [](const auto& info) {
                           return info.param.model == host::SecurityModel::kMappedXattr ? "MappedXattr" : "MappedFile";
                         });

TEST_P(QemuInteropTest, WhatQemuWroteReadsBackTheSame) {
  MakeTree(Qemus());
  ExpectTheSame();
  const std::map<std::string, std::string> lines = Ours().Describe();
  // Both could be wrong together.
  EXPECT_EQ(lines.at("/f"), "102711 uid 1000 gid 1003 links 2 device 0 'text'");
  EXPECT_EQ(lines.at("/l"), "120777 uid 7 gid 8 links 2 device 0 -> ../where to");
  EXPECT_EQ(lines.at("/char"), "20666 uid 1000 gid 77 links 1 device 10052c");
  EXPECT_EQ(lines.at("/d/victim"), "100400 uid 1000 gid 1007 links 1 device 0 'new'");
  ChangeTree(Ours(1234));
  ExpectTheSame();
}

TEST_P(QemuInteropTest, WhatOursWroteReadsBackTheSame) {
  MakeTree(Ours());
  ExpectTheSame();
  EXPECT_EQ(Qemus().Describe().at("/d/block"), "60600 uid 1000 gid 77 links 1 device 1117d070");
  ChangeTree(Qemus(1234));
  ExpectTheSame();
}

// The trees themselves: what one leaves on the host is what the other does.
TEST_P(QemuInteropTest, BothMakeTheSameTree) {
  MakeTree(Qemus());
  const std::map<std::string, std::string> qemus = Qemus().Describe();
  ASSERT_EQ(system(("find " + directory_.path() + " -mindepth 1 -delete").c_str()), 0);
  MakeTree(Ours());
  EXPECT_EQ(Ours().Describe(), qemus);
}

TEST_P(QemuInteropTest, AclsAndUserAttributes) {
  Ours().MakeFile("", "f", 0640, 1, "");
  Ours().SetXattr("", "f", "user.ours", "1");
  Qemus().SetXattr("", "f", "user.qemus", "2");
  EXPECT_EQ(Qemus().GetXattr("", "f", "user.ours"), "1");
  EXPECT_EQ(Ours().GetXattr("", "f", "user.qemus"), "2");
  EXPECT_EQ(Ours().GetXattr("", "f", "user.virtfs.uid"), std::to_string(ENODATA));
  if (GetParam().model != host::SecurityModel::kMappedXattr) return;
  Ours().SetXattr("", "f", "system.posix_acl_access", "opaque");
  EXPECT_EQ(Qemus().GetXattr("", "f", "system.posix_acl_access"), "opaque");
  Qemus().SetXattr("", "f", "system.posix_acl_access", "another");
  EXPECT_EQ(Ours().GetXattr("", "f", "system.posix_acl_access"), "another");
  EXPECT_EQ(Qemus().GetXattr("", "f", "user.virtfs.uid"), std::to_string(ENODATA));
}

}  // namespace
}  // namespace virtfs
