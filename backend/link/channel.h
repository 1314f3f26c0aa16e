// One end of a link: sending and receiving one packet, with its descriptors.
//
// Errors: ECONNRESET when the other end is gone; EPROTO for a packet that no honest peer sends (cut, too long, an
// unknown kind, a wrong size, a descriptor too many or too few); EAGAIN as asked for. After any but EAGAIN the link is
// of no more use.
// Threads: packets are whole, so any thread may send. Receivers must agree among themselves.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "backend/link/messages.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace virtfs::link {

enum class Wait { kYes, kNo };

// A packet as it came: its kind, its bytes, and its descriptors.
class Packet {
 public:
  Kind kind() const { return kind_; }

  // The message, if that is what the packet is: kind, size and descriptor all as `Message` says.
  template <typename Message>
  std::optional<Message> As() const {
    static_assert(std::is_trivially_copyable_v<Message> && sizeof(Message) <= kMaxSize);
    if (kind_ != Message::kKind || size_ != SizeOf<Message>() || !Carried(Message::kCarries)) return std::nullopt;
    Message message;
    if constexpr (!std::is_empty_v<Message>) std::memcpy(&message, bytes_.data(), sizeof(Message));
    return message;
  }

  // The first descriptor, if there is any.
  UniqueFd TakeFd() { return fds_.empty() ? UniqueFd() : std::move(fds_.front()); }
  std::vector<UniqueFd> TakeFds() { return std::move(fds_); }

 private:
  friend Result<Packet> Receive(int link, Wait wait);

  static constexpr size_t kMaxSize = 4096;

  template <typename Message>
  static constexpr size_t SizeOf() {
    return std::is_empty_v<Message> ? 0 : sizeof(Message);
  }

  bool Carried(Carries carries) const {
    switch (carries) {
      case Carries::kNothing:
        return fds_.empty();
      case Carries::kTwo:
        return fds_.size() == 2;
      case Carries::kPerhaps:
        return fds_.size() <= 1;
      case Carries::kSome:
        return !fds_.empty();
    }
    return false;
  }

  Kind kind_{};
  size_t size_ = 0;
  alignas(8) std::array<uint8_t, kMaxSize> bytes_{};
  std::vector<UniqueFd> fds_;  // at most kMaxDescriptors
};

// A connected pair of close-on-exec sockets: {keeper's end, server's end}.
Result<std::pair<UniqueFd, UniqueFd>> MakeLink();

// `fds` are borrowed, and at most kMaxDescriptors.
Result<void> SendBytes(int link, Kind kind, std::span<const uint8_t> bytes, std::span<const int> fds, Wait wait);

template <typename Message>
Result<void> Send(int link, const Message& message, std::span<const int> fds, Wait wait = Wait::kYes) {
  static_assert(std::is_trivially_copyable_v<Message>);
  if constexpr (std::is_empty_v<Message>) {
    return SendBytes(link, Message::kKind, {}, fds, wait);
  } else {
    return SendBytes(link, Message::kKind, {reinterpret_cast<const uint8_t*>(&message), sizeof(Message)}, fds, wait);
  }
}
// `fd`: -1 for none.
template <typename Message>
Result<void> Send(int link, const Message& message, int fd = -1, Wait wait = Wait::kYes) {
  return Send(link, message, fd >= 0 ? std::span<const int>(&fd, 1) : std::span<const int>(), wait);
}

Result<Packet> Receive(int link, Wait wait = Wait::kYes);

}  // namespace virtfs::link
