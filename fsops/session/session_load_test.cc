// A random load of every operation at depth 64 from several threads; every reply is decoded. Best run under tsan.

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fsops/session/lease_holder.h"
#include "fsops/session/session_test_client.h"

namespace virtfs {
namespace {

constexpr int kThreads = 4;
constexpr int kDepth = 64;
// At least so many; and more, while there is a type of which none did what it asked for.
constexpr int kCalls = 8000, kMostCalls = 10 * kCalls;
constexpr int kLeased = 16;
constexpr uint32_t kFids = 12;  // 0 is the root whenever there is one.

// Requests of every type on few fids and few names, so that they get into each other's way.
class RequestMaker {
 public:
  explicit RequestMaker(uint32_t seed) : random_(seed) {}

  std::unique_ptr<TestCall> Make(p9::Tag tag) {
    // Rare, as it ends whatever the others have built up.
    if (Below(800) == 0) {
      return std::make_unique<TestCall>(p9::kNoTag,
                                        p9::Tversion{.msize = 4096 + Below(60000), .version = p9::kVersion});
    }
    const std::string name = "name" + std::to_string(Below(20));
    const std::string other = "name" + std::to_string(Below(20));
    const std::string leased = Below(4) == 0 ? "leased" + std::to_string(Below(kLeased)) : name;
    const p9::Fid fid = Below(2) == 0 ? 0 : Below(kFids);
    const p9::Fid newfid = 1 + Below(kFids - 1);
    const auto call = [&](const auto& request, std::string_view data = {}) {
      return std::make_unique<TestCall>(tag, request, data, Below(10) == 0 ? 11 + Below(200) : TestCall::kMsize);
    };
    switch (Below(35)) {
      case 0:
        return call(p9::Tattach{
            .fid = Below(2) == 0 ? 0 : fid, .afid = p9::kNoFid, .uname = "", .aname = "", .n_uname = Below(3)});
      case 1:
      case 2:
      case 3:
        return call(p9::Twalk{.fid = 0, .newfid = newfid, .wname = {leased}});
      case 4:
        return call(p9::Twalk{.fid = fid, .newfid = newfid, .wname = {name, "..", other}});
      case 5:
        return call(p9::Twalk{.fid = fid, .newfid = Below(2) == 0 ? fid : newfid, .wname = {}});
      case 6:
      case 7:
        return call(p9::Tlopen{.fid = 1 + Below(kFids - 1), .flags = Below(3) == 0 ? 2u : 0u});
      case 8:
        return call(p9::Tlcreate{
            .fid = 1 + Below(kFids - 1), .name = leased, .flags = 2 | (Below(2) * 0200), .mode = 0644, .gid = 0});
      case 9:
      case 10:
        return call(p9::Tread{.fid = 1 + Below(kFids - 1), .offset = Below(100), .count = Below(5000)});
      case 11:
      case 12:
        return call(p9::Twrite{.fid = 1 + Below(kFids - 1), .offset = Below(1000), .count = 100},
                    std::string(100, 'x'));
      case 13:
        return call(p9::Tclunk{.fid = 1 + Below(kFids - 1)});
      case 14:
        return call(p9::Tremove{.fid = 1 + Below(kFids - 1)});
      case 15:
        return call(p9::Tgetattr{.fid = fid, .request_mask = p9::kGetattrAll});
      case 16:
        return call(p9::Tsetattr{.fid = fid, .valid = Below(0x200), .mode = 0644, .size = Below(1000)});
      case 17:
      case 29:
        return call(p9::Treaddir{.fid = 1 + Below(kFids - 1), .offset = 0, .count = Below(4000)});
      case 18:
        return call(p9::Tmkdir{.dfid = fid, .name = name, .mode = 0755, .gid = Below(3)});
      case 19:
        return call(p9::Tsymlink{.fid = fid, .name = name, .symtgt = other, .gid = 0});
      case 20:
        return call(p9::Treadlink{.fid = 1 + Below(kFids - 1)});
      case 21:
        return call(p9::Tlink{.dfid = fid, .fid = newfid, .name = name});
      case 22:
        return call(p9::Tmknod{.dfid = fid, .name = name, .mode = S_IFIFO | 0600, .gid = 0});
      case 23:
        return call(p9::Trename{.fid = 1 + Below(kFids - 1), .dfid = newfid, .name = name});
      case 24:
        return call(p9::Trenameat{.olddirfid = fid, .oldname = name, .newdirfid = newfid, .newname = other});
      case 25:
        return call(p9::Tunlinkat{.dirfd = fid, .name = name, .flags = Below(2) * 0x200});
      case 26:
        return call(p9::Tstatfs{.fid = fid});
      case 27:
        return call(p9::Tfsync{.fid = 1 + Below(kFids - 1), .datasync = 1});
      case 28:
        return call(p9::Tflush{.oldtag = static_cast<p9::Tag>(Below(kDepth))});
      case 30:
      case 31:
        return call(p9::Tlock{.fid = 1 + Below(kFids - 1),
                              .type = static_cast<uint8_t>(Below(3)),
                              .flags = 0,
                              .start = Below(50),
                              .length = Below(20),
                              .proc_id = Below(3),
                              .client_id = "guest"});
      case 32:
        return call(p9::Tgetlock{.fid = 1 + Below(kFids - 1),
                                 .type = static_cast<uint8_t>(Below(2)),
                                 .start = Below(50),
                                 .length = Below(20),
                                 .proc_id = Below(3),
                                 .client_id = "guest"});
      case 33:
        return call(p9::Txattrcreate{.fid = 1 + Below(kFids - 1), .name = "trusted.x", .attr_size = 100, .flags = 0});
      default:
        return call(p9::Txattrwalk{.fid = fid, .newfid = newfid, .name = Below(2) == 0 ? "" : "trusted.x"});
    }
  }

  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }

 private:
  std::mt19937 random_;
};

// A transport for it: a fixed number of calls in flight, served by whichever thread comes by.
class Load {
 public:
  Load(Session& session, uint32_t seed) : session_(session), requests_(seed) {
    tags_.reserve(kDepth);
    for (int i = 0; i < kDepth; ++i) tags_.push_back(static_cast<p9::Tag>(i));
  }

  void Run() {
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([this] { Work(); });
    for (std::thread& thread : threads) thread.join();
  }

  std::function<void()> on_last_call;  // Once, when only what is in flight is left.
  int made() const { return made_; }
  int answered() const { return answered_; }
  int blocked() const { return blocked_times_; }
  int waited() const { return waited_; }
  // How often a request of this type did what it asked for.
  int successes(uint8_t type) const { return successes_[type]; }

 private:
  struct Job {
    std::unique_ptr<TestCall> call;
    p9::Tag tag;
  };

  void Work() {
    while (Job* job = Next()) {
      const Outcome outcome = session_.Serve(job->call->call());
      if (outcome == Outcome::kAnswered) {
        Check(*job);
        const std::vector<Call*> ready = session_.Finish(job->call->call());
        const std::lock_guard lock(mutex_);
        for (Call* call : ready) ready_.push_back(JobOf(call));
        tags_.push_back(job->tag);
        std::erase_if(jobs_, [&](const auto& owned) { return owned.get() == job; });
        ++answered_;
      } else {
        const std::lock_guard lock(mutex_);
        ++(outcome == Outcome::kBlocked ? blocked_times_ : waited_);
        if (outcome == Outcome::kBlocked) blocked_.push_back(job);
      }
      changed_.notify_all();
    }
  }

  // Null: the load is over.
  Job* Next() {
    std::unique_lock lock(mutex_);
    for (;;) {
      // A new one as long as there is a tag; half the time, so that some are served long after they arrived.
      if (!ended_ && made_ >= kCalls && (made_ >= kMostCalls || EachSucceeded())) {
        ended_ = true;
        if (on_last_call) on_last_call();
      }
      if (!ended_ && !tags_.empty()) {
        const p9::Tag tag = tags_.back();
        tags_.pop_back();
        jobs_.push_back(std::make_unique<Job>(Job{requests_.Make(tag), tag}));
        session_.Arrive(jobs_.back()->call->call());
        ready_.push_back(jobs_.back().get());
        ++made_;
        if (requests_.Below(2) == 0) continue;
      }
      if (ready_.empty()) ready_.swap(blocked_);
      if (!ready_.empty()) {
        std::swap(ready_[requests_.Below(static_cast<uint32_t>(ready_.size()))], ready_.back());
        Job* job = ready_.back();
        ready_.pop_back();
        return job;
      }
      if (jobs_.empty()) return nullptr;
      if (changed_.wait_for(lock, std::chrono::seconds(60)) == std::cv_status::timeout) {
        ADD_FAILURE() << jobs_.size() << " calls wait for ever";
        std::abort();
      }
    }
  }

  bool EachSucceeded() const {
    bool all = true;
    p9::ForEachMessage(p9::Requests(), [&]<p9::Request T>() {
      all = all && (std::is_same_v<T, p9::Tauth> || successes(T::kType) > 0);
    });
    return all;
  }

  void Check(const Job& job) {
    const std::vector<uint8_t> reply = job.call->Reply();
    const Result<p9::Header> header = p9::ParseHeader(reply);
    const bool whole = header.ok() && header->size == reply.size() && header->tag == job.call->tag();
    const uint8_t request = job.call->call().frame[4];
    const bool right = whole && (header->type == request + 1 || header->type == p9::Rlerror::kType);
    // Decodes it whatever it is; an errno must be one.
    const Result<bool> sound = p9::VisitMessage(reply, [](const auto& message) {
      if constexpr (requires { message.ecode; }) return message.ecode >= 1 && message.ecode <= 4095;
      return true;
    });
    EXPECT_TRUE(right && sound.ok() && *sound) << "request " << int{request};
    EXPECT_LE(reply.size(), job.call->call().capacity);
    if (header->type == request + 1) ++successes_[request];
  }

  Job* JobOf(const Call* call) {
    for (const auto& job : jobs_) {
      if (&job->call->call() == call) return job.get();
    }
    std::abort();
  }

  Session& session_;
  std::mutex mutex_;
  std::condition_variable changed_;
  RequestMaker requests_;
  std::vector<p9::Tag> tags_;
  std::vector<std::unique_ptr<Job>> jobs_;  // In flight.
  std::vector<Job*> ready_;
  std::vector<Job*> blocked_;
  int made_ = 0;
  bool ended_ = false;  // No more are made.
  int answered_ = 0;
  int blocked_times_ = 0;
  int waited_ = 0;
  std::array<std::atomic<int>, 256> successes_ = {};
};

using SessionLoadTest = SessionTest;

TEST_F(SessionLoadTest, AllOperationsAtDepth64) {
  std::vector<std::string> leased;
  for (int i = 0; i < kLeased; ++i) {
    MakeFile("leased" + std::to_string(i));
    leased.push_back(Host("leased" + std::to_string(i)));
  }
  LeaseHolder holder(leased);
  const char* given = std::getenv("SESSION_LOAD_SEED");
  const auto seed = static_cast<uint32_t>(given != nullptr ? std::atoi(given) : 1);
  printf("SESSION_LOAD_SEED=%u\n", seed);
  Load load(*session_, seed);
  load.on_last_call = [&] { holder.Release(); };
  load.Run();
  EXPECT_EQ(load.answered(), load.made());
  printf("%d times blocked, %d times waiting\n", load.blocked(), load.waited());
  p9::ForEachMessage(p9::Requests(), [&]<p9::Request T>() {
    constexpr bool kOffered = !std::is_same_v<T, p9::Tauth>;
    printf("type %d: %d successes\n", T::kType, load.successes(T::kType));
    if (kOffered) {
      EXPECT_GT(load.successes(T::kType), 0) << "type " << int{T::kType} << ": a load of errors tests little";
    }
  });
  EXPECT_TRUE(session_->Export().ok()) << "nothing is in flight any more";
}

}  // namespace
}  // namespace virtfs
