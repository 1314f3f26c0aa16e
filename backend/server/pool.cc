#include "backend/server/pool.h"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "protocol/messages.h"

namespace virtfs::backend {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kTick = 1ms;
// For how long replies wait at most where the guest does not tell that it has made room.
constexpr std::chrono::milliseconds kClogged = 10ms;
constexpr std::chrono::milliseconds kFirstPause = 2ms;
constexpr std::chrono::milliseconds kLongestPause = 50ms;

uint32_t Processors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return static_cast<uint32_t>(CPU_COUNT(&set));
}

// Served by the session alone, without a file system, or not at all.
bool CannotBlock(const Request& request) { return request.type == p9::Tflush::kType || request.refused; }

// What makes an end of requests is let in however many there are.
bool MakesRoom(const Request& request) {
  return request.type == p9::Tflush::kType || request.type == p9::Tclunk::kType;
}

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

Pool::Pool(Transport& transport, EventChannel& events, Service& service, const PoolOptions& options,
           std::function<void(const char*)> on_fault)
    : transport_(transport),
      events_(events),
      service_(service),
      on_fault_(std::move(on_fault)),
      workers_(std::max(Processors(), 2u)),
      serve_time_(ServeTime::OfCall()),
      // With one processor nobody can send anything while we look.
      policy_(Processors() > 1 ? options.poll : 0us),
      own_counters_(options.counters == nullptr ? std::make_unique<Counters>() : nullptr),
      counters_(options.counters == nullptr ? *own_counters_ : *options.counters),
      max_requests_(options.max_requests != 0 ? options.max_requests : transport.max_requests()),
      throttle_(options.operations, options.bytes, Clock::now()),
      throttled_(throttle_.limits()),
      bound_(std::max(options.threads, 2u)),
      takes_left_(transport.max_requests()) {}

Pool::~Pool() = default;

Result<void> Pool::Start() {
  epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
  wake_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_.ok() || !wake_.ok()) return Errno::Last();
  // Edge-triggered: one event wakes one thread, and stays for the next that sleeps if none is there.
  for (const int fd : {events_.fd(), wake_.get()}) {
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.fd = fd}};
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return Errno::Last();
  }
  if (!Spawn()) return Errno(EAGAIN);
  return {};
}

void Pool::Stop() {
  stopping_ = true;
  WakeOne();
  // No thread begins another once it has seen stopping_, but one may be about to.
  for (;;) {
    std::vector<std::thread> threads;
    {
      std::lock_guard lock(mutex_);
      threads.swap(threads_);
    }
    if (threads.empty()) return;
    for (std::thread& thread : threads) thread.join();
  }
}

size_t Pool::threads() { return total_.load(); }

bool Pool::Spawn() {
  std::lock_guard lock(mutex_);
  if (stopping_ || total_ >= bound_) return false;
  try {
    threads_.emplace_back([this] { Work(); });
  } catch (const std::system_error&) {
    bound_ = total_.load();  // the system allows no more
    return false;
  }
  ++total_;
  return true;
}

// Somebody else is to look at the ring and at what was put aside.
void Pool::WakeOne() {
  if (waking_.exchange(true)) return;
  if (idle_ == 0) {
    // Who is about to sleep looks once more after it has been counted as idle.
    if (!Spawn()) waking_ = false;
    return;
  }
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof(one));
}

void Pool::Work() {
  waking_ = false;
  while (Request* request = Next()) Serve(*request);
  // Each thread that ends wakes the next.
  WakeOne();
}

// Whether this thread, which is awake, is not one too many.
bool Pool::Wanted() const { return total_ - idle_ <= workers_ || serve_time_.Long() || stopping_ || faulted_; }

// What this thread is to serve; null: the end. The thread counts as active from here on.
Request* Pool::Next() {
  Clock::time_point idle_since{};
  bool wanted = Wanted();
  for (;;) {
    if (!wanted) {
      Sleep(false);
      // It was woken because it was wanted, or since the others are stuck.
      wanted = true;
      continue;
    }
    Request* request = TakeAside();
    if (request != nullptr) return request;
    switch (TakeFromRing(request)) {
      case Look::kFound:
        if (idle_since != Clock::time_point{}) policy_.Learn(Clock::now() - idle_since);
        return request;
      case Look::kAgain:
        continue;
      case Look::kOver:
        if (backlog_count_ == 0) return nullptr;
        break;
      case Look::kNothing:
        if (idle_since == Clock::time_point{}) idle_since = Clock::now();
        if (Poll()) continue;
        break;
    }
    Sleep(true);
  }
}

// Whether this thread may serve `request` without leaving the ring to nobody. It counts as active if so.
bool Pool::MayServe(const Request& request) {
  const uint32_t most = std::max(bound_.load(), 2u) - 1;
  if (active_.fetch_add(1) < most || bound_ < 2 || CannotBlock(request)) return true;
  --active_;
  return false;
}

// Whether MayServe would agree now, whatever the request.
bool Pool::HasRoom() const {
  const uint32_t bound = bound_;
  return active_ + 1 < bound || bound < 2;
}

Pool::Look Pool::TakeFromRing(Request*& request) {
  bool fault = false;
  bool wake = false;
  bool sent = false;
  {
    std::lock_guard leading(lead_);
    if (throttled_ && !stopping_ && Debt(Clock::now()) > 0ns) return Look::kNothing;
    if (faulted_ || (stopping_ && takes_left_-- <= 0)) return Look::kOver;
    switch (transport_.Take(request)) {
      case Transport::Taken::kAnswered:
        return Look::kAgain;
      case Transport::Taken::kNothing:
        return stopping_ ? Look::kOver : Look::kNothing;
      case Transport::Taken::kSent:
        sent = true;
        break;
      case Transport::Taken::kFault:
        fault = faulted_ = true;
        break;
      case Transport::Taken::kRequest:
        ++takes_;
        service_.Arrive(*request);
        request->refused = requests_ >= max_requests_ && !MakesRoom(*request);
        ++(request->refused ? counters_.pool.refused : requests_);
        if (throttled_) {
          throttle_.SpendOperation();
          (void)Debt(Clock::now());
        }
        if (!MayServe(*request)) {
          PutAside(*request);
          return Look::kAgain;
        }
        wake = NeedsAnother();
        break;
    }
  }
  if (fault) {
    on_fault_(transport_.fault());
    WakeOne();
    return Look::kOver;
  }
  if (sent) {
    std::vector<Request*> ready;
    Answered(*request, ready);
    for (Request* next : ready) {
      ++active_;  // Those cannot block.
      Serve(*next);
    }
    return Look::kAgain;
  }
  if (wake) WakeOne();
  return Look::kFound;
}

// How long the ring is to be left alone. With lead_ held.
std::chrono::nanoseconds Pool::Debt(Clock::time_point now) {
  throttle_.SpendBytes(moved_bytes_.exchange(0));
  const std::chrono::nanoseconds debt = throttle_.Wait(now);
  if (debt > 0ns) {
    counters_.pool.Throttled(now, Clock::time_point(Clock::duration(reads_on_)), now + debt);
    reads_on_ = (now + debt).time_since_epoch().count();
  }
  return debt;
}

// Whether it is known that nobody reads the ring now.
bool Pool::Owes() const {
  return throttled_ && !stopping_ && !faulted_ && Clock::now().time_since_epoch().count() < reads_on_;
}

void Pool::PutAside(Request& request) {
  std::lock_guard lock(mutex_);
  backlog_.push_back(&request);
  ++backlog_count_;
}

// Whether another thread is wanted while this one, which is the leader, serves. Afterwards either one has been asked
// for, or an event is going to wake one, or a timekeeper watches.
bool Pool::NeedsAnother() {
  if (waking_) return false;
  const bool several = total_ - idle_ < workers_ || serve_time_.Long();
  const bool owes = Owes();
  if (several && backlog_count_ > 0) return true;
  if (several && !owes && (transport_.Waiting() || !transport_.Sleepable())) return true;
  if (idle_ == 0) return total_ < bound_;
  return !timekeeper_ && (!several || owes || parked_count_ > 0);
}

// The first call of the backlog, or one that is parked and due.
Request* Pool::TakeAside() {
  if (backlog_count_ == 0 && parked_count_ == 0) return nullptr;
  Request* request = nullptr;
  {
    std::lock_guard lock(mutex_);
    if (!backlog_.empty()) {
      if (MayServe(*backlog_.front())) {
        request = backlog_.front();
        backlog_.pop_front();
        --backlog_count_;
      } else {
        request = TakeCancelled();
      }
    } else if (!stopping_ && !faulted_) {
      const Clock::time_point now = Clock::now();
      const auto due = std::find_if(parked_.begin(), parked_.end(), [now](Request* r) { return r->retry_at <= now; });
      if (due != parked_.end()) {
        if (MayServe(**due)) {
          request = *due;
          parked_.erase(due);
          --parked_count_;
        } else {
          request = TakeCancelled();
        }
      }
    }
  }
  if (request == nullptr) return nullptr;
  bool wake;
  {
    std::lock_guard leading(lead_);
    wake = NeedsAnother();
  }
  ++takes_;
  if (wake) WakeOne();
  return request;
}

// For the last thread: of what is put aside or parked, one that a Tflush has cancelled, so that serving it is nothing
// but answering it. It counts as active. With mutex_ held.
Request* Pool::TakeCancelled() {
  const uint64_t flushes = flushes_;
  if (flushes == flushes_looked_) return nullptr;
  const auto cancelled = [this](Request* request) { return service_.Cancelled(*request); };
  Request* request = nullptr;
  if (const auto in = std::find_if(backlog_.begin(), backlog_.end(), cancelled); in != backlog_.end()) {
    request = *in;
    backlog_.erase(in);
    --backlog_count_;
  } else if (const auto in = std::find_if(parked_.begin(), parked_.end(), cancelled);
             in != parked_.end() && !stopping_) {
    request = *in;
    parked_.erase(in);
    --parked_count_;
  }
  if (request == nullptr) {
    flushes_looked_ = flushes;
  } else {
    ++active_;
  }
  return request;
}

// Looks at the ring for a moment, if that is worthwhile. True: there is something. One thread at a time does so.
bool Pool::Poll() {
  if (!policy_.Worthwhile() || Owes() || polling_.exchange(true)) return false;
  const Clock::time_point start = Clock::now();
  bool found = false;
  Clock::time_point now = start;
  do {
    for (int i = 0; i < 16 && !found; ++i) {
      // What is put aside is nothing to the last thread (see MayServe), which would find it again and again.
      found = transport_.Waiting() || (backlog_count_ > 0 && HasRoom()) || stopping_;
      Pause();
    }
    now = Clock::now();
  } while (!found && now - start < policy_.bound());
  polling_ = false;
  return found;
}

// Sleeps until there is something to look at. `wanted`: for anything; else only if the others are stuck, or for a wake.
void Pool::Sleep(bool wanted) {
  ++idle_;
  bool keeps_time = false;
  for (;;) {
    // Now that it counts as idle: who puts something aside or stops the pool after this looks will wake it.
    if (stopping_ || faulted_) {
      if (backlog_count_ == 0 || HasRoom()) break;
    } else if (wanted && Owes()) {
      unwatched_ = true;
    } else if (wanted) {
      std::lock_guard leading(lead_);
      if (!transport_.Sleepable()) break;
    }
    if (wanted && backlog_count_ > 0 && HasRoom()) break;

    const uint64_t takes_before = takes_;
    epoll_event event;
    const int count = epoll_wait(epoll_.get(), &event, 1, KeepTime(keeps_time));
    if (count > 0 && event.data.fd == events_.fd()) ConsumeEvent();
    if (count != 0 || Stalled(takes_before)) break;
  }
  if (keeps_time) timekeeper_ = false;
  --idle_;
  waking_ = false;
}

void Pool::ConsumeEvent() {
  if (!events_.Consume()) return;
  // Edge-triggered, and the edge has passed: this brings it back.
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.fd = events_.fd()}};
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, events_.fd(), &event);
}

// This sleeper's timeout in ms. One of them is the timekeeper, if there is anything to keep time for.
int Pool::KeepTime(bool& mine) {
  for (;;) {
    if (!mine && timekeeper_.exchange(true)) return -1;
    mine = true;
    if (const int timeout = Timeout(); timeout >= 0) return timeout;
    mine = false;
    timekeeper_ = false;
    // Who got busy in between has perhaps relied on us.
    if (Timeout() < 0) return -1;
  }
}

// How long nobody need look, in ms; -1: for ever.
int Pool::Timeout() {
  std::lock_guard lock(mutex_);
  std::chrono::milliseconds timeout = -1ms;
  if (!parked_.empty() && HasRoom()) {
    const auto first = std::min_element(parked_.begin(), parked_.end(),
                                        [](Request* a, Request* b) { return a->retry_at < b->retry_at; });
    timeout = std::max(std::chrono::ceil<std::chrono::milliseconds>((*first)->retry_at - Clock::now()), 0ms);
  }
  if (Owes()) {
    const Clock::time_point reads_on{Clock::duration(reads_on_)};
    const auto left = std::max(std::chrono::ceil<std::chrono::milliseconds>(reads_on - Clock::now()), 0ms);
    timeout = timeout < 0ms ? left : std::min(timeout, left);
  }
  if (transport_.Clogged()) timeout = timeout < 0ms ? kClogged : std::min(timeout, kClogged);
  // Somebody is at work, perhaps without an event being asked for.
  if (idle_ < total_) timeout = timeout < 0ms ? kTick : std::min(timeout, kTick);
  return static_cast<int>(timeout.count());
}

// Whether something waits that nobody took since `takes_before`, or a parked call is due.
bool Pool::Stalled(uint64_t takes_before) {
  // Asleep while the guest owed: somebody is to ask for an event, or to find what has come.
  if (unwatched_ && !Owes() && unwatched_.exchange(false)) return true;
  if (takes_ == takes_before && ((transport_.Waiting() && !Owes()) || backlog_count_ > 0)) return true;
  if (parked_count_ == 0 || !HasRoom()) return false;
  std::lock_guard lock(mutex_);
  const Clock::time_point now = Clock::now();
  return std::any_of(parked_.begin(), parked_.end(), [now](Request* request) { return request->retry_at <= now; });
}

void Pool::Serve(Request& first) {
  std::vector<Request*> ready;
  ServeOne(first, ready);
  while (!ready.empty()) {
    Request* request = ready.back();
    ready.pop_back();
    ServeOne(*request, ready);
  }
  --active_;
}

// Those that `request` kept waiting and that may be served at once are appended to `ready`.
void Pool::ServeOne(Request& request, std::vector<Request*>& ready) {
  if (!request.fetched && !transport_.Fetch(request)) {
    if (!request.refused) --requests_;
    return Answered(request, ready);
  }

  const uint64_t flushes_before = flushes_;
  const Clock::time_point start = Clock::now();
  // Now, as one that waits may be another thread's as soon as the session has it.
  if (request.begun == Clock::time_point{}) request.begun = start;
  const Outcome outcome = request.refused ? service_.Refuse(request, Errno(EAGAIN)) : service_.Serve(request);
  const Clock::time_point end = Clock::now();
  serve_time_.Learn(end - start);

  switch (outcome) {
    case Outcome::kAnswered:
      counters_.Served(request.type, request.scratch.first(request.head_size), end - std::exchange(request.begun, {}));
      // Before the guest sees the reply, since its next request may come at once.
      if (!request.refused) --requests_;
      if (throttled_) moved_bytes_ += request.data.size() + request.payload_size;
      // The guest may send its next request as soon as it sees this reply; we look at the ring then, so no event.
      if (lead_.try_lock()) {
        transport_.Busy();
        lead_.unlock();
      }
      return transport_.Answer(request) ? Answered(request, ready) : void();
    case Outcome::kBlocked:
      return Park(request, flushes_before);
    case Outcome::kWaiting:
      // Perhaps for one that is blocked and has been cancelled thereby.
      ++flushes_;
      return RetryParked();
  }
}

void Pool::Answered(Request& request, std::vector<Request*>& ready) {
  const std::vector<Call*> waited = service_.Finish(request);
  transport_.Recycle(request);
  for (Call* call : waited) {
    Request& next = static_cast<Request&>(*call);
    if (CannotBlock(next)) {
      ready.push_back(&next);
    } else {
      PutAside(next);
    }
  }
}

void Pool::Park(Request& request, uint64_t flushes_before) {
  request.retry_pause = std::clamp(request.retry_pause * 2, kFirstPause, kLongestPause);
  std::lock_guard lock(mutex_);
  // A Tflush that came while it was served has not seen it here.
  const Clock::time_point now = Clock::now();
  request.retry_at = flushes_ == flushes_before ? now + request.retry_pause : now;
  parked_.push_back(&request);
  ++parked_count_;
}

void Pool::RetryParked() {
  std::lock_guard lock(mutex_);
  const Clock::time_point now = Clock::now();
  for (Request* request : parked_) request->retry_at = std::min(request->retry_at, now);
}

}  // namespace virtfs::backend
