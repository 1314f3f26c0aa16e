// The life of shares through the real binaries: attach, connect, reconnect, detach, mistakes, hostile nodes, deaths.

#include <signal.h>

#include "absl/strings/str_cat.h"
#include "tests/lifecycle_fixture.h"

namespace virtfs {
namespace {

using testing::HasSubstr;

TEST_F(LifecycleTest, AttachConnectCloseReconnectDetach) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  const int devid = Attach(1, "share");
  ASSERT_EQ(devid, 0);
  EXPECT_EQ(xen_->Read(Backend(1, devid, "versions")), "1");
  const auto session = xen_->Read(Backend(1, devid, "session-id"));
  ASSERT_TRUE(session);
  {
    PlainFrontend frontend(*xen_, 1, devid);
    Connect(frontend, 1, devid);
    EXPECT_EQ(ChildrenOf(keeper->pid()).size(), 1u);
    frontend.Write("state", kClosing);
    ASSERT_TRUE(xen_->WaitUntil(Backend(1, devid), [](const auto& v) { return v == kClosed || v == kInitWait; }));
    EXPECT_TRUE(ChildrenOf(keeper->pid()).empty());
    // Closing is not closed: the backend waits for the frontend to have let go.
    EXPECT_EQ(xen_->Read(Backend(1, devid)), kClosed);
    frontend.Write("state", kClosed);
    ASSERT_TRUE(WaitForState(1, devid, kInitWait));
    EXPECT_NE(xen_->Read(Backend(1, devid, "session-id")), session);
    Connect(frontend, 1, devid);

    auto detach = SpawnAttach(1, {"--detach", std::to_string(devid)});
    ASSERT_TRUE(WaitForState(1, devid, kClosing));
    frontend.Write("state", kClosing);
    EXPECT_EQ(detach->Wait(), 0) << detach->Output();
  }
  EXPECT_FALSE(xen_->Read(Backend(1, devid)));
  EXPECT_FALSE(xen_->Read(Private(1, devid, "path")));
  EXPECT_FALSE(xen_->Read("/local/domain/1/device/virtfs/0/tag"));
  EXPECT_TRUE(xen_->Holdings(0).empty());
  EXPECT_EQ(Attach(1, "again"), 0);
  keeper->Kill(SIGTERM);
}

TEST_F(LifecycleTest, TheGuestSeesWhatIsItsOwnAndNoMore) {
  ASSERT_TRUE(xen_->AddDomain(1));
  ASSERT_TRUE(xen_->AddDomain(2));
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Attach(1, "share"), 0);
  const StoreHandle guest = xen_->OpenStore(1), stranger = xen_->OpenStore(2);
  const auto reads = [](const StoreHandle& who, const std::string& node) {
    unsigned size;
    void* value = xs_read(who.get(), XBT_NULL, node.c_str(), &size);
    free(value);
    return value != nullptr;
  };
  EXPECT_TRUE(reads(guest, Backend(1, 0, "session-id")));
  EXPECT_FALSE(xs_write(guest.get(), XBT_NULL, Backend(1, 0).c_str(), "4", 1));
  EXPECT_FALSE(reads(guest, Private(1, 0, "path")));
  EXPECT_FALSE(reads(stranger, Backend(1, 0, "session-id")));
  EXPECT_FALSE(reads(stranger, "/local/domain/1/device/virtfs/0/tag"));
}

TEST_F(LifecycleTest, AMistakeInAShareSaysWhatToWriteAndCostsNoOther) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Attach(1, "good"), 0);
  const std::string file = directory_ + "/file";
  close(open(file.c_str(), O_WRONLY | O_CREAT, 0644));
  const struct {
    std::string share, sentence;
    int status;
  } kMistakes[] = {
      {"tag=x,path=/no/such/place,security_model=passthrough", "does not exist: create it, or write another path", 1},
      {"tag=x,path=" + file + ",security_model=passthrough", "is not a directory: write the path of one", 1},
      {"tag=x,path=/proc/sys,security_model=passthrough", "is on proc, which is no file system of files", 1},
      {"tag=x,path=/sys,security_model=passthrough", "is on sysfs", 1},
      {"tag=x,path=/proc/self/root/tmp,security_model=passthrough", "leads through a link of /proc", 1},
      {"tag=x,path=" + directory_ + ",security_model=secret", "security_model=secret: write passthrough, mapped-xattr",
       2},
      {"tag=good,path=" + directory_ + ",security_model=passthrough", "write another tag", 1},
      {"tag=x,path=" + directory_ + ",security_model=passthrough,devid=0", "has a share 0 already", 1},
      {"tag=x,path=" + directory_ + ",security_model=passthrough,max-msize=99", "from 4096 to 4194304", 2},
      {"tag=x,path=relative,security_model=passthrough", "write the directory from the root on", 2},
  };
  for (const auto& [share, sentence, status] : kMistakes) {
    auto attach = SpawnAttach(1, {share});
    EXPECT_EQ(attach->Wait(), status) << share;
    EXPECT_THAT(attach->Output(), HasSubstr(sentence)) << share;
    EXPECT_FALSE(xen_->Read(Backend(1, 1))) << share;
  }
  EXPECT_EQ(xen_->Read(Backend(1, 0)), kInitWait);
  EXPECT_TRUE(keeper->Running());
}

TEST_F(LifecycleTest, AShareWhosePathAppearsLaterComesByItself) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  const std::string path = directory_ + "/later";
  // As a toolstack that does not give up would have written it.
  ASSERT_TRUE(xen_->Write(Private(1, 0, "path"), path));
  ASSERT_TRUE(xen_->Write(Private(1, 0, "security_model"), "passthrough"));
  ASSERT_TRUE(xen_->Write(Backend(1, 0, "frontend"), "/local/domain/1/device/virtfs/0"));
  ASSERT_TRUE(xen_->Write(Backend(1, 0, "online"), "1"));
  ASSERT_TRUE(xen_->Write(Backend(1, 0), kInitialising));
  ASSERT_TRUE(WaitForState(1, 0, kClosed));
  EXPECT_THAT(xen_->Read(Private(1, 0, "error")).value_or(""), HasSubstr("does not exist"));
  ASSERT_EQ(mkdir(path.c_str(), 0755), 0);
  ASSERT_TRUE(WaitForState(1, 0, kInitWait));
  EXPECT_FALSE(xen_->Read(Private(1, 0, "error")));
}

// A guest that can write to a directory on the path cannot lead the share elsewhere once it was ready.
TEST_F(LifecycleTest, AShareStaysWithTheDirectoryThatItWasAttachedWith) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  const std::string path = directory_ + "/sub/share", elsewhere = directory_ + "/elsewhere";
  ASSERT_EQ(mkdir((directory_ + "/sub").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(path.c_str(), 0755), 0);
  ASSERT_EQ(mkdir(elsewhere.c_str(), 0755), 0);
  const int devid = AttachPath(1, "share", path);
  ASSERT_EQ(devid, 0);
  PlainFrontend frontend(*xen_, 1, devid);
  Connect(frontend, 1, devid);
  ASSERT_EQ(rename(path.c_str(), (path + "-moved").c_str()), 0);
  ASSERT_EQ(symlink(elsewhere.c_str(), path.c_str()), 0);
  frontend.Write("state", kClosing);
  ASSERT_TRUE(WaitForState(1, devid, kClosed));
  frontend.Write("state", kClosed);
  ASSERT_TRUE(keeper->WaitForOutput("leads to another directory than when the share was attached"));
  EXPECT_EQ(xen_->Read(Backend(1, devid)), kClosed);
  // The node is written behind the log.
  EXPECT_TRUE(xen_->WaitUntil(Private(1, devid, "error"), [](const auto& error) {
    return error && error->find("put the former one back") != std::string::npos;
  }));

  // Nor does a new keeper follow it.
  keeper->Kill(SIGTERM);
  keeper->Wait();
  keeper = StartKeeper(1);
  ASSERT_TRUE(keeper->WaitForOutput("leads to another directory"));
  ASSERT_EQ(unlink(path.c_str()), 0);
  ASSERT_EQ(rename((path + "-moved").c_str(), path.c_str()), 0);
  Connect(frontend, 1, devid);
  Detach(1, devid);
  EXPECT_EQ(AttachPath(1, "share", elsewhere), 0);
}

TEST_F(LifecycleTest, GarbageInTheGuestsNodesCostsThatShareOnly) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Attach(1, "good"), 0);
  PlainFrontend good(*xen_, 1, 0);
  Connect(good, 1, 0);

  const std::string kGarbage[] = {"", "-1", "1 ", "4294967296", "\xff\n\x1b[2J", std::string(2000, '7')};
  int devid = 0;
  for (const std::string node : {"ring-ref", "event-channel", "version", "feature-persistent", "ring-page-order"}) {
    for (const std::string& garbage : kGarbage) {
      // A new share each time: one alone would have to sit out its pauses.
      ++devid;
      ASSERT_EQ(Attach(1, "t" + std::to_string(devid)), devid);
      PlainFrontend bad(*xen_, 1, devid);
      bad.WriteRing();
      bad.Write(node, garbage);
      bad.Write("state", kInitialised);
      ASSERT_TRUE(WaitForState(1, devid, kClosed)) << node << " = " << garbage;
      const std::string error = xen_->Read(Private(1, devid, "error")).value_or("");
      EXPECT_THAT(error, HasSubstr(node));
      EXPECT_EQ(error.find_first_of("\n\x1b\xff"), std::string::npos);
      bad.Write("state", garbage);
    }
  }
  EXPECT_EQ(xen_->Read(Backend(1, 0)), kConnected);
  EXPECT_EQ(ChildrenOf(keeper->pid()).size(), 1u);
}

TEST_F(LifecycleTest, AFloodOfStateChangesStopsNoOtherShare) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Attach(1, "flooded"), 0);
  PlainFrontend flooding(*xen_, 1, 0);
  Connect(flooding, 1, 0);
  auto attach = SpawnAttach(1, {"tag=other,path=" + directory_ + ",security_model=passthrough"});
  for (int i = 0; i < 5000; ++i) flooding.Write("state", i % 2 != 0 ? kConnected : "no state");
  EXPECT_EQ(attach->Wait(), 0) << attach->Output();
  EXPECT_EQ(xen_->Read(Backend(1, 0)), kConnected);

  // And of connections: each costs the host a process, so they are paced.
  PlainFrontend hasty(*xen_, 1, 1);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  int connections = 0;
  for (; std::chrono::steady_clock::now() < end; ++connections) {
    Connect(hasty, 1, 1);
    hasty.Write("state", kClosing);
    ASSERT_TRUE(WaitForState(1, 1, kClosed));
    hasty.Write("state", kClosed);
  }
  EXPECT_LE(connections, 14);
}

TEST_F(LifecycleTest, ARingThatIsNotGrantedFailsAndMayBeTriedAgain) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Attach(1, "share"), 0);
  PlainFrontend frontend(*xen_, 1, 0);
  frontend.WriteRing();
  frontend.Write("ring-ref", "1023");
  frontend.Write("state", kInitialised);
  ASSERT_TRUE(WaitForState(1, 0, kClosed));
  EXPECT_TRUE(xen_->Read(Private(1, 0, "error")));
  frontend.Write("state", kClosed);
  Connect(frontend, 1, 0);
  EXPECT_FALSE(xen_->Read(Private(1, 0, "error")));
}

TEST_F(LifecycleTest, AGuestThatPublishesAndCrashesLeavesNothing) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Attach(1, "one"), 0);
  ASSERT_EQ(Attach(1, "two"), 1);
  {
    PlainFrontend one(*xen_, 1, 0), two(*xen_, 1, 1);
    Connect(one, 1, 0);
    two.WriteRing();
    two.Write("state", kInitialised);
  }
  ASSERT_TRUE(xen_->Destroy(1));
  EXPECT_EQ(keeper->Wait(), 0);
  ExpectNoNodes(1);
  EXPECT_TRUE(xen_->Holdings(0).empty());
}

// The backend is domain 2, which may not ask whether the guest is there.
TEST_F(LifecycleTest, InADriverDomainTheLossOfTheGuestsNodesIsItsEnd) {
  ASSERT_TRUE(xen_->AddDomain(1));
  ASSERT_TRUE(xen_->AddDomain(2));
  const std::string own = "/local/domain/2/virtfs/1", shares = "/local/domain/2/backend/virtfs/1";
  const std::vector<std::string> keeper_command = {Program("backend/xen-virtfsd"), "--domid", "1"};
  {
    auto early = xen_->Spawn(keeper_command, 2);
    EXPECT_EQ(early->Wait(), 1);
    EXPECT_THAT(early->Output(), HasSubstr("attach one first, with backend=2"));
  }
  std::shared_ptr<Process> keeper;
  for (const std::string devid : {"0", "1"}) {
    auto attach = SpawnAttach(
        1, {"--backend-domid", "2", "tag=" + devid + ",path=" + directory_ + ",security_model=passthrough"});
    if (!keeper) {
      ASSERT_TRUE(xen_->WaitForNode(shares + "/0/state", kInitialising));
      keeper = xen_->Spawn(keeper_command, 2);
    }
    ASSERT_EQ(attach->Wait(), 0) << attach->Output();
  }
  PlainFrontend one(*xen_, 1, 0);
  one.WriteRing();
  one.Write("state", kInitialised);
  ASSERT_TRUE(keeper->Running());
  // One that is detached is no such loss.
  auto detach = SpawnAttach(1, {"--backend-domid", "2", "--detach", "1"});
  ASSERT_EQ(detach->Wait(), 0) << detach->Output();
  EXPECT_TRUE(xen_->Read(shares + "/0/state"));

  ASSERT_TRUE(xen_->Remove("/local/domain/1"));
  EXPECT_EQ(keeper->Wait(), 0);
  EXPECT_FALSE(xen_->Read(own));
  EXPECT_FALSE(xen_->Read(shares));
}

TEST_F(LifecycleTest, AKilledServerCostsItsShareOnlyAndComesBack) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Attach(1, "one"), 0);
  PlainFrontend one(*xen_, 1, 0);
  Connect(one, 1, 0);
  const std::vector<int> victim = ChildrenOf(keeper->pid());
  ASSERT_EQ(victim.size(), 1u);
  ASSERT_EQ(Attach(1, "two"), 1);
  PlainFrontend two(*xen_, 1, 1);
  Connect(two, 1, 1);

  ASSERT_EQ(kill(victim[0], SIGKILL), 0);
  ASSERT_TRUE(WaitForState(1, 0, kClosed));
  EXPECT_THAT(xen_->Read(Private(1, 0, "error")).value_or(""), HasSubstr("killed by signal 9"));
  EXPECT_EQ(xen_->Read(Backend(1, 1)), kConnected);
  one.Write("state", kClosed);
  Connect(one, 1, 0);
  EXPECT_FALSE(xen_->Read(Private(1, 0, "error")));
  EXPECT_EQ(xen_->Read(Backend(1, 1)), kConnected);
}

TEST_F(LifecycleTest, NodesThatAreRemovedByForceEndTheirShares) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Attach(1, "one"), 0);
  ASSERT_EQ(Attach(1, "two"), 1);
  PlainFrontend one(*xen_, 1, 0), two(*xen_, 1, 1);
  Connect(one, 1, 0);
  Connect(two, 1, 1);
  ASSERT_TRUE(xen_->Remove("/local/domain/0/backend/virtfs/1/0"));
  ASSERT_TRUE(keeper->WaitForOutput("share 0: Leaving -> Gone"));
  EXPECT_EQ(xen_->Read(Backend(1, 1)), kConnected);
  ASSERT_TRUE(xen_->Remove("/local/domain/0/backend/virtfs/1"));
  ASSERT_TRUE(keeper->WaitForOutput("share 1: Leaving -> Gone"));
  EXPECT_FALSE(xen_->Read("/local/domain/0/backend/virtfs/1"));
  EXPECT_TRUE(ChildrenOf(keeper->pid()).empty());
  EXPECT_TRUE(keeper->Running());
}

// Removed and attached anew before the keeper looks. When that came between its look and its answer, the new share was
// told Closed, for the old one: a restore failed with "the backend refuses the share and does not say why".
TEST_F(LifecycleTest, AShareInThePlaceOfAnotherIsAnother) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Attach(1, "waits"), 0);
  ASSERT_EQ(Attach(1, "serves"), 1);
  PlainFrontend frontend(*xen_, 1, 1);
  Connect(frontend, 1, 1);
  ASSERT_EQ(kill(keeper->pid(), SIGSTOP), 0);
  std::vector<std::shared_ptr<Process>> again;
  for (const int devid : {0, 1}) {
    auto detach = SpawnAttach(1, {"--detach", std::to_string(devid), "--force", "--wait", "1"});
    ASSERT_EQ(detach->Wait(), 0) << detach->Output();
    again.push_back(
        SpawnAttach(1, {absl::StrCat("tag=new", devid, ",path=", directory_, ",security_model=none,devid=", devid)}));
    ASSERT_TRUE(WaitForState(1, devid, kInitialising));
  }
  ASSERT_EQ(kill(keeper->pid(), SIGCONT), 0);
  for (const auto& attach : again) EXPECT_EQ(attach->Wait(), 0) << attach->Output();
  EXPECT_TRUE(xen_->Holdings(0).empty());
  frontend.WriteRing();
  Connect(frontend, 1, 1);
}

TEST_F(LifecycleTest, AKeeperThatIsToldToEndClosesAndTheNextOneBringsTheSharesBack) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Attach(1, "share"), 0);
  PlainFrontend frontend(*xen_, 1, 0);
  Connect(frontend, 1, 0);

  auto second = StartKeeper(1);
  EXPECT_EQ(second->Wait(), 1);
  EXPECT_THAT(second->Output(), HasSubstr("serves this guest already"));

  ASSERT_EQ(kill(keeper->pid(), SIGTERM), 0);
  ASSERT_TRUE(WaitForState(1, 0, kClosing));
  frontend.Write("state", kClosing);
  EXPECT_EQ(keeper->Wait(), 0);
  EXPECT_EQ(xen_->Read(Backend(1, 0)), kClosed);
  EXPECT_TRUE(xen_->Holdings(0).empty());

  frontend.Write("state", kClosed);
  auto third = StartKeeper(1);
  Connect(frontend, 1, 0);
}

TEST_F(LifecycleTest, AKeeperThatIsKilledTakesItsServersAndTheNextOneCleansUp) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  ASSERT_EQ(Attach(1, "share"), 0);
  PlainFrontend frontend(*xen_, 1, 0);
  Connect(frontend, 1, 0);
  const std::vector<int> servers = ChildrenOf(keeper->pid());
  ASSERT_EQ(servers.size(), 1u);
  const UniqueFd server(pidfd_open(servers[0], 0));
  keeper->Kill();
  pollfd ended = {server.get(), POLLIN, 0};
  EXPECT_EQ(poll(&ended, 1, static_cast<int>(kBound.count())), 1);

  auto next = StartKeeper(1);
  ASSERT_TRUE(WaitForState(1, 0, kClosed));
  frontend.Write("state", kClosed);
  Connect(frontend, 1, 0);
}

TEST_F(LifecycleTest, WithoutAGuestOrAXenstoreThereIsASentence) {
  auto keeper = StartKeeper(7);
  EXPECT_EQ(keeper->Wait(), 1);
  EXPECT_THAT(keeper->Output(), HasSubstr("there is no domain 7: create the guest first"));
  auto lost =
      xen_->Spawn({"/usr/bin/env", "XENSTORED_PATH=/nonexistent", Program("backend/xen-virtfsd"), "--domid", "1"});
  EXPECT_EQ(lost->Wait(), 1);
  EXPECT_THAT(lost->Output(), HasSubstr("cannot reach xenstored"));
  auto attach = SpawnAttach(7, {"tag=t,path=/,security_model=passthrough"});
  EXPECT_EQ(attach->Wait(), 1);
  EXPECT_THAT(attach->Output(), HasSubstr("there is no domain 7"));
  ASSERT_TRUE(xen_->AddDomain(1));
  auto unserved = SpawnAttach(1, {"--wait", "0", "tag=t,path=/,security_model=passthrough"});
  EXPECT_EQ(unserved->Wait(), 1);
  EXPECT_THAT(unserved->Output(), HasSubstr("is xen-virtfsd --domid 1 running"));
  ExpectNoNodes(1);
}

TEST_F(LifecycleTest, TheCommandLine) {
  const struct {
    std::vector<std::string> arguments;
    int status;
    std::string text;
  } kCases[] = {
      {{"--help"}, 0, "Usage: xen-virtfsd --domid N"},
      {{"--version"}, 0, "xen-virtfsd 0"},
      {{}, 2, "which guest? write --domid N"},
      {{"--domid", "x"}, 2, "--domid x is no domain id"},
      {{"--domid", "01"}, 2, "--domid 01 is no domain id"},
      {{"--domid"}, 2, "--domid needs a value"},
      {{"--domid", "1", "--log-level", "loud"}, 2, "write error, warning, info or debug"},
      {{"--domid", "1", "--colour"}, 2, "unknown option --colour"},
      {{"--domid", "1", "extra"}, 2, "what is extra for?"},
  };
  for (const auto& [arguments, status, text] : kCases) {
    std::vector<std::string> argv = {Program("backend/xen-virtfsd")};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    auto process = xen_->Spawn(argv);
    EXPECT_EQ(process->Wait(), status) << text;
    EXPECT_THAT(process->Output(), HasSubstr(text));
  }
}

}  // namespace
}  // namespace virtfs
