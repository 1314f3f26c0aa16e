#include "protocol/codec.h"

#include <algorithm>

namespace virtfs::p9 {
namespace {

template <Message... M>
constexpr uint32_t HeadSizeIn(MessageList<M...>, uint8_t type, uint32_t size) {
  const auto head = [size]<Message Candidate>() {
    if constexpr (PayloadMessage<Candidate>) return std::min<uint32_t>(size, kMinHeadSize<Candidate>);
    return size;
  };
  uint32_t result = size;
  static_cast<void>(((type == M::kType && (result = head.template operator()<M>(), true)) || ...));
  return result;
}

// A payload's head has one size only, so that HeadSize can tell it from the type.
template <Message... M>
constexpr bool PayloadHeadsAreFixed(MessageList<M...>) {
  return ((!PayloadMessage<M> || kMinHeadSize<M> == kMaxHeadSize<M>)&&...);
}
static_assert(PayloadHeadsAreFixed(Messages()));

}  // namespace

Result<Header> ParseHeader(std::span<const uint8_t> bytes) {
  internal::Reader reader(bytes);
  Header header;
  if (!reader.Read(header.size) || !reader.Read(header.type) || !reader.Read(header.tag) || header.size < kHeaderSize) {
    return Errno(EINVAL);
  }
  return header;
}

uint32_t HeadSize(uint8_t type, uint32_t size) { return HeadSizeIn(Messages(), type, size); }

size_t EncodeDirEntry(const DirEntry& entry, std::span<uint8_t> out) {
  const size_t size = EncodedSize(entry);
  if (size > out.size() || !internal::FieldsHaveWireForm(entry)) return 0;
  internal::Writer writer(out.data());
  internal::WriteFields(writer, entry);
  return size;
}

bool DecodeDirEntry(std::span<const uint8_t>& data, DirEntry& entry) {
  internal::Reader reader(data);
  if (!internal::ReadFields(reader, entry)) return false;
  data = data.last(reader.left());
  return true;
}

}  // namespace virtfs::p9
