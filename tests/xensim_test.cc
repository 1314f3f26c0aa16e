// The simulation as programs meet it: the shared objects under a program linked with Debian's, and xensim-ctl.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "tests/simulated_xen.h"

namespace virtfs {
namespace {

TEST(XensimTest, ALockedDownProgramRunsOnIt) {
  std::unique_ptr<SimulatedXen> xen = SimulatedXen::Start();
  ASSERT_NE(xen, nullptr);
  ASSERT_TRUE(xen->AddDomain(1));
  const std::string program = Program("xensim/library_peer");
  std::shared_ptr<Process> guest = xen->Spawn({program, "guest"}, 1);
  ASSERT_TRUE(guest->WaitForOutput("."));
  unsigned page = 0;
  unsigned copied = 0;
  int port = 0;
  ASSERT_EQ(std::sscanf(guest->Output().c_str(), "ready %u %u %d", &page, &copied, &port), 3);
  std::shared_ptr<Process> backend =
      xen->Spawn({program, "backend", std::to_string(page), std::to_string(copied), std::to_string(port)});
  EXPECT_EQ(backend->Wait(), 0);
  EXPECT_EQ(guest->Wait(), 0);
  std::fputs(backend->Output().c_str(), stdout);
  EXPECT_TRUE(xen->Holdings(0).empty());
  EXPECT_TRUE(xen->Holdings(1).empty());
  const xensim::CallCount copies = xen->Count(0, xensim::Call::kCopy);
  EXPECT_EQ(copies.calls, copies.units);
  EXPECT_GT(copies.calls, 0U);
}

TEST(XensimTest, FaultsReachOtherProcesses) {
  std::unique_ptr<SimulatedXen> xen = SimulatedXen::Start();
  ASSERT_NE(xen, nullptr);
  ASSERT_TRUE(xen->AddDomain(1));
  ASSERT_TRUE(xen->Fault(xensim::Call::kShare, ENOSPC, 0, 1, 1));
  std::shared_ptr<Process> guest = xen->Spawn({Program("xensim/library_peer"), "guest"}, 1);
  EXPECT_EQ(guest->Wait(), 1);
  EXPECT_NE(guest->Output().find("No space left"), std::string::npos);
}

// From a shell, all by xensim-ctl.
TEST(XensimTest, TheCommand) {
  const std::string machine = "/dev/shm/xensim-test-" + std::to_string(getpid()) + ".ctl";
  std::filesystem::remove_all(machine);
  const auto run = [&](const std::string& arguments) {
    const std::string line =
        "XENSIM_DIR=" + machine + " " + Program("xensim/xensim-ctl") + " " + arguments + " </dev/null 2>&1";
    std::string output;
    FILE* pipe = popen(line.c_str(), "r");
    char buffer[512];
    while (std::fgets(buffer, sizeof(buffer), pipe) != nullptr) output += buffer;
    return std::pair(WEXITSTATUS(pclose(pipe)), output);
  };
  EXPECT_EQ(run("stats").first, 1) << "there is none yet";
  ASSERT_EQ(run("up >/dev/null").second, "");
  EXPECT_EQ(run("up").first, 1);
  ASSERT_EQ(run("domain 3 >/dev/null").second, "");
  EXPECT_EQ(run("domain 3").second, "xensim-ctl: cannot make domain 3: it exists\n");
  EXPECT_EQ(run("run 3 /bin/sh -c 'echo $XENSIM_DOMID'").second, "3\n");
  EXPECT_NE(run("env 3").second.find("export XENSTORED_PATH=" + machine + "/dom3.xenstore\n"), std::string::npos);
  EXPECT_NE(run("leaks").second.find("xenstored"), std::string::npos);
  EXPECT_NE(run("stats --json").second.find("\"bind_virq\":{\"calls\":1"), std::string::npos);
  EXPECT_EQ(run("stats --reset").first, 0);
  EXPECT_EQ(run("fault share --domain 3 --count all 28").first, 0);
  EXPECT_NE(run("run 3 " + Program("xensim/library_peer") + " guest").second.find("No space left"), std::string::npos);
  EXPECT_EQ(run("fault clear").first, 0);
  EXPECT_EQ(run("fault nonsense 5").first, 1);
  EXPECT_EQ(run("limit 3 1").first, 0);
  EXPECT_NE(run("run 3 " + Program("xensim/library_peer") + " guest").second.find("No space left"), std::string::npos);
  EXPECT_EQ(run("revoke 3 1").first, 0) << "its xenstore ring";
  EXPECT_EQ(run("revoke 3 100").first, 1);
  EXPECT_EQ(run("destroy 3").second, "");
  EXPECT_EQ(run("destroy 3").first, 1);
  EXPECT_EQ(run("domain 3 >/dev/null").second, "") << "its number is free again";
  EXPECT_EQ(run("nonsense").first, 1);
  EXPECT_EQ(run("down").second, "");
  EXPECT_FALSE(std::filesystem::exists(machine));
}

}  // namespace
}  // namespace virtfs
