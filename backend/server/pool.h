// Pool: the threads of a server, which share one transport as leader and followers. What is called the ring here are
// all the rings of that transport.
//
// A thread that has nothing to do takes a request off the ring and serves it itself, from its header to its reply;
// nothing is handed over. Before it serves, it sees to it that the ring stays watched: it has another thread woken if
// more is waiting, or asks the guest for an event with the next request. Threads that find nothing sleep in one epoll
// set, where each event wakes one of them.
//
// How many work at once. Short requests (a getattr takes less time than waking a thread) are served by no more threads
// than there are processors; if requests take long, because they wait for a disk, by all that there are. Should the few
// get stuck all the same while requests wait, a sleeping thread, the timekeeper, notices within two milliseconds. The
// pool starts with one thread, grows while it needs another, up to `threads`, and does not shrink.
//
// The last thread. When all others are busy, the last one goes on to read the ring but serves only what cannot wait for
// a file system: Tflush, and a call that has been put aside or is parked and that a Tflush has cancelled. Everything
// else is put aside (the backlog) and is served by the next thread that is free. So a file system that hangs takes all
// threads but one, and a guest can still flush.
//
// Limits. Of requests in flight (taken, not answered): further ones are answered EAGAIN, but for Tflush and Tclunk,
// which make room. Of operations and bytes per second (throttle.h): while the guest owes, nobody reads the ring, where
// its requests, a Tflush among them, lie meanwhile; no thread waits for that, and what has been taken goes on. Stop
// forgives the debt.
//
// Blocked calls (a host's lease is in the way) are parked: they hold no thread and are served again after 2, 4, ... 50
// ms and at once after something began to wait for others, which a Tflush of such a call does.
//
// Replies that find no room on the ring (9pfs only) stay with the transport, and their calls unfinished, so that no
// Tflush is answered before its target. Whoever reads the ring next sends what fits by then.
//
// Order. Calls Arrive at the session in the order of the ring, under the leader's lock. From there on they run as they
// come. Locks: lead_ before mutex_; neither is held while a call is served.
//
// Threads: Start and Stop by the owner; the rest is inside.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "backend/counters/counters.h"
#include "backend/server/poll_policy.h"
#include "backend/server/serve_time.h"
#include "backend/server/service.h"
#include "backend/server/throttle.h"
#include "backend/transport/event_channel.h"
#include "backend/transport/transport.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace virtfs::backend {

struct PoolOptions {
  uint32_t threads = 16;                // at most; 2 at least
  std::chrono::microseconds poll{100};  // before it sleeps, while that pays off; 0: never
  uint32_t max_requests = 0;            // in flight; 0: as many as the ring holds
  Rate operations = {};                 // requests of any type
  Rate bytes = {};                      // of payloads, both ways
  Counters* counters = nullptr;         // what it counts in; null: where nobody looks
};

class Pool {
 public:
  // All are borrowed, the counters too. `on_fault` is called once, by one of the threads, when the ring has failed; the
  // pool answers what it has and does nothing more.
  Pool(Transport& transport, EventChannel& events, Service& service, const PoolOptions& options,
       std::function<void(const char*)> on_fault);
  // Stop must have returned, if Start succeeded.
  ~Pool();

  // The first thread begins.
  Result<void> Start();

  // Serves what has been published up to now, then ends the threads. When it returns nothing is in flight; calls that
  // are blocked or wait for one that is, stay unanswered.
  void Stop();

  // For tests and statistics.
  size_t threads();
  size_t parked() const { return parked_count_.load(); }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Look { kFound, kAgain, kNothing, kOver };

  void Work();
  Request* Next();
  bool Wanted() const;
  Look TakeFromRing(Request*& request);
  void PutAside(Request& request);
  Request* TakeAside();
  Request* TakeCancelled();
  bool MayServe(const Request& request);
  bool Owes() const;
  std::chrono::nanoseconds Debt(Clock::time_point now);
  bool HasRoom() const;
  bool NeedsAnother();
  void WakeOne();
  bool Spawn();
  bool Poll();
  void Sleep(bool wanted);
  int KeepTime(bool& mine);
  int Timeout();
  bool Stalled(uint64_t takes_before);

  void Serve(Request& request);
  void ServeOne(Request& request, std::vector<Request*>& ready);
  void ConsumeEvent();
  void Answered(Request& request, std::vector<Request*>& ready);
  void Park(Request& request, uint64_t flushes_before);
  void RetryParked();

  Transport& transport_;
  EventChannel& events_;
  Service& service_;
  const std::function<void(const char*)> on_fault_;
  const uint32_t workers_;  // threads that serve short requests at once
  ServeTime serve_time_;
  PollPolicy policy_;
  UniqueFd epoll_;
  UniqueFd wake_;

  const std::unique_ptr<Counters> own_counters_;  // null: given by the options
  Counters& counters_;

  const uint32_t max_requests_;
  std::atomic<uint64_t>& requests_ = counters_.pool.requests;  // in flight

  std::mutex lead_;    // who reads the ring
  Throttle throttle_;  // lead_
  const bool throttled_;
  std::atomic<uint64_t> moved_bytes_ = 0;  // that throttle_ has not been told of
  std::atomic<Clock::rep> reads_on_ = 0;   // when the ring will be read on, as far as is known
  std::atomic<bool> unwatched_ = false;    // a thread sleeps that would have asked for an event but for the debt

  std::atomic<uint32_t> bound_;
  std::atomic<uint32_t> total_ = 0;   // threads there are
  std::atomic<uint32_t> idle_ = 0;    // of them, those that sleep
  std::atomic<uint32_t> active_ = 0;  // of them, those that serve
  std::atomic<bool> waking_ = false;  // a thread has been woken and is not there yet
  std::atomic<bool> polling_ = false;
  std::atomic<bool> timekeeper_ = false;  // a sleeping thread wakes by itself, too
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> faulted_ = false;
  std::atomic<int64_t> takes_left_;  // counts down once it is stopping
  std::atomic<uint64_t> takes_ = 0;
  std::atomic<uint64_t> flushes_ = 0;
  std::atomic<uint32_t> backlog_count_ = 0;
  std::atomic<uint32_t> parked_count_ = 0;

  std::mutex mutex_;
  // All below: mutex_.
  std::deque<Request*> backlog_;
  uint64_t flushes_looked_ = 0;  // flushes_ when nothing of what is put aside was cancelled
  std::vector<Request*> parked_;
  std::vector<std::thread> threads_;
};

}  // namespace virtfs::backend
