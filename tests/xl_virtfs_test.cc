// xl-virtfs: what it refuses, and what check, create, attach, detach and list do, with the record beside the nodes.

#include <sys/mount.h>

#include <set>

#include "tests/toolstack_fixture.h"

namespace virtfs {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kUuid[] = "11111111-2222-3333-4444-555555555555";

// The ten mistakes of the project's aim: one sentence each, with file, line, key and what can be written; nothing is
// done.
TEST_F(ToolstackTest, EachWrongConfigurationIsOneSentenceAndLeavesNothing) {
  AddGuest(1, "web", kUuid);
  auto keeper = StartKeeper(1);
  Write("virtfs.conf", "roots = [ '" + Path("srv") + "', '" + Path("mnt") + "' ]\n");
  Write("srv/file", "");
  std::filesystem::create_directories(Path("mnt"));
  ASSERT_EQ(mount("none", Path("mnt").c_str(), "tmpfs", MS_RDONLY, ""), 0) << strerror(errno);
  const std::string model = ",security_model=passthrough";
  const struct {
    std::string name, share;            // the second of two
    std::vector<std::string> sentence;  // what it has in it
  } kMistakes[] = {
      {"unknown key", Share("x", "a", ",colour=red"), {"unknown option colour: there are tag, devid, backend, path, "}},
      {"missing path", "tag=x" + model, {"the share has no path: write path=DIRECTORY, which is"}},
      {"path that is not there", Share("x", "none"), {"path=" + Path("srv/none"), "does not exist: create it"}},
      {"path not a directory", Share("x", "file"), {"path=" + Path("srv/file"), "is not a directory: write the path"}},
      {"duplicate tag", Share("first", "a"), {"tag=first is the tag of the share of line 3, too: write another tag"}},
      {"bad model",
       "tag=x,path=" + Path("srv/a") + ",security_model=mapped",
       {"security_model=mapped: write passthrough, mapped-xattr, mapped-file or none"}},
      {"tag too long", Share(std::string(256, 't'), "a"), {"tag: write 1 to 255 printable ASCII characters"}},
      {"path outside the roots",
       "tag=x,path=/usr" + model,
       {"path=/usr may not be shared: " + Path("virtfs.conf") + " allows what is in " + Path("srv") + ", "}},
      {"no such domain", Share("x", "a", ",backend=nosuch"), {"backend=nosuch: there is no domain nosuch: write the "}},
      {"bad number", Share("x", "a", ",max-fids=1e6"), {"max-fids=1e6: write a number from 16 to 16777216"}},
      {"read-only path",
       "tag=x,path=" + Path("mnt") + model,
       {"path=" + Path("mnt") + " is on a read-only mount: write readonly=1, or"}},
  };
  for (const auto& [name, share, sentence] : kMistakes) {
    SCOPED_TRACE(name);
    const std::string config = Write(
        "guest.cfg", "name = 'new'\nmemory = 64\nvirtfs = [ '" + Share("first", "b") + "',\n  '" + share + "' ]\n");
    for (const char* subcommand : {"check", "create"}) {
      const Outcome outcome = Run({subcommand, config});
      EXPECT_EQ(outcome.status, 2) << outcome.output;
      EXPECT_THAT(outcome.output, HasSubstr("xl-virtfs: " + config + ":4: virtfs: "));
      for (const std::string& part : sentence) EXPECT_THAT(outcome.output, HasSubstr(part));
      EXPECT_EQ(std::count(outcome.output.begin(), outcome.output.end(), '\n'), 1) << outcome.output;
    }
    if (name == "duplicate tag") continue;  // Alone it has none.
    const Outcome outcome = Run({"attach", "web", share});
    EXPECT_NE(outcome.status, 0) << outcome.output;
    for (const std::string& part : sentence) EXPECT_THAT(outcome.output, HasSubstr(part));
  }
  EXPECT_EQ(umount(Path("mnt").c_str()), 0);
  const Outcome nobody = Run({"attach", "nobody", Share("x", "a")});
  EXPECT_EQ(nobody.status, 1);
  EXPECT_THAT(nobody.output, HasSubstr("there is no domain nobody: write the name or the id of one that runs"));

  EXPECT_EQ(ReadFile("xl.log"), "");
  EXPECT_FALSE(xen_->Read("/local/domain/0/backend/virtfs/1/0/state"));
  EXPECT_FALSE(xen_->Read("/local/domain/0/virtfs/1/0/path"));
  EXPECT_FALSE(HasRecord(kUuid));
}

TEST_F(ToolstackTest, CheckSaysAllMistakesAndIsContentWithNone) {
  const std::string bad = Write("bad.cfg", "name='x'\nvirtfs=['tag=a',\n'tag=b']\nvirtfs=[]\n");
  const Outcome outcome = Run({"check", bad});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.output, HasSubstr("bad.cfg:4: virtfs: this would replace the list of line 2"));
  const std::string good = Write("good.cfg", "name='x'\nvirtfs=['" + Share("a", "a") + "']\n");
  EXPECT_EQ(Run({"check", good}).output, good + ": 1 share, nothing wrong\n");
  const Outcome json = Run({"check", good, "--json"});
  EXPECT_EQ(json.status, 0);
  EXPECT_THAT(json.output,
              AllOf(HasSubstr("\"name\": \"x\""), HasSubstr("\"line\": 2"), HasSubstr("\"mistakes\": []")));
  EXPECT_THAT(Run({"check", Path("none.cfg")}).output, HasSubstr("cannot read " + Path("none.cfg") + ": No such file"));
  EXPECT_THAT(Run({"check", Write("broken.cfg", "name='x'\nvirtfs=['a'\n")}).output, HasSubstr("broken.cfg:"));
}

TEST_F(ToolstackTest, AttachListDetachByNameAndWithARecord) {
  AddGuest(1, "web", kUuid);
  Write("virtfs.conf", "defaults = 'max-files=100'\n");
  auto keeper = StartKeeper(1);
  EXPECT_EQ(Run({"attach", "web", Share("docs", "a")}).output, "0\n");
  EXPECT_EQ(Run({"attach", "1", Share("logs", "b", ",transport=9pfs,devid=7,readonly,backend=Domain-0")}).output,
            "7\n");
  EXPECT_EQ(Run({"attach", "web", Share("more", "a")}).output, "1\n");
  EXPECT_EQ(xen_->Read(Backend(1, 0)), kInitWait);
  EXPECT_EQ(xen_->Read(Private(1, 0, "max-files")), "100");
  EXPECT_THAT(ReadFile("records/" + std::string(kUuid) + ".json"),
              AllOf(HasSubstr(Share("docs", "a", ",max-files=100")), HasSubstr("\"backend\": \"Domain-0\""),
                    HasSubstr("\"name\": \"web\""), Not(HasSubstr("devid=7"))));

  const Outcome twice = Run({"attach", "web", Share("logs", "a")});
  EXPECT_EQ(twice.status, 1);
  EXPECT_THAT(twice.output, HasSubstr("tag=logs: web has a share with this tag already: write another tag"));
  EXPECT_THAT(Run({"attach", "web", Share("x", "a", ",devid=7")}).output, HasSubstr("devid=7: web has a share with"));

  const Outcome list = Run({"list"});
  EXPECT_EQ(list.status, 0);
  EXPECT_EQ(list.output,
            "DOMAIN  ID  DEV  TAG   TRANSPORT  BACKEND   STATE     PATH\n"
            "web     1   0    docs  virtfs     Domain-0  InitWait  " +
                Path("srv/a") +
                "\n"
                "web     1   1    more  virtfs     Domain-0  InitWait  " +
                Path("srv/a") +
                "\n"
                "web     1   7    logs  9pfs       Domain-0  InitWait  " +
                Path("srv/b") + "\n");
  const Outcome json = Run({"list", "web", "--json"});
  EXPECT_THAT(json.output, AllOf(HasSubstr("\"devid\": 7"), HasSubstr("\"recorded\": true"), HasSubstr(kUuid)));

  EXPECT_EQ(Run({"detach", "web", "more"}).output, "");
  EXPECT_FALSE(xen_->Read(Backend(1, 1)));
  EXPECT_EQ(Run({"detach", "web", "7"}).status, 0);
  EXPECT_FALSE(xen_->Read("/local/domain/0/virtfs/1/9pfs-7/path"));
  const Outcome gone = Run({"detach", "web", "7"});
  EXPECT_EQ(gone.status, 1);
  EXPECT_THAT(gone.output, HasSubstr("web has no share 7: `xl-virtfs list web` shows"));
  EXPECT_TRUE(HasRecord(kUuid));
  EXPECT_EQ(Run({"detach", "web", "docs"}).status, 0);
  EXPECT_FALSE(HasRecord(kUuid));
  keeper->Kill(SIGTERM);
  ExpectNoNodes(1);
}

// A guest that has p9=, too, was refused every share that did not say its devid.
TEST_F(ToolstackTest, AnotherBackendsDeviceHasItsIdForItself) {
  AddGuest(1, "web", kUuid);
  ASSERT_TRUE(xen_->Write("/local/domain/1/device/9pfs/0/backend", "/local/domain/0/backend/9pfs/1/0"));
  ASSERT_TRUE(xen_->Write("/local/domain/0/backend/9pfs/1/0/state", "4"));
  auto keeper = StartKeeper(1);
  EXPECT_THAT(Run({"attach", "web", Share("docs", "a", ",devid=0")}).output,
              HasSubstr("devid=0: web has a share with"));
  EXPECT_EQ(Run({"attach", "web", Share("docs", "a")}).output, "1\n");
  EXPECT_EQ(Run({"detach", "web", "docs"}).status, 0);
  EXPECT_EQ(xen_->Read("/local/domain/0/backend/9pfs/1/0/state"), "4");
  keeper->Kill(SIGTERM);
}

TEST_F(ToolstackTest, CommandsAtTheSameTimeDoNotInterleave) {
  AddGuest(1, "web", kUuid);
  auto keeper = StartKeeper(1);
  std::vector<std::shared_ptr<Process>> commands;
  for (const char* tag : {"a", "b", "c", "d"}) commands.push_back(Start({"attach", "web", Share(tag, "a")}));
  std::set<std::string> devids;
  for (const auto& command : commands) {
    EXPECT_EQ(command->Wait(), 0);
    devids.insert(command->Output());
  }
  EXPECT_EQ(devids, (std::set<std::string>{"0\n", "1\n", "2\n", "3\n"}));
  commands.clear();
  for (const char* tag : {"a", "b", "c"}) commands.push_back(Start({"detach", "web", tag}));
  commands.push_back(Start({"attach", "web", Share("e", "b")}));
  for (const auto& command : commands) EXPECT_EQ(command->Wait(), 0) << command->Output();
  const std::string list = Run({"list"}).output;
  EXPECT_THAT(list, AllOf(HasSubstr(" d "), HasSubstr(" e "), Not(HasSubstr(" a "))));
  EXPECT_EQ(std::count(list.begin(), list.end(), '\n'), 3) << list;
}

// Shares of virtfs-attach have no record, and are shares all the same.
TEST_F(ToolstackTest, AShareWithoutARecordIsListedAndDetached) {
  AddGuest(1, "web", kUuid);
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Attach(1, "plain"), 0);
  EXPECT_THAT(Run({"list", "--json"}).output, AllOf(HasSubstr("\"tag\": \"plain\""), HasSubstr("\"recorded\": false")));
  EXPECT_EQ(Run({"attach", "web", Share("docs", "a")}).output, "1\n");
  EXPECT_EQ(Run({"detach", "web", "plain"}).status, 0);
  EXPECT_FALSE(xen_->Read(Backend(1, 0)));
  EXPECT_TRUE(HasRecord(kUuid));
}

TEST_F(ToolstackTest, AnAttachThatNobodyAnswersSaysWhatToStart) {
  AddGuest(1, "web", kUuid);
  const Outcome outcome = Run({"attach", "web", Share("docs", "a"), "--wait", "0"});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("xl-virtfs watch"), HasSubstr("systemctl start xl-virtfs-watch")));
  EXPECT_FALSE(HasRecord(kUuid));
  ExpectNoNodes(1);
}

TEST_F(ToolstackTest, CreateAttachesAllSharesBeforeTheGuestRuns) {
  const std::string config =
      Write("web.cfg", "name = \"web\"\nuuid = \"" + std::string(kUuid) + "\"\nvirtfs = [ '" + Share("docs", "a") +
                           "',\n '" + Share("logs", "b", ",readonly") + "' ]\n");
  auto create = Start({"create", config});
  ASSERT_TRUE(xen_->WaitForNode("/local/domain/1/name", "web"));
  auto keeper = StartKeeper(1);
  EXPECT_EQ(create->Wait(), 0) << create->Output();
  EXPECT_THAT(create->Output(), HasSubstr("attaching docs (" + Path("srv/a") + ") ... device 0, "));
  EXPECT_EQ(ReadFile("xl.log"), "create -p " + config + "\nunpause 1\n");
  EXPECT_FALSE(xen_->Read("/local/domain/1/fake-paused"));
  EXPECT_EQ(xen_->Read("/local/domain/1/device/virtfs/1/tag"), "logs");
  EXPECT_EQ(xen_->Read(Private(1, 1, "readonly")), "1");
  EXPECT_TRUE(HasRecord(kUuid));

  const Outcome again = Run({"create", config});
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.output, AllOf(HasSubstr("xl: a domain with the name web exists"), HasSubstr("`xl create -p ")));
  EXPECT_TRUE(HasRecord(kUuid));
}

TEST_F(ToolstackTest, AGuestWhoseShareCannotBeAttachedIsDestroyedBeforeItRuns) {
  const std::string config =
      Write("web.cfg", "name = \"web\"\nuuid = \"" + std::string(kUuid) + "\"\nvirtfs = [ '" + Share("docs", "a") +
                           "',\n 'tag=proc,path=/proc,security_model=none' ]\n");
  auto create = Start({"create", config});
  ASSERT_TRUE(xen_->WaitForNode("/local/domain/1/name", "web"));
  auto keeper = StartKeeper(1);
  EXPECT_EQ(create->Wait(), 1);
  EXPECT_THAT(create->Output(), AllOf(HasSubstr("web.cfg:4: virtfs: path=/proc is on proc, which"),
                                      HasSubstr("web was destroyed before it ran")));
  EXPECT_EQ(ReadFile("xl.log"), "create -p " + config + "\ndestroy 1\n");
  EXPECT_EQ(keeper->Wait(), 0);
  EXPECT_FALSE(HasRecord(kUuid));
  ExpectNoNodes(1);

  const Outcome failed = Run({"create", config}, {"FAKE_XL_FAIL=create"});
  EXPECT_EQ(failed.status, 1);
  EXPECT_THAT(failed.output, HasSubstr("`xl create -p " + config + "` failed with status 1"));
  EXPECT_THAT(Run({"create", config}, {"PATH=/nowhere"}).output, HasSubstr("is xl in $PATH?"));
}

TEST_F(ToolstackTest, ASavedGuestComesBackWithItsShares) {
  AddGuest(1, "web", kUuid);
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Run({"attach", "web", Share("docs", "a", ",devid=3")}).status, 0);
  ASSERT_EQ(Run({"attach", "web", Share("logs", "b")}).status, 0);
  const Outcome failed = Run({"save", "web", Path("web.save")}, {"FAKE_XL_FAIL=save"});
  EXPECT_EQ(failed.status, 1);
  EXPECT_EQ(xen_->Read(Backend(1, 3)), kInitWait);

  ASSERT_TRUE(xen_->Write("/fake-xl/last", "1"));
  EXPECT_EQ(Run({"save", "web", Path("web.save")}).status, 0);
  EXPECT_EQ(keeper->Wait(), 0);
  EXPECT_THAT(Run({"list"}).output, Not(HasSubstr("web")));
  EXPECT_THAT(Run({"list", "--all"}).output, AllOf(HasSubstr("web     -   3    docs"), HasSubstr("no domain")));

  auto restore = Start({"restore", Path("web.save")});
  ASSERT_TRUE(xen_->WaitForNode("/local/domain/2/name", "web"));
  auto second = StartKeeper(2);
  EXPECT_EQ(restore->Wait(), 0) << restore->Output();
  EXPECT_EQ(xen_->Read("/local/domain/2/device/virtfs/3/tag"), "docs");
  EXPECT_EQ(xen_->Read("/local/domain/2/device/virtfs/0/tag"), "logs");
  EXPECT_FALSE(xen_->Read("/local/domain/2/fake-paused"));
  EXPECT_THAT(ReadFile("xl.log"), testing::EndsWith("restore -p " + Path("web.save") + "\nunpause 2\n"));
  const Outcome twice = Run({"restore", Path("web.save")});
  EXPECT_EQ(twice.status, 1);
  EXPECT_THAT(twice.output, HasSubstr("domain 2 (web) is the guest of " + Path("web.save") + ": end it first"));
}

TEST_F(ToolstackTest, WithTheWatchEverythingElseStartsByItself) {
  const std::string config =
      Write("web.cfg", "name = \"web\"\nuuid = \"" + std::string(kUuid) + "\"\nvirtfs = [ '" + Share("docs", "a") +
                           "',\n '" + Share("logs", "b", ",readonly") + "' ]\n");
  auto watch = Start({"watch", "--keeper", Program("backend/xen-virtfsd")});
  const Outcome create = Run({"create", config});
  EXPECT_EQ(create.status, 0) << create.output;
  EXPECT_EQ(Run({"attach", "web", Share("more", "b")}).output, "2\n");
  const Outcome save = Run({"save", "web", Path("web.save")});
  EXPECT_EQ(save.status, 0) << save.output;
  const Outcome restore = Run({"restore", Path("web.save")});
  EXPECT_EQ(restore.status, 0) << restore.output;
  const std::string list = Run({"list", "web"}).output;
  for (const char* row : {"web     2   0    docs  virtfs     Domain-0  InitWait  ",
                          "web     2   1    logs  virtfs     Domain-0  InitWait  ",
                          "web     2   2    more  virtfs     Domain-0  InitWait  "}) {
    EXPECT_THAT(list, HasSubstr(row));
  }
  // Without a word to us.
  ASSERT_TRUE(xen_->Destroy(2));
  EXPECT_TRUE(xen_->WaitForNoNode("/local/domain/0/virtfs/2"));
  EXPECT_TRUE(xen_->WaitForNoNode("/local/domain/0/backend/virtfs/2"));
  EXPECT_TRUE(xen_->WaitForNoNode("/local/domain/0/virtfs/1"));
  EXPECT_TRUE(watch->Running());
}

TEST_F(ToolstackTest, AStock9pfsShareIsInTheWayOfASave) {
  AddGuest(1, "web", kUuid);
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Run({"attach", "web", Share("old", "a", ",transport=9pfs")}).status, 0);
  const Outcome refused = Run({"save", "web", Path("web.save")});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.output, HasSubstr("web has shares over the stock 9pfs transport (old), whose driver in Linux"));
  EXPECT_EQ(ReadFile("xl.log"), "");
  EXPECT_EQ(Run({"save", "web", Path("web.save"), "--force"}).status, 0);
}

TEST_F(ToolstackTest, ARestoreThatCannotAttachLeavesTheFile) {
  AddGuest(1, "web", kUuid);
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Run({"attach", "web", Share("docs", "a")}).status, 0);
  ASSERT_TRUE(xen_->Write("/fake-xl/last", "1"));
  ASSERT_EQ(Run({"save", "web", Path("web.save")}).status, 0);
  std::filesystem::rename(Path("srv/a"), Path("srv/elsewhere"));
  const Outcome missing = Run({"restore", Path("web.save")});
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.output, HasSubstr("share 0 of web: path=" + Path("srv/a") + " does not exist"));
  EXPECT_FALSE(xen_->Read("/local/domain/2/name"));

  std::filesystem::rename(Path("srv/elsewhere"), Path("srv/a"));
  const Outcome nobody = Run({"restore", Path("web.save"), "--wait", "0"});
  EXPECT_EQ(nobody.status, 1);
  EXPECT_THAT(nobody.output, AllOf(HasSubstr("xl-virtfs watch"), HasSubstr("web was destroyed before it ran; ")));
  EXPECT_TRUE(HasRecord(kUuid));
  EXPECT_THAT(Run({"restore", Write("x", "x")}).output, HasSubstr("is no file of `xl save`"));
}

TEST_F(ToolstackTest, AGuestNeedsANameThatIsNoNumber) {
  EXPECT_THAT(Run({"create", Write("a.cfg", "memory=1\n")}).output,
              HasSubstr("a.cfg: name: it is missing: write name="));
  EXPECT_THAT(Run({"create", Write("b.cfg", "\nname='5'\n")}).output, HasSubstr("b.cfg:2: name: 5 would be taken for"));
  EXPECT_THAT(ReadFile("xl.log"), IsEmpty());
}

// As bash calls it: what would stand in the line when Tab is pressed at its end.
TEST_F(ToolstackTest, BashCompletes) {
  AddGuest(1, "web", kUuid);
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Run({"attach", "web", Share("docs", "a")}).status, 0);
  const struct {
    const char *line, *words;
  } kLines[] = {
      {"xl-virtfs det", "detach"},
      {"xl-virtfs detach ", "Domain-0 web"},
      {"xl-virtfs detach web ", "docs"},
      {"xl-virtfs detach web docs --f", "--force"},
      {"xl-virtfs attach web tag=x,enforce=", "client server"},
      {"xl-virtfs attach web tag=x,enfo", "x,enforce="},
      {"xl-virtfs create ", ""},
  };
  const std::string program = std::filesystem::path(Program("toolstack/cli/xl-virtfs")).parent_path();
  for (const auto& [line, words] : kLines) {
    auto bash = xen_->Spawn({"/bin/bash", "-c",
                             "source " + program + "/xl-virtfs.bash; COMP_LINE=\"" + line +
                                 "\"; COMP_POINT=${#COMP_LINE}; _xl_virtfs; echo \"${COMPREPLY[*]}\""},
                            0, {"PATH=" + program + ":/usr/bin:/bin"});
    EXPECT_EQ(bash->Wait(), 0);
    EXPECT_EQ(bash->Output(), std::string(words) + "\n") << line;
  }
}

TEST_F(ToolstackTest, ADamagedRecordIsToldAndKept) {
  AddGuest(1, "web", kUuid);
  const std::string record = "records/" + std::string(kUuid) + ".json";
  Write(record, "{");
  for (const Outcome& outcome : {Run({"list"}), Run({"attach", "web", Share("a", "a")})}) {
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.output, HasSubstr(Path(record)));
  }
  EXPECT_EQ(ReadFile(record), "{");
}

}  // namespace
}  // namespace virtfs
