// POSIX record locks between two guests and a process of the host on one file, through the real binaries, against a
// model of POSIX locking: 100,000 random steps.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "frontend/p9_client.h"
#include "tests/client_fixture.h"

namespace virtfs {
namespace {

using frontend::Exchange;

constexpr int kSteps = 100'000;
constexpr uint32_t kGuests = 2;
constexpr uint32_t kOwnersPerGuest = 4;
constexpr uint32_t kHost = kGuests * kOwnersPerGuest;  // The number of the one owner that is a process of the host.
constexpr uint32_t kOwners = kHost + 1;
constexpr uint32_t kFids = 3;  // Of each guest, all open on the file.
// The last byte of the model stands for itself and all that follow.
constexpr uint32_t kBytes = 33;
constexpr uint32_t kEnd = kBytes - 1;

enum Type : uint8_t { kRead = p9::kLockRead, kWrite = p9::kLockWrite, kUnlock = p9::kLockUnlock };

struct Range {
  uint32_t first;
  uint32_t last;

  uint64_t start() const { return first; }
  uint64_t length() const { return last == kEnd ? 0 : last - first + 1; }
  friend bool operator==(const Range&, const Range&) = default;
};

// A range as it is on the wire and in struct flock.
Range RangeOf(uint64_t start, uint64_t length) {
  return {static_cast<uint32_t>(start), length == 0 ? kEnd : static_cast<uint32_t>(start + length - 1)};
}

// What every byte is locked as, by whom and (of a guest) by which fid.
class Model {
 public:
  struct Held {
    Type type;
    uint32_t fid;
  };

  bool Free(uint32_t owner, Type type, Range range) const { return !LowestConflict(owner, type, range, 0, kOwners); }

  // Of the owners [begin, end) but `owner`.
  std::optional<uint32_t> LowestConflict(uint32_t owner, Type type, Range range, uint32_t begin, uint32_t end) const {
    for (uint32_t byte = range.first; byte <= range.last; ++byte) {
      for (uint32_t other = begin; other < end; ++other) {
        if (other != owner && InTheWay(other, type, byte)) return byte;
      }
    }
    return std::nullopt;
  }
  bool InTheWay(uint32_t owner, Type type, uint32_t byte) const {
    const std::optional<Held>& held = held_[owner][byte];
    return held.has_value() && (type == kWrite || held->type == kWrite);
  }

  void Set(uint32_t owner, Type type, Range range, uint32_t fid) {
    for (uint32_t byte = range.first; byte <= range.last; ++byte) {
      held_[owner][byte] = type == kUnlock ? std::nullopt : std::optional(Held{type, fid});
    }
  }
  void Clunk(uint32_t first_owner, uint32_t fid) {
    for (uint32_t owner = first_owner; owner < first_owner + kOwnersPerGuest; ++owner) {
      for (std::optional<Held>& held : held_[owner]) {
        if (held.has_value() && held->fid == fid) held.reset();
      }
    }
  }

  // What the owners [begin, end) hold at `byte` together.
  std::optional<Type> Union(uint32_t begin, uint32_t end, uint32_t byte) const {
    std::optional<Type> type;
    for (uint32_t owner = begin; owner < end; ++owner) {
      if (held_[owner][byte].has_value()) type = std::max(type.value_or(kRead), held_[owner][byte]->type);
    }
    return type;
  }
  // All around `byte` that they hold as they hold that.
  Range Around(uint32_t begin, uint32_t end, uint32_t byte) const {
    const std::optional<Type> type = Union(begin, end, byte);
    Range range = {byte, byte};
    while (range.first > 0 && Union(begin, end, range.first - 1) == type) --range.first;
    while (range.last < kEnd && Union(begin, end, range.last + 1) == type) ++range.last;
    return range;
  }

 private:
  std::array<std::array<std::optional<Held>, kBytes>, kOwners> held_;
};

// A process of the host that locks with fcntl as it is told to. Forked before this process has threads.
class HostProcess {
 public:
  HostProcess() {
    int to_child[2], to_parent[2];
    if (pipe2(to_child, O_CLOEXEC) != 0 || pipe2(to_parent, O_CLOEXEC) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) {
      close(to_child[1]);
      close(to_parent[0]);
      Obey(to_child[0], to_parent[1]);
    }
    close(to_child[0]);
    close(to_parent[1]);
    orders_.reset(to_child[1]);
    answers_.reset(to_parent[0]);
  }
  ~HostProcess() {
    orders_.reset();
    waitpid(pid_, nullptr, 0);
  }
  HostProcess(const HostProcess&) = delete;
  HostProcess& operator=(const HostProcess&) = delete;

  uint32_t pid() const { return static_cast<uint32_t>(pid_); }
  bool Open(const std::string& path) {
    Order order = {.command = kOpen, .path = {}, .lock = {}};
    path.copy(order.path, sizeof(order.path) - 1);
    return Send(order).error == 0;
  }
  // 0, or the errno.
  int Lock(Type type, Range range) { return Send({.command = F_SETLK, .path = {}, .lock = Flock(type, range)}).error; }
  // What is in the way.
  struct flock Test(Type type, Range range) {
    return Send({.command = F_GETLK, .path = {}, .lock = Flock(type, range)}).lock;
  }

 private:
  static constexpr int kOpen = -1;
  struct Order {
    int command;
    char path[256];
    struct flock lock;
  };
  struct Answer {
    int error = 0;
    struct flock lock = {};
  };

  static struct flock Flock(Type type, Range range) {
    struct flock lock = {};
    lock.l_type = type == kRead ? F_RDLCK : type == kWrite ? F_WRLCK : F_UNLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(range.start());
    lock.l_len = static_cast<off_t>(range.length());
    return lock;
  }
  Answer Send(const Order& order) {
    Answer answer = {.error = EPIPE};
    if (write(orders_.get(), &order, sizeof(order)) != sizeof(order)) return answer;
    if (read(answers_.get(), &answer, sizeof(answer)) != sizeof(answer)) answer.error = EPIPE;
    return answer;
  }
  [[noreturn]] static void Obey(int orders, int answers) {
    int file = -1;
    Order order;
    while (read(orders, &order, sizeof(order)) == sizeof(order)) {
      Answer answer;
      if (order.command == kOpen) {
        file = open(order.path, O_RDWR | O_CLOEXEC);
        answer.error = file < 0 ? errno : 0;
      } else {
        answer.error = fcntl(file, order.command, &order.lock) == 0 ? 0 : errno;
        answer.lock = order.lock;
      }
      if (write(answers, &answer, sizeof(answer)) != sizeof(answer)) _exit(1);
    }
    _exit(0);
  }

  pid_t pid_ = -1;
  UniqueFd orders_;
  UniqueFd answers_;
};

class LocksTest : public ClientTest {
 protected:
  static constexpr std::array<uint32_t, kGuests> kDomids = {1, 2};
  // Owner n of a guest. Two have the same proc_id, two the same client.
  static uint32_t ProcOf(uint32_t owner) { return 100 + owner % 2; }
  static std::string_view ClientOf(uint32_t owner) { return owner % kOwnersPerGuest < 2 ? "one" : "two"; }

  void Start() {
    ASSERT_EQ(mkdir(Path("share").c_str(), 0755), 0);
    WriteFile("share/file", "text");
    ASSERT_TRUE(host_.Open(Path("share/file")));
    for (uint32_t guest = 0; guest < kGuests; ++guest) {
      ASSERT_TRUE(xen_->AddDomain(kDomids[guest]));
      keepers_.push_back(xen_->Spawn({Program("backend/xen-virtfsd"), "--domid", std::to_string(kDomids[guest])}));
      ASSERT_GE(AttachPath(kDomids[guest], "share", Path("share")), 0);
      guests_[guest] = ConnectShare("share", 64 << 10, kDomids[guest]);
      ASSERT_TRUE(guests_[guest]);
      for (uint32_t fid = 0; fid < kFids; ++fid) Open(guest, fid);
    }
  }
  void TearDown() override {
    for (Connection& guest : guests_) guest.Close();
    ClientTest::TearDown();
  }

  p9::Fid FidOf(uint32_t fid) const { return 1000 + fid; }
  void Open(uint32_t guest, uint32_t fid) {
    const Result<p9::Rwalk> walked = client(guest).Call(
        p9::Twalk{.fid = guests_[guest].root.get(), .newfid = FidOf(fid), .wname = {std::string_view("file")}});
    ASSERT_TRUE(walked.ok() && walked->wqid.size() == 1);
    ASSERT_TRUE(client(guest).Call(p9::Tlopen{.fid = FidOf(fid), .flags = p9::kOpenReadWrite}).ok());
  }
  frontend::P9Client& client(uint32_t guest) { return *guests_[guest].client; }

  // The status.
  uint8_t Lock(uint32_t owner, uint32_t fid, Type type, Range range, uint32_t flags) {
    const Result<p9::Rlock> reply = client(owner / kOwnersPerGuest)
                                        .Call(p9::Tlock{.fid = FidOf(fid),
                                                        .type = type,
                                                        .flags = flags,
                                                        .start = range.start(),
                                                        .length = range.length(),
                                                        .proc_id = ProcOf(owner),
                                                        .client_id = ClientOf(owner)});
    EXPECT_TRUE(reply.ok()) << reply.error().message();
    return reply.ok() ? reply->status : p9::kLockError;
  }

  void GuestLocks(uint32_t owner, uint32_t fid, Type type, Range range, uint32_t flags) {
    const bool free = type == kUnlock || model_.Free(owner, type, range);
    ASSERT_EQ(Lock(owner, fid, type, range, flags), free ? p9::kLockSuccess : p9::kLockBlocked);
    if (free) model_.Set(owner, type, range, fid);
  }

  void GuestTests(uint32_t owner, uint32_t fid, Type type, Range range) {
    const uint32_t guest = owner / kOwnersPerGuest;
    const uint32_t first = guest * kOwnersPerGuest, end = first + kOwnersPerGuest;
    Exchange<p9::Tgetlock> exchange(client(guest));
    exchange.Start({.fid = FidOf(fid),
                    .type = type,
                    .start = range.start(),
                    .length = range.length(),
                    .proc_id = ProcOf(owner),
                    .client_id = ClientOf(owner)});
    const Result<p9::Rgetlock> reply = exchange.Wait();
    ASSERT_TRUE(reply.ok()) << reply.error().message();
    const Range found = RangeOf(reply->start, reply->length);
    if (reply->type == p9::kLockUnlock) {
      ASSERT_TRUE(model_.Free(owner, type, range));
      ASSERT_TRUE(found == range && reply->proc_id == ProcOf(owner) && reply->client_id == ClientOf(owner));
      return;
    }
    // The guest's own owners first, exactly.
    if (const auto lowest = model_.LowestConflict(owner, type, range, first, end)) {
      uint32_t holder = first;
      while (holder < end && !(ProcOf(holder) == reply->proc_id && ClientOf(holder) == reply->client_id)) ++holder;
      ASSERT_LT(holder, end) << reply->client_id;
      ASSERT_NE(holder, owner);
      ASSERT_TRUE(model_.InTheWay(holder, type, *lowest));
      ASSERT_EQ(reply->type, *model_.Union(holder, holder + 1, *lowest));
      ASSERT_TRUE(found == model_.Around(holder, holder + 1, *lowest));
      return;
    }
    ASSERT_EQ(reply->client_id, "host");
    const uint32_t other = first == 0 ? kOwnersPerGuest : 0;
    if (reply->proc_id == host_.pid()) {
      CheckHolder(kHost, kOwners, type, range, reply->type, found);
    } else {
      ASSERT_EQ(reply->proc_id, 0u);
      CheckHolder(other, other + kOwnersPerGuest, type, range, reply->type, found);
    }
  }

  // That the owners [begin, end) hold `found` together as `held`, where that is in the way of `type` on `range`.
  void CheckHolder(uint32_t begin, uint32_t end, Type type, Range range, uint8_t held, Range found) {
    const uint32_t common = std::max(range.first, found.first);
    ASSERT_LE(common, std::min(range.last, found.last));
    ASSERT_TRUE(type == kWrite || held == kWrite);
    ASSERT_EQ(model_.Union(begin, end, common), std::optional(Type{held}));
    ASSERT_TRUE(found == model_.Around(begin, end, common));
  }

  void HostLocks(Type type, Range range) {
    const bool free = type == kUnlock || model_.Free(kHost, type, range);
    const int error = host_.Lock(type, range);
    ASSERT_TRUE(free ? error == 0 : error == EAGAIN || error == EACCES) << error;
    if (free) model_.Set(kHost, type, range, 0);
  }

  void HostTests(Type type, Range range) {
    const struct flock found = host_.Test(type, range);
    ASSERT_EQ(found.l_type == F_UNLCK, model_.Free(kHost, type, range));
    if (found.l_type == F_UNLCK) return;
    const Range held = RangeOf(static_cast<uint64_t>(found.l_start), static_cast<uint64_t>(found.l_len));
    const Type held_as = found.l_type == F_RDLCK ? kRead : kWrite;
    // Which guest it is the kernel does not say.
    bool holds = false;
    for (uint32_t guest = 0; guest < kGuests; ++guest) {
      const uint32_t first = guest * kOwnersPerGuest, end = first + kOwnersPerGuest;
      holds |= model_.Union(first, end, held.first) == held_as && model_.Around(first, end, held.first) == held;
    }
    ASSERT_TRUE(holds);
    ASSERT_TRUE(held.first <= range.last && held.last >= range.first && (type == kWrite || held_as == kWrite));
  }

  void ClunkAndReopen(uint32_t guest, uint32_t fid) {
    ASSERT_TRUE(client(guest).Call(p9::Tclunk{.fid = FidOf(fid)}).ok());
    model_.Clunk(guest * kOwnersPerGuest, fid);
    Open(guest, fid);
  }

  HostProcess host_;
  Model model_;
  std::vector<std::shared_ptr<Process>> keepers_;
  std::array<Connection, kGuests> guests_;
};

TEST_F(LocksTest, TwoGuestsAndTheHostLockAsTheModelSays) {
  const char* given = std::getenv("LOCKS_TEST_SEED");
  const auto seed = given != nullptr ? static_cast<uint32_t>(std::atol(given)) : std::random_device()();
  printf("LOCKS_TEST_SEED=%u\n", seed);
  ASSERT_NO_FATAL_FAILURE(Start());
  std::mt19937 random(seed);
  const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  int refused = 0, asked = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int step = 0; step < kSteps; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const uint32_t owner = below(kOwners);
    const uint32_t fid = below(kFids);
    Range range = {below(kBytes), below(kBytes)};
    if (range.first > range.last) std::swap(range.first, range.last);
    // Short, mostly, and now and then to the end.
    if (below(4) != 0) range.last = std::min(range.last, range.first + below(5));
    if (below(10) == 0) range.last = kEnd;
    const uint32_t action = below(100);
    const Type lock = action < 30 ? kRead : kWrite;
    if (action < 55) {
      ++asked;
      refused += model_.Free(owner, lock, range) ? 0 : 1;
      if (owner == kHost) {
        ASSERT_NO_FATAL_FAILURE(HostLocks(lock, range));
      } else {
        ASSERT_NO_FATAL_FAILURE(GuestLocks(owner, fid, lock, range, below(2) * p9::kLockBlock));
      }
    } else if (action < 85) {
      if (owner == kHost) {
        ASSERT_NO_FATAL_FAILURE(HostLocks(kUnlock, range));
      } else {
        ASSERT_NO_FATAL_FAILURE(GuestLocks(owner, fid, kUnlock, range, 0));
      }
    } else if (action < 98) {
      const Type type = below(2) == 0 ? kRead : kWrite;
      if (owner == kHost) {
        ASSERT_NO_FATAL_FAILURE(HostTests(type, range));
      } else {
        ASSERT_NO_FATAL_FAILURE(GuestTests(owner, fid, type, range));
      }
    } else {
      ASSERT_NO_FATAL_FAILURE(ClunkAndReopen(below(kGuests), fid));
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  printf("%d steps in %.1f s; %d of %d locks refused\n", kSteps, took.count(), refused, asked);
  EXPECT_GT(refused, asked / 10) << "owners that do not meet test little";
  EXPECT_LT(refused, asked * 9 / 10);
}

}  // namespace
}  // namespace virtfs
