// Reader and writer of the protocol's simple types; only the codec needs this.
//
// The reader checks every length against what is left of the frame. The writer trusts its caller to have made room.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "protocol/field.h"

namespace virtfs::p9::internal {

static_assert(std::endian::native == std::endian::little, "integers are copied to and from the wire as they are");

// No string may be longer on the wire.
inline constexpr size_t kMaxString = 0xffff;
inline constexpr size_t kQidSize = 13;

class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : at_(bytes.data()), left_(bytes.size()) {}

  size_t left() const { return left_; }

  // Each Read is false, and leaves the rest unusable, when the bytes end before the value does.
  template <std::unsigned_integral T>
  bool Read(T& value) {
    if (left_ < sizeof(T)) return false;
    std::memcpy(&value, at_, sizeof(T));
    Skip(sizeof(T));
    return true;
  }

  bool Read(std::string_view& value) {
    uint16_t size;
    if (!Read(size) || left_ < size) return false;
    value = std::string_view(reinterpret_cast<const char*>(at_), size);
    Skip(size);
    return true;
  }

  bool Read(Qid& value) { return Read(value.type) && Read(value.version) && Read(value.path); }

  template <typename T, size_t N>
  bool Read(InlineList<T, N>& values) {
    uint16_t count;
    if (!Read(count) || count > N) return false;
    for (size_t i = 0; i < count; ++i) {
      T value;
      if (!Read(value)) return false;
      values.push_back(value);
    }
    return true;
  }

 private:
  void Skip(size_t size) {
    at_ += size;
    left_ -= size;
  }

  const uint8_t* at_;
  size_t left_;
};

class Writer {
 public:
  // Everything written must fit behind `at`.
  explicit Writer(uint8_t* at) : at_(at) {}

  template <std::unsigned_integral T>
  void Write(T value) {
    std::memcpy(at_, &value, sizeof(T));
    at_ += sizeof(T);
  }

  // At most kMaxString bytes.
  void Write(std::string_view value) {
    Write(static_cast<uint16_t>(value.size()));
    if (!value.empty()) std::memcpy(at_, value.data(), value.size());
    at_ += value.size();
  }

  void Write(const Qid& value) {
    Write(value.type);
    Write(value.version);
    Write(value.path);
  }

  template <typename T, size_t N>
  void Write(const InlineList<T, N>& values) {
    Write(static_cast<uint16_t>(values.size()));
    for (const T& value : values) Write(value);
  }

 private:
  uint8_t* at_;
};

// Bytes of a value on the wire.
template <std::unsigned_integral T>
constexpr size_t WireSize(T) {
  return sizeof(T);
}
constexpr size_t WireSize(std::string_view value) { return sizeof(uint16_t) + value.size(); }
constexpr size_t WireSize(const Qid&) { return kQidSize; }
template <typename T, size_t N>
constexpr size_t WireSize(const InlineList<T, N>& values) {
  size_t size = sizeof(uint16_t);
  for (const T& value : values) size += WireSize(value);
  return size;
}

// The most that any value of a type takes.
template <std::unsigned_integral T>
constexpr size_t MaxWireSize(const T*) {
  return sizeof(T);
}
constexpr size_t MaxWireSize(const std::string_view*) { return sizeof(uint16_t) + kMaxString; }
constexpr size_t MaxWireSize(const Qid*) { return kQidSize; }
template <typename T, size_t N>
constexpr size_t MaxWireSize(const InlineList<T, N>*) {
  return sizeof(uint16_t) + N * MaxWireSize(static_cast<const T*>(nullptr));
}

// Whether a length prefix can say how long the value is.
template <typename T>
constexpr bool HasWireForm(const T&) {
  return true;
}
constexpr bool HasWireForm(const std::string_view& value) { return value.size() <= kMaxString; }
template <typename T, size_t N>
constexpr bool HasWireForm(const InlineList<T, N>& values) {
  for (const T& value : values) {
    if (!HasWireForm(value)) return false;
  }
  return true;
}

// The fields of a struct, in a row.
template <HasFields M>
bool ReadFields(Reader& reader, M& message) {
  // A copy stays in registers; `reader` itself might, for all the compiler knows, lie in the message being written.
  Reader at = reader;
  const auto read = [&]<typename Field>(const Field& field) {
    if constexpr (Field::kOptional) {
      if (at.left() == 0) return true;
    }
    return at.Read(field.Of(message));
  };
  const bool complete = M::kFields.Apply([&](const auto&... field) { return (read(field) && ...); });
  reader = at;
  return complete;
}

template <HasFields M>
void WriteFields(Writer& writer, const M& message) {
  ForEachField(message, [&](const auto&, const auto& value) { writer.Write(value); });
}

template <HasFields M>
constexpr size_t FieldsSize(const M& message) {
  return M::kFields.Apply([&](const auto&... field) { return (size_t{0} + ... + WireSize(field.Of(message))); });
}

template <HasFields M>
constexpr size_t MaxFieldsSize() {
  const M message;
  return M::kFields.Apply([&](const auto&... field) { return (size_t{0} + ... + MaxWireSize(&field.Of(message))); });
}

template <HasFields M>
constexpr bool FieldsHaveWireForm(const M& message) {
  return M::kFields.Apply([&](const auto&... field) { return (HasWireForm(field.Of(message)) && ...); });
}

}  // namespace virtfs::p9::internal
