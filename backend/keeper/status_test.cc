#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "backend/keeper/report.h"
#include "backend/keeper/status_socket.h"

namespace virtfs::backend {
namespace {

using testing::HasSubstr;

nlohmann::json ReportOf(const std::vector<ShareReport>& shares) {
  return nlohmann::json::parse(ReportJson(3, 0, shares), nullptr, false);
}

TEST(ReportTest, AShareBeforeItsFirstServer) {
  const auto report = ReportOf({{.devid = 2, .tag = "share", .path = "/srv/\xff", .phase = Phase::kWaiting}});
  ASSERT_FALSE(report.is_discarded());
  EXPECT_EQ(report["version"], 1);
  EXPECT_EQ(report["domid"], 3);
  EXPECT_EQ(report["pid"], getpid());
  const auto& share = report["shares"][0];
  EXPECT_EQ(share["devid"], 2);
  EXPECT_EQ(share["transport"], "virtfs");
  EXPECT_EQ(share["state"], "Waiting");
  EXPECT_EQ(share["path"], "/srv/\xef\xbf\xbd");
  EXPECT_TRUE(share["counters"].is_null());
  EXPECT_TRUE(share["pid"].is_null());
  EXPECT_TRUE(ReportOf({})["shares"].empty());
}

TEST(ReportTest, CountersAreThere) {
  auto counters = std::make_unique<Counters>();
  counters->session.fids = 5;
  counters->session.msize = 65536;
  counters->usage.files = 8;
  counters->operations[0].errors = 1;
  counters->operations[0].longest = 1500;
  counters->operations[0].latency[LatencyBuckets::IndexOf(1500)] = 2;
  counters->operations[0].latency[LatencyBuckets::kCount - 1] = 1;
  ShareReport share{.phase = Phase::kServing, .connected_since = 1000, .server = 77, .counters = counters.get()};
  share.options.max_files = 10;
  const auto report = ReportOf({share});
  ASSERT_FALSE(report.is_discarded());
  const auto& json = report["shares"][0]["counters"];
  EXPECT_EQ(json["msize"], 65536);
  EXPECT_EQ(json["limits"]["fids"], (nlohmann::json{{"used", 5}, {"max", 1 << 20}}));
  EXPECT_EQ(json["limits"]["files"], (nlohmann::json{{"used", 8}, {"max", 10}}));
  EXPECT_FALSE(json["limits"].contains("space"));
  EXPECT_EQ(json["limits"]["requests"], (nlohmann::json{{"used", 0}}));
  ASSERT_EQ(json["operations"].size(), 1u);
  EXPECT_EQ(json["operations"]["Tversion"]["count"], 3);
  EXPECT_EQ(json["operations"]["Tversion"]["errors"], 1);
  EXPECT_EQ(json["operations"]["Tversion"]["max_ns"], 1500);
  const auto& latency = json["operations"]["Tversion"]["latency_ns"];
  ASSERT_EQ(latency.size(), 2u);
  EXPECT_EQ(latency[0], (nlohmann::json{1280, 1536, 2}));
  EXPECT_EQ(latency[1][1], UINT64_MAX);
}

TEST(ReportTest, NonsenseFromAServerOrAGuestIsBounded) {
  auto counters = std::make_unique<Counters>();
  memset(static_cast<void*>(counters.get()), 0xff, sizeof(Counters));
  const std::string tag = "\x1b[2J\"\\" + std::string(4000, 'x');
  const std::string text = ReportJson(3, 0, {{.tag = tag, .phase = Phase::kServing, .counters = counters.get()}});
  EXPECT_LT(text.size(), 400'000u);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  const auto report = nlohmann::json::parse(text, nullptr, false);
  ASSERT_FALSE(report.is_discarded());
  EXPECT_LE(report["shares"][0]["tag"].get<std::string>().size(), 255u);
  EXPECT_EQ(report["shares"][0]["counters"]["operations"].size(), kOperations);
}

class StatusSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/virtfs-status-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Path() const { return directory_ + "/run/keeper-3.sock"; }
  // -1: refused.
  UniqueFd Connect() const {
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    Path().copy(address.sun_path, Path().size());
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) fd.reset();
    return fd;
  }
  // What has come up to now; the end of the stream as "$".
  static std::string Read(const UniqueFd& fd) {
    std::string text(1 << 20, 0);
    const ssize_t got = recv(fd.get(), text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return got == 0 ? "$" : text;
  }
  static size_t Waiting(const StatusSocket& socket) {
    std::vector<pollfd> fds;
    socket.Poll(fds);
    return fds.size();
  }

  std::string directory_;
  const StatusSocket::Time now_ = std::chrono::steady_clock::now();
};

TEST_F(StatusSocketTest, WhoConnectsGetsTheDocumentAndTheEnd) {
  auto socket = StatusSocket::Open(directory_ + "/run", 3);
  ASSERT_TRUE(socket.ok()) << socket.status();
  struct stat status;
  ASSERT_EQ(stat(Path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  int made = 0;
  const auto document = [&made] { return std::to_string(++made); };
  socket->Step(now_, document);
  EXPECT_EQ(made, 0);
  const UniqueFd first = Connect(), second = Connect();
  socket->Step(now_, document);
  EXPECT_EQ(Read(first), "1");
  EXPECT_EQ(Read(first), "$");
  EXPECT_EQ(Read(second), "2");
  EXPECT_FALSE(socket->WakeTime());
}

TEST_F(StatusSocketTest, WhoDoesNotReadIsGivenUpAndHoldsNobodyUp) {
  auto socket = StatusSocket::Open(directory_ + "/run", 3);
  ASSERT_TRUE(socket.ok());
  const auto document = [] { return std::string(4 << 20, 'x'); };
  std::vector<UniqueFd> clients;
  for (size_t i = 0; i < StatusSocket::kClients; ++i) clients.push_back(Connect());
  socket->Step(now_, document);
  EXPECT_EQ(Waiting(*socket), StatusSocket::kClients);
  // One more waits in the queue. One that goes makes room for it, one that reads gets on.
  const UniqueFd more = Connect();
  ASSERT_TRUE(more.ok());
  clients.pop_back();
  EXPECT_FALSE(Read(clients[0]).empty());
  socket->Step(now_, document);
  socket->Step(now_, document);
  EXPECT_FALSE(Read(more).empty());
  EXPECT_EQ(socket->WakeTime(), now_ + StatusSocket::kPatience);
  socket->Step(now_ + StatusSocket::kPatience, document);
  EXPECT_FALSE(socket->WakeTime());
  EXPECT_EQ(Waiting(*socket), 1u);
}

TEST_F(StatusSocketTest, AFormerSocketIsReplacedAndTheLastOneGoes) {
  {
    auto former = StatusSocket::Open(directory_ + "/run", 3);
    ASSERT_TRUE(former.ok());
    auto socket = StatusSocket::Open(directory_ + "/run", 3);
    ASSERT_TRUE(socket.ok());
    const UniqueFd client = Connect();
    socket->Step(now_, [] { return std::string("new"); });
    EXPECT_EQ(Read(client), "new");
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_ + "/run"));
  EXPECT_THAT(std::string(StatusSocket::Open(directory_ + "/no/run", 3).status().message()), HasSubstr("/no/run"));
  EXPECT_FALSE(StatusSocket::Open("/" + std::string(200, 'x'), 3).ok());
}

}  // namespace
}  // namespace virtfs::backend
