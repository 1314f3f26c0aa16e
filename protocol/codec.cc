#include "protocol/codec.h"

#include <algorithm>
#include <limits>

namespace virtfs::p9 {
namespace {

bool ReadHeader(internal::Reader& reader, Header& header) {
  return reader.Read(header.size) && reader.Read(header.type) && reader.Read(header.tag) && header.size >= kHeaderSize;
}

template <Message M>
bool DecodeMessage(std::span<const uint8_t> frame, void* out) {
  M& message = *static_cast<M*>(out);
  internal::Reader reader(frame);
  Header header;
  if (!ReadHeader(reader, header) || header.type != M::kType || !internal::ReadFields(reader, message)) return false;
  if constexpr (PayloadMessage<M>) {
    const uint64_t size = uint64_t{kMinHeadSize<M>} + message.count;
    return header.size == size && (reader.left() == 0 || frame.size() == size);
  } else {
    return header.size == frame.size() && reader.left() == 0;
  }
}

template <Message M>
size_t EncodeMessage(Tag tag, const void* in, std::span<uint8_t> out) {
  const M& message = *static_cast<const M*>(in);
  const size_t head = EncodedSize(message);
  uint64_t size = head;
  if constexpr (PayloadMessage<M>) size += message.count;
  if (head > out.size() || size > std::numeric_limits<uint32_t>::max()) return 0;
  if (!internal::FieldsHaveWireForm(message)) return 0;
  internal::Writer writer(out.data());
  writer.Write(static_cast<uint32_t>(size));
  writer.Write(M::kType);
  writer.Write(tag);
  internal::WriteFields(writer, message);
  return head;
}

template <Message... M>
constexpr std::array<internal::MessageCodec, 128> CodecsOf(MessageList<M...>) {
  std::array<internal::MessageCodec, 128> codecs;
  ((codecs[M::kType] = {.decode = DecodeMessage<M>, .encode = EncodeMessage<M>}), ...);
  return codecs;
}

// The most that a head of each type has. A payload's head has one size only, so that the payload's place is known from
// the type.
template <Message... M>
constexpr std::array<uint32_t, 128> MaxHeadSizes(MessageList<M...>) {
  static_assert(((!PayloadMessage<M> || kMinHeadSize<M> == kMaxHeadSize<M>)&&...));
  std::array<uint32_t, 128> sizes;
  sizes.fill(kHeaderSize);
  ((sizes[M::kType] = kMaxHeadSize<M>), ...);
  return sizes;
}
constexpr std::array<uint32_t, 128> kMaxHeadSizes = MaxHeadSizes(Messages());

}  // namespace

namespace internal {

constexpr std::array<MessageCodec, 128> kMessageCodecs = CodecsOf(Messages());

}  // namespace internal

Result<Header> ParseHeader(std::span<const uint8_t> bytes) {
  internal::Reader reader(bytes);
  Header header;
  if (!ReadHeader(reader, header)) return Errno(EINVAL);
  return header;
}

uint32_t HeadSize(uint8_t type, uint32_t size) {
  return std::min(size, type < kMaxHeadSizes.size() ? kMaxHeadSizes[type] : kHeaderSize);
}

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
