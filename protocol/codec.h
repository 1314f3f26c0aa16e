// The bytes of 9P2000.L messages: decoding, encoding, sizes and dispatch by type.
//
// A frame is one message in private memory: size[4] type[1] tag[2], then its fields, then for Twrite, Rread and
// Rreaddir the payload. The head of a frame is all but the payload; payloads pass by the codec untouched:
//
//     copy 7 bytes; ParseHeader; copy HeadSize(type, size) bytes       the transport
//     VisitRequest(frame, visitor) or Decode<M>(frame)                 the session
//     Encode(tag, reply, scratch)                                      the session
//
// Nothing allocates, nothing throws, nothing is kept. Every function may be called from any thread.
// Trust: a frame is hostile bytes. It must not change while it is read: never point one at shared memory.
// Errors: EINVAL for what is malformed, EOPNOTSUPP for an unknown request.
// Source: diod's protocol.md; Plan 9's intro(5).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

#include "base/result.h"
#include "protocol/messages.h"
#include "protocol/wire.h"

namespace virtfs::p9 {

// size[4] type[1] tag[2]
inline constexpr uint32_t kHeaderSize = 7;

struct Header {
  uint32_t size = 0;  // Of the whole message, itself and the payload included.
  uint8_t type = 0;
  Tag tag = kNoTag;

  friend bool operator==(const Header&, const Header&) = default;
};

// The header of what begins with these bytes. EINVAL if they are fewer than 7, or size[4] is below 7; size[4] is not
// compared with bytes.size().
Result<Header> ParseHeader(std::span<const uint8_t> bytes);

// How many bytes of a message of `size` bytes must be copied into private memory to decode it: those before the
// payload, or all where there is none, and never more than its type can have (of an unknown type the header). What is
// longer than that is malformed, and Decode finds it so without the rest.
uint32_t HeadSize(uint8_t type, uint32_t size);

// The least and the most that a message's head takes: equal for a message without strings and lists.
template <Message M>
inline constexpr size_t kMinHeadSize = kHeaderSize + internal::FieldsSize(M());
template <Message M>
inline constexpr size_t kMaxHeadSize = kHeaderSize + internal::MaxFieldsSize<M>();

// Whether every M has the same size, kMinHeadSize<M>, known before its fields are.
template <Message M>
inline constexpr bool kHasFixedSize = !PayloadMessage<M> && kMinHeadSize<M> == kMaxHeadSize<M>;

// What any Rlerror takes: a reply's capacity below this is of no use.
inline constexpr size_t kErrorReplySize = kMinHeadSize<Rlerror>;

// Bytes of the message's head.
template <Message M>
constexpr size_t EncodedSize(const M& message) {
  return kHeaderSize + internal::FieldsSize(message);
}

namespace internal {

// The two directions of one message, whose struct stands behind the pointer. Their bodies are all compiled in codec.cc:
// as templates in this header they cost every file that includes it up to 20 s with the sanitizers.
struct MessageCodec {
  bool (*decode)(std::span<const uint8_t> frame, void* message) = nullptr;
  size_t (*encode)(Tag tag, const void* message, std::span<uint8_t> out) = nullptr;
};

// By type; all types are below 128. Empty where no message has the type.
extern const std::array<MessageCodec, 128> kMessageCodecs;

template <Message M>
bool DecodeInto(std::span<const uint8_t> frame, M& message) {
  return kMessageCodecs[M::kType].decode(frame, &message);
}

}  // namespace internal

// Writes the message's head to the beginning of `out` and returns its length, which is EncodedSize(message); size[4]
// counts the `count` bytes of a payload too. Returns 0, and writes nothing, if it does not fit into `out`, a string
// is longer than 65,535 bytes, or the message longer than size[4] can say.
template <Message M>
size_t Encode(Tag tag, const M& message, std::span<uint8_t> out) {
  return internal::kMessageCodecs[M::kType].encode(tag, &message, out);
}

// The message in a frame. A message with a payload is given with all of its payload, or none. EINVAL when the type is
// another, when any byte is missing or left over, when size[4] disagrees with what is there, or with more than
// kMaxWalk names. Strings point into the frame.
template <Message M>
Result<M> Decode(std::span<const uint8_t> frame) {
  Result<M> message(std::in_place);
  if (!internal::DecodeInto(frame, *message)) message = Errno(EINVAL);
  return message;
}

// For a client: the reply to a request of type T. The server's Rlerror is returned as the Errno it names; what is
// malformed or of another type, or an errno that is none, is EPROTO. The tag is the caller's to compare.
template <Request T>
Result<typename T::Reply> DecodeReply(std::span<const uint8_t> frame) {
  if (Result<typename T::Reply> reply = Decode<typename T::Reply>(frame); reply.ok()) return reply;
  const Result<Rlerror> error = Decode<Rlerror>(frame);
  if (!error.ok() || error->ecode < 1 || error->ecode > 4095) return Errno(EPROTO);
  return Errno(static_cast<int>(error->ecode));
}

namespace internal {

template <typename Value, typename Visitor, Message M>
Result<Value> VisitAs(std::span<const uint8_t> frame, Visitor& visitor) {
  static_assert(std::is_same_v<Value, std::invoke_result_t<Visitor&, const M&>>,
                "every handler must return the same type");
  M message;
  if (!DecodeInto(frame, message)) return Errno(EINVAL);
  if constexpr (std::is_void_v<Value>) {
    visitor(std::as_const(message));
    return {};
  } else {
    return visitor(std::as_const(message));
  }
}

template <typename Visitor, Message First, Message... Rest>
auto VisitFrame(std::span<const uint8_t> frame, Visitor& visitor, MessageList<First, Rest...>) {
  using Value = std::invoke_result_t<Visitor&, const First&>;
  using Handler = Result<Value> (*)(std::span<const uint8_t>, Visitor&);
  static constexpr auto kHandlers = [] {
    std::array<Handler, 128> handlers{};
    handlers[First::kType] = VisitAs<Value, Visitor, First>;
    ((handlers[Rest::kType] = VisitAs<Value, Visitor, Rest>), ...);
    return handlers;
  }();
  if (frame.size() < kHeaderSize) return Result<Value>(Errno(EINVAL));
  const uint8_t type = frame[sizeof(Header::size)];
  if (type >= kHandlers.size() || kHandlers[type] == nullptr) return Result<Value>(Errno(EOPNOTSUPP));
  return kHandlers[type](frame, visitor);
}

}  // namespace internal

// Decodes a frame as the request of its type and calls visitor(const T&) with it. Returns what the visitor returned
// (Result<void> if nothing), or EINVAL or EOPNOTSUPP without having called it. A request that the visitor does not
// take is an error of compilation.
template <typename Visitor>
auto VisitRequest(std::span<const uint8_t> frame, Visitor&& visitor) {
  return internal::VisitFrame(frame, visitor, Requests());
}

// The same for any message, reply or request: for logs and tools.
template <typename Visitor>
auto VisitMessage(std::span<const uint8_t> frame, Visitor&& visitor) {
  return internal::VisitFrame(frame, visitor, Messages());
}

// Entries of an Rreaddir's payload, one behind the other and nothing between.

constexpr size_t EncodedSize(const DirEntry& entry) { return internal::FieldsSize(entry); }

// Writes the entry to the beginning of `out` and returns its length; 0, and nothing is written, if it does not fit or
// its name is longer than 65,535 bytes.
size_t EncodeDirEntry(const DirEntry& entry, std::span<uint8_t> out);

// Takes the first entry off `data`: false, and `data` unchanged, if there is no whole one. The name points into it.
bool DecodeDirEntry(std::span<const uint8_t>& data, DirEntry& entry);

}  // namespace virtfs::p9
