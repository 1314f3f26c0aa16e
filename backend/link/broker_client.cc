#include "backend/link/broker_client.h"

#include <algorithm>
#include <utility>

namespace virtfs::link {

template <typename Done>
Result<void> BrokerClient::ReadUntil(std::unique_lock<std::mutex>& lock, Done done) {
  while (!done()) {
    if (failed_ != 0) return Errno(failed_);
    if (reading_) {
      changed_.wait(lock);
      continue;
    }
    reading_ = true;
    lock.unlock();
    Result<Packet> packet = Receive(link_.get());
    lock.lock();
    reading_ = false;
    if (packet.ok()) {
      Deliver(*std::move(packet));
    } else {
      failed_ = packet.error().value();
    }
    // Wakes the thread that was answered, and one to read on if this one is done.
    changed_.notify_all();
  }
  return {};
}

void BrokerClient::Deliver(Packet packet) {
  uint64_t sequence;
  if (auto kept = packet.As<Kept>()) {
    sequence = kept->sequence;
  } else if (auto reopened = packet.As<Reopened>()) {
    sequence = reopened->sequence;
  } else if (auto user = packet.As<FoundUser>()) {
    sequence = user->sequence;
  } else {
    inbox_.push_back(std::move(packet));
    return;
  }
  Waiter* waiter = TakeWaiter(sequence);
  if (waiter == nullptr) {
    failed_ = EPROTO;
    return;
  }
  waiter->answer = std::move(packet);
  waiter->answered = true;
}

BrokerClient::Waiter* BrokerClient::TakeWaiter(uint64_t sequence) {
  for (Waiter** at = &waiters_; *at != nullptr; at = &(*at)->next) {
    if ((*at)->sequence == sequence) return std::exchange(*at, (*at)->next);
  }
  return nullptr;
}

Result<Packet> BrokerClient::Next() {
  std::unique_lock lock(mutex_);
  if (Result<void> read = ReadUntil(lock, [&] { return !inbox_.empty(); }); !read.ok()) return read.error();
  Packet packet = std::move(inbox_.front());
  inbox_.pop_front();
  return packet;
}

template <typename Message>
Result<Packet> BrokerClient::Ask(Message message, std::span<const int> fds) {
  std::unique_lock lock(mutex_);
  if (failed_ != 0) return Errno(failed_);
  Waiter waiter{.sequence = ++last_sequence_, .next = waiters_};
  waiters_ = &waiter;
  message.sequence = waiter.sequence;
  const link::Drop drop = std::exchange(drop_, {});

  // Not under the lock: with a full socket this waits for the keeper, which may be waiting for our reader.
  lock.unlock();
  // First, so that there is room for what is to be kept.
  Result<void> done = drop.count > 0 ? Send(link_.get(), drop) : Result<void>();
  if (done.ok()) done = Send(link_.get(), message, fds);
  lock.lock();
  if (done.ok()) done = ReadUntil(lock, [&] { return waiter.answered; });
  if (!done.ok()) {
    TakeWaiter(waiter.sequence);
    return done.error();
  }
  return std::move(waiter.answer);
}

Result<Kept> BrokerClient::AskToKeep(std::span<const int> fds) {
  Result<Packet> packet = Ask(link::Keep{}, fds);
  if (!packet.ok()) return packet.error();
  const auto kept = packet->As<Kept>();
  if (!kept || kept->count != fds.size()) return Errno(EPROTO);
  return *kept;
}

std::vector<Result<host::HandleToken>> BrokerClient::KeepAll(std::span<const int> fds) {
  std::vector<Result<host::HandleToken>> tokens;
  tokens.reserve(fds.size());
  for (; !fds.empty(); fds = fds.subspan(std::min(fds.size(), kMaxDescriptors))) {
    const std::span<const int> some = fds.first(std::min(fds.size(), kMaxDescriptors));
    const Result<Kept> kept = AskToKeep(some);
    for (size_t i = 0; i < some.size(); ++i) {
      if (!kept.ok()) {
        tokens.emplace_back(kept.error());
      } else if (kept->files[i].error != 0) {
        tokens.emplace_back(Errno(kept->files[i].error));
      } else {
        tokens.emplace_back(host::HandleToken{kept->files[i].token});
      }
    }
  }
  return tokens;
}

Result<UniqueFd> BrokerClient::Reopen(host::HandleToken token) {
  Result<Packet> packet = Ask(link::Reopen{.token = static_cast<uint64_t>(token)}, {});
  if (!packet.ok()) return packet.error();
  const auto reopened = packet->As<Reopened>();
  if (!reopened) return Errno(EPROTO);
  if (reopened->error != 0) return Errno(reopened->error);
  UniqueFd fd = packet->TakeFd();
  if (!fd.ok()) return Errno(EPROTO);
  return fd;
}

Result<host::User> BrokerClient::Find(uint32_t uid) {
  Result<Packet> packet = Ask(link::FindUser{.uid = uid}, {});
  if (!packet.ok()) return packet.error();
  const auto found = packet->As<FoundUser>();
  if (!found || found->count > found->groups.size()) return Errno(EPROTO);
  if (found->error != 0) return Errno(found->error);
  return host::User{.gid = found->gid, .groups = {found->groups.begin(), found->groups.begin() + found->count}};
}

void BrokerClient::Drop(host::HandleToken token) {
  link::Drop full;
  {
    const std::lock_guard lock(mutex_);
    drop_.tokens[drop_.count++] = static_cast<uint64_t>(token);
    if (drop_.count < link::Drop::kMaxTokens) return;
    full = std::exchange(drop_, {});
  }
  // If the link has failed, the keeper has forgotten all of this server's handles anyway.
  (void)Send(link_.get(), full);
}

}  // namespace virtfs::link
