// BrokerClient: a server's end of its link. It implements host::HandleBroker and host::UserDatabase by asking the
// keeper, and delivers what the keeper says of its own accord (Connect, Stop) to whoever calls Next.
//
// There is no reading thread of its own: whoever waits reads. One of the waiting threads holds the read, gives each
// packet to the thread that it is for, and hands the read on when it has what it came for. So calls work from any
// thread at any time, whether or not somebody sits in Next.
//
// Errors: ECONNRESET or EPROTO for ever, from every method, once the keeper is gone or has sent nonsense.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <vector>

#include "backend/link/channel.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "fsops/host/handle_broker.h"
#include "fsops/host/user_database.h"

namespace virtfs::link {

class BrokerClient final : public host::HandleBroker, public host::UserDatabase {
 public:
  explicit BrokerClient(UniqueFd link) : link_(std::move(link)) {}

  // The next packet from the keeper that answers no call. Waits for it.
  Result<Packet> Next();

  // Tells the keeper something: Locked, Connected, Fault.
  template <typename Message>
  Result<void> Tell(const Message& message) {
    return Send(link_.get(), message);
  }

  Result<host::HandleToken> Keep(int fd) override { return KeepAll({&fd, 1}).front(); }
  std::vector<Result<host::HandleToken>> KeepAll(std::span<const int> fds) override;
  Result<UniqueFd> Reopen(host::HandleToken token) override;
  // Told with the next call, or when there are enough of them: the end of a million fids is not to take as many
  // packets.
  void Drop(host::HandleToken token) override;

  Result<host::User> Find(uint32_t uid) override;

 private:
  // One thread's wait for the answer with its number. Lives on that thread's stack.
  struct Waiter {
    uint64_t sequence;
    Waiter* next = nullptr;
    bool answered = false;
    Packet answer{};
  };

  template <typename Message>
  Result<Packet> Ask(Message message, std::span<const int> fds);
  // At most kMaxDescriptors.
  Result<Kept> AskToKeep(std::span<const int> fds);
  // Reads, or lets another read, until `done` or the link fails. `lock` holds mutex_.
  template <typename Done>
  Result<void> ReadUntil(std::unique_lock<std::mutex>& lock, Done done);
  void Deliver(Packet packet);
  Waiter* TakeWaiter(uint64_t sequence);

  const UniqueFd link_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // All below: mutex_.
  bool reading_ = false;  // some thread is in Receive, without mutex_
  int failed_ = 0;        // errno of the link
  uint64_t last_sequence_ = 0;
  Waiter* waiters_ = nullptr;
  std::deque<Packet> inbox_;
  link::Drop drop_;  // not told yet
};

}  // namespace virtfs::link
