#include "frontend/relay/exchange.h"

#include <algorithm>
#include <cstring>

namespace virtfs::frontend {
namespace {

constexpr size_t kLongestTarget = 4095;  // Of a symlink on Linux.
constexpr size_t kLongestHolder = 1024;  // Of a lock: a client's name, which is a host's.
constexpr size_t kReadHead = p9::kMinHeadSize<p9::Rread>;

// The 32-bit field at `offset` of a message; 0 if it ends before.
uint32_t Load(std::span<const uint8_t> bytes, size_t offset) {
  if (bytes.size() < offset + sizeof(uint32_t)) return 0;
  uint32_t value = 0;
  for (size_t i = sizeof(value); i > 0; --i) value = value << 8 | bytes[offset + i - 1];
  return value;
}

}  // namespace

p9::Tag OldTag(std::span<const uint8_t> tflush) {
  const Result<p9::Tflush> flush = p9::Decode<p9::Tflush>(tflush);
  return flush.ok() ? flush->oldtag : p9::kNoTag;
}

size_t ReplyRoom(const p9::Header& header, std::span<const uint8_t> head, uint32_t msize) {
  size_t room = kSmallReply;
  switch (header.type) {
    case p9::Tread::kType:
    case p9::Treaddir::kType:
      static_assert(p9::kMinHeadSize<p9::Tread> == p9::kMinHeadSize<p9::Treaddir>);
      room = kReadHead + Load(head, p9::kMinHeadSize<p9::Tread> - sizeof(uint32_t));
      break;
    case p9::Treadlink::kType:
      room = p9::kMinHeadSize<p9::Rreadlink> + kLongestTarget;
      break;
    case p9::Tgetlock::kType:
      room = p9::kMinHeadSize<p9::Rgetlock> + kLongestHolder;
      break;
    default:
      break;
  }
  return std::max(std::min<size_t>(room, msize), p9::kErrorReplySize);
}

p9::Fid FidAtStake(const p9::Header& header, std::span<const uint8_t> head) {
  constexpr size_t kFid = p9::kHeaderSize;
  constexpr size_t kNewFid = kFid + sizeof(p9::Fid);
  switch (header.type) {
    case p9::Twalk::kType:
    case p9::Txattrwalk::kType:
      return head.size() < kNewFid + sizeof(p9::Fid) ? p9::kNoFid : Load(head, kNewFid);
    case p9::Tattach::kType:
    case p9::Tclunk::kType:
    case p9::Tremove::kType:
    case p9::Tlopen::kType:
    case p9::Tlcreate::kType:
    case p9::Txattrcreate::kType:
      return head.size() < kFid + sizeof(p9::Fid) ? p9::kNoFid : Load(head, kFid);
    default:
      return p9::kNoFid;
  }
}

bool CountIsRight(std::span<const uint8_t> reply) {
  const p9::Header header = *p9::ParseHeader(reply);
  if (header.type != p9::Rread::kType && header.type != p9::Rreaddir::kType) return true;
  return header.size >= kReadHead && Load(reply, p9::kHeaderSize) == header.size - kReadHead;
}

}  // namespace virtfs::frontend
