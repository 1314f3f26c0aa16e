#include "fsops/session/in_flight.h"

#include <algorithm>
#include <utility>

namespace virtfs::session {

using State = CallNotes::State;

namespace {

// Not while it runs, nor once it waits for others.
bool IsCancelled(const CallNotes& notes) {
  return notes.cancelled && (notes.state == State::kArrived || notes.state == State::kBlocked);
}

}  // namespace

void InFlight::Arrive(Call& call, uint16_t tag, Company company) {
  std::lock_guard lock(mutex_);
  Note(call, tag, company);
}

InFlight::Turn InFlight::Begin(Call& call, uint16_t tag, Company company) {
  std::lock_guard lock(mutex_);
  CallNotes& notes = call.notes;
  if (notes.state == State::kNew) Note(call, tag, company);
  if (notes.state == State::kHeld) {
    notes.served = true;
    return Turn::kWait;
  }
  if (notes.alone && count_ > 1) {
    notes.state = State::kWaiting;
    return Turn::kWait;
  }
  const bool cancelled = IsCancelled(notes);
  notes.state = State::kRunning;
  return cancelled ? Turn::kCancelled : Turn::kRun;
}

bool InFlight::Cancelled(const Call& call) {
  std::lock_guard lock(mutex_);
  return IsCancelled(call.notes);
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

std::vector<Call*> InFlight::Finish(Call& call) {
  std::vector<Call*> ready;
  std::lock_guard lock(mutex_);
  CallNotes& notes = call.notes;
  if (notes.state == State::kNew) return ready;  // A frame too broken to have a tag.
  if (notes.state == State::kHeld) {
    std::erase(held_, &call);
    notes = {};
    return ready;
  }

  Leave(call);
  for (Call* waiter = notes.waiters; waiter != nullptr;) {
    ready.push_back(waiter);
    waiter = std::exchange(waiter->notes.next_waiter, nullptr);
  }
  notes = {};
  if (alone_ == &call) {
    alone_ = nullptr;
    ReleaseHeld(ready);
  } else if (alone_ != nullptr && count_ == 1 && alone_->notes.state == State::kWaiting) {
    ready.push_back(alone_);
  }
  return ready;
}

void InFlight::GiveUp() {
  std::lock_guard lock(mutex_);
  buckets_ = {};
  count_ = 0;
  alone_ = nullptr;
  held_.clear();
}

bool InFlight::Idle() {
  std::lock_guard lock(mutex_);
  return count_ == 0 && held_.empty();
}

void InFlight::Note(Call& call, uint16_t tag, Company company) {
  call.notes = {.state = State::kHeld, .alone = company == Company::kAlone, .tag = tag};
  if (alone_ != nullptr) {
    held_.push_back(&call);
  } else {
    Enter(call);
  }
}

void InFlight::Enter(Call& call) {
  CallNotes& notes = call.notes;
  notes.state = State::kArrived;
  notes.order = ++arrivals_;
  notes.next = std::exchange(Bucket(notes.tag), &call);
  ++count_;
  if (!notes.alone) return;
  alone_ = &call;
  for (Call* bucket : buckets_) {
    for (Call* other = bucket; other != nullptr; other = other->notes.next) other->notes.cancelled = other != &call;
  }
}

void InFlight::Leave(Call& call) {
  Call** link = &Bucket(call.notes.tag);
  while (*link != &call) link = &(*link)->notes.next;
  *link = call.notes.next;
  --count_;
}

// Up to the next Tversion, which holds the rest.
void InFlight::ReleaseHeld(std::vector<Call*>& ready) {
  const auto next_version = std::find_if(held_.begin(), held_.end(), [](Call* call) { return call->notes.alone; });
  const auto end = next_version == held_.end() ? held_.end() : next_version + 1;
  for (auto held = held_.begin(); held != end; ++held) {
    Enter(**held);
    if ((*held)->notes.served) ready.push_back(*held);
  }
  held_.erase(held_.begin(), end);
}

}  // namespace virtfs::session
