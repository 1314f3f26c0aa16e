#include "tests/simulated_xen.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

namespace virtfs {
namespace {

using namespace std::chrono_literals;

TEST(SimulatedXenTest, StartsFast) {
  const auto begin = std::chrono::steady_clock::now();
  std::unique_ptr<SimulatedXen> xen = SimulatedXen::Start();
  ASSERT_NE(xen, nullptr);
  ASSERT_TRUE(xen->AddDomain(1));
  const auto took = std::chrono::steady_clock::now() - begin;
  std::printf("a machine with one domain: %.1f ms\n", std::chrono::duration<double, std::milli>(took).count());
  EXPECT_EQ(xen->Read("/local/domain/1/domid"), "1");
}

TEST(SimulatedXenTest, AGuestIsUnprivileged) {
  std::unique_ptr<SimulatedXen> xen = SimulatedXen::Start();
  ASSERT_NE(xen, nullptr);
  ASSERT_TRUE(xen->AddDomain(1));
  ASSERT_TRUE(xen->Write("/local/domain/0/secret", "path"));
  const StoreHandle guest = xen->OpenStore(1);
  unsigned size = 0;
  EXPECT_FALSE(xs_write(guest.get(), XBT_NULL, "/local/domain/1/name", "x", 1));
  EXPECT_EQ(errno, EACCES);
  EXPECT_EQ(xs_read(guest.get(), XBT_NULL, "/local/domain/0/secret", &size), nullptr);
  EXPECT_EQ(errno, EACCES);
  EXPECT_TRUE(xs_write(guest.get(), XBT_NULL, "data/here", "x", 1)) << strerror(errno);  // relative to its own
  EXPECT_EQ(xen->Read("/local/domain/1/data/here"), "x");
}

TEST(SimulatedXenTest, ProcessesOfAGuestShareItsStore) {
  std::unique_ptr<SimulatedXen> xen = SimulatedXen::Start();
  ASSERT_NE(xen, nullptr);
  ASSERT_TRUE(xen->AddDomain(1));
  const StoreHandle one = xen->OpenStore(1);
  StoreHandle two = xen->OpenStore(1);
  // The same watch with the same token in both: each gets its own events, with its own token.
  ASSERT_TRUE(xs_watch(one.get(), "data", "token:1"));
  ASSERT_TRUE(xs_watch(two.get(), "data", "token:1"));
  for (xs_handle* handle : {one.get(), two.get()}) {
    unsigned count = 0;
    char** event = xs_read_watch(handle, &count);
    ASSERT_NE(event, nullptr);
    EXPECT_STREQ(event[XS_WATCH_PATH], "data");
    EXPECT_STREQ(event[XS_WATCH_TOKEN], "token:1");
    free(event);
  }
  // Transactions side by side; the second to end sees the conflict.
  const xs_transaction_t first = xs_transaction_start(one.get());
  const xs_transaction_t second = xs_transaction_start(two.get());
  ASSERT_NE(first, second);
  for (const auto& [handle, transaction] : {std::pair(one.get(), first), std::pair(two.get(), second)}) {
    unsigned size = 0;
    free(xs_read(handle, transaction, "data", &size));
    EXPECT_TRUE(xs_write(handle, transaction, "data", "v", 1));
  }
  EXPECT_TRUE(xs_transaction_end(one.get(), first, false));
  EXPECT_FALSE(xs_transaction_end(two.get(), second, false));
  EXPECT_EQ(errno, EAGAIN);
  // One that goes leaves the others be.
  two.reset();
  EXPECT_TRUE(xs_write(one.get(), XBT_NULL, "data/later", "x", 1));
}

TEST(SimulatedXenTest, AClientThatGoesLeavesNoWatchOrTransactionBehind) {
  std::unique_ptr<SimulatedXen> xen = SimulatedXen::Start();
  ASSERT_NE(xen, nullptr);
  ASSERT_TRUE(xen->AddDomain(1));
  // xenstored allows a domain 10 transactions and 128 watches; more than that pass through one after another.
  for (int i = 0; i < 20; ++i) {
    const StoreHandle guest = xen->OpenStore(1);
    ASSERT_NE(xs_transaction_start(guest.get()), XBT_NULL) << i << ": " << strerror(errno);
    for (int j = 0; j < 10; ++j) {
      ASSERT_TRUE(xs_watch(guest.get(), "data", std::to_string(j).c_str())) << i << ": " << strerror(errno);
    }
  }
}

TEST(SimulatedXenTest, DestroyingADomainTellsTheOthers) {
  std::unique_ptr<SimulatedXen> xen = SimulatedXen::Start();
  ASSERT_NE(xen, nullptr);
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(xen->AddDomain(7));
    std::shared_ptr<Process> guest = xen->Spawn({"/bin/sleep", "1000"}, 7);
    const StoreHandle watcher = xen->OpenStore(0);
    ASSERT_TRUE(xs_is_domain_introduced(watcher.get(), 7));
    ASSERT_TRUE(xs_watch(watcher.get(), "@releaseDomain", "x"));
    ASSERT_TRUE(xen->Destroy(7));
    EXPECT_FALSE(guest->Running());
    for (int events = 0; events < 2; ++events) {  // the first is that of the watch itself
      unsigned count = 0;
      char** event = xs_read_watch(watcher.get(), &count);
      ASSERT_NE(event, nullptr);
      EXPECT_STREQ(event[XS_WATCH_PATH], "@releaseDomain");
      free(event);
    }
    EXPECT_FALSE(xs_is_domain_introduced(watcher.get(), 7));
    EXPECT_TRUE(xen->WaitForNoNode("/local/domain/7"));
    EXPECT_TRUE(xen->Holdings(7).empty());
  }
}

TEST(SimulatedXenTest, WaitsForNodesAndProcesses) {
  std::unique_ptr<SimulatedXen> xen = SimulatedXen::Start();
  ASSERT_NE(xen, nullptr);
  ASSERT_TRUE(xen->Write("/a", "1"));
  EXPECT_TRUE(xen->WaitForNode("/a", "1"));
  std::shared_ptr<Process> shell = xen->Spawn({"/bin/sh", "-c", "echo in $XENSIM_DOMID; exit 3"}, 5);
  EXPECT_TRUE(shell->WaitForOutput("in 5"));
  EXPECT_EQ(shell->Wait(), 3);
  std::shared_ptr<Process> sleeper = xen->Spawn({"/bin/sleep", "1000"});
  sleeper->Kill(SIGTERM);
  EXPECT_EQ(sleeper->Wait(), 128 + SIGTERM);
}

}  // namespace
}  // namespace virtfs
