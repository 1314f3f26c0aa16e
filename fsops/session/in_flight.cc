#include "fsops/session/in_flight.h"

#include <utility>

namespace virtfs::session {

using State = CallNotes::State;

InFlight::Turn InFlight::Begin(Call& call, uint16_t tag, Company company) {
  std::lock_guard lock(mutex_);
  CallNotes& notes = call.notes;
  switch (notes.state) {
    case State::kNew:
    case State::kHeld:
      if (alone_ != nullptr) {
        notes.state = State::kHeld;
        held_.push_back(&call);
        return Turn::kWait;
      }
      notes = {.state = State::kRunning, .tag = tag, .order = ++arrivals_, .next = Bucket(tag)};
      Bucket(tag) = &call;
      ++count_;
      if (company == Company::kAny) return Turn::kRun;
      alone_ = &call;
      if (count_ == 1) return Turn::kRun;
      CancelAllBut(call);
      notes.state = State::kWaiting;
      return Turn::kWait;
    case State::kBlocked:
      notes.state = State::kRunning;
      return notes.cancelled ? Turn::kCancelled : Turn::kRun;
    case State::kWaiting:
    case State::kRunning:
      break;
  }
  notes.state = State::kRunning;
  return Turn::kRun;
}

bool InFlight::Block(Call& call) {
  std::lock_guard lock(mutex_);
  if (call.notes.cancelled) return false;
  call.notes.state = State::kBlocked;
  return true;
}

bool InFlight::Flush(Call& flush, uint16_t tag) {
  std::lock_guard lock(mutex_);
  Call* target = nullptr;
  for (Call* call = Bucket(tag); call != nullptr; call = call->notes.next) {
    if (call->notes.tag != tag || call->notes.order >= flush.notes.order) continue;
    call->notes.cancelled = true;
    if (target == nullptr) target = call;
  }
  if (target == nullptr) return true;
  flush.notes.state = State::kWaiting;
  flush.notes.next_waiter = std::exchange(target->notes.waiters, &flush);
  return false;
}

void InFlight::CancelAllBut(const Call& survivor) {
  for (Call* bucket : buckets_) {
    for (Call* call = bucket; call != nullptr; call = call->notes.next) {
      if (call != &survivor) call->notes.cancelled = true;
    }
  }
}

std::vector<Call*> InFlight::Finish(Call& call) {
  std::vector<Call*> ready;
  std::lock_guard lock(mutex_);
  CallNotes& notes = call.notes;
  if (notes.state != State::kRunning) return ready;  // A frame too broken to have a tag: never begun.

  Call** link = &Bucket(notes.tag);
  while (*link != &call) link = &(*link)->notes.next;
  *link = notes.next;
  --count_;

  for (Call* waiter = notes.waiters; waiter != nullptr;) {
    ready.push_back(waiter);
    waiter = std::exchange(waiter->notes.next_waiter, nullptr);
  }
  if (alone_ == &call) {
    alone_ = nullptr;
    ready.insert(ready.end(), held_.begin(), held_.end());
    held_.clear();
  } else if (alone_ != nullptr && count_ == 1) {
    ready.push_back(alone_);
  }
  notes = {};
  return ready;
}

bool InFlight::Idle() {
  std::lock_guard lock(mutex_);
  return count_ == 0 && held_.empty();
}

}  // namespace virtfs::session
