// Many fids, and requests that a host's leases block, of one client through the real backend.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/remote_file.h"
#include "tests/client_fixture.h"

namespace virtfs {
namespace {

using frontend::Exchange;
using frontend::P9Client;
using frontend::RemoteFid;

class ClientLoadTest : public ClientTest {
 protected:
  // Many exchanges at once: `start` begins number i, `finish` takes its reply.
  template <p9::Request T, typename Start, typename Finish>
  void Pipelined(P9Client& client, size_t count, Start start, Finish finish) {
    constexpr size_t kDepth = 64;
    std::vector<std::unique_ptr<Exchange<T>>> exchanges;
    for (size_t i = 0; i < count + kDepth; ++i) {
      if (i >= kDepth) {
        finish(i - kDepth, exchanges[i % kDepth]->Wait());
        if (testing::Test::HasFailure()) return;
      }
      if (i >= count) continue;
      if (exchanges.size() < kDepth) exchanges.push_back(std::make_unique<Exchange<T>>(client));
      exchanges[i % kDepth]->Start(start(i));
    }
  }

  Result<RemoteFid> Walk(P9Client& client, p9::Fid from, std::string_view name) {
    const std::string_view names[] = {name};
    return client.Walk(from, names);
  }
};

TEST_F(ClientLoadTest, TwentyThousandFidsAt256DescriptorsOutliveRenames) {
  constexpr size_t kFiles = 20'000;
  StartGuest({"/usr/bin/prlimit", "--nofile=256:256"});
  Share("tree");
  ASSERT_EQ(mkdir(Path("tree/above").c_str(), 0755), 0);
  ASSERT_EQ(mkdir(Path("tree/above/dir").c_str(), 0755), 0);
  std::vector<std::string> names;
  for (size_t i = 0; i < kFiles; ++i) {
    names.push_back("f" + std::to_string(i));
    const int fd = open(Path("tree/above/dir/" + names[i]).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_EQ(write(fd, names[i].data(), names[i].size()), static_cast<ssize_t>(names[i].size()));
    close(fd);
  }
  Connection share = ConnectShare("tree");
  ASSERT_TRUE(share);
  P9Client& client = *share.client;
  const Result<RemoteFid> above = Walk(client, share.root.get(), "above");
  ASSERT_TRUE(above.ok());
  const Result<RemoteFid> directory = Walk(client, above->get(), "dir");
  ASSERT_TRUE(directory.ok());
  std::vector<p9::Fid> fids(kFiles);
  Pipelined<p9::Twalk>(
      client, kFiles,
      [&](size_t i) {
        fids[i] = client.NewFid();
        return p9::Twalk{directory->get(), fids[i], {names[i]}};
      },
      [&](size_t i, const Result<p9::Rwalk>& reply) {
        ASSERT_TRUE(reply.ok() && reply->wqid.size() == 1) << names[i];
      });
  ASSERT_FALSE(HasFailure());

  std::vector<uint64_t> identities(kFiles);
  const auto check_all = [&](bool first) {
    Pipelined<p9::Tgetattr>(
        client, kFiles,
        [&](size_t i) {
          return p9::Tgetattr{fids[i], p9::kGetattrBasic};
        },
        [&](size_t i, const Result<p9::Rgetattr>& reply) {
          ASSERT_TRUE(reply.ok()) << names[i] << ": " << reply.error().message();
          ASSERT_EQ(reply->size, names[i].size());
          if (first) identities[i] = reply->qid.path;
          ASSERT_EQ(reply->qid.path, identities[i]);
        });
  };
  check_all(true);
  ASSERT_FALSE(HasFailure());
  ASSERT_EQ(rename(Path("tree/above").c_str(), Path("tree/renamed by the host").c_str()), 0);
  check_all(false);
  ASSERT_FALSE(HasFailure()) << "after the host's rename";
  ASSERT_TRUE(
      client.Call(p9::Trenameat{share.root.get(), "renamed by the host", share.root.get(), "by the guest"}).ok());
  check_all(false);
  ASSERT_FALSE(HasFailure()) << "after the guest's rename";
  // They can be opened and read, too.
  for (size_t i = 0; i < kFiles; i += 97) {
    ASSERT_TRUE(client.Call(p9::Tlopen{fids[i], p9::kOpenReadOnly}).ok());
    frontend::RemoteReader reader(client, fids[i], names[i].size(), {});
    const Result<std::span<const uint8_t>> bytes = reader.Next();
    ASSERT_TRUE(bytes.ok());
    ASSERT_EQ(std::string(bytes->begin(), bytes->end()), names[i]);
    ASSERT_TRUE(client.Call(p9::Tclunk{fids[i]}).ok());
  }
}

// A lease of this process on a file of the host: whoever opens the file waits until it is given back.
class Lease {
 public:
  explicit Lease(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    held_ = fcntl(fd_, F_SETLEASE, F_WRLCK) == 0;
  }
  ~Lease() { close(fd_); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  bool held() const { return held_; }
  // Whether somebody wants the file.
  bool wanted() const { return fcntl(fd_, F_GETLEASE) != F_WRLCK; }

 private:
  int fd_;
  bool held_;
};

class BlockedByLeases : public ClientLoadTest, public testing::WithParamInterface<size_t> {
 protected:
  void SetUp() override {
    ClientLoadTest::SetUp();
    // The kernel tells a holder that its lease is wanted.
    signal(SIGIO, SIG_IGN);
    StartGuest();
    Share("share");
    WriteFile("share/free", "free");
    for (size_t i = 0; i < GetParam(); ++i) {
      WriteFile("share/leased" + std::to_string(i), "leased");
      leases_.push_back(std::make_unique<Lease>(Path("share/leased" + std::to_string(i))));
      ASSERT_TRUE(leases_.back()->held()) << strerror(errno);
    }
    share_ = ConnectShare("share");
    ASSERT_TRUE(share_);
  }

  void TearDown() override {
    opens_.clear();
    fids_.clear();
    share_.Close();
    ClientLoadTest::TearDown();
  }

  // Opens every leased file, and waits until the server has run into every lease.
  void BlockAll() {
    P9Client& client = *share_.client;
    for (size_t i = 0; i < GetParam(); ++i) {
      const std::string name = "leased" + std::to_string(i);
      Result<RemoteFid> fid = Walk(client, share_.root.get(), name);
      ASSERT_TRUE(fid.ok());
      fids_.push_back(*std::move(fid));
      opens_.push_back(std::make_unique<Exchange<p9::Tlopen>>(client));
      opens_.back()->Start({fids_.back().get(), p9::kOpenReadWrite});
    }
    const auto deadline = std::chrono::steady_clock::now() + kBound;
    for (const std::unique_ptr<Lease>& lease : leases_) {
      while (!lease->wanted()) ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    }
  }

  // One of every operation that no lease is in the way of.
  void ServeOthers(const std::string& mark) {
    P9Client& client = *share_.client;
    const p9::Fid root = share_.root.get();
    const Result<RemoteFid> file = Walk(client, root, "free");
    ASSERT_TRUE(file.ok());
    EXPECT_TRUE(client.Call(p9::Tgetattr{file->get(), p9::kGetattrBasic}).ok());
    EXPECT_TRUE(client.Call(p9::Tlopen{file->get(), p9::kOpenReadWrite}).ok());
    std::vector<uint8_t> data(4096);
    EXPECT_TRUE(client.Call(p9::Tread{file->get(), 0, 4096}, {}, data).ok());
    EXPECT_TRUE(client.Call(p9::Twrite{file->get(), 0, 4}, std::span(data).first(4)).ok());
    EXPECT_TRUE(client.Call(p9::Tfsync{file->get(), 0}).ok());
    p9::Tsetattr mode{.fid = file->get(), .valid = p9::kSetattrMode, .mode = 0640};
    EXPECT_TRUE(client.Call(mode).ok());
    EXPECT_TRUE(client.Call(p9::Tstatfs{root}).ok());
    EXPECT_TRUE(client.Call(p9::Tmkdir{root, "dir" + mark, 0755, 0}).ok());
    const Result<RemoteFid> created = client.Walk(root);
    ASSERT_TRUE(created.ok());
    const std::string name = "new" + mark;
    EXPECT_TRUE(client.Call(p9::Tlcreate{created->get(), name, p9::kOpenWriteOnly, 0600, 0}).ok());
    EXPECT_TRUE(client.Call(p9::Tsymlink{root, "link" + mark, "target", 0}).ok());
    EXPECT_TRUE(client.Call(p9::Trenameat{root, name, root, name + "'"}).ok());
    EXPECT_TRUE(client.Call(p9::Tunlinkat{root, name + "'", 0}).ok());
    const Result<RemoteFid> directory = client.Walk(root);
    ASSERT_TRUE(directory.ok());
    EXPECT_TRUE(client.Call(p9::Tlopen{directory->get(), p9::kOpenReadOnly}).ok());
    const Result<std::vector<frontend::RemoteEntry>> entries = frontend::ReadDirectory(client, directory->get());
    EXPECT_TRUE(entries.ok() && entries->size() > GetParam());
  }

  std::vector<std::unique_ptr<Lease>> leases_;
  Connection share_;
  std::vector<RemoteFid> fids_;
  std::vector<std::unique_ptr<Exchange<p9::Tlopen>>> opens_;
};

TEST_P(BlockedByLeases, OthersAndFlushesFinish) {
  ASSERT_NO_FATAL_FAILURE(BlockAll());
  ASSERT_NO_FATAL_FAILURE(ServeOthers("1"));
  // A flushed request is over without its lease.
  for (size_t i = 0; i < opens_.size(); i += 2) {
    opens_[i]->Flush();
    EXPECT_EQ(opens_[i]->Wait().error(), Errno(EINTR));
  }
  ASSERT_NO_FATAL_FAILURE(ServeOthers("2"));
  // The others go on when they get it.
  leases_.clear();
  for (size_t i = 1; i < opens_.size(); i += 2) EXPECT_TRUE(opens_[i]->Wait().ok());
  opens_.clear();
}

// The pool has 16 threads. The last is more than these, and most of what the ring holds.
INSTANTIATE_TEST_SUITE_P(Requests, BlockedByLeases, testing::Values(1, 15, 16, 100));

}  // namespace
}  // namespace virtfs
