// Deaths in the middle of copies: of a guest, twenty times, beside another guest that goes on; of one server.

#include <signal.h>
#include <sys/inotify.h>
#include <sys/wait.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "tests/lifecycle_fixture.h"

namespace virtfs {
namespace {

namespace fs = std::filesystem;

constexpr int kShares = 3;
constexpr int kDeaths = 20;
constexpr int kFiles = 3000;

class LifecycleCopyTest : public LifecycleTest {
 protected:
  void SetUp() override {
    LifecycleTest::SetUp();
    if (HasFatalFailure()) return;
    source_ = directory_ + "/source";
    // Takes some seconds to copy: long enough to die in the middle of it.
    for (int d = 0; d < kFiles / 100; ++d) {
      const std::string directory = source_ + "/d" + std::to_string(d);
      fs::create_directories(directory);
      for (int f = 0; f < 100; ++f) {
        std::ofstream(directory + "/f" + std::to_string(f))
            << std::string(size_t{100} * f, static_cast<char>('a' + f % 26));
      }
    }
  }

  static int FilesBelow(const std::string& directory) {
    int files = 0;
    std::error_code error;
    for (fs::recursive_directory_iterator it(directory, error), none; !error && it != none; it.increment(error)) {
      files += it->is_regular_file(error);
    }
    return files;
  }

  struct Copy {
    std::shared_ptr<Process> process;
    std::string target;
  };
  Copy StartCopy(uint32_t domid, const std::string& tag, const std::string& name) {
    Copy copy;
    copy.target = directory_ + "/" + name;
    fs::create_directory(copy.target);
    copy.process =
        xen_->Spawn({Program("frontend/virtfs-client"), "cp", "-r", tag + ":/", copy.target + "/tree"}, domid);
    return copy;
  }
  // Until the copy is well under way.
  void WaitForMiddle(const Copy& copy) {
    const auto end = std::chrono::steady_clock::now() + kBound;
    const UniqueFd notify(inotify_init1(IN_CLOEXEC));
    inotify_add_watch(notify.get(), copy.target.c_str(), IN_CREATE);
    std::set<std::string> watched;
    for (;;) {
      std::error_code error;
      int files = 0;
      for (fs::recursive_directory_iterator it(copy.target, error), none; it != none; it.increment(error)) {
        if (error) break;
        files += it->is_regular_file(error);
        if (it->is_directory(error) && watched.insert(it->path()).second) {
          inotify_add_watch(notify.get(), it->path().c_str(), IN_CREATE);
        }
      }
      if (files >= 20) return;
      ASSERT_TRUE(copy.process->Running()) << copy.process->Output();
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
      ASSERT_GT(left, 0) << "no copy is under way";
      pollfd event = {notify.get(), POLLIN, 0};
      char buffer[4096];
      // A directory may have got files between the listing and its watch: look again soon.
      if (poll(&event, 1, 50) == 1) (void)!read(notify.get(), buffer, sizeof(buffer));
    }
  }
  // A copy that stands still in its middle. On a busy machine one may be done before it is halted; then another is
  // made.
  Copy StartHalted(uint32_t domid, const std::string& tag, const std::string& name) {
    for (int attempt = 0;; ++attempt) {
      Copy copy = StartCopy(domid, tag, name);
      WaitForMiddle(copy);
      kill(copy.process->pid(), SIGSTOP);
      // With all files there it may have closed its device already.
      siginfo_t ended_or_halted;
      waitid(P_PID, static_cast<id_t>(copy.process->pid()), &ended_or_halted, WEXITED | WSTOPPED | WNOWAIT);
      if (HasFatalFailure() || (copy.process->Running() && FilesBelow(copy.target) < kFiles)) return copy;
      EXPECT_LT(attempt, 20) << "every copy is done before it can be halted";
      if (HasFailure()) return copy;
      kill(copy.process->pid(), SIGCONT);
      copy.process->Wait();
      fs::remove_all(copy.target);
    }
  }
  void GoOn(const std::vector<Copy>& copies) {
    for (const Copy& copy : copies) kill(copy.process->pid(), SIGCONT);
  }
  void ExpectVerified(const Copy& copy) {
    EXPECT_EQ(copy.process->Wait(std::chrono::seconds(120)), 0) << copy.process->Output();
    auto compare = xen_->Spawn({"/usr/bin/diff", "-rq", "--no-dereference", source_, copy.target + "/tree"});
    EXPECT_EQ(compare->Wait(), 0) << compare->Output();
  }

  std::string source_;
};

TEST_F(LifecycleCopyTest, AGuestThatIsDestroyedMidCopyLeavesNothingTwentyTimesOver) {
  constexpr uint32_t kSurvivor = 1, kFirstVictim = 2;
  ASSERT_TRUE(xen_->AddDomain(kSurvivor));
  auto survivor = StartKeeper(kSurvivor);
  for (int s = 0; s < kShares; ++s) ASSERT_EQ(AttachPath(kSurvivor, "s" + std::to_string(s), source_), s);
  const int descriptors = DescriptorsOf(survivor->pid());
  std::vector<Copy> survivors;
  survivors.reserve(kShares);
  const auto copy_again = [&](int s, int round) {
    return StartCopy(kSurvivor, "s" + std::to_string(s), "survivor" + std::to_string(s) + "." + std::to_string(round));
  };
  for (int s = 0; s < kShares; ++s) survivors.push_back(copy_again(s, 0));
  for (const Copy& copy : survivors) WaitForMiddle(copy);

  for (int death = 0; death < kDeaths && !HasFailure(); ++death) {
    const uint32_t domid = kFirstVictim + death;
    ASSERT_TRUE(xen_->AddDomain(domid));
    auto keeper = StartKeeper(domid);
    std::vector<Copy> copies;
    for (int s = 0; s < kShares; ++s) {
      ASSERT_EQ(AttachPath(domid, "s" + std::to_string(s), source_, ",readonly"), s);
    }
    for (int s = 0; s < kShares; ++s) {
      const std::string share = std::to_string(s);
      copies.push_back(StartHalted(domid, "s" + share, "victim" + std::to_string(domid) + "." + share));
    }
    const std::vector<int> servers = ChildrenOf(keeper->pid());
    EXPECT_EQ(servers.size(), static_cast<size_t>(kShares));
    GoOn(copies);
    ASSERT_TRUE(xen_->Destroy(domid));
    EXPECT_EQ(keeper->Wait(), 0) << keeper->Output();
    ExpectNoNodes(domid);
    for (int server : servers) EXPECT_NE(kill(server, 0), 0) << "server " << server << " is left";
    // The survivor's servers hold what is held, and nobody else anything.
    const std::vector<int> living = ChildrenOf(survivor->pid());
    for (const xensim::Holding& holding : xen_->Holdings(0)) {
      EXPECT_THAT(living, testing::Contains(holding.pid)) << holding.command << " of guest " << domid;
    }
    for (const Copy& copy : copies) fs::remove_all(copy.target);

    for (int s = 0; s < kShares; ++s) {
      if (survivors[s].process->Running()) continue;
      ExpectVerified(survivors[s]);
      fs::remove_all(survivors[s].target);
      survivors[s] = copy_again(s, death + 1);
    }
  }
  for (const Copy& copy : survivors) ExpectVerified(copy);
  for (int s = 0; s < kShares; ++s) ASSERT_TRUE(WaitForState(kSurvivor, s, kInitWait));
  EXPECT_EQ(DescriptorsOf(survivor->pid()), descriptors);
}

TEST_F(LifecycleCopyTest, AServerThatIsKilledMidCopyCostsItsShareOnly) {
  ASSERT_TRUE(xen_->AddDomain(1));
  auto keeper = StartKeeper(1);
  ASSERT_EQ(AttachPath(1, "one", source_), 0);
  ASSERT_EQ(AttachPath(1, "two", source_), 1);
  Copy other = StartCopy(1, "two", "other");
  WaitForMiddle(other);
  const std::vector<int> bystander = ChildrenOf(keeper->pid());
  const std::vector<Copy> doomed = {StartHalted(1, "one", "doomed")};
  for (int server : ChildrenOf(keeper->pid())) {
    if (std::count(bystander.begin(), bystander.end(), server) != 0) continue;
    ASSERT_EQ(kill(server, SIGKILL), 0);
  }
  GoOn(doomed);
  EXPECT_NE(doomed[0].process->Wait(), 0);
  ASSERT_TRUE(WaitForState(1, 0, kInitWait));
  ExpectVerified(other);
  ExpectVerified(StartCopy(1, "one", "again"));
}

}  // namespace
}  // namespace virtfs
