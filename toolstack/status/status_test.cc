#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "options/keeper_socket.h"
#include "toolstack/status/guest_status.h"
#include "toolstack/status/keeper_query.h"
#include "toolstack/status/status_text.h"

namespace virtfs::toolstack {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kDocument[] = R"({
  "version": 1, "domid": 3, "backend_domid": 0, "pid": 77,
  "shares": [
    {"devid": 0, "transport": "virtfs", "tag": "sh\u001bare", "path": "/srv/share", "readonly": true,
     "state": "Serving", "error": null, "session": "00ff", "connected_since": 1000, "pid": 78,
     "counters": {
       "msize": 524288, "bytes_read": 4096, "bytes_written": 5, "refused_requests": 2,
       "throttled": {"times": 3, "ns": 1500000000},
       "limits": {"requests": {"used": 1}, "open_files": {"used": 4, "max": 4096},
                  "xattr_bytes": {"used": 0, "max": 16777216}},
       "operations": {"Tgetattr": {"count": 100, "errors": 1, "max_ns": 9000,
                                   "latency_ns": [[1000, 2000, 50], [4000, 5000, 40], [8000, 10000, 10]]}}}},
    {"devid": 5, "transport": "9pfs", "tag": "other", "path": "/srv/other", "readonly": false,
     "state": "Closed", "error": "the directory is gone", "session": null, "connected_since": null, "pid": null,
     "counters": null}]})";

OperationStatus Operation(std::vector<OperationStatus::Bucket> latency, uint64_t longest) {
  return {.name = "T", .count = 0, .errors = 0, .longest = longest, .latency = std::move(latency)};
}

TEST(PercentileTest, ItLiesInTheBucketOfTheOneInOrder) {
  const OperationStatus operation = Operation({{100, 200, 50}, {400, 500, 40}, {800, 1000, 10}}, 900);
  EXPECT_EQ(operation.Percentile(0.01), 102u);
  EXPECT_EQ(operation.Percentile(0.25), 150u);
  EXPECT_EQ(operation.Percentile(0.5), 200u);
  EXPECT_EQ(operation.Percentile(0.51), 402u);
  EXPECT_EQ(operation.Percentile(0.9), 500u);
  // Nothing took longer than the longest.
  EXPECT_EQ(operation.Percentile(0.95), 850u);
  EXPECT_EQ(operation.Percentile(1), 900u);
}

TEST(PercentileTest, OfNoneOfOneAndOfTheBucketWithoutEnd) {
  EXPECT_EQ(Operation({}, 0).Percentile(0.5), 0u);
  EXPECT_EQ(Operation({{640, 768, 1}}, 700).Percentile(0.5), 700u);
  EXPECT_EQ(Operation({{1000, UINT64_MAX, 2}}, 3000).Percentile(0.99), 3000u);
}

TEST(PercentileTest, NonsenseGivesSomething) {
  // Counts whose sum is beyond 64 bits, a longest below every bucket, buckets that end before they begin.
  EXPECT_LE(Operation({{1, 2, UINT64_MAX}, {2, 3, UINT64_MAX}}, 3).Percentile(0.99), 3u);
  EXPECT_EQ(Operation({{1000, 2000, 9}}, 0).Percentile(0.5), 1000u);
  EXPECT_EQ(Operation({{2000, 1000, 9}}, UINT64_MAX).Percentile(0.5), 2000u);
  EXPECT_EQ(Operation({{0, UINT64_MAX, 1}}, UINT64_MAX).Percentile(1), UINT64_MAX);
}

TEST(GuestStatusTest, ADocumentIsAValue) {
  const absl::StatusOr<GuestStatus> guest = ParseGuestStatus(kDocument);
  ASSERT_TRUE(guest.ok()) << guest.status();
  EXPECT_EQ(guest->domid, 3u);
  EXPECT_EQ(guest->pid, 77);
  ASSERT_EQ(guest->shares.size(), 2u);
  const ShareStatus& share = guest->shares[0];
  EXPECT_EQ(share.tag, "sh?are");
  EXPECT_TRUE(share.readonly);
  EXPECT_EQ(share.connected_since, 1000);
  EXPECT_EQ(share.pid, 78);
  ASSERT_TRUE(share.counters);
  EXPECT_EQ(share.counters->msize, 524288u);
  EXPECT_EQ(share.counters->throttled_nanoseconds, 1'500'000'000u);
  ASSERT_EQ(share.counters->limits.size(), 3u);
  EXPECT_EQ(share.counters->limits[1].max, 4096u);
  EXPECT_FALSE(share.counters->limits[0].max);
  ASSERT_EQ(share.counters->operations.size(), 1u);
  EXPECT_EQ(share.counters->operations[0].errors, 1u);
  EXPECT_EQ(guest->shares[1].error, "the directory is gone");
  EXPECT_FALSE(guest->shares[1].counters);
}

TEST(GuestStatusTest, WhatIsNoDocumentIsASentence) {
  for (const char* text : {"", "{", "[]", "null", R"({"version": 1})", R"({"version": "1"})",
                           R"({"version": 1, "domid": 3, "backend_domid": 0, "pid": 1, "shares": [{}]})",
                           R"({"version": 1, "domid": -3, "backend_domid": 0, "pid": [], "shares": []})"}) {
    EXPECT_EQ(ParseGuestStatus(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_THAT(std::string(ParseGuestStatus(R"({"version": 2})").status().message()), HasSubstr("version 2"));
}

TEST(StatusTextTest, FiguresHaveAtMostThreeDigits) {
  EXPECT_EQ(DurationText(0), "0 ns");
  EXPECT_EQ(DurationText(999), "999 ns");
  EXPECT_EQ(DurationText(1234), "1.2 us");
  EXPECT_EQ(DurationText(9960), "10 us");
  EXPECT_EQ(DurationText(123'456), "123 us");
  EXPECT_EQ(DurationText(999'999), "1.0 ms");
  EXPECT_EQ(DurationText(61'000'000'000), "61 s");
  EXPECT_EQ(SizeText(37), "37 bytes");
  EXPECT_EQ(SizeText(4096), "4.0 KiB");
  EXPECT_EQ(SizeText(uint64_t{3} << 30), "3.0 GiB");
}

TEST(StatusTextTest, TheTableSaysWhatThereIs) {
  const std::string table = StatusTable(*ParseGuestStatus(kDocument), "guest", 1000 + 7500);
  EXPECT_THAT(table, HasSubstr("domain 3 (guest), served by process 77\n"));
  EXPECT_THAT(table, HasSubstr("share 0 sh?are: /srv/share, read-only\n"));
  EXPECT_THAT(table, HasSubstr("  virtfs, Serving for 2 h 5 min, by process 78, session 00ff\n"));
  EXPECT_THAT(table, HasSubstr("  read 4.0 KiB, written 5 bytes; msize 524288\n"));
  EXPECT_THAT(table, HasSubstr("  in use: requests 1, open files 4 of 4096, xattr bytes 0 bytes of 16 MiB\n"));
  EXPECT_THAT(table, HasSubstr("  throttled 3 times, 1.5 s in all\n"));
  EXPECT_THAT(table, HasSubstr("  refused 2 requests"));
  EXPECT_THAT(table, HasSubstr("  operation           count   errors       p50       p95       p99       max\n"
                               "  Tgetattr              100        1    2.0 us    8.5 us    8.9 us    9.0 us\n"));
  EXPECT_THAT(table, HasSubstr("share 5 other: /srv/other\n  9pfs, Closed\n  the directory is gone\n"));
  EXPECT_THAT(StatusTable({.domid = 4, .backend_domid = 0, .pid = 9, .shares = {}}, "", 0),
              "domain 4, served by process 9\nno shares\n");
}

TEST(StatusTextTest, JsonHasPercentilesInPlaceOfHistograms) {
  const std::string json = StatusJson({*ParseGuestStatus(kDocument)});
  EXPECT_THAT(json, HasSubstr("\"p50_ns\": 2000"));
  EXPECT_THAT(json, HasSubstr("\"max_ns\": 9000"));
  EXPECT_THAT(json, Not(HasSubstr("latency_ns")));
  EXPECT_EQ(StatusJson({}), "[]\n");
}

// A socket as a keeper has it, and what it answers to the one who asks first.
class QueryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/virtfs-query-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  UniqueFd Listen(uint32_t domid) {
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    const std::string path = options::KeeperSocket(directory_, domid);
    path.copy(address.sun_path, path.size());
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(fd.get(), 4), 0);
    return fd;
  }
  static void Answer(const UniqueFd& socket, const std::string& text) {
    const UniqueFd client(accept(socket.get(), nullptr, nullptr));
    EXPECT_EQ(send(client.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }

  std::string directory_;
};

TEST_F(QueryTest, AKeeperIsAsked) {
  const UniqueFd socket = Listen(3);
  std::thread keeper([&] {
    for (int i = 0; i < 4; ++i) Answer(socket, kDocument);
  });
  EXPECT_EQ(AskKeeper(directory_, 3)->shares.size(), 2u);
  EXPECT_EQ(OpenFiles(directory_, 3, 0).value_or(0), 4u);
  EXPECT_EQ(OpenFiles(directory_, 3, 5).value_or(9), 0u);
  EXPECT_EQ(OpenFiles(directory_, 3, 6).status().code(), absl::StatusCode::kNotFound);
  keeper.join();
}

TEST_F(QueryTest, WhoIsNotThereIsNotFound) {
  EXPECT_EQ(AskKeeper(directory_, 3).status().code(), absl::StatusCode::kNotFound);
  // A keeper that was killed.
  Listen(3).reset();
  EXPECT_EQ(AskKeeper(directory_, 3).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(AskKeeper(std::string(200, 'x'), 3).ok());
}

TEST_F(QueryTest, GuestsAreListedByTheirSockets) {
  EXPECT_TRUE(GuestsWithKeepers(directory_ + "/none").empty());
  for (const char* name :
       {"keeper-12.sock", "keeper-3.sock", "keeper-x.sock", "keeper-.sock", "keeper-4.sock.99", "0-0.lock"}) {
    std::ofstream(directory_ + "/" + name) << "";
  }
  EXPECT_THAT(GuestsWithKeepers(directory_), ElementsAre(3, 12));
}

}  // namespace
}  // namespace virtfs::toolstack
