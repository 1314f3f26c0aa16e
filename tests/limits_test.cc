// Shares that run into their limits, through the real backend: the documented error, everything else still working,
// nothing lost.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "frontend/remote_file.h"
#include "tests/client_fixture.h"

namespace virtfs {
namespace {

using frontend::Exchange;
using frontend::P9Client;
using frontend::RemoteFid;
using testing::HasSubstr;
using Clock = std::chrono::steady_clock;

class LimitsTest : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    StartGuest();
  }

  // Attaches and connects; share_ is it.
  void Use(const std::string& options) {
    Share("share", options);
    share_ = ConnectShare("share");
    ASSERT_TRUE(share_);
  }
  void TearDown() override {
    share_.Close();
    ClientTest::TearDown();
  }

  P9Client& client() { return *share_.client; }
  p9::Fid root() { return share_.root.get(); }
  Result<RemoteFid> Walk(std::string_view name) {
    const std::string_view names[] = {name};
    return client().Walk(root(), names);
  }
  // A new file, open for reading and writing.
  Result<RemoteFid> Create(std::string_view name) {
    Result<RemoteFid> fid = client().Walk(root());
    if (!fid.ok()) return fid.error();
    const auto made = client().Call(p9::Tlcreate{fid->get(), name, p9::kOpenReadWrite, 0644, 0});
    if (!made.ok()) return made.error();
    return fid;
  }
  Result<uint32_t> Write(p9::Fid fid, uint64_t offset, uint32_t size, uint8_t byte = 'x') {
    const std::vector<uint8_t> bytes(size, byte);
    const auto reply = client().Call(p9::Twrite{fid, offset, size}, bytes);
    if (!reply.ok()) return reply.error();
    return reply->count;
  }
  int Unlink(std::string_view name) { return ErrorOf(client().Call(p9::Tunlinkat{root(), name, 0})); }
  template <typename T>
  static int ErrorOf(const Result<T>& result) {
    return result.ok() ? 0 : result.error().value();
  }

  struct Free {
    uint64_t files;
    uint64_t space;
  };
  // Once the clunks of fids that went out of scope are answered, for which the client does not wait: a file that is
  // still open is counted.
  Free Statfs() {
    EXPECT_TRUE(share_.device->channel().WaitIdle(std::chrono::steady_clock::now() + kBound));
    const Result<p9::Rstatfs> status = client().Call(p9::Tstatfs{root()});
    if (!status.ok()) return {};
    EXPECT_EQ(status->bavail, status->bfree);
    return {status->ffree, status->bfree * status->bsize};
  }

  // Kills the server, and goes on with a new one.
  void LoseTheServer() {
    const std::vector<int> servers = ChildrenOf(keeper_->pid());
    ASSERT_EQ(servers.size(), 1U);
    ASSERT_EQ(kill(servers[0], SIGKILL), 0);
    EXPECT_EQ(ErrorOf(client().Call(p9::Tgetattr{root(), p9::kGetattrBasic})), EIO);
    const absl::Status again = [&] {
      const AsDomain guest(*xen_, kGuest);
      return share_.device->Reconnect();
    }();
    ASSERT_TRUE(again.ok()) << again;
    client().Resume(share_.device->channel(), false);
    ASSERT_TRUE(client().Version(512 * 1024).ok());
    Result<RemoteFid> root = client().Attach();
    ASSERT_TRUE(root.ok());
    share_.root = *std::move(root);
  }

  Connection share_;
};

TEST_F(LimitsTest, AFullShareKeepsWhatItHas) {
  constexpr uint64_t kMaxSpace = 1 << 20;
  Share("share", ",max-space=1M");
  // Some of it is there before.
  WriteFile("share/before", std::string(100'000, 'b'));
  std::string content;
  for (int i = 0; content.size() < 600'000; ++i) content += std::to_string(i);
  WriteFile("fits", content);
  std::string output;
  ASSERT_EQ(Client({"put", Path("fits"), "share:/fits"}, &output), 0) << output;
  EXPECT_EQ(Client({"put", Path("fits"), "share:/more"}, &output), 1);
  EXPECT_THAT(output, HasSubstr("No space left on device"));
  EXPECT_EQ(ReadFile("share/fits"), content);

  share_ = ConnectShare("share");
  ASSERT_TRUE(share_);
  (void)Unlink("more");
  const uint64_t left = kMaxSpace - 102'400 - 602'112;
  EXPECT_EQ(Statfs().space, left);
  {
    // To the last byte, by writes of which the last is cut.
    Result<RemoteFid> file = Create("rest");
    ASSERT_TRUE(file.ok());
    uint64_t size = 0;
    Result<uint32_t> written = 0U;
    while ((written = Write(file->get(), size, 50'000)).ok()) size += *written;
    EXPECT_EQ(written.error(), Errno(ENOSPC));
    EXPECT_EQ(size, left);
    EXPECT_EQ(Statfs().space, 0u);
    // All that takes no space works.
    EXPECT_EQ(*Write(file->get(), 1000, 50'000, 'o'), 50'000u);
    EXPECT_EQ(ReadFile("share/rest"),
              std::string(1000, 'x') + std::string(50'000, 'o') + std::string(left - 51'000, 'x'));
    EXPECT_EQ(ErrorOf(client().Call(p9::Tmkdir{root(), "dir", 0755, 0})), 0);
    EXPECT_EQ(ErrorOf(client().Call(p9::Tsymlink{root(), "link", "target", 0})), 0);
    EXPECT_EQ(ErrorOf(client().Call(p9::Tlink{root(), file->get(), "rest too"})), 0);
    EXPECT_EQ(ErrorOf(client().Call(p9::Trenameat{root(), "fits", root(), "still fits"})), 0);
    Result<RemoteFid> empty = Create("empty");
    ASSERT_TRUE(empty.ok());
    EXPECT_EQ(ErrorOf(Write(empty->get(), 0, 1)), ENOSPC);
    EXPECT_EQ(ErrorOf(client().Call(p9::Tsetattr{.fid = empty->get(), .valid = p9::kSetattrSize, .size = 1})), ENOSPC);
    EXPECT_EQ(ErrorOf(client().Call(p9::Tfsync{file->get(), 0})), 0);
  }
  EXPECT_EQ(ReadFile("share/before"), std::string(100'000, 'b'));
  EXPECT_EQ(ReadFile("share/still fits"), content);

  // A new server counts the same.
  ASSERT_NO_FATAL_FAILURE(LoseTheServer());
  EXPECT_EQ(Statfs().space, 0u);
  // Freed space is there again: not while another name is left, not while it is open.
  ASSERT_EQ(Unlink("rest"), 0);
  EXPECT_EQ(Statfs().space, 0u);
  {
    const Result<RemoteFid> open = Walk("rest too");
    ASSERT_TRUE(open.ok());
    ASSERT_EQ(ErrorOf(client().Call(p9::Tlopen{open->get(), p9::kOpenReadWrite})), 0);
    ASSERT_EQ(Unlink("rest too"), 0);
    EXPECT_EQ(Statfs().space, 0u);
    EXPECT_EQ(ErrorOf(Write(open->get(), left, 1)), ENOSPC) << "without a name, too";
    ASSERT_EQ(ErrorOf(client().Call(p9::Tclunk{open->get()})), 0);
  }
  EXPECT_EQ(Statfs().space, left);
  share_.Close();
  WriteFile("small", std::string(left, 's'));
  EXPECT_EQ(Client({"put", Path("small"), "share:/small"}, &output), 0) << output;
  EXPECT_EQ(ReadFile("share/small"), std::string(left, 's'));
}

TEST_F(LimitsTest, FilesRunOutAndComeBack) {
  ASSERT_NO_FATAL_FAILURE(Use(",max-files=10"));
  std::vector<std::string> names;
  for (int i = 0; i < 10; ++i) {
    names.push_back("file" + std::to_string(i));
    ASSERT_TRUE(Create(names.back()).ok());
  }
  EXPECT_EQ(Statfs().files, 0u);
  EXPECT_EQ(ErrorOf(Create("more")), ENOSPC);
  EXPECT_EQ(ErrorOf(client().Call(p9::Tmkdir{root(), "more", 0755, 0})), ENOSPC);
  EXPECT_EQ(ErrorOf(client().Call(p9::Tmknod{root(), "more", S_IFIFO | 0600, 0, 0, 0})), ENOSPC);
  EXPECT_FALSE(std::filesystem::exists(Path("share/more")));
  EXPECT_EQ(ErrorOf(client().Call(p9::Tmkdir{root(), "file0", 0755, 0})), EEXIST);
  EXPECT_EQ(ErrorOf(Create("file0")), 0) << "opens it";
  {
    const Result<RemoteFid> file = Walk("file0");
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(ErrorOf(client().Call(p9::Tlink{root(), file->get(), "a link"})), 0);
  }
  // Over another, then by the last name, then by a fid.
  EXPECT_EQ(ErrorOf(client().Call(p9::Trenameat{root(), "file1", root(), "file2"})), 0);
  EXPECT_EQ(Statfs().files, 1u);
  EXPECT_EQ(Unlink("file0"), 0);
  EXPECT_EQ(Statfs().files, 1u);
  EXPECT_EQ(Unlink("a link"), 0);
  EXPECT_EQ(Statfs().files, 2u);
  Result<RemoteFid> removed = Walk("file3");
  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(ErrorOf(client().Call(p9::Tremove{removed->get()})), 0);
  removed->Forget();
  EXPECT_EQ(Statfs().files, 3u);
  for (const char* name : {"new1", "new2", "new3"}) EXPECT_EQ(ErrorOf(Create(name)), 0);
  EXPECT_EQ(ErrorOf(Create("new4")), ENOSPC);
  ASSERT_NO_FATAL_FAILURE(LoseTheServer());
  EXPECT_EQ(Statfs().files, 0u);
  EXPECT_EQ(ErrorOf(Create("new4")), ENOSPC);
}

// A lease of this process: whoever opens the file waits.
class Lease {
 public:
  explicit Lease(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    if (fcntl(fd_, F_SETLEASE, F_WRLCK) != 0) ADD_FAILURE() << "no lease: " << strerror(errno);
  }
  ~Lease() { close(fd_); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  bool wanted() const { return fcntl(fd_, F_GETLEASE) != F_WRLCK; }

 private:
  int fd_;
};

TEST_F(LimitsTest, TooManyRequestsAreToldToComeAgain) {
  constexpr size_t kMaxRequests = 4;
  signal(SIGIO, SIG_IGN);  // the kernel tells a holder that its lease is wanted
  ASSERT_NO_FATAL_FAILURE(Use(",max-requests=4"));
  std::vector<RemoteFid> fids;
  std::vector<std::unique_ptr<Lease>> leases;
  for (size_t i = 0; i < kMaxRequests; ++i) {
    const std::string name = "leased" + std::to_string(i);
    WriteFile("share/" + name, "leased");
    Result<RemoteFid> fid = Walk(name);
    ASSERT_TRUE(fid.ok());
    fids.push_back(*std::move(fid));
    leases.push_back(std::make_unique<Lease>(Path("share/" + name)));
  }
  Result<RemoteFid> spare = client().Walk(root());
  ASSERT_TRUE(spare.ok());
  std::vector<std::unique_ptr<Exchange<p9::Tlopen>>> opens;
  for (const RemoteFid& fid : fids) {
    opens.push_back(std::make_unique<Exchange<p9::Tlopen>>(client()));
    opens.back()->Start({fid.get(), p9::kOpenReadWrite});
  }
  const auto deadline = Clock::now() + kBound;
  for (const auto& lease : leases) {
    while (!lease->wanted()) ASSERT_LT(Clock::now(), deadline);
  }
  EXPECT_EQ(ErrorOf(client().Call(p9::Tgetattr{root(), p9::kGetattrBasic})), EAGAIN);
  EXPECT_EQ(ErrorOf(client().Call(p9::Tstatfs{root()})), EAGAIN);
  EXPECT_EQ(ErrorOf(client().Call(p9::Tclunk{spare->get()})), 0);
  spare->Forget();
  opens[0]->Flush();
  EXPECT_EQ(opens[0]->Wait().error(), Errno(EINTR));
  EXPECT_EQ(ErrorOf(client().Call(p9::Tgetattr{root(), p9::kGetattrBasic})), 0);
  leases.clear();
  for (size_t i = 1; i < opens.size(); ++i) EXPECT_TRUE(opens[i]->Wait().ok());
}

TEST_F(LimitsTest, OneShareIsThrottledAndTheOtherIsNot) {
  constexpr int kOperations = 110;
  Share("other");
  ASSERT_NO_FATAL_FAILURE(Use(",throttle-ops=50,throttle-ops-burst=10"));
  Connection other = ConnectShare("other");
  ASSERT_TRUE(other);
  // Tversion and Tattach were of the burst, if it has not filled up since.
  const auto start = Clock::now();
  std::atomic<bool> done = false;
  std::thread throttled([&] {
    for (int i = 0; i < kOperations; ++i) {
      EXPECT_TRUE(client().Call(p9::Tgetattr{root(), p9::kGetattrBasic}).ok());
    }
    done = true;
  });
  for (int i = 0; i < kOperations; ++i) {
    EXPECT_TRUE(other.client->Call(p9::Tgetattr{other.root.get(), p9::kGetattrBasic}).ok());
  }
  EXPECT_FALSE(done) << "it has two seconds to go";
  throttled.join();
  EXPECT_GE(Clock::now() - start, std::chrono::seconds(2));
  other.Close();
}

TEST_F(LimitsTest, BytesAreThrottledBothWays) {
  constexpr uint32_t kPiece = 256 << 10;
  ASSERT_NO_FATAL_FAILURE(Use(",throttle-bytes=4M,throttle-bytes-burst=512K"));
  Result<RemoteFid> file = Create("file");
  ASSERT_TRUE(file.ok());
  const auto start = Clock::now();
  std::vector<uint8_t> bytes(kPiece);
  for (int i = 0; i < 8; ++i) {
    ASSERT_EQ(*Write(file->get(), uint64_t{kPiece} * i, kPiece), kPiece);
    ASSERT_EQ(client().Call(p9::Tread{file->get(), uint64_t{kPiece} * i, kPiece}, {}, bytes)->count, kPiece);
  }
  // All but the burst was paid for, and but for the last one, whose debt is left.
  EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(1000 * (16 * 256 - 512 - 256) / 4096));
}

}  // namespace
}  // namespace virtfs
